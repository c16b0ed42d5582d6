//! TCP Vegas (Brakmo and Peterson, 1995) for calls, after Netflix's VegasLimit, with a latency at rest that does not
//! drift (see [`rounds`](super::rounds)).

use super::rounds::{Rounds, Verdict};
use super::{LimitAlgorithm, Sample};
use core::time::Duration;

/// Keeps a few calls queued at the target: grows while there are fewer, shrinks while there are more.
#[derive(Clone, Debug)]
pub struct Vegas {
    rounds: Rounds,
}

/// What a dropped call leaves of the limit.
const DROPPED: f64 = 0.9;

impl Vegas {
    /// `least_limit` is the lower bound of the limit, at which latency is taken to be that at rest; a round takes at
    /// least `interval`.
    pub fn new(least_limit: u32, interval: Duration) -> Self {
        let rounds = Rounds::new(least_limit, interval);
        Self { rounds }
    }
}

impl LimitAlgorithm for Vegas {
    fn sample(&mut self, now: u64, limit: f64, sample: &Sample) -> f64 {
        match self.rounds.add(now, limit, sample) {
            Some(Verdict::Dropped) => (limit * DROPPED).min(limit - 1.0),
            Some(Verdict::Slowdown(slowdown)) => {
                let queued = limit * (1.0 - slowdown.recip());
                // The logarithm is 0 at a limit of 1 and would keep it there for ever (go-concurrency-limits#117).
                let step = limit.log10().max(1.0);
                if queued <= step {
                    limit + (6.0 * step).min(limit)
                } else if queued > 6.0 * step || slowdown > 2.0 {
                    // Small limits never queue six, but that more wait than are served is too many for any.
                    limit - step
                } else if queued < 3.0 * step {
                    limit + step
                } else {
                    limit
                }
            }
            Some(Verdict::Unknown) | None => limit,
        }
    }
}

//! The gradient of latency: after Netflix's Gradient2 (github.com/Netflix/concurrency-limits), with a latency at rest
//! that does not drift (see [`rounds`](super::rounds)).

use super::rounds::{Rounds, Verdict};
use super::{LimitAlgorithm, Sample};
use crate::machine::within::within;
use core::time::Duration;

/// Shrinks the limit by the ratio of latency at rest to latency now, once that is beyond what is tolerated, and adds
/// the square root of the limit as room for a queue.
#[derive(Clone, Debug)]
pub struct Gradient {
    rounds: Rounds,
}

/// Half as slow again as at rest is not yet overload.
const TOLERANCE: f64 = 1.5;
/// One round moves the limit a fifth of the way, and at most halves it on that way.
const SMOOTHING: f64 = 0.2;
const STEEPEST: f64 = 0.5;
/// What a dropped call leaves of the limit.
const DROPPED: f64 = 0.9;

impl Gradient {
    /// `least_limit` is the lower bound of the limit, at which latency is taken to be that at rest; a round takes at
    /// least `interval`.
    pub fn new(least_limit: u32, interval: Duration) -> Self {
        let rounds = Rounds::new(least_limit, interval);
        Self { rounds }
    }
}

impl LimitAlgorithm for Gradient {
    fn sample(&mut self, now: u64, limit: f64, sample: &Sample) -> f64 {
        match self.rounds.add(now, limit, sample) {
            Some(Verdict::Dropped) => (limit * DROPPED).min(limit - 1.0),
            Some(Verdict::Slowdown(slowdown)) => {
                let gradient = within(TOLERANCE / slowdown, STEEPEST, 1.0);
                let aim = limit * gradient + limit.sqrt();
                // At small limits a fifth of a step is none for long: growth is at least one in two rounds.
                let step = (aim - limit) * SMOOTHING;
                limit + if step > 0.0 { step.max(0.5) } else { step }
            }
            Some(Verdict::Unknown) | None => limit,
        }
    }
}

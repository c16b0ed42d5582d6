//! Additive increase, multiplicative decrease (Chiu and Jain, 1989): the rule that keeps TCP fair.

use super::{Ending, LimitAlgorithm, Sample};
use crate::machine::time::micros;
use core::time::Duration;

/// One more for each round trip that goes well, times a factor when a call is dropped or slower than its target.
#[derive(Clone, Debug)]
pub struct Aimd {
    shrink: f64,
    target: Option<Duration>,
    shrank_at: Option<u64>,
}

impl Aimd {
    /// `shrink` is from 0 to 1; without a `target` only dropped calls are overload.
    pub const fn new(shrink: f64, target: Option<Duration>) -> Self {
        Self {
            shrink,
            target,
            shrank_at: None,
        }
    }
}

impl LimitAlgorithm for Aimd {
    fn sample(&mut self, now: u64, limit: f64, sample: &Sample) -> f64 {
        let slow = self.target.is_some_and(|target| sample.latency > target);
        if sample.ending == Ending::Dropped || slow {
            // A call that began before the last decrease tells of the limit before it: one overload, one decrease.
            let round_trip = micros(sample.latency);
            if self
                .shrank_at
                .is_some_and(|at| now < at.saturating_add(round_trip))
            {
                return limit;
            }
            self.shrank_at = Some(now);
            return (limit * self.shrink).min(limit - 1.0);
        }
        if Sample::app_limited(sample.in_flight, limit) {
            return limit;
        }
        limit + 1.0 / limit
    }
}

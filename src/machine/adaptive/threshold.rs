//! Scaling by thresholds: up when busy or slow, down when idle and fast.

use super::{Ending, LimitAlgorithm, Sample};
use crate::machine::time::micros;
use core::time::Duration;

/// Up when the load is above one share *or* the response time above its bound, down when the load is below another
/// share *and* the response time below its target, and then nothing for an interval. Load is (running + queued) ÷
/// (slots + queue capacity); where the queue has no end, (running + queued) ÷ slots.
#[derive(Clone, Debug)]
pub struct Threshold {
    up_above: f64,
    down_below: f64,
    shrink: f64,
    target: Option<f64>,
    interval: u64,
    changed_at: Option<u64>,
    samples: u32,
    load: f64,
    response: f64,
}

/// Response times above this many targets are above their bound.
const BOUND: f64 = 2.0;

impl Threshold {
    /// Shares of load, what the limit is multiplied with to scale down (and divided by to scale up), a target for the
    /// mean response time, whose bound is twice as much, and the least time between two changes.
    pub fn new(
        up_above: f64,
        down_below: f64,
        shrink: f64,
        target: Option<Duration>,
        interval: Duration,
    ) -> Self {
        Self {
            up_above,
            down_below,
            shrink,
            target: target.map(|target| micros(target) as f64),
            interval: micros(interval),
            changed_at: None,
            samples: 0,
            load: 0.0,
            response: 0.0,
        }
    }
}

impl LimitAlgorithm for Threshold {
    fn sample(&mut self, now: u64, limit: f64, sample: &Sample) -> f64 {
        // Means since the last change, which forget the distant past.
        self.samples = (self.samples + 1).min(100);
        let weight = 1.0 / f64::from(self.samples);
        let work = f64::from(sample.in_flight) + f64::from(sample.queued);
        let room = limit.floor() + f64::from(sample.queue_capacity.unwrap_or(0));
        self.load += (work / room - self.load) * weight;
        self.response += (micros(sample.latency) as f64 - self.response) * weight;

        // More slots are no answer to a target that drops calls, and fewer are not what this rule is asked for.
        if sample.ending == Ending::Dropped {
            return limit;
        }
        let since = *self.changed_at.get_or_insert(now);
        if now.saturating_sub(since) < self.interval {
            return limit;
        }
        let slow = self.target.is_some_and(|target| self.response > BOUND * target);
        let fast = self.target.is_none_or(|target| self.response < target);
        let scaled = if self.load > self.up_above || slow {
            (limit / self.shrink).ceil().max(limit + 1.0)
        } else if self.load < self.down_below && fast {
            (limit * self.shrink).floor().min(limit - 1.0)
        } else {
            return limit;
        };
        self.changed_at = Some(now);
        self.samples = 0;
        scaled
    }
}

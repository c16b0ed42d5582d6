//! Rounds of samples, and what latency is at rest.
//!
//! What other limiters learned the hard way is settled here. Latencies are averaged as logarithms over rounds of
//! samples, so that a wide spread does not look like load (Netflix/concurrency-limits#34). The latency at rest falls
//! with what is measured, but rises only on evidence that it is not the limit's own doing: calls that are as slow at
//! half the concurrency. So it does not drift up with a queue that the limit itself built (#165), and nobody has to
//! probe for it by turning callers away (envoyproxy/envoy#8337): the limit is halved by the slowdown itself.

use super::{Ending, Sample};
use crate::machine::time::micros;
use core::time::Duration;

/// What a finished round says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Verdict {
    /// The target dropped calls.
    Dropped,
    /// The limit was not what held the calls, or there is too little to go by yet.
    Unknown,
    /// How many times longer than at rest calls take.
    Slowdown(f64),
}

#[derive(Clone, Debug)]
pub(super) struct Rounds {
    least_limit: u32,
    interval: u64,
    ended_at: Option<u64>,
    dropped_at: Option<u64>,
    round: Round,
    measured: u32,
    // All three are logarithms of microseconds.
    smooth: f64,
    quick: f64,
    rest: f64,
    worst: Option<Worst>,
}

/// The worst since calls became slower, to compare with half as many calls.
#[derive(Clone, Copy, Debug)]
struct Worst {
    quick: f64,
    in_flight: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Round {
    samples: u32,
    logs: f64,
    most_in_flight: u32,
}

/// A round has this many samples at least; else as many as the limit, which is about a round trip of every slot.
const SAMPLES: u32 = 10;
/// The first rounds are only averaged.
const WARM_UP: u32 = 5;
const SMOOTHING: f64 = 0.1;
const QUICK: f64 = 0.4;
/// Latencies this close (as logarithms, so 5 %) are the same.
const SAME: f64 = 0.05;
/// Half as many calls should be twice as fast if they queue. Less than 1.4 times is not (as a logarithm).
const FASTER: f64 = 0.35;

impl Rounds {
    pub(super) fn new(least_limit: u32, interval: Duration) -> Self {
        Self {
            least_limit,
            interval: micros(interval),
            ended_at: None,
            dropped_at: None,
            round: Round::default(),
            measured: 0,
            smooth: 0.0,
            quick: 0.0,
            rest: 0.0,
            worst: None,
        }
    }

    /// Takes a sample; says something when a round is over.
    pub(super) fn add(&mut self, now: u64, limit: f64, sample: &Sample) -> Option<Verdict> {
        let latency = micros(sample.latency).max(1);
        if sample.ending == Ending::Dropped {
            // A call that began before the last drop tells of the limit before it: one overload, one decrease.
            if self.dropped_at.is_some_and(|at| now < at.saturating_add(latency)) {
                return None;
            }
            self.dropped_at = Some(now);
            // The round says that there is overload, and nothing about latency.
            self.round = Round::default();
            return Some(Verdict::Dropped);
        }
        self.round.samples += 1;
        self.round.logs += (latency as f64).ln();
        self.round.most_in_flight = self.round.most_in_flight.max(sample.in_flight);
        let ended_at = *self.ended_at.get_or_insert(now);
        let enough = self.round.samples >= SAMPLES.max(limit as u32);
        if !enough || now.saturating_sub(ended_at) < self.interval {
            return None;
        }
        self.ended_at = Some(now);
        let round = core::mem::take(&mut self.round);
        self.learn(round.logs / f64::from(round.samples), round.most_in_flight);
        if self.measured < WARM_UP || Sample::app_limited(round.most_in_flight, limit) {
            return Some(Verdict::Unknown);
        }
        Some(Verdict::Slowdown((self.smooth - self.rest).exp()))
    }

    fn learn(&mut self, log: f64, in_flight: u32) {
        self.measured = self.measured.saturating_add(1);
        let average = 1.0 / f64::from(self.measured);
        self.smooth += (log - self.smooth) * average.max(SMOOTHING);
        self.quick += (log - self.quick) * average.max(QUICK);
        if self.measured <= WARM_UP || self.smooth <= self.rest || in_flight <= self.least_limit {
            self.rest = self.smooth;
            self.worst = None;
            return;
        }
        match self.worst {
            Some(worst) if self.quick <= worst.quick + SAME => {
                if in_flight > worst.in_flight / 2 {
                    return;
                }
                if self.quick > worst.quick - FASTER {
                    self.rest = self.smooth;
                    self.worst = None;
                } else {
                    let quick = self.quick;
                    self.worst = Some(Worst { quick, in_flight });
                }
            }
            _ => {
                let quick = self.quick;
                self.worst = Some(Worst { quick, in_flight });
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The scan in numbers, at one moment: what a monitor shows and a page plots.

use std::collections::VecDeque;

use serde::Serialize;

use super::event::{BreakerState, RunStatus};
use super::plugin::Level;
use crate::machine::histogram::Histogram;
use crate::machine::time::Instant;

/// The scan, now. Times are milliseconds, `at` and `retry_at` since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct ScanMetrics {
    pub at: f64,
    pub elapsed: f64,
    pub levels: Vec<LevelMetrics>,
    pub hosts: Vec<HostMetrics>,
    pub throughput: Throughput,
    pub latency: Percentiles,
    pub requests: RequestMetrics,
    pub error_rate: f64,
    pub utilisation: f64,
    pub memory: MemoryMetrics,
    pub done: usize,
    pub total: usize,
    pub eta: Option<f64>,
    pub paused: bool,
}

/// One level, now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct LevelMetrics {
    pub level: Level,
    pub limit: u32,
    pub active: u32,
    pub queued: u32,
    pub waiting: u32,
    pub completed: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub skipped: u64,
    pub cancelled: u64,
    pub rejected: u64,
    pub utilisation: f64,
    pub wait: Percentiles,
    pub run: Percentiles,
}

/// One host's breaker, now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct HostMetrics {
    pub host: String,
    pub breaker: BreakerState,
    pub failures: u32,
    pub active: u32,
    pub requests: u64,
    pub errors: u64,
    pub retry_at: Option<f64>,
}

/// What ended a second, over the last 5 s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct Throughput {
    pub runs: f64,
    pub requests: f64,
}

/// Requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct RequestMetrics {
    pub total: u64,
    pub active: u32,
    pub errors: u64,
    pub denied: u64,
}

/// Memory, where the platform tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct MemoryMetrics {
    pub wasm_bytes: f64,
    pub heap_bytes: Option<f64>,
}

/// Percentiles of a duration in milliseconds; all 0 while `count` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub struct Percentiles {
    pub count: u64,
    pub mean: f64,
    pub min: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Percentiles {
    /// The percentiles of a histogram of microseconds.
    pub fn of(histogram: &Histogram) -> Self {
        let millis = |micros: Option<u64>| micros.unwrap_or_default() as f64 / 1000.0;
        let at = |q| millis(histogram.quantile(q));
        Self {
            count: histogram.count(),
            mean: if histogram.count() == 0 {
                0.0
            } else {
                histogram.mean() / 1000.0
            },
            min: millis(histogram.min()),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            max: millis(histogram.max()),
        }
    }
}

/// Runs of one level that ended, by how.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) timed_out: u64,
    pub(super) skipped: u64,
    pub(super) cancelled: u64,
}

impl Outcomes {
    pub(super) fn count(&mut self, status: RunStatus) {
        match status {
            RunStatus::Ok => self.completed += 1,
            RunStatus::Error => self.failed += 1,
            RunStatus::Timeout => self.timed_out += 1,
            RunStatus::Skipped => self.skipped += 1,
            RunStatus::Cancelled => self.cancelled += 1,
        }
    }
}

/// How many of something ended a second, over the last 5 s: a bucket for each tenth of a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    buckets: VecDeque<(u64, u32)>,
}

const BUCKET_MICROS: u64 = 100_000;
const METER_MICROS: u64 = 5_000_000;

impl Meter {
    pub(super) fn count(&mut self, now: Instant) {
        let bucket = now.as_micros() / BUCKET_MICROS;
        match self.buckets.back_mut() {
            Some((last, n)) if *last >= bucket => *n += 1,
            _ => self.buckets.push_back((bucket, 1)),
        }
        self.forget(now);
    }

    /// Ended a second, by a clock that began to count at `since`.
    pub(super) fn per_second(&mut self, now: Instant, since: Instant) -> f64 {
        self.forget(now);
        let ended: u32 = self.buckets.iter().map(|(_, n)| n).sum();
        let span = now.micros_since(since).clamp(BUCKET_MICROS, METER_MICROS);
        f64::from(ended) * 1e6 / span as f64
    }

    fn forget(&mut self, now: Instant) {
        let oldest = (now.as_micros() / BUCKET_MICROS).saturating_sub(METER_MICROS / BUCKET_MICROS);
        while self.buckets.front().is_some_and(|(bucket, _)| *bucket < oldest) {
            self.buckets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn throughput_is_what_ended_in_the_last_five_seconds() {
        let mut meter = Meter::default();
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        for ms in (0..1000).step_by(100) {
            meter.count(at(ms));
        }
        assert!((meter.per_second(at(1000), at(0)) - 10.0).abs() < 0.01);
        assert!((meter.per_second(at(5000), at(0)) - 2.0).abs() < 0.01);
        assert!(meter.per_second(at(7000), at(0)).abs() < f64::EPSILON);
    }

    #[test]
    fn an_empty_histogram_has_percentiles_of_zero() {
        assert_eq!(Percentiles::of(&Histogram::new()), Percentiles::default());
    }
}

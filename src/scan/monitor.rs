//! What a scan counts of itself: runs by level, time left.

use core::time::Duration;

use super::event::RunStatus;
use super::levels::LevelNow;
use super::metrics::{LevelMetrics, Meter, Outcomes, Percentiles, Throughput};
use super::plugin::Level;
use crate::machine::histogram::Histogram;
use crate::machine::time::Instant;

/// The counts of one scan.
pub(super) struct Tally {
    pub(super) started: Instant,
    pub(super) done: usize,
    pub(super) total: usize,
    pub(super) targets_done: usize,
    resumed: usize,
    levels: [LevelTally; Level::ALL.len()],
    meter: Meter,
    paused_since: Option<Instant>,
    paused_for: Duration,
}

#[derive(Default)]
struct LevelTally {
    outcomes: Outcomes,
    wait: Histogram,
    run: Histogram,
}

impl Tally {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            done: 0,
            total: 0,
            targets_done: 0,
            resumed: 0,
            levels: Default::default(),
            meter: Meter::default(),
            paused_since: None,
            paused_for: Duration::ZERO,
        }
    }

    pub(super) fn with_work(self, total: usize, resumed: usize) -> Self {
        Self {
            total,
            resumed,
            done: resumed,
            ..self
        }
    }

    /// Counts a run that ended. Times in microseconds; `taken` is `None` where it never began.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        level: Level,
        status: RunStatus,
        waited: u64,
        taken: Option<u64>,
    ) {
        self.done += 1;
        self.meter.count(now);
        let level = &mut self.levels[level as usize];
        level.outcomes.count(status);
        if let Some(taken) = taken {
            level.wait.record(waited);
            level.run.record(taken);
        }
    }

    pub(super) fn pause(&mut self, now: Instant, paused: bool) {
        if paused {
            self.paused_since.get_or_insert(now);
        } else if let Some(since) = self.paused_since.take() {
            self.paused_for += now.since(since);
        }
    }

    /// Milliseconds to go at the pace so far, pauses left out; `None` until there is a pace.
    pub(super) fn eta(&self, now: Instant) -> Option<f64> {
        let here = self.done - self.resumed;
        let left = self.total - self.done;
        if left == 0 {
            return Some(0.0);
        }
        let paused = self.paused_for + self.paused_since.map_or(Duration::ZERO, |since| now.since(since));
        let worked = now.since(self.started).saturating_sub(paused);
        (here > 0).then(|| worked.as_secs_f64() * 1000.0 * left as f64 / here as f64)
    }

    pub(super) fn throughput(&mut self, now: Instant, requests: f64) -> Throughput {
        Throughput {
            runs: self.meter.per_second(now, self.started),
            requests,
        }
    }

    /// Every level, given how it stands.
    pub(super) fn levels(&self, now: impl Fn(Level) -> LevelNow) -> Vec<LevelMetrics> {
        let describe = |level: Level| {
            let LevelNow {
                limit,
                active,
                queued,
                waiting,
                rejected,
            } = now(level);
            let LevelTally { outcomes, wait, run } = &self.levels[level as usize];
            LevelMetrics {
                level,
                limit,
                active,
                queued,
                waiting,
                completed: outcomes.completed,
                failed: outcomes.failed,
                timed_out: outcomes.timed_out,
                skipped: outcomes.skipped,
                cancelled: outcomes.cancelled,
                rejected,
                utilisation: f64::from(active) / f64::from(limit.max(1)),
                wait: Percentiles::of(wait),
                run: Percentiles::of(run),
            }
        };
        Level::ALL.into_iter().map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_time_left_follows_the_pace_and_leaves_pauses_out() {
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let mut tally = Tally::new(at(0)).with_work(10, 2);
        assert_eq!(tally.eta(at(1)), None, "no pace yet");
        for _ in 0..4 {
            tally.ended(at(2), Level::Discovery, RunStatus::Ok, 0, Some(1));
        }
        assert_eq!(tally.eta(at(2)), Some(2000.0), "what was taken over is no pace");
        tally.pause(at(2), true);
        assert_eq!(tally.eta(at(9)), Some(2000.0));
        tally.pause(at(12), false);
        assert_eq!(tally.eta(at(14)), Some(4000.0));
    }
}

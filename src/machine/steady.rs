//! A clock that never runs backwards, made from one that may.
//!
//! Whoever counts what happened *within* a time (a rate, a breaker) needs a reading that only grows. A host's clock
//! stands still on deployed isolates and steps back when the system's time is set. A small step back is waited out,
//! so that no stretch of time is counted twice; a step beyond the patience of the machine is taken as the new truth,
//! so that nobody waits an hour because somebody corrected the clock by an hour.

use super::time::Instant;
use core::time::Duration;

/// Time that has passed, as far as a host's clock can be trusted.
#[derive(Clone, Debug)]
pub struct Steady {
    elapsed: u64,
    host: Option<Instant>,
    patience: u64,
}

/// One reading cannot be further than this (285 years) from the last: a broken clock that reads the end of time once
/// must not leave every later reading there.
const LONGEST_STEP: u64 = 1 << 53;

impl Steady {
    /// A clock at zero that waits out steps back of at most `patience`.
    pub fn new(patience: Duration) -> Self {
        Self {
            elapsed: 0,
            host: None,
            patience: super::time::micros(patience),
        }
    }

    /// Microseconds that have passed at the host's `now`; never less than at an earlier call.
    pub fn read(&mut self, now: Instant) -> u64 {
        let host = *self.host.get_or_insert(now);
        if now >= host {
            let step = now.micros_since(host).min(LONGEST_STEP);
            self.elapsed = self.elapsed.saturating_add(step);
            self.host = Some(now);
        } else if host.micros_since(now) > self.patience {
            self.host = Some(now);
        }
        self.elapsed
    }

    /// What has passed at the last reading.
    pub const fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// When the host's clock will read what is `elapsed` here.
    pub fn host_time(&self, elapsed: u64) -> Instant {
        let host = self.host.unwrap_or(Instant::ZERO);
        host.plus_micros(elapsed.saturating_sub(self.elapsed))
    }

    /// What had passed, or will have, when the host's clock reads `at`.
    pub fn at(&self, at: Instant) -> u64 {
        let host = self.host.unwrap_or(at);
        let later = at.micros_since(host).min(LONGEST_STEP);
        self.elapsed
            .saturating_add(later)
            .saturating_sub(host.micros_since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn a_small_step_back_is_waited_out() {
        let mut clock = Steady::new(Duration::from_millis(10));
        clock.read(at(100));
        assert_eq!(clock.read(at(105)), 5000);
        assert_eq!(clock.read(at(101)), 5000);
        assert_eq!(clock.read(at(105)), 5000);
        assert_eq!(clock.read(at(106)), 6000);
        assert_eq!(clock.read(at(96)), 6000);
        assert_eq!(clock.read(at(97)), 6000, "ten are still small");
    }

    #[test]
    fn a_large_step_back_is_the_new_truth() {
        let mut clock = Steady::new(Duration::from_millis(10));
        clock.read(at(100_000));
        assert_eq!(clock.read(at(5)), 0);
        assert_eq!(clock.read(at(6)), 1000);
        assert_eq!(clock.host_time(3000), at(8));
        assert_eq!(clock.at(at(8)), 3000);
    }

    #[test]
    fn one_reading_of_the_end_of_time_does_not_stop_the_clock() {
        let mut clock = Steady::new(Duration::from_secs(1));
        clock.read(at(1));
        let broken = clock.read(Instant::FAR_FUTURE);
        clock.read(at(2));
        assert_eq!(clock.read(at(3)), broken + 1000);
    }

    proptest! {
        #[test]
        fn never_runs_backwards_and_never_faster_than_the_readings_rise(
            readings in prop::collection::vec(0u64..1000, 1..100),
        ) {
            let mut clock = Steady::new(Duration::from_millis(50));
            let (mut last, mut last_reading) = (0, readings[0]);
            for reading in readings {
                let elapsed = clock.read(at(reading));
                prop_assert!(elapsed >= last);
                prop_assert!(elapsed - last <= reading.saturating_sub(last_reading) * 1000);
                (last, last_reading) = (elapsed, reading);
            }
        }
    }
}

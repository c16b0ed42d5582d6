//! A retry budget: what many callers may spend on retries together.
//!
//! When a service fails for everybody, three attempts each are three times its load. A budget keeps retries to a share
//! of calls ("Site Reliability Engineering", ch. 21; Finagle's `RetryBudget`): each call deposits a part of a token,
//! each retry withdraws a whole one, both are forgotten after ten seconds, and a small reserve lets those who call
//! rarely retry at all.

use crate::machine::config::ConfigError;
use crate::machine::steady::Steady;
use crate::machine::time::Instant;
use core::time::Duration;

/// In any ten seconds: at most `ratio` retries for each call, and `min_per_second` more.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    clock: Steady,
    deposit: i64,
    reserve: i64,
    balance: i64,
    // What each of the last ten seconds brought or took.
    seconds: [i64; SECONDS],
    newest: u64,
}

const SECONDS: usize = 10;
const SECOND: u64 = 1_000_000;
// Tokens are counted in millionths, so that a tenth is exact.
const TOKEN: i64 = 1_000_000;

impl Default for RetryBudget {
    /// 10 % of calls and 10 a second: the share is what keeps an outage from becoming a worse one, the reserve lets
    /// whoever makes a few calls a minute retry all of them.
    fn default() -> Self {
        Self::with(TOKEN / 10, 10)
    }
}

impl RetryBudget {
    /// Reads the options.
    ///
    /// # Errors
    /// One sentence if `ratio` is not from 0 to 1,000.
    pub fn new(ratio: f64, min_per_second: u32) -> Result<Self, ConfigError> {
        if !(0.0..=1000.0).contains(&ratio) {
            let expected = "a number from 0 to 1000";
            return Err(ConfigError::number("budget.ratio", expected, ratio));
        }
        Ok(Self::with((ratio * TOKEN as f64).round() as i64, min_per_second))
    }

    fn with(deposit: i64, min_per_second: u32) -> Self {
        Self {
            clock: Steady::new(Duration::from_secs(SECONDS as u64)),
            deposit,
            reserve: i64::from(min_per_second) * SECONDS as i64 * TOKEN,
            balance: 0,
            seconds: [0; SECONDS],
            newest: 0,
        }
    }

    /// Counts a call (its first attempt, not its retries).
    pub fn deposit(&mut self, now: Instant) {
        self.add(now, self.deposit);
    }

    /// Takes a retry out of the budget, or says that there is none.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        let there = self.available(now) > 0;
        if there {
            self.add(now, -TOKEN);
        }
        there
    }

    /// How many retries there could be at once.
    pub fn available(&mut self, now: Instant) -> u32 {
        self.forget(now);
        let tokens = self.balance.saturating_add(self.reserve) / TOKEN;
        tokens.clamp(0, i64::from(u32::MAX)) as u32
    }

    fn add(&mut self, now: Instant, amount: i64) {
        self.forget(now);
        let second = &mut self.seconds[(self.newest % SECONDS as u64) as usize];
        *second = second.saturating_add(amount);
        self.balance = self.balance.saturating_add(amount);
    }

    fn forget(&mut self, now: Instant) {
        let current = self.clock.read(now) / SECOND;
        let passed = current.saturating_sub(self.newest).min(SECONDS as u64);
        self.newest = current.max(self.newest);
        for back in 0..passed {
            let second = &mut self.seconds[((self.newest - back) % SECONDS as u64) as usize];
            self.balance = self.balance.saturating_sub(core::mem::take(second));
        }
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
    fn ten_percent_of_calls_may_be_retried() {
        let mut budget = RetryBudget::new(0.1, 0).unwrap();
        assert!(!budget.withdraw(at(0)));
        (0..1000).for_each(|_| budget.deposit(at(5)));
        let retries = (0..1000).filter(|_| budget.withdraw(at(6))).count();
        assert_eq!(retries, 100);
    }

    #[test]
    fn the_default_is_ten_percent_and_ten_a_second() {
        let mut budget = RetryBudget::default();
        assert_eq!(budget.available(at(0)), 100);
        (0..1000).for_each(|_| budget.deposit(at(0)));
        assert_eq!(budget.available(at(0)), 200);
    }

    #[test]
    fn those_who_call_rarely_may_retry_from_the_reserve() {
        let mut budget = RetryBudget::default();
        for minute in 0..100 {
            budget.deposit(at(minute * 60_000));
            assert!(budget.withdraw(at(minute * 60_000)));
            assert!(budget.withdraw(at(minute * 60_000)));
        }
    }

    #[test]
    fn what_was_saved_is_forgotten_after_ten_seconds() {
        let mut budget = RetryBudget::new(1.0, 0).unwrap();
        budget.deposit(at(0));
        assert_eq!(budget.available(at(9_999)), 1);
        assert_eq!(budget.available(at(10_000)), 0);
    }

    #[test]
    fn a_share_that_makes_no_sense_is_refused_in_a_sentence() {
        for ratio in [-0.1, f64::NAN, 1001.0] {
            let sentence = RetryBudget::new(ratio, 1).unwrap_err().to_string();
            let expected = format!("Expected `budget.ratio` to be a number from 0 to 1000, got `{ratio}`");
            assert_eq!(sentence, expected);
        }
    }

    proptest! {
        #[test]
        fn in_any_ten_seconds_retries_stay_within_share_and_reserve(
            percent in 0u32..200, min in 0u32..4,
            ops in prop::collection::vec((any::<bool>(), 0u64..700), 1..300),
        ) {
            let mut budget = RetryBudget::new(f64::from(percent) / 100.0, min).unwrap();
            budget.available(at(0));
            let mut now = 0;
            let (mut calls, mut retries) = (Vec::new(), Vec::new());
            for (call, step) in ops {
                now += step;
                if call {
                    budget.deposit(at(now));
                    calls.push(now);
                } else if budget.withdraw(at(now)) {
                    retries.push(now);
                    let since = (now / 1000).saturating_sub(9) * 1000;
                    let of = |times: &[u64]| times.iter().filter(|time| **time >= since).count() as u64;
                    prop_assert!(of(&retries) * 100 <= u64::from(percent) * of(&calls) + u64::from(min) * 1000);
                }
            }
        }
    }
}

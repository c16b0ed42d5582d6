//! Rates: how much may begin within a time. Several rules hold together, all or nothing.

use super::config::ConfigError;
use super::sliding_window::{SlidingWindow, SlidingWindowConfig};
use super::steady::Steady;
use super::time::{Instant, micros};
use super::token_bucket::{TokenBucket, TokenBucketConfig};
use core::time::Duration;

/// One rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateConfig {
    /// `limit` tokens every `per`, at most `burst` saved up: smooth, with short bursts.
    TokenBucket(TokenBucketConfig),
    /// At most `limit` in any window of `per`: what most services mean by "100 requests a minute".
    SlidingWindow(SlidingWindowConfig),
}

impl RateConfig {
    /// A token bucket; `burst` is `limit` unless given.
    ///
    /// # Errors
    /// See [`TokenBucketConfig::new`].
    pub fn token_bucket(limit: u32, per: Duration, burst: Option<u32>) -> Result<Self, ConfigError> {
        TokenBucketConfig::new(limit, per, burst).map(Self::TokenBucket)
    }

    /// A sliding window.
    ///
    /// # Errors
    /// See [`SlidingWindowConfig::new`].
    pub fn sliding_window(limit: u32, per: Duration) -> Result<Self, ConfigError> {
        SlidingWindowConfig::new(limit, per).map(Self::SlidingWindow)
    }

    /// The most that can ever be taken at once.
    pub const fn largest(&self) -> u32 {
        match self {
            Self::TokenBucket(config) => config.burst(),
            Self::SlidingWindow(config) => config.limit(),
        }
    }

    /// How long after everything was taken everything is there again.
    pub const fn recovery(&self) -> Duration {
        match self {
            Self::TokenBucket(config) => config.refill(),
            Self::SlidingWindow(config) => config.per(),
        }
    }
}

/// What the rules say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may begin.
    Pass,
    /// It may not before this; then it may, if nobody else took it first.
    NotBefore(Instant),
    /// It costs more than there can ever be.
    Never {
        /// The most there can be.
        limit: u32,
    },
}

/// Rules that hold together.
///
/// A clock that stands still refills nothing, one that steps back grants nothing twice. A step back of more than the
/// rules' longest recovery is taken as the new time, so it delays nobody by more than that.
///
/// ```
/// use std::time::Duration;
/// use tidegate::machine::rate::{Rate, RateConfig, Verdict};
/// use tidegate::machine::time::Instant;
///
/// let second = Duration::from_secs(1);
/// let mut rate = Rate::new([RateConfig::token_bucket(2, second, None)?]);
/// let now = Instant::from_millis_f64(5000.0);
/// assert_eq!(rate.try_take(now, 2), Verdict::Pass);
/// assert_eq!(rate.try_take(now, 1), Verdict::NotBefore(now + second / 2));
/// assert_eq!(rate.try_take(now, 3), Verdict::Never { limit: 2 });
/// # Ok::<(), tidegate::machine::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rate {
    clock: Steady,
    cool_until: u64,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    TokenBucket(TokenBucket),
    SlidingWindow(SlidingWindow),
}

impl Rate {
    /// All that the rules allow is there at first. Without a rule everything passes, unless the gate is cooling down.
    pub fn new(rules: impl IntoIterator<Item = RateConfig>) -> Self {
        let mut patience = Duration::ZERO;
        let rules = rules
            .into_iter()
            .map(|config| {
                patience = patience.max(config.recovery());
                match config {
                    RateConfig::TokenBucket(config) => Rule::TokenBucket(TokenBucket::new(config)),
                    RateConfig::SlidingWindow(config) => Rule::SlidingWindow(SlidingWindow::new(config)),
                }
            })
            .collect();
        Self {
            clock: Steady::new(patience),
            cool_until: 0,
            rules,
        }
    }

    /// What [`try_take`](Self::try_take) would say; takes nothing.
    pub fn check(&mut self, now: Instant, cost: u32) -> Verdict {
        let now = self.clock.read(now);
        self.check_at(now, cost)
    }

    /// Takes `cost` from every rule, or nothing from any.
    pub fn try_take(&mut self, now: Instant, cost: u32) -> Verdict {
        let now = self.clock.read(now);
        let verdict = self.check_at(now, cost);
        if verdict == Verdict::Pass && cost > 0 {
            for rule in &mut self.rules {
                match rule {
                    Rule::TokenBucket(bucket) => bucket.take(now, cost),
                    Rule::SlidingWindow(window) => window.take(now, cost),
                }
            }
        }
        verdict
    }

    /// When `cost` may be taken if nobody takes any before: `now` if it may at once, `None` if it never may.
    pub fn ready_at(&mut self, now: Instant, cost: u32) -> Option<Instant> {
        match self.check(now, cost) {
            Verdict::Pass => Some(now),
            Verdict::NotBefore(then) => Some(then),
            Verdict::Never { .. } => None,
        }
    }

    /// When `cost` may be taken once `ahead`, the costs of those who wait before, was taken as soon as it could be.
    /// An estimate that is never late by itself: costs that do not fit into what is left of a window come later.
    pub fn ready_after(&mut self, now: Instant, ahead: u64, cost: u32) -> Verdict {
        let limit = self.largest();
        if cost > limit {
            return Verdict::Never { limit };
        }
        let now = self.clock.read(now);
        let begins = self.cool_until.max(now);
        let ready = self.rules.iter_mut().map(|rule| match rule {
            Rule::TokenBucket(bucket) => bucket.ready_after(now, ahead, cost),
            Rule::SlidingWindow(window) => window.ready_after(now, ahead, cost),
        });
        let ready = ready.fold(begins, u64::max);
        if ready <= now {
            Verdict::Pass
        } else {
            Verdict::NotBefore(self.clock.host_time(ready))
        }
    }

    /// Gives back what was taken at `taken_at` (the `now` of that call) for something that never began. It leaves
    /// every rule as it would be had the take never been.
    pub fn refund(&mut self, now: Instant, taken_at: Instant, cost: u32) {
        let now = self.clock.read(now);
        let taken_at = self.clock.at(taken_at).min(now);
        for rule in &mut self.rules {
            match rule {
                Rule::TokenBucket(bucket) => bucket.refund(taken_at, cost),
                Rule::SlidingWindow(window) => window.refund(now, taken_at, cost),
            }
        }
    }

    /// Lets nothing pass before `until`, as a server's `Retry-After` asks. Of several the latest counts.
    pub fn cool_down(&mut self, now: Instant, until: Instant) {
        let now = self.clock.read(now);
        self.cool_until = self.cool_until.max(self.clock.at(until).max(now));
    }

    /// Counts everything as taken just now: what to assume when the memory of what was taken is lost.
    pub fn start_empty(&mut self, now: Instant) {
        let now = self.clock.read(now);
        for rule in &mut self.rules {
            match rule {
                Rule::TokenBucket(bucket) => bucket.empty(now),
                Rule::SlidingWindow(window) => window.empty(now),
            }
        }
    }

    /// The most that may be taken at once now; `u32::MAX` without a rule.
    pub fn available(&mut self, now: Instant) -> u32 {
        let now = self.clock.read(now);
        if now < self.cool_until {
            return 0;
        }
        let rules = self.rules.iter_mut().map(|rule| match rule {
            Rule::TokenBucket(bucket) => bucket.available(now),
            Rule::SlidingWindow(window) => window.available(now),
        });
        rules.min().unwrap_or(u32::MAX)
    }

    /// The most that can ever be taken at once; `u32::MAX` without a rule.
    pub fn largest(&self) -> u32 {
        let largest = self.rules.iter().map(|rule| match rule {
            Rule::TokenBucket(bucket) => bucket.config().burst(),
            Rule::SlidingWindow(window) => window.config().limit(),
        });
        largest.min().unwrap_or(u32::MAX)
    }

    /// Whether there is no rule.
    pub fn is_unlimited(&self) -> bool {
        self.rules.is_empty()
    }

    fn check_at(&mut self, now: u64, cost: u32) -> Verdict {
        let limit = self.largest();
        if cost > limit {
            return Verdict::Never { limit };
        }
        let mut ready = self.cool_until;
        if cost > 0 {
            for rule in &mut self.rules {
                ready = ready.max(match rule {
                    Rule::TokenBucket(bucket) => bucket.ready_at(cost),
                    Rule::SlidingWindow(window) => window.ready_at(now, cost),
                });
            }
        }
        if ready <= now {
            Verdict::Pass
        } else {
            Verdict::NotBefore(self.clock.host_time(ready))
        }
    }
}

/// The longest time a rule may span, a thousand years and some, so that no sum of two overflows.
pub(super) const LONGEST: u64 = 1 << 55;

/// A period that a rule can span.
pub(super) fn period(per: Duration) -> Result<Duration, ConfigError> {
    if (1..=LONGEST).contains(&micros(per)) {
        Ok(per)
    } else {
        let expected = "at least a microsecond and at most a thousand years";
        Err(ConfigError::duration("per", expected, per))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn bucket(limit: u32, burst: u32) -> RateConfig {
        RateConfig::token_bucket(limit, SECOND, Some(burst)).unwrap()
    }

    fn window(limit: u32) -> RateConfig {
        RateConfig::sliding_window(limit, SECOND).unwrap()
    }

    #[test]
    fn the_most_at_once_is_the_burst_of_a_bucket_and_the_limit_of_a_window() {
        assert_eq!(bucket(5, 9).largest(), 9);
        assert_eq!(window(4).largest(), 4);
    }

    fn either() -> [RateConfig; 2] {
        [bucket(10, 10), window(10)]
    }

    #[test]
    fn whoever_takes_nothing_leaves_no_trace() {
        let mut rate = Rate::new(either());
        assert_eq!(rate.try_take(at(500), 1), Verdict::Pass);
        assert_eq!(rate.check(at(600), 1), Verdict::Pass);
        let before = format!("{rate:?}");
        assert_eq!(rate.try_take(at(600), 0), Verdict::Pass);
        assert_eq!(format!("{rate:?}"), before);
    }

    #[test]
    fn denied_before_t_allowed_at_t() {
        for rule in either() {
            let mut rate = Rate::new([rule]);
            assert_eq!(rate.try_take(at(500), 10), Verdict::Pass);
            let Verdict::NotBefore(t) = rate.try_take(at(501), 1) else {
                panic!("{rule:?}");
            };
            let before = Instant::from_micros(t.as_micros() - 1);
            assert_eq!(rate.try_take(before, 1), Verdict::NotBefore(t));
            assert_eq!(rate.try_take(t, 1), Verdict::Pass);
        }
    }

    #[test]
    fn what_costs_more_than_there_can_be_never_passes() {
        let mut rate = Rate::new([bucket(10, 4), window(7)]);
        assert_eq!(rate.check(at(0), 5), Verdict::Never { limit: 4 });
        assert_eq!(rate.ready_at(at(0), 5), None);
        assert_eq!(rate.ready_at(at(0), 4), Some(at(0)));
        assert_eq!(rate.available(at(0)), 4);
    }

    #[test]
    fn several_rules_take_all_or_nothing() {
        let mut rate = Rate::new([bucket(100, 100), window(3)]);
        assert_eq!(rate.try_take(at(0), 3), Verdict::Pass);
        assert_eq!(rate.try_take(at(1), 1), Verdict::NotBefore(at(1000)));
        let Rule::TokenBucket(bucket) = &rate.rules[0] else {
            panic!()
        };
        assert_eq!(
            bucket.available(1000),
            97,
            "the refused one took nothing from the bucket"
        );
    }

    #[test]
    fn without_a_rule_everything_passes_but_a_cool_down_holds() {
        let mut rate = Rate::new([]);
        assert_eq!(rate.try_take(at(0), u32::MAX), Verdict::Pass);
        rate.cool_down(at(0), at(50));
        assert_eq!(rate.try_take(at(49), 0), Verdict::NotBefore(at(50)));
        assert_eq!(rate.try_take(at(50), 1), Verdict::Pass);
    }

    #[test]
    fn those_who_wait_before_are_reckoned_with() {
        let mut bucket = Rate::new([bucket(10, 10)]);
        assert_eq!(bucket.ready_after(at(0), 9, 1), Verdict::Pass);
        assert_eq!(bucket.ready_after(at(0), 10, 1), Verdict::NotBefore(at(100)));
        assert_eq!(bucket.ready_after(at(500), 34, 1), Verdict::NotBefore(at(3000)));
        let mut window = Rate::new([window(10)]);
        window.try_take(at(200), 4);
        assert_eq!(window.ready_after(at(300), 5, 1), Verdict::Pass);
        assert_eq!(window.ready_after(at(300), 6, 1), Verdict::NotBefore(at(1200)));
        assert_eq!(window.ready_after(at(300), 10, 1), Verdict::NotBefore(at(1300)));
        assert_eq!(window.ready_after(at(300), 20, 1), Verdict::NotBefore(at(2300)));
        assert_eq!(window.ready_after(at(300), 0, 11), Verdict::Never { limit: 10 });
        window.cool_down(at(300), at(900));
        assert_eq!(window.ready_after(at(300), 0, 0), Verdict::NotBefore(at(900)));
    }

    #[test]
    fn a_cool_down_pauses_the_whole_gate_and_the_latest_counts() {
        let mut rate = Rate::new(either());
        rate.cool_down(at(0), at(300));
        rate.cool_down(at(10), at(200));
        assert_eq!(rate.available(at(10)), 0);
        assert_eq!(rate.try_take(at(299), 1), Verdict::NotBefore(at(300)));
        assert_eq!(rate.try_take(at(300), 1), Verdict::Pass);
    }

    #[test]
    fn a_refund_makes_the_take_undone() {
        for rule in either() {
            let mut rate = Rate::new([rule]);
            assert_eq!(rate.try_take(at(0), 4), Verdict::Pass);
            assert_eq!(rate.try_take(at(5), 6), Verdict::Pass);
            rate.refund(at(7), at(5), 6);
            assert_eq!(rate.available(at(7)), 6);
        }
    }

    #[test]
    fn a_gate_that_starts_empty_recovers_as_if_all_had_been_taken_then() {
        for rule in either() {
            let mut rate = Rate::new([rule]);
            rate.start_empty(at(9000));
            assert_eq!(rate.available(at(9000)), 0);
            assert_eq!(rate.ready_at(at(9000), 10), Some(at(10_000)));
        }
    }

    #[test]
    fn a_frozen_clock_refills_nothing() {
        for rule in either() {
            let mut rate = Rate::new([rule]);
            let passed = (0..100)
                .filter(|_| rate.try_take(at(77), 1) == Verdict::Pass)
                .count();
            assert_eq!(passed, 10);
        }
    }

    #[test]
    fn a_clock_that_swings_back_and_forth_grants_nothing_twice() {
        for rule in either() {
            let mut rate = Rate::new([rule]);
            let swing = (0..1000).map(|n| at(5000 + n % 2 * 900));
            let passed = swing
                .filter(|now| rate.try_take(*now, 1) == Verdict::Pass)
                .count();
            assert!(passed <= 19, "{passed} of {rule:?}");
        }
    }

    #[test]
    fn a_clock_set_back_by_an_hour_starves_nobody() {
        for rule in either() {
            let mut rate = Rate::new([rule]);
            assert_eq!(rate.try_take(at(3_600_000), 10), Verdict::Pass);
            assert!(matches!(rate.try_take(at(5), 1), Verdict::NotBefore(_)));
            assert_eq!(rate.try_take(at(1005), 10), Verdict::Pass);
        }
    }

    #[test]
    fn one_reading_of_the_end_of_time_does_not_stop_the_gate() {
        let mut rate = Rate::new(either());
        assert_eq!(rate.try_take(at(1), 10), Verdict::Pass);
        rate.check(Instant::FAR_FUTURE, 1);
        assert_eq!(rate.try_take(at(2), 10), Verdict::Pass);
        assert_eq!(rate.try_take(at(1002), 10), Verdict::Pass);
    }

    proptest! {
        #[test]
        fn who_comes_after_the_others_passes_when_it_was_told(
            taken in 0u32..10, ahead in 0u64..50, now in 0u64..2000,
        ) {
            for rule in either() {
                let mut rate = Rate::new([rule]);
                rate.try_take(at(0), taken);
                let told = match rate.ready_after(at(now), ahead, 1) {
                    Verdict::NotBefore(then) => then,
                    _ => at(now),
                };
                let mut then = at(now);
                for _ in 0..=ahead {
                    then = rate.ready_at(then, 1).unwrap();
                    rate.try_take(then, 1);
                }
                prop_assert_eq!(told, then);
            }
        }

        #[test]
        fn whatever_the_operations_no_more_begins_than_the_rules_allow(
            ops in prop::collection::vec((0u8..10, 0u64..400, 1u32..6), 1..150),
        ) {
            let (limit, burst, per_window) = (10, 5, 12);
            let mut rate = Rate::new([bucket(limit, burst), window(per_window)]);
            let (mut now, mut begun, mut cool) = (0, Vec::<(u64, u32)>::new(), 0);
            for (op, step, cost) in ops {
                now += step;
                match op {
                    0 => { rate.cool_down(at(now), at(now + step)); cool = cool.max(now + step); }
                    1 | 2 => {
                        // Taken now, refunded later for it never began: must not be seen in what others may begin.
                        if rate.try_take(at(now), cost) == Verdict::Pass {
                            let taken_at = now;
                            now += step / 2;
                            if rate.try_take(at(now), 1) == Verdict::Pass { begun.push((now, 1)); }
                            rate.refund(at(now), at(taken_at), cost);
                        }
                    }
                    _ => {
                        let ready = rate.ready_at(at(now), cost).unwrap();
                        let passed = rate.try_take(at(now), cost) == Verdict::Pass;
                        prop_assert_eq!(passed, ready == at(now));
                        prop_assert!(!passed || now >= cool);
                        if passed { begun.push((now, cost)); }
                    }
                }
            }
            for (i, (start, _)) in begun.iter().enumerate() {
                let mut sum = 0;
                for (at, cost) in &begun[i..] {
                    sum += cost;
                    let millis = at - start;
                    prop_assert!(u64::from(sum) * 1000 <= u64::from(burst) * 1000 + millis * u64::from(limit));
                    prop_assert!(millis >= 1000 || sum <= per_window);
                }
            }
        }
    }
}

//! A token bucket in whole numbers.
//!
//! The generic cell rate algorithm (ITU-T I.371, Annex A) keeps one number, the moment at which the bucket will be
//! full again, and needs no ticks to refill. Here that moment is exact: microseconds, and a remainder in parts of
//! `limit`, so that 3 tokens a second are 3 and not 3.000003, however long it runs.

use super::config::ConfigError;
use super::time::micros;
use core::time::Duration;
use std::collections::VecDeque;

/// `limit` tokens every `per`, at most `burst` of them saved up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenBucketConfig {
    limit: u32,
    per: Duration,
    burst: u32,
    token: Span,
    refill: Span,
}

impl TokenBucketConfig {
    /// Reads the options; `burst` is `limit` unless given, so that an idle caller may use one period's worth at once.
    ///
    /// # Errors
    /// One sentence if `limit` or `burst` is 0, `per` is nothing, or an empty bucket would not be full again within
    /// a thousand years.
    pub fn new(limit: u32, per: Duration, burst: Option<u32>) -> Result<Self, ConfigError> {
        if limit == 0 {
            return Err(ConfigError::integer("limit", "an integer ≥ 1", 0));
        }
        let per = super::rate::period(per)?;
        let burst = burst.unwrap_or(limit);
        if burst == 0 {
            return Err(ConfigError::integer("burst", "an integer ≥ 1", 0));
        }
        let token = Span {
            micros: micros(per) / u64::from(limit),
            parts: (micros(per) % u64::from(limit)) as u32,
        };
        let refill = token.times(burst, limit);
        if refill.micros > super::rate::LONGEST {
            let expected = "small enough to be saved up within a thousand years";
            return Err(ConfigError::integer("burst", expected, u64::from(burst)));
        }
        Ok(Self {
            limit,
            per,
            burst,
            token,
            refill,
        })
    }

    /// Tokens that come every [`per`](Self::per).
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// How long `limit` tokens take to come.
    pub const fn per(&self) -> Duration {
        self.per
    }

    /// The most tokens there can be.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// How long an empty bucket takes to fill.
    pub const fn refill(&self) -> Duration {
        Duration::from_micros(self.refill.micros)
    }
}

/// The bucket. Times are microseconds of a clock that never runs backwards (see [`Steady`](super::steady::Steady)).
#[derive(Clone, Debug)]
pub struct TokenBucket {
    config: TokenBucketConfig,
    full_at: Span,
    // For takes in order of time: how far the bucket was from full just before. Only those that are less far than
    // every later take are kept, since a refund asks for the least distance since its own take.
    distances: VecDeque<Distance>,
}

#[derive(Clone, Copy, Debug)]
struct Distance {
    at: u64,
    from_full: u64,
}

/// Takes that are remembered one by one for refunds; older ones are remembered together, to the bucket's advantage.
const REMEMBERED: usize = 8;

impl TokenBucket {
    /// A full bucket.
    pub const fn new(config: TokenBucketConfig) -> Self {
        Self {
            config,
            full_at: Span::ZERO,
            distances: VecDeque::new(),
        }
    }

    /// What the bucket was made from.
    pub const fn config(&self) -> &TokenBucketConfig {
        &self.config
    }

    /// When `cost` tokens are there if nobody takes any before; not after `now` if they are there already.
    /// The caller has seen to it that `cost` is at most the burst.
    pub fn ready_at(&self, cost: u32) -> u64 {
        let limit = self.config.limit;
        let full_again = self.full_at.plus(self.config.token.times(cost, limit), limit);
        let ready = full_again.minus(self.config.refill, limit);
        ready.micros.saturating_add(u64::from(ready.parts > 0))
    }

    /// When `cost` tokens are there once `ahead` others were taken, each as soon as it was there.
    pub fn ready_after(&self, now: u64, ahead: u64, cost: u32) -> u64 {
        let limit = self.config.limit;
        let total = ahead.saturating_add(u64::from(cost)).min(u64::from(u32::MAX)) as u32;
        let now = Span {
            micros: now,
            parts: 0,
        };
        let full_again = self
            .full_at
            .max(now)
            .plus(self.config.token.times(total, limit), limit);
        let ready = full_again.minus(self.config.refill, limit);
        ready.micros.saturating_add(u64::from(ready.parts > 0))
    }

    /// Takes `cost` tokens that are there.
    pub fn take(&mut self, now: u64, cost: u32) {
        let from_full = self.full_at.micros.saturating_sub(now);
        while self
            .distances
            .back()
            .is_some_and(|last| last.from_full >= from_full)
        {
            self.distances.pop_back();
        }
        if self.distances.len() == REMEMBERED
            && let Some(oldest) = self.distances.pop_front()
            && let Some(second) = self.distances.front_mut()
        {
            second.from_full = oldest.from_full;
        }
        self.distances.push_back(Distance { at: now, from_full });

        let now = Span {
            micros: now,
            parts: 0,
        };
        let limit = self.config.limit;
        self.full_at = self
            .full_at
            .max(now)
            .plus(self.config.token.times(cost, limit), limit);
    }

    /// Gives back what was taken at `taken_at` and not used. It leaves the bucket as it would be had the take never
    /// been: what a full bucket could not have saved up anyway is not given back.
    pub fn refund(&mut self, taken_at: u64, cost: u32) {
        let limit = self.config.limit;
        let mut worth = self.config.token.times(cost, limit);
        let later = self.distances.partition_point(|distance| distance.at <= taken_at);
        if let Some(least) = self.distances.get(later) {
            worth = worth.min(Span {
                micros: least.from_full,
                parts: 0,
            });
        }
        for distance in self.distances.range_mut(later..) {
            distance.from_full = distance.from_full.saturating_sub(worth.micros);
        }
        self.full_at = self.full_at.minus(worth, limit);
    }

    /// Takes all there is or could be at `now`.
    pub fn empty(&mut self, now: u64) {
        let now = Span {
            micros: now,
            parts: 0,
        };
        let empty = now.plus(self.config.refill, self.config.limit);
        self.full_at = self.full_at.max(empty);
    }

    /// Whole tokens that are there.
    pub fn available(&self, now: u64) -> u32 {
        let limit = self.config.limit;
        let missing = self.full_at.minus(
            Span {
                micros: now,
                parts: 0,
            },
            limit,
        );
        let there = self.config.refill.minus(missing, limit);
        // Exact as long as burst × per stays below 2^53 µs; a gauge can live with less.
        let parts = there.micros as f64 * f64::from(limit) + f64::from(there.parts);
        ((parts / micros(self.config.per) as f64) as u32).min(self.config.burst)
    }
}

/// A stretch of time: microseconds, and `parts` of `limit` of one more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Span {
    micros: u64,
    parts: u32,
}

impl Span {
    const ZERO: Self = Self { micros: 0, parts: 0 };

    const fn times(self, count: u32, limit: u32) -> Self {
        if count == 1 {
            return self;
        }
        let parts = self.parts as u64 * count as u64;
        let micros = self.micros.saturating_mul(count as u64);
        Self {
            micros: micros.saturating_add(parts / limit as u64),
            parts: (parts % limit as u64) as u32,
        }
    }

    const fn plus(self, other: Self, limit: u32) -> Self {
        let parts = self.parts as u64 + other.parts as u64;
        let (carry, parts) = match parts.checked_sub(limit as u64) {
            Some(rest) => (1, rest),
            None => (0, parts),
        };
        Self {
            micros: self.micros.saturating_add(other.micros).saturating_add(carry),
            parts: parts as u32,
        }
    }

    fn minus(self, other: Self, limit: u32) -> Self {
        if self <= other {
            return Self::ZERO;
        }
        let borrow = self.parts < other.parts;
        let parts = u64::from(self.parts) + if borrow { u64::from(limit) } else { 0 };
        Self {
            micros: self.micros - other.micros - u64::from(borrow),
            parts: (parts - u64::from(other.parts)) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn bucket(limit: u32, per_micros: u64, burst: u32) -> TokenBucket {
        let per = Duration::from_micros(per_micros);
        TokenBucket::new(TokenBucketConfig::new(limit, per, Some(burst)).unwrap())
    }

    fn try_take(bucket: &mut TokenBucket, now: u64, cost: u32) -> bool {
        let ready = bucket.ready_at(cost) <= now;
        if ready {
            bucket.take(now, cost);
        }
        ready
    }

    #[test]
    fn three_a_second_are_three_however_long_it_runs() {
        let mut bucket = bucket(3, 1_000_000, 2);
        bucket.take(0, 2);
        for n in 1..300_000 {
            let now = bucket.ready_at(1);
            assert_eq!(now, (n * 1_000_000u64).div_ceil(3));
            assert!(!try_take(&mut bucket, now - 1, 1));
            assert!(try_take(&mut bucket, now, 1));
        }
    }

    #[test]
    fn more_tokens_than_microseconds_are_counted_exactly() {
        let mut bucket = bucket(7_000_000, 1_000_000, 7);
        for now in 0..100 {
            for _ in 0..7 {
                assert!(try_take(&mut bucket, now, 1));
            }
            assert!(!try_take(&mut bucket, now, 1));
        }
    }

    #[test]
    fn a_refund_does_not_give_back_what_a_full_bucket_could_not_have_saved() {
        let mut bucket = bucket(1, 1000, 10);
        assert!(try_take(&mut bucket, 0, 1));
        // Full again at 1000: another caller's 10 at 2000 leave nothing that the first one's token could add to.
        assert!(try_take(&mut bucket, 2000, 10));
        bucket.refund(0, 1);
        assert_eq!(bucket.available(2000), 0);
        bucket.refund(2000, 10);
        assert_eq!(bucket.available(2000), 10);
    }

    #[test]
    fn options_that_cannot_work_are_refused_in_a_sentence() {
        let sentence = |limit, per, burst| TokenBucketConfig::new(limit, per, burst).unwrap_err().to_string();
        let second = Duration::from_secs(1);
        assert_eq!(
            sentence(0, second, None),
            "Expected `limit` to be an integer ≥ 1, got `0`"
        );
        assert_eq!(
            sentence(1, second, Some(0)),
            "Expected `burst` to be an integer ≥ 1, got `0`"
        );
        assert!(sentence(1, Duration::ZERO, None).starts_with("Expected `per` to be"));
        assert!(sentence(1, Duration::MAX, None).starts_with("Expected `per` to be"));
        assert!(sentence(1, second * 86_400 * 365, Some(u32::MAX)).starts_with("Expected `burst` to be"));
    }

    /// The textbook's bucket, in 128-bit tokens × microseconds.
    fn level_of_a_model(limit: u32, per: u64, burst: u32, takes: &[(u64, u32)], now: u64) -> u128 {
        let full = u128::from(burst) * u128::from(per);
        let (mut level, mut last) = (full, 0);
        for (at, cost) in takes.iter().copied().chain([(now, 0)]) {
            level = full.min(level + u128::from(at - last) * u128::from(limit));
            level -= u128::from(cost) * u128::from(per);
            last = at;
        }
        level
    }

    proptest! {
        #[test]
        fn denied_before_t_allowed_at_t(
            limit in 1u32..50, per in 1u64..5000, burst in 1u32..20,
            ops in prop::collection::vec((0u64..2000, 1u32..20), 1..60),
        ) {
            let mut bucket = bucket(limit, per, burst);
            let (mut now, mut takes) = (0, Vec::new());
            for (step, cost) in ops {
                now += step;
                let cost = cost.min(burst);
                let enough = |at| level_of_a_model(limit, per, burst, &takes, at) >= u128::from(cost) * u128::from(per);
                let ready = bucket.ready_at(cost);
                prop_assert!(enough(ready.max(now)));
                prop_assert!(ready <= now || !enough(ready - 1));
                prop_assert_eq!(try_take(&mut bucket, now, cost), enough(now));
                if enough(now) { takes.push((now, cost)); }
                let there = level_of_a_model(limit, per, burst, &takes, now) / u128::from(per);
                prop_assert_eq!(u128::from(bucket.available(now)), there);
            }
        }

        #[test]
        fn those_ahead_are_reckoned_with_to_the_microsecond(
            limit in 1u32..50, per in 1u64..5000, burst in 1u32..20,
            taken in 0u32..20, now in 0u64..3000, ahead in 0u32..60, cost in 1u32..20,
        ) {
            let (mut bucket, cost) = (bucket(limit, per, burst), cost.min(burst));
            bucket.take(0, taken.min(burst));
            let told = bucket.ready_after(now, u64::from(ahead), cost).max(now);
            // A bucket that never loses a part of a token to being full is one that nobody lets become full.
            let mut model = bucket.clone();
            model.full_at = model.full_at.max(Span { micros: now, parts: 0 });
            let needed = u128::from(ahead + cost) * u128::from(per);
            let there = |at: u64| {
                let missing = u128::from(model.full_at.micros) * u128::from(limit) + u128::from(model.full_at.parts);
                (u128::from(at) * u128::from(limit) + u128::from(burst) * u128::from(per)).saturating_sub(missing)
            };
            prop_assert!(there(told) >= needed);
            prop_assert!(told == now || there(told - 1) < needed);
        }

        #[test]
        fn a_refund_leaves_the_bucket_as_if_the_take_had_never_been(
            per in 1u64..5000, burst in 1u32..20,
            before in prop::collection::vec((1u64..3000, 1u32..20), 0..6), taken in 1u32..20,
            after in prop::collection::vec((1u64..3000, 1u32..20), 0..30),
        ) {
            let (mut with, mut without) = (bucket(1, per, burst), bucket(1, per, burst));
            let mut now = 0;
            for (step, cost) in before {
                now += step;
                if try_take(&mut with, now, cost.min(burst)) { without.take(now, cost.min(burst)); }
            }
            let (taken_at, mut takes_after) = (now + 1, 0);
            now = taken_at;
            if try_take(&mut with, now, taken.min(burst)) {
                for (step, cost) in after {
                    now += step;
                    if try_take(&mut with, now, cost.min(burst)) {
                        without.take(now, cost.min(burst));
                        takes_after += 1;
                    }
                }
                with.refund(taken_at, taken.min(burst));
                for cost in 1..=burst {
                    let (with, without) = (with.ready_at(cost).max(now), without.ready_at(cost).max(now));
                    prop_assert!(with >= without, "never more than would be there");
                    prop_assert!(with == without || takes_after >= REMEMBERED, "and no less while it remembers");
                }
                prop_assert!(with.distances.len() <= REMEMBERED);
            }
        }
    }
}

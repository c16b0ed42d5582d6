//! How long to wait before trying again: growing delays, spread by jitter.

use super::config::ConfigError;
use super::random::Random;
use super::time::micros;
use core::time::Duration;

/// Delays that grow by a factor from `initial` to at most `max`.
///
/// The default is 100 ms doubling to 10 s with full jitter: short enough for a hiccup, and spread widely enough that
/// those who failed together do not come back together.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    factor: f64,
    jitter: Jitter,
}

/// How delays are spread (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Jitter {
    /// Anything from nothing to the delay: the least load on whoever is called.
    #[default]
    Full,
    /// Anything from half the delay to the delay: never at once.
    Equal,
    /// Anything from `initial` to three times the last delay: grows with what was drawn, not with the attempt.
    Decorrelated,
    /// The delay itself, for tests and for callers who are spread already.
    None,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(10),
            factor: 2.0,
            jitter: Jitter::Full,
        }
    }
}

impl Backoff {
    /// Reads the options.
    ///
    /// # Errors
    /// One sentence if `max` is below `initial`, or `factor` is not a number of at least 1.
    pub fn new(initial: Duration, max: Duration, factor: f64, jitter: Jitter) -> Result<Self, ConfigError> {
        if max < initial {
            return Err(ConfigError::duration("max", "at least `initial`", max));
        }
        if !(factor >= 1.0 && factor.is_finite()) {
            return Err(ConfigError::number("factor", "a number ≥ 1", factor));
        }
        Ok(Self {
            initial,
            max,
            factor,
            jitter,
        })
    }

    /// The delay after `failures` failures in a row (the first is 1), `previous` being the delay before it, if any.
    pub fn delay(&self, failures: u32, previous: Option<Duration>, random: &mut Random) -> Duration {
        let (initial, max) = (micros(self.initial), micros(self.max));
        let steps = failures.saturating_sub(1).min(i32::MAX as u32) as i32;
        // `as` saturates, so a power beyond all bounds is the greatest delay.
        let grown = ((initial as f64 * self.factor.powi(steps)) as u64).min(max);
        Duration::from_micros(match self.jitter {
            Jitter::Full => random.up_to(grown),
            Jitter::Equal => grown / 2 + random.up_to(grown - grown / 2),
            Jitter::Decorrelated => {
                let previous = previous.map_or(initial, micros).max(initial);
                let most = previous.saturating_mul(3).min(max);
                initial + random.up_to(most.saturating_sub(initial))
            }
            Jitter::None => grown,
        })
    }

    /// The delay of the first failure before it is spread.
    pub const fn initial(&self) -> Duration {
        self.initial
    }

    /// The longest delay.
    pub const fn max(&self) -> Duration {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn with(jitter: Jitter) -> Backoff {
        Backoff::new(ms(100), ms(10_000), 2.0, jitter).unwrap()
    }

    fn delays(jitter: Jitter, failures: u32) -> Vec<Duration> {
        let mut random = Random::new(1);
        (0..500)
            .map(|_| with(jitter).delay(failures, Some(ms(400)), &mut random))
            .collect()
    }

    #[test]
    fn the_default_doubles_from_100_ms_to_10_s_with_full_jitter() {
        assert_eq!(Backoff::default(), with(Jitter::Full));
    }

    #[test]
    fn without_jitter_delays_double_up_to_the_longest() {
        let mut random = Random::new(1);
        let delay = |failures| with(Jitter::None).delay(failures, None, &mut random);
        let delays: Vec<_> = [0, 1, 2, 3, 7, 8, 1000, u32::MAX]
            .into_iter()
            .map(delay)
            .collect();
        assert_eq!(delays, [100, 100, 200, 400, 6400, 10_000, 10_000, 10_000].map(ms));
    }

    #[test]
    fn a_factor_of_one_keeps_the_delay_as_it_is() {
        let steady = Backoff::new(ms(100), ms(100), 1.0, Jitter::None).unwrap();
        assert_eq!(steady.delay(9, None, &mut Random::new(1)), ms(100));
    }

    #[test]
    fn full_jitter_spreads_from_nothing_to_the_delay() {
        let delays = delays(Jitter::Full, 4);
        assert!(delays.iter().all(|delay| *delay <= ms(800)));
        assert!(delays.iter().any(|delay| *delay < ms(80)) && delays.iter().any(|delay| *delay > ms(720)));
    }

    #[test]
    fn equal_jitter_keeps_half_of_the_delay() {
        let delays = delays(Jitter::Equal, 4);
        assert!(delays.iter().all(|delay| (ms(400)..=ms(800)).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < ms(440)) && delays.iter().any(|delay| *delay > ms(760)));
    }

    #[test]
    fn decorrelated_jitter_grows_with_the_last_delay_and_not_with_the_attempt() {
        for failures in [1, 50] {
            let delays = delays(Jitter::Decorrelated, failures);
            assert!(delays.iter().all(|delay| (ms(100)..=ms(1200)).contains(delay)));
            assert!(delays.iter().any(|delay| *delay > ms(1100)));
        }
        let first = with(Jitter::Decorrelated).delay(1, None, &mut Random::new(3));
        assert!((ms(100)..=ms(300)).contains(&first));
    }

    #[test]
    fn options_that_cannot_work_are_refused_in_a_sentence() {
        let sentence = |initial, max, factor| {
            Backoff::new(initial, max, factor, Jitter::None)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            sentence(ms(2), ms(1), 2.0),
            "Expected `max` to be at least `initial`, got `1ms`"
        );
        for factor in [0.5, f64::NAN, f64::INFINITY] {
            assert!(sentence(ms(1), ms(1), factor).starts_with("Expected `factor` to be a number ≥ 1, got"));
        }
    }

    proptest! {
        #[test]
        fn no_delay_is_beyond_the_longest(
            initial: u64, more: u64, factor in 1.0f64..1e9, failures: u32, previous: Option<u64>, seed: u64,
        ) {
            let initial = Duration::from_micros(initial);
            let max = initial + Duration::from_micros(more);
            for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::None] {
                let backoff = Backoff::new(initial, max, factor, jitter).unwrap();
                let delay = backoff.delay(failures, previous.map(Duration::from_micros), &mut Random::new(seed));
                prop_assert!(delay <= max);
            }
        }
    }
}

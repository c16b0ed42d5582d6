//! When a breaker opens, for how long, and what it takes to close again.

use super::tally::Window;
use crate::machine::backoff::Backoff;
use crate::machine::config::ConfigError;
use crate::machine::random::Random;
use core::time::Duration;

/// Options of a [`Breaker`](super::Breaker). The default opens after 5 failures in a row, lets 1 probe through after
/// 60 s and closes when that succeeds.
///
/// ```
/// use std::time::Duration;
/// use tidegate::machine::breaker::{BreakerConfig, Window};
///
/// let config = BreakerConfig::default()
///     .ratio(0.5, Window::Count(100), 20)?
///     .open_for(Duration::from_secs(5))?
///     .half_open(3, 2, Duration::from_secs(10))?;
/// # Ok::<(), tidegate::machine::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BreakerConfig {
    consecutive: Option<u32>,
    ratio: Option<Ratio>,
    slow: Option<Slow>,
    open_for: OpenFor,
    pub(super) probes: u32,
    pub(super) successes: u32,
    pub(super) ramp: Duration,
    probe_timeout: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Ratio {
    pub(super) failures: f64,
    pub(super) window: Window,
    pub(super) minimum: u32,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Slow {
    pub(super) over: Duration,
    pub(super) ratio: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum OpenFor {
    Always(Duration),
    Growing(Backoff),
}

/// A slow-call rule without a ratio rule is judged over this, once there are [`SLOW_MINIMUM`] calls.
const SLOW_WINDOW: Window = Window::Count(100);
const SLOW_MINIMUM: u32 = 10;
/// A count window takes a byte a call.
const LARGEST_WINDOW: u32 = 100_000;
/// What a pass can number.
pub(super) const MOST_PROBES: u32 = 500;

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive: None,
            ratio: None,
            slow: None,
            open_for: OpenFor::Always(Duration::from_secs(60)),
            probes: 1,
            successes: 1,
            ramp: Duration::ZERO,
            probe_timeout: None,
        }
    }
}

impl BreakerConfig {
    /// Opens after so many failures in a row. Without any rule that is 5; beside another rule it holds only if asked
    /// for, since a target that may fail every second call fails five in a row sooner or later.
    ///
    /// # Errors
    /// One sentence if `failures` is 0.
    pub fn consecutive(mut self, failures: u32) -> Result<Self, ConfigError> {
        if failures == 0 {
            return Err(ConfigError::integer("consecutive", "an integer ≥ 1", 0));
        }
        self.consecutive = Some(failures);
        Ok(self)
    }

    /// Opens when the share of failures in a window reaches `failures`, once the window holds `minimum` calls.
    ///
    /// # Errors
    /// One sentence if the share is not above 0 and at most 1, the window is empty or beyond 100,000 calls, or the
    /// minimum is 0 or above what the window can hold.
    pub fn ratio(mut self, failures: f64, window: Window, minimum: u32) -> Result<Self, ConfigError> {
        let failures = share("ratio.failures", failures)?;
        match window {
            Window::Count(size) if !(1..=LARGEST_WINDOW).contains(&size) => {
                let expected = "an integer from 1 to 100000";
                return Err(ConfigError::integer("ratio.window", expected, u64::from(size)));
            }
            Window::Time(Duration::ZERO) => {
                return Err(ConfigError::duration(
                    "ratio.window",
                    "longer than nothing",
                    Duration::ZERO,
                ));
            }
            Window::Count(size) if minimum > size => {
                let expected = "at most `ratio.window`";
                return Err(ConfigError::integer(
                    "ratio.minimum",
                    expected,
                    u64::from(minimum),
                ));
            }
            Window::Count(_) | Window::Time(_) => {}
        }
        if minimum == 0 {
            return Err(ConfigError::integer("ratio.minimum", "an integer ≥ 1", 0));
        }
        self.ratio = Some(Ratio {
            failures,
            window,
            minimum,
        });
        Ok(self)
    }

    /// Opens when the share of calls that took longer than `over`, well or badly, reaches `ratio`. The window and the
    /// minimum are those of the [`ratio`](Self::ratio) rule, or else the last 100 calls and 10.
    ///
    /// # Errors
    /// One sentence if the share is not above 0 and at most 1.
    pub fn slow(mut self, over: Duration, ratio: f64) -> Result<Self, ConfigError> {
        let ratio = share("slow.ratio", ratio)?;
        self.slow = Some(Slow { over, ratio });
        Ok(self)
    }

    /// How long it stays open before the first probe; 60 s unless set.
    ///
    /// # Errors
    /// One sentence if it is nothing.
    pub fn open_for(mut self, duration: Duration) -> Result<Self, ConfigError> {
        if duration.is_zero() {
            return Err(ConfigError::duration("openFor", "longer than nothing", duration));
        }
        self.open_for = OpenFor::Always(duration);
        Ok(self)
    }

    /// Stays open longer each time the probes fail. Full jitter may draw a wait of nothing:
    /// [`Jitter::Equal`](crate::machine::backoff::Jitter::Equal) suits a breaker better.
    ///
    /// # Errors
    /// One sentence if its first delay is nothing.
    pub fn open_for_growing(mut self, backoff: Backoff) -> Result<Self, ConfigError> {
        if backoff.initial().is_zero() {
            return Err(ConfigError::duration(
                "openFor.initial",
                "longer than nothing",
                Duration::ZERO,
            ));
        }
        self.open_for = OpenFor::Growing(backoff);
        Ok(self)
    }

    /// How it closes again: `probes` may be out at once, `successes` of them close it. It opens again as soon as the
    /// probes cannot bring that many any more (with more successes than probes: at the first failure). After closing,
    /// a share of calls that grows from nothing to all over `ramp` is admitted. 1, 1 and no ramp unless set.
    ///
    /// # Errors
    /// One sentence if `probes` is not from 1 to 500 or `successes` is 0.
    pub fn half_open(mut self, probes: u32, successes: u32, ramp: Duration) -> Result<Self, ConfigError> {
        if !(1..=MOST_PROBES).contains(&probes) {
            let expected = "an integer from 1 to 500";
            return Err(ConfigError::integer(
                "halfOpen.probes",
                expected,
                u64::from(probes),
            ));
        }
        if successes == 0 {
            return Err(ConfigError::integer("halfOpen.successes", "an integer ≥ 1", 0));
        }
        self.probes = probes;
        self.successes = successes;
        self.ramp = ramp;
        Ok(self)
    }

    /// How long a probe may go unheard of before its permit passes on; the (first) time open unless set.
    ///
    /// # Errors
    /// One sentence if it is nothing.
    pub fn probe_timeout(mut self, duration: Duration) -> Result<Self, ConfigError> {
        if duration.is_zero() {
            return Err(ConfigError::duration(
                "probeTimeout",
                "longer than nothing",
                duration,
            ));
        }
        self.probe_timeout = Some(duration);
        Ok(self)
    }

    pub(super) fn consecutive_rule(&self) -> Option<u32> {
        let no_other = self.ratio.is_none() && self.slow.is_none();
        self.consecutive.or(no_other.then_some(5))
    }

    pub(super) const fn ratio_rule(&self) -> Option<Ratio> {
        self.ratio
    }

    pub(super) const fn slow_rule(&self) -> Option<Slow> {
        self.slow
    }

    /// Which calls the ratios look at, and how many there must be; `None` if there is no ratio.
    pub(super) fn evidence(&self) -> Option<(Window, u32)> {
        match (self.ratio, self.slow) {
            (Some(ratio), _) => Some((ratio.window, ratio.minimum)),
            (None, Some(_)) => Some((SLOW_WINDOW, SLOW_MINIMUM)),
            (None, None) => None,
        }
    }

    pub(super) fn first_open(&self) -> Duration {
        match self.open_for {
            OpenFor::Always(duration) => duration,
            OpenFor::Growing(backoff) => backoff.initial(),
        }
    }

    /// How long to stay open for the `openings`th time in a row.
    pub(super) fn stay_open(&self, openings: u32, last: Option<Duration>, random: &mut Random) -> Duration {
        match self.open_for {
            OpenFor::Always(duration) => duration,
            OpenFor::Growing(backoff) => backoff.delay(openings, last, random),
        }
    }

    pub(super) fn probe_patience(&self) -> Duration {
        self.probe_timeout.unwrap_or(self.first_open())
    }
}

fn share(option: &'static str, value: f64) -> Result<f64, ConfigError> {
    if value > 0.0 && value <= 1.0 {
        Ok(value)
    } else {
        Err(ConfigError::number(
            option,
            "a number above 0 and at most 1",
            value,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn options_that_cannot_work_are_refused_in_a_sentence() {
        let config = BreakerConfig::default;
        let window = Window::Count(10);
        for (option, result) in [
            ("consecutive", config().consecutive(0)),
            ("ratio.failures", config().ratio(0.0, window, 1)),
            ("ratio.failures", config().ratio(1.1, window, 1)),
            ("ratio.failures", config().ratio(f64::NAN, window, 1)),
            ("ratio.window", config().ratio(0.5, Window::Count(0), 1)),
            ("ratio.window", config().ratio(0.5, Window::Count(100_001), 1)),
            (
                "ratio.window",
                config().ratio(0.5, Window::Time(Duration::ZERO), 1),
            ),
            ("ratio.minimum", config().ratio(0.5, window, 0)),
            ("ratio.minimum", config().ratio(0.5, window, 11)),
            ("slow.ratio", config().slow(SECOND, -0.1)),
            ("openFor", config().open_for(Duration::ZERO)),
            ("halfOpen.probes", config().half_open(0, 1, SECOND)),
            ("halfOpen.probes", config().half_open(501, 1, SECOND)),
            ("halfOpen.successes", config().half_open(1, 0, SECOND)),
            ("probeTimeout", config().probe_timeout(Duration::ZERO)),
        ] {
            let sentence = result.unwrap_err().to_string();
            let begins = format!("Expected `{option}` to be ");
            assert!(sentence.starts_with(&begins), "{sentence}");
        }
    }

    #[test]
    fn five_failures_in_a_row_are_the_rule_only_while_there_is_no_other() {
        let config = BreakerConfig::default();
        assert_eq!(config.consecutive_rule(), Some(5));
        let config = config.slow(SECOND, 0.5).unwrap();
        assert_eq!(config.consecutive_rule(), None);
        assert_eq!(config.consecutive(7).unwrap().consecutive_rule(), Some(7));
    }
}

//! Concurrency that finds itself: a limit that follows what the target can take.
//!
//! Each algorithm sits behind one seam, [`LimitAlgorithm`], and the seam holds what must be true of all of them: the
//! limit stays within its bounds, samples without a latency move nothing (deployed isolates measure zero for whatever
//! did no I/O), and no arithmetic accident ever becomes a limit.

use super::config::ConfigError;
use super::steady::Steady;
use super::time::Instant;
use super::within::within;
use core::fmt::Debug;
use core::time::Duration;

mod aimd;
mod gradient;
mod plan;
mod rounds;
mod strategy;
mod threshold;
mod vegas;

pub use aimd::Aimd;
pub use gradient::Gradient;
pub use plan::{Optimal, Prediction, optimal_concurrency, predict};
pub use strategy::Strategy;
pub use threshold::Threshold;
pub use vegas::Vegas;

/// Which rule moves the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// One more a round trip while all goes well, a factor less when calls are dropped or too slow: [`Aimd`].
    Aimd,
    /// Follows the ratio of latency at rest to latency now: [`Gradient`].
    Gradient,
    /// Follows how many calls seem to queue at the target: [`Vegas`].
    Vegas,
    /// Up when busy or slow, down when idle and fast: [`Threshold`].
    Threshold,
}

/// Options of an [`Adaptive`].
///
/// ```
/// use tidegate::machine::adaptive::{Adaptive, AdaptiveConfig, Algorithm};
///
/// let config = AdaptiveConfig::new(Algorithm::Gradient, 2, 100)?.initial(10)?;
/// assert_eq!(Adaptive::new(config).limit(), 10);
/// # Ok::<(), tidegate::machine::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AdaptiveConfig {
    algorithm: Algorithm,
    min: u32,
    max: u32,
    initial: u32,
    interval: Option<Duration>,
    target: Option<Duration>,
    up_above: f64,
    down_below: f64,
    shrink: Option<f64>,
}

impl AdaptiveConfig {
    /// A limit between `min` and `max` that starts at `min`: latency at rest is best learned at rest.
    ///
    /// # Errors
    /// One sentence if `min` is 0 or `max` is below it.
    pub fn new(algorithm: Algorithm, min: u32, max: u32) -> Result<Self, ConfigError> {
        if min == 0 {
            return Err(ConfigError::integer("min", "an integer ≥ 1", 0));
        }
        if max < min {
            return Err(ConfigError::integer("max", "at least `min`", u64::from(max)));
        }
        Ok(Self {
            algorithm,
            min,
            max,
            initial: min,
            interval: None,
            target: None,
            up_above: 0.8,
            down_below: 0.3,
            shrink: None,
        })
    }

    /// The highest the limit can get.
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// Where the limit starts.
    ///
    /// # Errors
    /// One sentence if it is not from `min` to `max`.
    pub fn initial(mut self, initial: u32) -> Result<Self, ConfigError> {
        if !(self.min..=self.max).contains(&initial) {
            let expected = "from `min` to `max`";
            return Err(ConfigError::integer("initial", expected, u64::from(initial)));
        }
        self.initial = initial;
        Ok(self)
    }

    /// The least time between two changes: 1 s for the threshold scaler, whose every change is a jump, and none
    /// for the others, which move once a round of samples, unless set.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// The response time to keep. AIMD takes a slower call as overload. The threshold scaler scales down only below
    /// it and up above twice as much. Gradient and Vegas find theirs and do not use it.
    ///
    /// # Errors
    /// One sentence if it is nothing.
    pub fn target(mut self, target: Duration) -> Result<Self, ConfigError> {
        if target.is_zero() {
            return Err(ConfigError::duration("target", "longer than nothing", target));
        }
        self.target = Some(target);
        Ok(self)
    }

    /// The shares of load above which the threshold scaler scales up and below which it scales down; 0.8 and 0.3
    /// unless set.
    ///
    /// # Errors
    /// One sentence if they are not numbers with 0 ≤ `down_below` ≤ `up_above`.
    pub fn thresholds(mut self, up_above: f64, down_below: f64) -> Result<Self, ConfigError> {
        if !(up_above > 0.0 && up_above.is_finite()) {
            return Err(ConfigError::number("upAbove", "a number above 0", up_above));
        }
        if !(0.0..=up_above).contains(&down_below) {
            let expected = "from 0 to `upAbove`";
            return Err(ConfigError::number("downBelow", expected, down_below));
        }
        self.up_above = up_above;
        self.down_below = down_below;
        Ok(self)
    }

    /// By what the limit is multiplied or divided: 0.9 for AIMD's decrease, 1.5 for the threshold scaler, unless set.
    /// 0.5 and 2 mean the same.
    ///
    /// # Errors
    /// One sentence if it is not a number above 0 other than 1.
    pub fn factor(mut self, factor: f64) -> Result<Self, ConfigError> {
        if !(factor > 0.0 && factor.is_finite() && factor != 1.0) {
            let expected = "a number above 0 other than 1";
            return Err(ConfigError::number("factor", expected, factor));
        }
        self.shrink = Some(factor.min(factor.recip()));
        Ok(self)
    }
}

/// How one call went, as an algorithm sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// How long the call took; zero if the clock stood still, and then the sample moves nothing.
    pub latency: Duration,
    /// How many calls ran when it ended, itself included.
    pub in_flight: u32,
    /// How many calls waited for a slot.
    pub queued: u32,
    /// How many can wait; `None` if any number can.
    pub queue_capacity: Option<u32>,
    /// How it ended.
    pub ending: Ending,
}

/// How a call ended, as far as it tells of the target's capacity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Well: its latency counts.
    Done,
    /// Badly, but not because of load: it says nothing.
    Failed,
    /// Because of load: refused by the target, timed out, throttled.
    Dropped,
}

/// A change of the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scaled {
    /// The limit before.
    pub from: u32,
    /// The limit now.
    pub to: u32,
}

/// What moves a limit. Times are microseconds that never run backwards.
pub trait LimitAlgorithm: Debug {
    /// Takes a sample with a latency above zero and gives the limit that should hold from now on, `limit` if nothing
    /// is to change. Bounds are kept by the caller.
    fn sample(&mut self, now: u64, limit: f64, sample: &Sample) -> f64;
}

/// A limit that follows its samples.
#[derive(Debug)]
pub struct Adaptive {
    min: u32,
    max: u32,
    clock: Steady,
    algorithm: Box<dyn LimitAlgorithm>,
    limit: f64,
    ceiling: Option<u32>,
    ups: u64,
    downs: u64,
}

impl Adaptive {
    /// A limit as configured.
    pub fn new(config: AdaptiveConfig) -> Self {
        let none = Duration::ZERO;
        let algorithm: Box<dyn LimitAlgorithm> = match config.algorithm {
            Algorithm::Aimd => Box::new(Aimd::new(config.shrink.unwrap_or(0.9), config.target)),
            Algorithm::Gradient => Box::new(Gradient::new(config.min, config.interval.unwrap_or(none))),
            Algorithm::Vegas => Box::new(Vegas::new(config.min, config.interval.unwrap_or(none))),
            Algorithm::Threshold => Box::new(Threshold::new(
                config.up_above,
                config.down_below,
                config.shrink.unwrap_or(1.0 / 1.5),
                config.target,
                config.interval.unwrap_or(Duration::from_secs(1)),
            )),
        };
        Self::with(config, algorithm)
    }

    /// A limit that an algorithm of your own moves; of `config` only the bounds and the start are used.
    pub fn with(config: AdaptiveConfig, algorithm: Box<dyn LimitAlgorithm>) -> Self {
        Self {
            min: config.min,
            max: config.max,
            clock: Steady::new(Duration::from_secs(1)),
            algorithm,
            limit: f64::from(config.initial),
            ceiling: None,
            ups: 0,
            downs: 0,
        }
    }

    /// Takes how a call went into account.
    pub fn sample(&mut self, now: Instant, mut sample: Sample) -> Option<Scaled> {
        let now = self.clock.read(now);
        if sample.latency.is_zero() || sample.ending == Ending::Failed {
            return None;
        }
        // The call itself was in flight, even if its host counts it out before it reports.
        sample.in_flight = sample.in_flight.max(1);
        let from = self.limit();
        let limit = self.algorithm.sample(now, self.limit, &sample);
        if limit.is_finite() {
            self.limit = within(limit, f64::from(self.min), f64::from(self.max));
        }
        self.scaled(from)
    }

    /// Holds the limit at or below `ceiling` (but not below its minimum) until it is lifted with `None`: for times of
    /// pressure on the host itself, which latencies do not show.
    pub fn set_ceiling(&mut self, ceiling: Option<u32>) -> Option<Scaled> {
        let from = self.limit();
        self.ceiling = ceiling;
        self.scaled(from)
    }

    /// How many calls may run.
    pub fn limit(&self) -> u32 {
        let limit = self.limit as u32;
        limit.min(self.ceiling.unwrap_or(limit)).max(self.min)
    }

    /// How often it went up and down.
    pub const fn changes(&self) -> (u64, u64) {
        (self.ups, self.downs)
    }

    fn scaled(&mut self, from: u32) -> Option<Scaled> {
        let to = self.limit();
        match to.cmp(&from) {
            core::cmp::Ordering::Greater => self.ups += 1,
            core::cmp::Ordering::Less => self.downs += 1,
            core::cmp::Ordering::Equal => return None,
        }
        Some(Scaled { from, to })
    }
}

impl Sample {
    /// Whether so few calls run that the limit was not what held them: such a sample tells nothing about a higher one
    /// (RFC 7661 says the same of TCP's window).
    fn app_limited(in_flight: u32, limit: f64) -> bool {
        f64::from(in_flight) < limit.floor() * 0.8
    }
}

#[cfg(test)]
mod tests;

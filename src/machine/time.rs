//! The crate's own points in time: microseconds since an origin that the host chooses.
//!
//! A machine never reads a clock. It is given an [`Instant`] with every event, and arithmetic on it saturates, so
//! that a clock which stands still or steps back (deployed isolates do both) can at worst delay, never panic.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time, in microseconds since an origin that the host chooses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the host's clock.
    pub const ZERO: Self = Self(0);
    /// The end of time: what a deadline that never comes compares equal to.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `millis` milliseconds after the origin; what is not a positive number is the origin.
    pub fn from_millis_f64(millis: f64) -> Self {
        // `as` saturates: NaN and negatives become 0, infinity becomes the far future.
        Self((millis * 1000.0) as u64)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the origin.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// How long ago `earlier` was; zero if it is later than `self`.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros_since(earlier))
    }

    /// Microseconds since `earlier`; zero if it is later than `self`.
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `micros` later, at most the far future.
    pub const fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        self.plus_micros(micros(duration))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// A duration in whole microseconds, saturating where `Duration::as_micros` would need 128 bits.
pub const fn micros(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(duration.subsec_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_clock_that_steps_back_yields_zero() {
        let early = Instant::from_micros(5);
        let late = Instant::from_micros(9);
        assert_eq!(early - late, Duration::ZERO);
        assert_eq!(late - early, Duration::from_micros(4));
    }

    #[test]
    fn a_millisecond_is_a_thousand_microseconds() {
        assert!((Instant::from_micros(1500).as_millis_f64() - 1.5).abs() < f64::EPSILON);
        assert_eq!(Instant::from_millis_f64(1.5), Instant::from_micros(1500));
    }

    #[test]
    fn adding_saturates_in_the_far_future() {
        assert_eq!(Instant::from_micros(1) + Duration::MAX, Instant::FAR_FUTURE);
    }

    #[test]
    fn odd_milliseconds_are_the_origin_or_the_far_future() {
        assert_eq!(Instant::from_millis_f64(f64::NAN), Instant::ZERO);
        assert_eq!(Instant::from_millis_f64(-1.0), Instant::ZERO);
        assert_eq!(Instant::from_millis_f64(f64::INFINITY), Instant::FAR_FUTURE);
        assert_eq!(Instant::from_millis_f64(1.5), Instant::from_micros(1500));
    }
}

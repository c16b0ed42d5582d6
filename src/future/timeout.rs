//! A limit on how long anything may take.

use super::runtime::Runtime;
use crate::machine::time::micros;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Gives `future` at most `limit` to finish, under a name that the error will say.
///
/// The limit counts from the first poll. A future that is ready in the very poll in which its time runs out has made
/// it; a limit of zero lets it be polled once.
///
/// # Errors
///
/// [`TimeoutError`] when the time is over; the future has been dropped by then, which is what cancels it.
///
/// # Cancel safety
///
/// Dropping this drops `future` and the timer; it is as cancel-safe as `future` is.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::{Runtime, VirtualRuntime, timeout};
///
/// let runtime = VirtualRuntime::new();
/// let slow = runtime.sleep(Duration::from_secs(60));
/// let error = runtime.block_on(timeout(&runtime, Duration::from_secs(2), "probe", slow)).unwrap_err();
/// assert_eq!(error.to_string(), r#"Operation "probe" timed out after 2 s"#);
/// ```
pub async fn timeout<R: Runtime, F: Future>(
    runtime: &R,
    limit: Duration,
    operation: impl Into<String>,
    future: F,
) -> Result<F::Output, TimeoutError> {
    let outcome = {
        let mut future = pin!(future);
        let mut timer = pin!(runtime.sleep(limit));
        std::future::poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            timer.as_mut().poll(context).map(|()| None)
        })
        .await
    };
    outcome.ok_or_else(|| TimeoutError::new(operation, limit))
}

/// Something took longer than it was given. Its text names the operation and the limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeoutError {
    operation: String,
    limit: Duration,
}

impl TimeoutError {
    /// The error for an operation that was given `limit`.
    pub fn new(operation: impl Into<String>, limit: Duration) -> Self {
        Self {
            operation: operation.into(),
            limit,
        }
    }

    /// What was timed.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// What it was given.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Operation \"{}\" timed out after {}",
            self.operation,
            Spoken(self.limit)
        )
    }
}

impl std::error::Error for TimeoutError {}

/// A duration as a person would write it: `2 s`, `1.5 s`, `250 ms`, `40 µs`.
pub(crate) struct Spoken(pub(crate) Duration);

impl fmt::Display for Spoken {
    // Integers only: formatting a float weighs 10 KB in wasm.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = micros(self.0);
        let (per_unit, unit) = match micros {
            0 => (1_000, "ms"),
            1..1_000 => (1, "µs"),
            1_000..1_000_000 => (1_000, "ms"),
            _ => (1_000_000, "s"),
        };
        let (whole, mut rest) = (micros / per_unit, micros % per_unit);
        write!(f, "{whole}")?;
        if rest > 0 {
            f.write_str(".")?;
            let mut place = per_unit / 10;
            while rest > 0 {
                write!(f, "{}", rest / place)?;
                rest %= place;
                place /= 10;
            }
        }
        write!(f, " {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::VirtualRuntime;
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn durations_read_as_a_person_would_write_them() {
        let spoken = |micros| Spoken(Duration::from_micros(micros)).to_string();
        assert_eq!(spoken(2_000_000), "2 s");
        assert_eq!(spoken(1_500_000), "1.5 s");
        assert_eq!(spoken(1_000_001), "1.000001 s");
        assert_eq!(spoken(250_000), "250 ms");
        assert_eq!(spoken(1_050), "1.05 ms");
        assert_eq!(spoken(40), "40 µs");
        assert_eq!(spoken(0), "0 ms");
    }

    #[test]
    fn what_finishes_in_the_last_moment_has_made_it() {
        let runtime = VirtualRuntime::new();
        let second = Duration::from_secs(1);
        let task = runtime.sleep(second);
        assert_eq!(runtime.block_on(timeout(&runtime, second, "nap", task)), Ok(()));
    }

    #[test]
    fn a_timeout_drops_the_future_and_leaves_no_timer() {
        let runtime = VirtualRuntime::new();
        let task = runtime.sleep(Duration::from_secs(10));
        let outcome = runtime.block_on(timeout(&runtime, Duration::from_secs(1), "nap", task));
        assert!(outcome.is_err());
        assert_eq!(runtime.pending_timers(), 0);
        assert_eq!(runtime.now().as_micros(), 1_000_000);
    }
}

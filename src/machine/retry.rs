//! Whether to try again, and when.

use super::backoff::Backoff;
use super::config::ConfigError;
use super::random::Random;
use super::time::Instant;
use core::time::Duration;

mod after;
mod budget;

pub use after::retry_after;
pub use budget::RetryBudget;

/// Options of a retry. The default is 3 attempts with full jitter, 100 ms doubling to 10 s, and no deadline.
///
/// ```
/// use std::time::Duration;
/// use tidegate::machine::random::Random;
/// use tidegate::machine::retry::{Decision, Failed, RetryConfig};
/// use tidegate::machine::time::Instant;
///
/// let retry = RetryConfig::default().attempts(2)?;
/// let failed = Failed { attempt: 1, started: Instant::ZERO, previous_delay: None, retry_after: None };
/// let decision = retry.decide(Instant::ZERO, failed, None, &mut Random::new(1));
/// assert!(matches!(decision, Decision::Again { .. }));
/// # Ok::<(), tidegate::machine::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryConfig {
    attempts: u32,
    backoff: Backoff,
    deadline: Option<Duration>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Backoff::default(),
            deadline: None,
        }
    }
}

/// An attempt that failed in a way that another might not.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Failed {
    /// Which attempt it was; the first is 1.
    pub attempt: u32,
    /// When the first attempt began.
    pub started: Instant,
    /// How long was waited before this attempt, if it was not the first.
    pub previous_delay: Option<Duration>,
    /// What the server asked for.
    pub retry_after: Option<Duration>,
}

/// What to do after a failure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Decision {
    /// Try again after this.
    Again {
        /// How long to wait.
        delay: Duration,
    },
    /// Let the failure be the result.
    GiveUp {
        /// Why.
        why: GiveUp,
    },
}

/// Why not to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GiveUp {
    /// All attempts are used.
    Attempts,
    /// The next would begin at the deadline or later.
    Deadline,
    /// Too much of what is going out already is retries.
    Budget,
}

impl RetryConfig {
    /// How many attempts at most, the first included.
    ///
    /// # Errors
    /// One sentence if `attempts` is 0.
    pub fn attempts(mut self, attempts: u32) -> Result<Self, ConfigError> {
        if attempts == 0 {
            return Err(ConfigError::integer("attempts", "an integer ≥ 1", 0));
        }
        self.attempts = attempts;
        Ok(self)
    }

    /// How long to wait between attempts.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// No attempt begins so long after the first.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Decides after a failure. A server's `retry_after` is the least that is waited, whatever the backoff says; it
    /// is never shortened to meet the deadline. The budget is drawn on last, so that it pays only for retries that
    /// happen.
    pub fn decide(
        &self,
        now: Instant,
        failed: Failed,
        budget: Option<&mut RetryBudget>,
        random: &mut Random,
    ) -> Decision {
        if failed.attempt >= self.attempts {
            return GiveUp::Attempts.into();
        }
        let backoff = self.backoff.delay(failed.attempt, failed.previous_delay, random);
        let delay = backoff.max(failed.retry_after.unwrap_or_default());
        let late = |deadline| now + delay >= failed.started + deadline;
        if self.deadline.is_some_and(late) {
            return GiveUp::Deadline.into();
        }
        if budget.is_some_and(|budget| !budget.withdraw(now)) {
            return GiveUp::Budget.into();
        }
        Decision::Again { delay }
    }
}

impl From<GiveUp> for Decision {
    fn from(why: GiveUp) -> Self {
        Self::GiveUp { why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::backoff::Jitter;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn plain() -> RetryConfig {
        let backoff = Backoff::new(ms(100), ms(10_000), 2.0, Jitter::None).unwrap();
        RetryConfig::default().backoff(backoff)
    }

    fn failed(attempt: u32) -> Failed {
        Failed {
            attempt,
            started: Instant::ZERO,
            previous_delay: None,
            retry_after: None,
        }
    }

    fn decide(retry: RetryConfig, now: u64, failed: Failed) -> Decision {
        retry.decide(Instant::ZERO + ms(now), failed, None, &mut Random::new(1))
    }

    const fn again(delay: Duration) -> Decision {
        Decision::Again { delay }
    }

    #[test]
    fn three_attempts_with_doubling_delays() {
        assert_eq!(decide(plain(), 0, failed(1)), again(ms(100)));
        assert_eq!(decide(plain(), 0, failed(2)), again(ms(200)));
        assert_eq!(decide(plain(), 0, failed(3)), GiveUp::Attempts.into());
        assert_eq!(decide(plain(), 0, failed(u32::MAX)), GiveUp::Attempts.into());
    }

    #[test]
    fn one_attempt_is_no_retry_and_none_is_an_error() {
        let once = plain().attempts(1).unwrap();
        assert_eq!(decide(once, 0, failed(1)), GiveUp::Attempts.into());
        let sentence = plain().attempts(0).unwrap_err().to_string();
        assert_eq!(sentence, "Expected `attempts` to be an integer ≥ 1, got `0`");
    }

    #[test]
    fn what_the_server_asks_for_is_the_least_that_is_waited() {
        let asked = |retry_after| Failed {
            retry_after: Some(ms(retry_after)),
            ..failed(1)
        };
        assert_eq!(decide(plain(), 0, asked(60_000)), again(ms(60_000)));
        assert_eq!(decide(plain(), 0, asked(50)), again(ms(100)));
    }

    #[test]
    fn no_attempt_begins_at_the_deadline_or_later() {
        let retry = plain().deadline(ms(1000));
        assert_eq!(decide(retry, 899, failed(1)), again(ms(100)));
        assert_eq!(decide(retry, 900, failed(1)), GiveUp::Deadline.into());
        let asked = Failed {
            retry_after: Some(ms(5000)),
            ..failed(1)
        };
        assert_eq!(decide(retry, 0, asked), GiveUp::Deadline.into());
    }

    #[test]
    fn a_budget_pays_only_for_retries_that_happen() {
        let mut budget = RetryBudget::new(0.1, 1).unwrap();
        let full = budget.available(Instant::ZERO);
        let mut random = Random::new(1);
        let retry = plain().deadline(ms(50));
        retry.decide(Instant::ZERO, failed(1), Some(&mut budget), &mut random);
        retry.decide(Instant::ZERO, failed(3), Some(&mut budget), &mut random);
        assert_eq!(budget.available(Instant::ZERO), full);
        plain().decide(Instant::ZERO, failed(1), Some(&mut budget), &mut random);
        assert_eq!(budget.available(Instant::ZERO), full - 1);
    }

    #[test]
    fn an_empty_budget_ends_the_retries() {
        let mut budget = RetryBudget::new(0.1, 1).unwrap();
        while budget.withdraw(Instant::ZERO) {}
        let decision = plain().decide(Instant::ZERO, failed(1), Some(&mut budget), &mut Random::new(1));
        assert_eq!(decision, GiveUp::Budget.into());
    }

    proptest! {
        #[test]
        fn it_always_ends_and_never_beyond_the_deadline(
            attempts in 1u32..20, deadline in 1u64..20_000, took in 0u64..500, asked: Option<u16>, seed: u64,
        ) {
            let retry = RetryConfig::default().attempts(attempts).unwrap().deadline(ms(deadline));
            let mut random = Random::new(seed);
            let (mut now, mut failed) = (Instant::ZERO, failed(1));
            failed.retry_after = asked.map(|millis| ms(u64::from(millis)));
            loop {
                prop_assert!(failed.attempt <= attempts);
                now = now + ms(took);
                match retry.decide(now, failed, None, &mut random) {
                    Decision::GiveUp { .. } => break,
                    Decision::Again { delay } => {
                        now = now + delay;
                        prop_assert!(now < Instant::ZERO + ms(deadline));
                        prop_assert!(delay >= failed.retry_after.unwrap_or_default());
                        failed.attempt += 1;
                        failed.previous_delay = Some(delay);
                    }
                }
            }
        }
    }
}

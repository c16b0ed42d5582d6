//! Trying again: with backoff, jitter, a deadline and a budget.

use super::acquire_error::AcquireError;
use super::runtime::Runtime;
use super::task::RunError;
use super::timeout::TimeoutError;
use crate::machine::random::Random;
use crate::machine::retry::{Decision, Failed, RetryBudget, RetryConfig};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// Runs `task` until it succeeds, its error is none that time heals, or `config` says that it is enough: 3 attempts with full jitter, 100 ms doubling to
/// 10 s, unless set.
///
/// `task` is called with the number of the attempt, from 1. A server that says when to come back is waited for. For many callers of one service use a
/// [`Retry`], whose budget they share.
///
/// # Errors
///
/// The error of the last attempt.
///
/// # Cancel safety
///
/// Dropping the future drops the attempt that runs, or the wait for the next, and its timer.
///
/// # Examples
///
/// ```
/// use tidegate::{Advice, RetryConfig, Runtime, Transient, VirtualRuntime, retry};
///
/// #[derive(Debug, PartialEq)]
/// struct Busy;
/// impl Transient for Busy {
///     fn advice(&self) -> Advice {
///         Advice::Again
///     }
/// }
///
/// let runtime = VirtualRuntime::new();
/// let third_time_lucky = async |attempt| if attempt < 3 { Err(Busy) } else { Ok(attempt) };
/// assert_eq!(runtime.block_on(retry(&runtime, RetryConfig::default(), third_time_lucky)), Ok(3));
/// ```
pub async fn retry<R, F, Fut, T, E>(runtime: &R, config: RetryConfig, task: F) -> Result<T, E>
where
    R: Runtime,
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: Transient,
{
    Retry::new(runtime, config).without_budget().run(task).await
}

/// A rule for trying again, shared by those who call one service, with a budget of 10 % of their calls for retries: when the service fails for
/// everybody, retries must not become most of its load.
///
/// Clones share the budget.
pub struct Retry<R> {
    runtime: R,
    config: RetryConfig,
    budget: Option<Rc<RefCell<RetryBudget>>>,
    // Drawn from the runtime when the first delay is: at the top level of a module randomness may be forbidden.
    random: Rc<RefCell<Option<Random>>>,
}

impl<R: Runtime> Retry<R> {
    /// A rule with a budget of its own: 10 % of calls, and 10 retries a second for those who call rarely.
    pub fn new(runtime: &R, config: RetryConfig) -> Self {
        Self {
            runtime: runtime.clone(),
            config,
            budget: Some(Rc::new(RefCell::new(RetryBudget::default()))),
            random: Rc::default(),
        }
    }

    /// With another budget.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = Some(Rc::new(RefCell::new(budget)));
        self
    }

    /// Without a budget, for callers who are few by nature.
    pub fn without_budget(mut self) -> Self {
        self.budget = None;
        self
    }

    /// Runs `task` until it succeeds, its error says that trying again is no use, or it is enough.
    ///
    /// # Errors
    ///
    /// The error of the last attempt.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt that runs, or the wait for the next, and its timer.
    pub async fn run<F, Fut, T, E>(&self, task: F) -> Result<T, E>
    where
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Transient,
    {
        self.run_if(E::advice, task).await
    }

    /// Runs `task` like [`run`](Self::run), with the caller's own advice on its errors.
    ///
    /// # Errors
    ///
    /// The error of the last attempt.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_if<F, Fut, T, E>(&self, advice: impl Fn(&E) -> Advice, mut task: F) -> Result<T, E>
    where
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let started = self.runtime.now();
        if let Some(budget) = &self.budget {
            budget.borrow_mut().deposit(started);
        }
        let mut attempt = 1;
        let mut previous_delay = None;
        loop {
            let error = match task(attempt).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let retry_after = match advice(&error) {
                Advice::Never => return Err(error),
                Advice::Again => None,
                Advice::After(pause) => Some(pause),
            };
            let failed = Failed {
                attempt,
                started,
                previous_delay,
                retry_after,
            };
            match self.decide(failed) {
                Decision::GiveUp { .. } => return Err(error),
                Decision::Again { delay } => {
                    previous_delay = Some(delay);
                    self.runtime.sleep(delay).await;
                    attempt += 1;
                }
            }
        }
    }

    fn decide(&self, failed: Failed) -> Decision {
        let mut random = self.random.borrow_mut();
        let random = random.get_or_insert_with(|| Random::new(self.runtime.seed()));
        let mut budget = self.budget.as_ref().map(|budget| budget.borrow_mut());
        self.config
            .decide(self.runtime.now(), failed, budget.as_deref_mut(), random)
    }
}

/// What an error says about trying again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// It is no use.
    Never,
    /// It may help.
    Again,
    /// It may help, but not before so long: what a server's `Retry-After` says.
    After(Duration),
}

/// Errors that know whether time heals them.
pub trait Transient {
    /// What it says about trying again.
    fn advice(&self) -> Advice;
}

impl Transient for AcquireError {
    fn advice(&self) -> Advice {
        match (self.heals(), self.retry_after()) {
            (false, _) => Advice::Never,
            (true, Some(pause)) => Advice::After(pause),
            (true, None) => Advice::Again,
        }
    }
}

impl Transient for TimeoutError {
    fn advice(&self) -> Advice {
        Advice::Again
    }
}

impl<E: Transient> Transient for RunError<E> {
    fn advice(&self) -> Advice {
        match self {
            Self::Task(error) => error.advice(),
            Self::Refused(error) => error.advice(),
            Self::Timeout(error) => error.advice(),
            Self::Closed | Self::Cancelled | Self::Panicked(_) => Advice::Never,
        }
    }
}

impl<R: Clone> Clone for Retry<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            config: self.config,
            budget: self.budget.clone(),
            random: Rc::clone(&self.random),
        }
    }
}

impl<R> fmt::Debug for Retry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("config", &self.config)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

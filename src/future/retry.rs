//! Trying again: with backoff, jitter, a deadline and a budget.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::readings::Reading;
use super::runtime::Runtime;
use super::task::RunError;
use super::timeout::TimeoutError;
use super::turn::Room;
use crate::machine::config::ConfigError;
use crate::machine::random::Random;
use crate::machine::retry::{Decision, Failed, RetryBudget, RetryConfig};
use std::cell::{Cell, RefCell};
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
/// Clones share the budget, and are counted together.
pub struct Retry<R: Runtime> {
    runtime: R,
    config: RetryConfig,
    budget: Option<Rc<RefCell<RetryBudget>>>,
    // Drawn from the runtime when the first delay is: at the top level of a module randomness may be forbidden.
    random: Rc<RefCell<Option<Random>>>,
    counts: Rc<Cell<RetryCounts>>,
    room: Option<Rc<Room<R>>>,
}

/// What a rule for trying again has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RetryCounts {
    /// Calls, however often each was tried.
    pub calls: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Calls that failed although trying again might have helped: no attempt, no time or no budget was left.
    pub exhausted: u64,
}

impl<R: Runtime> Retry<R> {
    /// A rule with a budget of its own: 10 % of calls, and 10 retries a second for those who call rarely.
    pub fn new(runtime: &R, config: RetryConfig) -> Self {
        Self {
            runtime: runtime.clone(),
            config,
            budget: Some(Rc::new(RefCell::new(RetryBudget::default()))),
            random: Rc::default(),
            counts: Rc::default(),
            room: None,
        }
    }

    /// Has `host` know it by a name, so that what it counts is among the metrics.
    ///
    /// # Errors
    ///
    /// When the host knows more of them than there are numbers for.
    pub fn known_as(mut self, host: &Host<R>, name: impl Into<Rc<str>>) -> Result<Self, ConfigError> {
        let counts = Rc::clone(&self.counts);
        let count = move || Some(("retry", counts.get().readings()));
        self.room = Some(Room::counted(host, "retries", name.into(), count)?);
        Ok(self)
    }

    /// What it has seen, with its clones.
    pub fn counts(&self) -> RetryCounts {
        self.counts.get()
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
        self.count(|counts| counts.calls += 1);
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
                Decision::GiveUp { .. } => {
                    self.count(|counts| counts.exhausted += 1);
                    return Err(error);
                }
                Decision::Again { delay } => {
                    self.count(|counts| counts.retries += 1);
                    previous_delay = Some(delay);
                    self.runtime.sleep(delay).await;
                    attempt += 1;
                }
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut RetryCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    fn decide(&self, failed: Failed) -> Decision {
        let mut random = self.random.borrow_mut();
        let random = random.get_or_insert_with(|| Random::new(self.runtime.seed()));
        let mut budget = self.budget.as_ref().map(|budget| budget.borrow_mut());
        self.config
            .decide(self.runtime.now(), failed, budget.as_deref_mut(), random)
    }
}

impl RetryCounts {
    fn readings(self) -> Vec<Reading> {
        vec![
            Reading::ever("calls", self.calls),
            Reading::ever("attempts", self.retries),
            Reading::ever("exhausted", self.exhausted),
        ]
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

impl<R: Runtime> Clone for Retry<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            config: self.config,
            budget: self.budget.clone(),
            random: Rc::clone(&self.random),
            counts: Rc::clone(&self.counts),
            room: self.room.clone(),
        }
    }
}

impl<R: Runtime> fmt::Debug for Retry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("config", &self.config)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

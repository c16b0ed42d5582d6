//! A circuit breaker: stops calling what fails, and finds out gently whether it works again.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::pool::outcome_of;
use super::runtime::Runtime;
use super::subscription::Subscription;
use super::task::RunError;
use crate::machine::breaker::{BreakerConfig, BreakerCounts, BreakerSnapshot, BreakerState, Transition};
use crate::machine::config::ConfigError;
use crate::machine::gate::{Outcome, Pass};
use crate::machine::time::Instant;
use crate::machine::wakes::MachineId;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

/// Turns calls away while what they call fails: closed, open, half-open, or isolated by hand.
///
/// Unless told otherwise it opens after 5 failures in a row, lets one probe through 60 s later, and closes when the probe succeeds. Time comes with the calls: no timer
/// runs. It never lets a stampede through on half-open. It has no queue; before a pool ([`Pool::with_breaker`](super::Pool::with_breaker)) it refuses the pool's queue at
/// once when it opens, and several pools may share it.
///
/// Clones are handles of the same breaker.
///
/// # Examples
///
/// ```
/// use tidegate::{AcquireError, BreakerConfig, BreakerState, CircuitBreaker, Host, RunError, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let breaker = CircuitBreaker::new(&Host::new(runtime.clone()), BreakerConfig::default().consecutive(1)?)?;
/// let failed = runtime.block_on(breaker.run(async || Err::<(), _>("down")));
/// assert_eq!(failed, Err(RunError::Task("down")));
/// assert_eq!(breaker.state(), BreakerState::Open);
/// let refused = runtime.block_on(breaker.run(async || Ok::<_, &str>(())));
/// assert!(matches!(refused, Err(RunError::Refused(AcquireError::BrokenCircuit { .. }))));
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct CircuitBreaker<R: Runtime>(Rc<BreakerMachine<R>>);

pub(crate) struct BreakerMachine<R: Runtime> {
    pub(crate) host: Host<R>,
    pub(crate) id: MachineId,
}

impl<R: Runtime> CircuitBreaker<R> {
    /// A closed breaker in the world of `host`.
    ///
    /// # Errors
    ///
    /// When the host holds more machines than there are numbers for.
    pub fn new(host: &Host<R>, config: BreakerConfig) -> Result<Self, ConfigError> {
        Self::of(host, host.call(|world, _| world.open_breaker(config)))
    }

    /// The breaker that a [`snapshot`](Self::snapshot) tells of; one that was half-open starts with its probes anew.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn restore(
        host: &Host<R>,
        config: BreakerConfig,
        snapshot: BreakerSnapshot,
    ) -> Result<Self, ConfigError> {
        Self::of(
            host,
            host.call(|world, now| world.restore_breaker(now, config, snapshot)),
        )
    }

    fn of(host: &Host<R>, id: Option<MachineId>) -> Result<Self, ConfigError> {
        let full = || ConfigError::integer("breakers", "at most 2^24 in one host", 1 << 24);
        let host = host.clone();
        let id = id.ok_or_else(full)?;
        host.register(id, "breaker", None);
        Ok(Self(Rc::new(BreakerMachine { host, id })))
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.host.register(self.0.id, "breaker", Some(name.into()));
        self
    }

    /// Runs `task` if the breaker lets it, and learns from how it ends: an `Err` is a failure.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] when it was turned away, saying when to come back; [`RunError::Task`] with the task's own error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the task; a probe's permit returns unjudged.
    pub async fn run<F, Fut, T, E>(&self, task: F) -> Result<T, RunError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.run_judged(task, outcome_of).await
    }

    /// Runs `task` like [`run`](Self::run), with the caller's own judgement of its result: what says nothing about the target, a bad request say, is
    /// [`Outcome::Ignored`] or even a success.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_judged<F, Fut, T, E>(
        &self,
        task: F,
        judge: impl FnOnce(&Result<T, E>) -> Outcome,
    ) -> Result<T, RunError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let call = self.begin()?;
        let result = task().await;
        call.outcome.set(judge(&result));
        drop(call);
        result.map_err(RunError::Task)
    }

    /// Its state now.
    pub fn state(&self) -> BreakerState {
        let id = self.0.id;
        let state = self.0.host.call(|world, now| world.breaker_state(now, id));
        state.unwrap_or(BreakerState::Closed)
    }

    /// What it has seen.
    pub fn counts(&self) -> BreakerCounts {
        let id = self.0.id;
        self.0.host.look(|world, _| {
            world
                .breaker(id)
                .map(|breaker| *breaker.counts())
                .unwrap_or_default()
        })
    }

    /// Turns everybody away for as long as the guard lives. Several guards add up.
    pub fn isolate(&self) -> Isolation<R> {
        let id = self.0.id;
        self.0.host.call(|world, now| world.breaker_isolate(now, id));
        Isolation(self.clone())
    }

    /// What outlives it: plain numbers, for a store that other instances read.
    pub fn snapshot(&self) -> BreakerSnapshot {
        let id = self.0.id;
        let snapshot = self.0.host.call(|world, now| world.breaker_snapshot(now, id));
        snapshot.unwrap_or(BreakerSnapshot {
            state: BreakerState::Closed,
            open_for: std::time::Duration::ZERO,
            consecutive: 0,
            openings: 0,
        })
    }

    /// Calls `listener` with each change of state until the subscription is dropped. It runs after the call that brought the change has done its work.
    pub fn on_change(&self, listener: impl Fn(Transition) + 'static) -> Subscription {
        self.0.host.on_breaker_change(self.0.id, Rc::new(listener))
    }

    pub(crate) fn machine(&self) -> &BreakerMachine<R> {
        &self.0
    }

    fn begin(&self) -> Result<Call<R>, AcquireError> {
        let id = self.0.id;
        self.0.host.seed();
        let (admitted, now) = self.0.host.call(|world, now| (world.breaker_admit(now, id), now));
        let pass = admitted.map_err(|refusal| AcquireError::new(refusal, now))?;
        Ok(Call {
            breaker: self.clone(),
            pass,
            began: now,
            outcome: Cell::new(Outcome::Ignored),
        })
    }
}

/// A call that a breaker let begin; it tells the breaker how it ended when it is dropped.
struct Call<R: Runtime> {
    breaker: CircuitBreaker<R>,
    pass: Pass,
    began: Instant,
    outcome: Cell<Outcome>,
}

impl<R: Runtime> Drop for Call<R> {
    fn drop(&mut self) {
        let id = self.breaker.0.id;
        let (pass, outcome, began) = (self.pass, self.outcome.get(), self.began);
        let record = |now: Instant| (id, pass, outcome, now - began);
        self.breaker.0.host.call(|world, now| {
            let (id, pass, outcome, took) = record(now);
            world.breaker_record(now, id, pass, outcome, took);
        });
    }
}

/// A breaker that turns everybody away for as long as this lives.
#[must_use = "the breaker closes again when this is dropped"]
pub struct Isolation<R: Runtime>(CircuitBreaker<R>);

impl<R: Runtime> Drop for Isolation<R> {
    fn drop(&mut self) {
        let machine = &self.0.0;
        machine
            .host
            .call(|world, now| world.breaker_lift(now, machine.id));
    }
}

impl<R: Runtime> Drop for BreakerMachine<R> {
    fn drop(&mut self) {
        self.host.unregister(self.id);
        self.host.call(|world, _| world.drop_breaker(self.id));
    }
}

impl<R: Runtime> Clone for CircuitBreaker<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for CircuitBreaker<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> fmt::Debug for Isolation<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Isolation").field(&self.0).finish()
    }
}

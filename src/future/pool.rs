//! A pool: a bulkhead of slots with a queue before it, and tasks that run in it.

use super::acquire_error::AcquireError;
use super::breaker::CircuitBreaker;
use super::host::Host;
use super::place::{Place, PoolMachine};
use super::pool_map::PoolMap;
use super::pool_options::{CloseOptions, OnTimeout, PoolOptions, Queued};
use super::run_options::RunOptions;
use super::running::run_in;
use super::runtime::Runtime;
use super::semaphore::{OwnedPermit, Permit, place_now, wait_for_place};
use super::submission::Submission;
use super::task::{RunError, TaskContext, TaskInfo};
use crate::machine::config::ConfigError;
use crate::machine::gate::Outcome;
use crate::machine::permits::{AtEnd, Patience};
use crate::machine::time::micros;
use crate::machine::world::PoolConfig;
use futures::Stream;
use health::Check;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

pub(crate) mod health;

pub use health::Health;

/// Runs at most so many tasks at once, keeps a bounded queue before them, and gives up on what takes too long.
///
/// **Fairness.** The queue is served by priority, then by age: one step of priority overtakes at most `aging` later arrivals, so nobody
/// starves. Keys take turns. A freed slot goes to the next in the same step and nobody barges.
///
/// A task is a function that gets a [`TaskContext`] and returns a future of a `Result`; an `Err` counts as a failure wherever failures count. A task
/// that panics is that task's error and costs nobody else anything (wasm aborts instead).
///
/// Clones are handles of the same pool.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, Pool, PoolOptions, RunError, RunOptions, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let pool = Pool::new(&Host::new(runtime.clone()), PoolOptions::new(2))?;
/// let answer = runtime.block_on(pool.run(RunOptions::new(), |_| async { "42".parse::<u8>() }));
/// assert_eq!(answer, Ok(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<R: Runtime>(Rc<Inner<R>>);

struct Inner<R: Runtime> {
    machine: Rc<PoolMachine<R>>,
    breaker: Option<CircuitBreaker<R>>,
    name: Option<Rc<str>>,
    wait_timeout: Option<Duration>,
    timeout: Option<Duration>,
    on_timeout: OnTimeout,
    lease_timeout: Option<Duration>,
    paused: Cell<bool>,
    check: Option<Rc<Check<R::Parker>>>,
}

impl<R: Runtime> Pool<R> {
    /// A pool in the world of `host`.
    ///
    /// # Errors
    ///
    /// One sentence about the first option that cannot be honoured.
    pub fn new(host: &Host<R>, options: PoolOptions) -> Result<Self, ConfigError> {
        let breaker = match (options.breaker, &options.name) {
            (None, _) => None,
            (Some(config), None) => Some(CircuitBreaker::new(host, config)?),
            (Some(config), Some(name)) => Some(CircuitBreaker::new(host, config)?.named(Rc::clone(name))),
        };
        Self::behind(host, options, breaker)
    }

    /// A pool behind a breaker that others may stand behind too, in that breaker's world. A breaker among the options gives way to it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_breaker(options: PoolOptions, breaker: &CircuitBreaker<R>) -> Result<Self, ConfigError> {
        Self::behind(&breaker.machine().host, options, Some(breaker.clone()))
    }

    fn behind(
        host: &Host<R>,
        options: PoolOptions,
        breaker: Option<CircuitBreaker<R>>,
    ) -> Result<Self, ConfigError> {
        let config = PoolConfig {
            concurrency: options.concurrency,
            queue: options.queue,
        };
        let machine = PoolMachine::open(host, "concurrency", config)?;
        host.register(machine.id, "pool", options.name.clone());
        if options.histograms == Some(false) {
            machine.call(|world, _, id| world.measure_pool(id, false));
        }
        let gate = breaker.as_ref().map(|breaker| breaker.machine().id);
        // Both are held right here, so neither can be missing.
        let _gated = machine.call(|world, _, id| world.gate_pool(id, options.rates, gate));
        if options.adaptive.is_some() {
            let _adapted = machine.call(|world, now, id| world.adapt_pool(now, id, options.adaptive));
        }
        Ok(Self(Rc::new(Inner {
            machine,
            breaker,
            name: options.name,
            wait_timeout: options.wait_timeout,
            timeout: options.timeout,
            on_timeout: options.on_timeout,
            lease_timeout: options.lease_timeout,
            paused: Cell::new(false),
            check: options.health_check.map(Check::new),
        })))
    }

    /// Waits for a slot and runs `task` in it, in the caller's own time: the task is polled by whoever polls this.
    ///
    /// Nothing is asked before the first poll. The task may borrow from its caller.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] when it never started, [`RunError::Task`] with the task's own error, [`RunError::Timeout`] when it took too long
    /// (it has been dropped by then), [`RunError::Closed`] when the pool closed around it, [`RunError::Panicked`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the task if it runs, and frees its slot or its place in the queue at once.
    pub async fn run<F, Fut, T, E>(&self, options: RunOptions, task: F) -> Result<T, RunError<E>>
    where
        F: FnOnce(TaskContext) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.run_judged(options, task, outcome_of).await
    }

    /// Runs `task` like [`run`](Self::run), with a judgement of its result by the caller: what says nothing about the target should be
    /// [`Outcome::Ignored`], for the breaker's sake.
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
        options: RunOptions,
        task: F,
        judge: impl FnOnce(&Result<T, E>) -> Outcome,
    ) -> Result<T, RunError<E>>
    where
        F: FnOnce(TaskContext) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let options = self.with_defaults(options);
        let place = Place::ask(&self.0.machine, options.ask(AtEnd::Abandon), &options)?;
        run_in(place, &options, task, judge, None).await
    }

    /// Runs `task` if it can start now and nobody waits before it; `None` if waiting would help. The slot is taken when this returns; the task runs as
    /// the future is polled, as with [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// When waiting would not help: the pool is closed, or more was asked than there can ever be.
    pub fn try_run<F, Fut, T, E>(
        &self,
        options: RunOptions,
        task: F,
    ) -> Result<Option<impl Future<Output = Result<T, RunError<E>>> + use<R, F, Fut, T, E>>, AcquireError>
    where
        F: FnOnce(TaskContext) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let options = self.with_defaults(options);
        let mut ask = options.ask(AtEnd::Abandon);
        ask.patience = Patience::None;
        match Place::ask(&self.0.machine, ask, &options) {
            Ok(place) => Ok(Some(async move {
                run_in(place, &options, task, outcome_of, None).await
            })),
            Err(error) if error.heals() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands `task` over to the pool: it is asked for at once and runs beside the caller, whether or not anybody waits for the
    /// [`Submission`]. *Accepted* and *done* are two things to wait for: a producer waits for room, not for results.
    ///
    /// A task that is never accepted never starts. Closing the pool waits for what was submitted.
    pub fn submit<F, Fut, T, E>(&self, options: RunOptions, task: F) -> Submission<R, T, E>
    where
        F: FnOnce(TaskContext) -> Fut + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: 'static,
    {
        let options = self.with_defaults(options);
        let at_end = match self.0.on_timeout {
            OnTimeout::Release => AtEnd::Abandon,
            OnTimeout::Hold => AtEnd::Hold,
        };
        let host = &self.0.machine.host;
        match Place::ask(&self.0.machine, options.ask(at_end), &options) {
            Ok(place) => Submission::start(host.runtime(), place, move |place, early| {
                Box::pin(async move { run_in(place, &options, task, outcome_of, Some(early)).await })
            }),
            Err(error) => Submission::refused(host.runtime(), error),
        }
    }

    /// Runs `task` over everything in `source`, results in the order of the source, and yields them as they come.
    ///
    /// It pulls from the source only when there is a slot's worth of room, so the source may be infinite. At most 50 unread
    /// results are held (see [`PoolMap::result_buffer`]); then nothing more is started. Tasks run while the stream is polled.
    ///
    /// # Cancel safety
    ///
    /// `next()` is cancel-safe: no result is lost. Dropping the stream drops what runs and frees its slots.
    pub fn map<'a, S, F, Fut, T, E>(&self, source: S, task: F) -> PoolMap<'a, R, S, T, E>
    where
        S: Stream<Item: 'a>,
        F: Fn(S::Item, TaskContext) -> Fut + 'a,
        Fut: Future<Output = Result<T, E>> + 'a,
        T: 'a,
        E: 'a,
    {
        PoolMap::new(self.clone(), source, task)
    }

    /// Waits for a slot to hold for as long as the caller likes, or until the lease ends.
    ///
    /// # Errors
    ///
    /// When it is closed, more was asked than there can ever be, the queue turned it away, or the wait took too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place in the queue back at once, and also a slot that had been granted but not seen.
    pub async fn acquire(&self, options: RunOptions) -> Result<Permit<'_, R>, AcquireError> {
        Ok(Permit::new(
            wait_for_place(&self.0.machine, &self.as_lease(options)).await?,
        ))
    }

    /// Waits like [`acquire`](Self::acquire) for a permit that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_owned(&self, options: RunOptions) -> Result<OwnedPermit<R>, AcquireError> {
        let place = wait_for_place(&self.0.machine, &self.as_lease(options)).await?;
        Ok(OwnedPermit::new(place))
    }

    /// Takes a slot if it can be had now and nobody waits for it; `None` if waiting would help.
    ///
    /// # Errors
    ///
    /// When waiting would not help: it is closed, or more was asked than there can ever be.
    pub fn try_acquire(&self, options: RunOptions) -> Result<Option<Permit<'_, R>>, AcquireError> {
        Ok(place_now(&self.0.machine, &self.as_lease(options))?.map(Permit::new))
    }

    /// Changes the number of slots; 0 counts as 1. Growth is granted at once; what runs above a shrunk bound finishes. A queued
    /// task that would not fit even then is turned away.
    pub fn resize(&self, concurrency: u32) {
        self.0
            .machine
            .call(|world, now, id| world.pool_resize(now, id, concurrency));
    }

    /// Holds an adaptive pool at or below `ceiling` until it is lifted with `None`: for times of pressure on the host itself, which latencies do not show.
    pub fn hold_at(&self, ceiling: Option<u32>) {
        self.0
            .machine
            .call(|world, now, id| world.pool_ceiling(now, id, ceiling));
    }

    /// Starts nothing until [`resume`](Self::resume). What runs goes on, and the intake stays open.
    pub fn pause(&self) {
        self.0.paused.set(true);
        self.0.machine.call(|world, _, id| world.pool_pause(id));
    }

    /// Starts tasks again.
    pub fn resume(&self) {
        self.0.paused.set(false);
        self.0.machine.call(|world, now, id| world.pool_resume(now, id));
    }

    /// Starts nothing for so long: the answer to a `Retry-After` that speaks for the whole target.
    pub fn cool_down(&self, pause: Duration) {
        self.0
            .machine
            .call(|world, now, id| world.pool_cool_down(id, now + pause));
    }

    /// Waits until nothing runs and nobody waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn on_idle(&self) {
        let machine = &self.0.machine;
        machine
            .host
            .watch(|world| {
                world
                    .pool(machine.id)
                    .is_none_or(|permits| permits.is_idle())
                    .then_some(())
            })
            .await;
    }

    /// Stops the intake and waits until what is queued and running has finished. When the grace is over, the queue is refused, running tasks are dropped, and those are
    /// what it returns.
    ///
    /// # Cancel safety
    ///
    /// The closing begins with the first poll; dropping the future then only stops waiting for it.
    pub async fn close(&self, options: CloseOptions) -> Vec<TaskInfo> {
        let refuse_queue = options.queued == Queued::Reject;
        let grace = micros(options.grace);
        let machine = &self.0.machine;
        machine.call(|world, now, id| world.pool_close(now, id, refuse_queue, grace));
        self.end_checks();
        self.on_idle().await;
        machine.ledger.take_revoked()
    }

    /// Everybody who waits or runs, in the order in which they asked.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.0.machine.ledger.tasks()
    }

    /// The name it was given.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Slots there are.
    pub fn concurrency(&self) -> u32 {
        self.0.machine.look(|permits, _| permits.capacity())
    }

    /// Tasks that hold slots.
    pub fn active(&self) -> u32 {
        self.0.machine.look(|permits, _| permits.active())
    }

    /// Tasks in the queue.
    pub fn queued(&self) -> u32 {
        self.0.machine.look(|permits, _| permits.queued())
    }

    /// Tasks that wait outside the queue for room in it.
    pub fn waiting_for_room(&self) -> u32 {
        self.0.machine.look(|permits, _| permits.waiting_for_room())
    }

    /// Tasks whose slots are free and that have not ended yet.
    pub fn abandoned(&self) -> u32 {
        self.0.machine.look(|permits, _| permits.abandoned())
    }

    /// Whether the intake is closed.
    pub fn is_closed(&self) -> bool {
        self.0.machine.look(|permits, _| permits.is_closed())
    }

    /// The breaker before it.
    pub fn breaker(&self) -> Option<&CircuitBreaker<R>> {
        self.0.breaker.as_ref()
    }

    /// The host it lives in.
    pub fn host(&self) -> &Host<R> {
        &self.0.machine.host
    }

    fn with_defaults(&self, mut options: RunOptions) -> RunOptions {
        self.begin_checks();
        options.wait_timeout = options.wait_timeout.or(self.0.wait_timeout);
        options.timeout = options.timeout.or(self.0.timeout);
        options
    }

    fn as_lease(&self, mut options: RunOptions) -> RunOptions {
        self.begin_checks();
        options.wait_timeout = options.wait_timeout.or(self.0.wait_timeout);
        options.timeout = options.timeout.or(self.0.lease_timeout);
        options
    }
}

/// An `Err` is a failure.
pub(crate) fn outcome_of<T, E>(result: &Result<T, E>) -> Outcome {
    if result.is_ok() {
        Outcome::Success
    } else {
        Outcome::Failure
    }
}

impl<R: Runtime> Clone for Pool<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for Pool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.0.name)
            .field("concurrency", &self.concurrency())
            .field("active", &self.active())
            .field("queued", &self.queued())
            .finish()
    }
}

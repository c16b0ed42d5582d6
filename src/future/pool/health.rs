//! How well a pool does, and a check that says whether what it calls is there.

use super::Pool;
use crate::future::acquire_error::AcquireError;
use crate::future::runtime::{Parker, Runtime};
use crate::future::task::TaskState;
use crate::machine::breaker::BreakerState;
use crate::machine::permits::Permits;
use crate::machine::time::Instant;
use futures::future::{Either, FutureExt, LocalBoxFuture, select};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};
use std::task::{Poll, ready};
use std::time::Duration;

/// How well a pool does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Health {
    /// All is as it should be.
    Healthy,
    /// Work is done, but worse than it should.
    Degraded,
    /// Nothing gets done.
    Stalled,
}

/// Somebody waits and nothing has started for so long: then nothing gets done.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// A check that has not come back after so many intervals is given up, and another begins.
const GIVEN_UP: u32 = 10;

impl<R: Runtime> Pool<R> {
    /// Waits until the pool's health check has passed and none has failed since; at once where there is no check.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`] when it is closed, also meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing; the checks go on.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    /// use tidegate::{Health, Host, Pool, PoolOptions, VirtualRuntime};
    ///
    /// let runtime = VirtualRuntime::new();
    /// let looks = Rc::new(Cell::new(0));
    /// let counted = Rc::clone(&looks);
    /// let options = PoolOptions::new(4).health_check(Duration::from_secs(5), move || {
    ///     counted.set(counted.get() + 1);
    ///     let up = counted.get() == 3;
    ///     async move { if up { Ok(()) } else { Err("not yet") } }
    /// });
    /// let pool = Pool::new(&Host::new(runtime.clone()), options)?;
    /// runtime.block_on(pool.ready())?;
    /// assert_eq!((looks.get(), pool.health()), (3, Health::Healthy));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn ready(&self) -> Result<(), AcquireError> {
        let Some(check) = &self.0.check else {
            return if self.is_closed() {
                Err(AcquireError::Closed)
            } else {
                Ok(())
            };
        };
        self.begin_checks();
        let parker = self.0.machine.host.runtime().park();
        poll_fn(|context| {
            loop {
                if self.is_closed() {
                    return Poll::Ready(Err(AcquireError::Closed));
                }
                if check.passed.get() == Some(true) {
                    return Poll::Ready(Ok(()));
                }
                check.waiting.borrow_mut().push(parker.clone());
                ready!(parker.poll_parked(context));
            }
        })
        .await
    }

    /// How well the pool does, now.
    ///
    /// [`Stalled`](Health::Stalled) when nothing gets done: it is closed or paused; its breaker is open or isolated; somebody waits and nothing
    /// has started for 30 s; its health check has not come back within its interval. [`Degraded`](Health::Degraded) when work is done but worse
    /// than it should: its health check failed last, or has not passed yet; its breaker is half-open; work was abandoned and goes on; its queue
    /// is above 80 %, or callers wait for room.
    pub fn health(&self) -> Health {
        self.begin_checks();
        let now = self.0.machine.host.runtime().now();
        let checked = self
            .0
            .check
            .as_ref()
            .map_or(Health::Healthy, |check| check.health(now));
        let circuit = match self.0.breaker.as_ref().map(|breaker| breaker.state()) {
            Some(BreakerState::Open | BreakerState::Isolated) => Health::Stalled,
            Some(BreakerState::HalfOpen) => Health::Degraded,
            Some(BreakerState::Closed) | None => Health::Healthy,
        };
        let own = if self.is_closed() || self.0.paused.get() || self.nothing_starts(now) {
            Health::Stalled
        } else if self.0.machine.look(|permits, _| is_behind(permits)) {
            Health::Degraded
        } else {
            Health::Healthy
        };
        own.max(circuit).max(checked)
    }

    /// Begins to check, at the first use of the pool: nothing runs or is timed before.
    pub(super) fn begin_checks(&self) {
        let Some(check) = &self.0.check else { return };
        if !check.begun.replace(true) {
            let runtime = self.0.machine.host.runtime();
            runtime.spawn(keep_checking(runtime.clone(), Rc::downgrade(check)));
        }
    }

    /// No more checks, and whoever waits for one is told.
    pub(super) fn end_checks(&self) {
        if let Some(check) = &self.0.check {
            check.over.set(true);
            check.wake();
        }
    }

    fn nothing_starts(&self, now: Instant) -> bool {
        if self.queued() + self.waiting_for_room() == 0 {
            return false;
        }
        let (mut last_start, mut first_wait) = (Instant::ZERO, Instant::FAR_FUTURE);
        for task in self.tasks() {
            match (task.state, task.started_at) {
                (TaskState::Running, Some(started)) => last_start = last_start.max(started),
                (TaskState::Queued, _) => first_wait = first_wait.min(task.queued_at),
                _ => {}
            }
        }
        now - last_start.max(first_wait) >= STALLED_AFTER
    }
}

fn is_behind(permits: &Permits) -> bool {
    let queued = u64::from(permits.queued());
    let is_nearly_full = permits
        .queue_capacity()
        .is_some_and(|capacity| queued * 10 > u64::from(capacity) * 8);
    permits.abandoned() > 0 || permits.waiting_for_room() > 0 || is_nearly_full
}

/// What a pool is told to look at, and how often.
#[derive(Clone)]
pub(crate) struct HealthCheck {
    every: Duration,
    look: Look,
}

type Look = Rc<dyn Fn() -> LocalBoxFuture<'static, bool>>;

impl HealthCheck {
    pub(crate) fn new<F, Fut, T, E>(every: Duration, look: F) -> Self
    where
        F: Fn() -> Fut + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
    {
        Self {
            every,
            look: Rc::new(move || look().map(|answer| answer.is_ok()).boxed_local()),
        }
    }
}

/// The checks of one pool.
pub(super) struct Check<P> {
    options: HealthCheck,
    begun: Cell<bool>,
    over: Cell<bool>,
    // Since when one is under way.
    running: Cell<Option<Instant>>,
    passed: Cell<Option<bool>>,
    waiting: RefCell<Vec<P>>,
}

impl<P: Parker> Check<P> {
    pub(super) fn new(options: HealthCheck) -> Rc<Self> {
        Rc::new(Self {
            options,
            begun: Cell::new(false),
            over: Cell::new(false),
            running: Cell::new(None),
            passed: Cell::new(None),
            waiting: RefCell::default(),
        })
    }

    fn health(&self, now: Instant) -> Health {
        let is_late = |began| now - began > self.options.every;
        if self.running.get().is_some_and(is_late) {
            Health::Stalled
        } else if self.passed.get() == Some(true) {
            Health::Healthy
        } else {
            Health::Degraded
        }
    }

    fn wake(&self) {
        for waiter in self.waiting.take() {
            waiter.unpark();
        }
    }
}

/// Looks, one time after the other, until the pool is closed or gone.
async fn keep_checking<R: Runtime>(runtime: R, check: Weak<Check<R::Parker>>) {
    loop {
        let (look, every) = {
            let Some(check) = check.upgrade().filter(|check| !check.over.get()) else {
                return;
            };
            check.running.set(Some(runtime.now()));
            let HealthCheck { every, look } = &check.options;
            (Rc::clone(look), *every)
        };
        let began = runtime.now();
        // Called inside, so that a panic before its first await is a failure like any other.
        let looking = AssertUnwindSafe(async move { look().await }).catch_unwind();
        let limit = runtime.sleep_until(began + every.saturating_mul(GIVEN_UP));
        let answer = match select(Box::pin(looking), Box::pin(limit)).await {
            Either::Left((answer, _)) => Some(answer.unwrap_or(false)),
            Either::Right(_) => None,
        };
        {
            let Some(check) = check.upgrade() else { return };
            if let Some(passed) = answer {
                check.running.set(None);
                check.passed.set(Some(passed));
                if passed {
                    check.wake();
                }
            }
        }
        // One that took longer than its interval is followed at the next beginning of one.
        let turns = (runtime.now() - began).as_micros() / every.as_micros().max(1) + 1;
        let pause = every.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
        runtime.sleep_until(began + pause).await;
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! A rate limiter: how much may begin within a time.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::ledger::{Ledger, Stage};
use super::runtime::Runtime;
use super::seated::Seated;
use crate::machine::config::ConfigError;
use crate::machine::limiter::{Limited, LimiterCounts};
use crate::machine::rate::RateConfig;
use crate::machine::wakes::MachineId;
use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

/// Lets so much begin within a time: token buckets, sliding windows, or several of them together, all or nothing.
///
/// **Fairness.** Whoever waits is served first come, first served; one who asks for much is not overtaken by those who ask for little.
/// Nobody waits in vain: who could not be served within its time is refused at once.
///
/// Clones are handles of the same limiter.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::{Host, RateConfig, RateLimiter, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let twice_a_second = RateConfig::sliding_window(2, Duration::from_secs(1))?;
/// let limiter = RateLimiter::new(&Host::new(runtime.clone()), [twice_a_second])?;
/// assert!(limiter.try_acquire(2));
/// assert!(!limiter.try_acquire(1));
/// assert_eq!(runtime.block_on(limiter.acquire(1)), Ok(()));
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct RateLimiter<R: Runtime>(Rc<LimiterMachine<R>>);

struct LimiterMachine<R: Runtime> {
    host: Host<R>,
    id: MachineId,
    ledger: Rc<Ledger<R::Parker>>,
}

impl<R: Runtime> RateLimiter<R> {
    /// A limiter with these rules; without a rule everything passes.
    ///
    /// # Errors
    ///
    /// When the host holds more machines than there are numbers for.
    pub fn new(host: &Host<R>, rules: impl IntoIterator<Item = RateConfig>) -> Result<Self, ConfigError> {
        let full = || ConfigError::integer("limiters", "at most 2^24 in one host", 1 << 24);
        let id = host.call(|world, _| world.open_limiter(rules)).ok_or_else(full)?;
        host.register(id, "rate", None);
        Ok(Self(Rc::new(LimiterMachine {
            host: host.clone(),
            id,
            ledger: host.open_ledger(id),
        })))
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.host.register(self.0.id, "rate", Some(name.into()));
        self
    }

    /// Takes `cost` tokens if they are there and nobody waits for them.
    pub fn try_acquire(&self, cost: u32) -> bool {
        let id = self.0.id;
        let answer = self
            .0
            .host
            .call(|world, now| world.limiter_request(now, id, cost, Some(Duration::ZERO)));
        answer == Limited::Passed
    }

    /// Waits for `cost` tokens for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`AcquireError::NeverPossible`] for more than there can ever be, [`AcquireError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line at once, and gives tokens back that had been granted but not seen.
    pub async fn acquire(&self, cost: u32) -> Result<(), AcquireError> {
        self.wait_for(cost, None).await
    }

    /// Waits for `cost` tokens, all its parts together at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`AcquireError::RateLimited`] at once if they cannot be there in time.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_within(&self, cost: u32, timeout: Duration) -> Result<(), AcquireError> {
        self.wait_for(cost, Some(timeout)).await
    }

    /// Lets nobody pass for so long, as a server's `Retry-After` asks. Of several the latest counts.
    pub fn cool_down(&self, pause: Duration) {
        let id = self.0.id;
        self.0
            .host
            .call(|world, now| world.limiter_cool_down(now, id, now + pause));
    }

    /// Refuses everybody in line and whoever comes from now on.
    pub fn close(&self) {
        self.0.host.call(|world, _| world.limiter_close(self.0.id));
    }

    /// What it has seen.
    pub fn counts(&self) -> LimiterCounts {
        let id = self.0.id;
        self.0.host.look(|world, _| {
            world
                .limiter(id)
                .map(|limiter| *limiter.counts())
                .unwrap_or_default()
        })
    }

    /// How many stand in line.
    pub fn waiting(&self) -> usize {
        let id = self.0.id;
        self.0
            .host
            .look(|world, _| world.limiter(id).map_or(0, |limiter| limiter.waiting()))
    }

    async fn wait_for(&self, cost: u32, patience: Option<Duration>) -> Result<(), AcquireError> {
        let (host, id) = (&self.0.host, self.0.id);
        let asked = host.call_quietly(|world, now| (world.limiter_request(now, id, cost, patience), now));
        let ticket = match asked {
            (Limited::Waiting(ticket), _) => ticket,
            (Limited::Passed, _) => {
                host.drain();
                return Ok(());
            }
            (Limited::Refused(refusal), now) => {
                host.drain();
                return Err(AcquireError::new(refusal, now));
            }
        };
        let turn = Turn {
            seated: Seated::take(host, &self.0.ledger, ticket, host.number(), None, Stage::Queued),
            id,
            cost,
            taken: Cell::new(false),
        };
        turn.come().await
    }
}

/// A turn in the line of a limiter.
struct Turn<R: Runtime> {
    seated: Seated<R>,
    id: MachineId,
    cost: u32,
    taken: Cell<bool>,
}

impl<R: Runtime> Turn<R> {
    async fn come(&self) -> Result<(), AcquireError> {
        let now = || self.seated.host.runtime().now();
        let outcome = poll_fn(|context| {
            self.seated.poll_stage(context, |stage| match stage {
                Stage::Holding => Some(Ok(())),
                Stage::Refused(refusal) => Some(Err(AcquireError::new(refusal, now()))),
                Stage::Expired | Stage::Revoked => Some(Err(AcquireError::Closed)),
                Stage::Outside | Stage::Queued | Stage::Ready | Stage::Failed => None,
            })
        })
        .await;
        self.taken.set(outcome.is_ok());
        outcome
    }
}

impl<R: Runtime> Drop for Turn<R> {
    fn drop(&mut self) {
        if self.taken.get() || matches!(self.seated.stage(), Stage::Refused(_)) {
            return;
        }
        let (id, ticket, cost) = (self.id, self.seated.ticket, self.cost);
        let taken_at = self.seated.seat.started_at();
        self.seated.host.call(|world, now| {
            // Who is no longer in line was served, and what it was served nobody has seen.
            if world.limiter_cancel(now, id, ticket).is_err() {
                world.limiter_refund(now, id, taken_at.unwrap_or(now), cost);
            }
        });
    }
}

impl<R: Runtime> Drop for LimiterMachine<R> {
    fn drop(&mut self) {
        self.host.unregister(self.id);
        self.host.close_ledger(self.id);
        self.host.call(|world, _| world.drop_limiter(self.id));
    }
}

impl<R: Runtime> Clone for RateLimiter<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for RateLimiter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

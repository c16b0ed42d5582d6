//! A semaphore: so many permits, and a fair line before them.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::place::{Place, PoolMachine};
use super::run_options::RunOptions;
use super::runtime::Runtime;
use crate::machine::config::ConfigError;
use crate::machine::gate::Outcome;
use crate::machine::permits::{AtEnd, Patience};
use crate::machine::queue::QueueConfig;
use crate::machine::time::{Instant, micros};
use crate::machine::world::PoolConfig;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

/// A number of permits that tasks hold while they work.
///
/// **Fairness.** Whoever waits is served by priority, then by age; nobody barges, and a released permit goes to the next
/// waiter in the same step. One that wants several permits blocks those behind it until it has them all, so that it cannot starve.
///
/// Clones are handles of the same semaphore.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, RunOptions, Semaphore, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let semaphore = Semaphore::new(&Host::new(runtime.clone()), 2)?;
/// runtime.block_on(async {
///     let permit = semaphore.acquire(RunOptions::new()).await?;
///     assert_eq!(semaphore.available(), 1);
///     drop(permit);
///     assert_eq!(semaphore.available(), 2);
///     Ok::<_, tidegate::AcquireError>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Semaphore<R: Runtime>(Rc<PoolMachine<R>>);

impl<R: Runtime> Semaphore<R> {
    /// A semaphore with `permits` permits and an unbounded line.
    ///
    /// # Errors
    ///
    /// When `permits` is 0, or the host holds more machines than there are numbers for.
    pub fn new(host: &Host<R>, permits: u32) -> Result<Self, ConfigError> {
        Self::with_queue(host, permits, QueueConfig::default())
    }

    /// A semaphore whose line is bounded.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_queue(host: &Host<R>, permits: u32, queue: QueueConfig) -> Result<Self, ConfigError> {
        PoolMachine::open(
            host,
            "permits",
            PoolConfig {
                concurrency: permits,
                queue,
            },
        )
        .map(Self)
    }

    /// Waits for a permit, or for as many as the options' weight says, together.
    ///
    /// Nothing is asked before the first poll.
    ///
    /// # Errors
    ///
    /// When it is closed, more was asked than there can ever be, the line is full, or the wait took longer than the options allow.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place in the line back at once, and also a permit that had been granted but not seen.
    pub async fn acquire(&self, options: RunOptions) -> Result<Permit<'_, R>, AcquireError> {
        let place = wait_for_place(&self.0, &options).await?;
        Ok(Permit::new(place))
    }

    /// Waits like [`acquire`](Self::acquire) for a permit that keeps the semaphore alive, for tasks that outlive the caller.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_owned(&self, options: RunOptions) -> Result<OwnedPermit<R>, AcquireError> {
        let place = wait_for_place(&self.0, &options).await?;
        Ok(OwnedPermit::new(place))
    }

    /// Takes a permit if it can be had now and nobody waits for it; `None` if waiting would help.
    ///
    /// # Errors
    ///
    /// When waiting would not help: it is closed, or more was asked than there can ever be.
    pub fn try_acquire(&self, options: RunOptions) -> Result<Option<Permit<'_, R>>, AcquireError> {
        Ok(place_now(&self.0, &options)?.map(Permit::new))
    }

    /// Takes a permit like [`try_acquire`](Self::try_acquire), for tasks that outlive the caller.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(&self, options: RunOptions) -> Result<Option<OwnedPermit<R>>, AcquireError> {
        Ok(place_now(&self.0, &options)?.map(OwnedPermit::new))
    }

    /// Changes the number of permits; 0 counts as 1. Growth is granted at once; what is held above a shrunk bound is held until it is given
    /// back. A waiter that would not fit even then is turned away.
    pub fn resize(&self, permits: u32) {
        self.0.call(|world, now, id| world.pool_resize(now, id, permits));
    }

    /// Turns away everybody who waits or comes from here on. Permits that are held stay held.
    pub fn close(&self) {
        self.0
            .call(|world, now, id| world.pool_close(now, id, true, u64::MAX));
    }

    /// Permits there are.
    pub fn permits(&self) -> u32 {
        self.0.look(|permits, _| permits.capacity())
    }

    /// Permits that nobody holds.
    pub fn available(&self) -> u32 {
        self.0
            .look(|permits, _| permits.capacity().saturating_sub(permits.in_use()))
    }

    /// How many wait in line.
    pub fn queued(&self) -> u32 {
        self.0.look(|permits, _| permits.queued())
    }

    /// How many wait outside a full line for room in it.
    pub fn waiting_for_room(&self) -> u32 {
        self.0.look(|permits, _| permits.waiting_for_room())
    }
}

/// One or several permits, held until this is dropped.
#[must_use = "the permit is given back when this is dropped"]
pub struct Permit<'a, R: Runtime> {
    held: Held<R>,
    of: PhantomData<&'a ()>,
}

/// One or several permits that keep their semaphore or pool alive, held until this is dropped.
#[must_use = "the permit is given back when this is dropped"]
pub struct OwnedPermit<R: Runtime>(Held<R>);

struct Held<R: Runtime>(Place<R>);

impl<R: Runtime> Held<R> {
    fn new(place: Place<R>) -> Self {
        place.ends_with(Outcome::Success);
        Self(place)
    }

    fn renew(&self, lease: Duration) -> bool {
        self.0.holds() && self.0.renew(micros(lease))
    }
}

macro_rules! permit_methods {
    () => {
        /// A number that nothing else of this host has.
        pub fn id(&self) -> u64 {
            self.held().0.seat().id
        }

        /// When it was granted.
        pub fn granted_at(&self) -> Instant {
            let seat = self.held().0.seat();
            seat.started_at().unwrap_or(seat.queued_at)
        }

        /// Whether it is still held: a lease that was not renewed in time is not, nor one that a closing pool took back.
        pub fn is_held(&self) -> bool {
            self.held().0.holds()
        }

        /// Moves the end of the lease to `lease` from now; `false` if it is over already.
        pub fn renew(&self, lease: Duration) -> bool {
            self.held().renew(lease)
        }

        /// Gives it back and says that the work it was for has failed, for the breaker that stands before it.
        pub fn release_failed(self) {
            self.held().0.ends_with(Outcome::Failure);
        }

        /// Gives it back; the same as dropping it.
        pub fn release(self) {}
    };
}

impl<R: Runtime> Permit<'_, R> {
    permit_methods!();

    pub(crate) fn new(place: Place<R>) -> Self {
        Self {
            held: Held::new(place),
            of: PhantomData,
        }
    }

    fn held(&self) -> &Held<R> {
        &self.held
    }
}

impl<R: Runtime> OwnedPermit<R> {
    permit_methods!();

    pub(crate) fn new(place: Place<R>) -> Self {
        Self(Held::new(place))
    }

    fn held(&self) -> &Held<R> {
        &self.0
    }
}

pub(crate) async fn wait_for_place<R: Runtime>(
    machine: &Rc<PoolMachine<R>>,
    options: &RunOptions,
) -> Result<Place<R>, AcquireError> {
    let place = Place::ask(machine, options.ask(AtEnd::Revoke), options)?;
    place.granted().await?;
    Ok(place)
}

pub(crate) fn place_now<R: Runtime>(
    machine: &Rc<PoolMachine<R>>,
    options: &RunOptions,
) -> Result<Option<Place<R>>, AcquireError> {
    let mut ask = options.ask(AtEnd::Revoke);
    ask.patience = Patience::None;
    match Place::ask(machine, ask, options) {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.heals() => Ok(None),
        Err(error) => Err(error),
    }
}

impl<R: Runtime> Clone for Semaphore<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for Semaphore<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.permits())
            .field("available", &self.available())
            .field("queued", &self.queued())
            .finish()
    }
}

impl<R: Runtime> fmt::Debug for Permit<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.id()).finish()
    }
}

impl<R: Runtime> fmt::Debug for OwnedPermit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedPermit").field(&self.id()).finish()
    }
}

//! Named locks.

use super::host::Host;
use super::ledger::Stage;
use super::owner::{DeadlockStep, Owner};
use super::runtime::Runtime;
use super::turn::{Leave, Room, Turn};
use crate::machine::config::ConfigError;
use crate::machine::locks::{
    ACQUIRE_TIMEOUT, Answer, Claim, LockSet as Machine, Mode, RESERVE_TIMEOUT, Report,
};
use crate::machine::permits::Patience;
use crate::machine::ticket::Ticket;
use crate::machine::time::micros;
use crate::machine::wait_for::{Owner as Name, Resource};
use crate::machine::wakes::Refusal;
use crate::machine::world::World;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

mod error;
mod names;

pub use error::LockError;
use names::Names;

/// Locks by name, several at a time, that cannot hang unseen.
///
/// [`acquire`](Self::acquire) takes its locks one after the other in one order for all callers, the declared one and then
/// by name, and releases them in reverse. [`reserve`](Self::reserve) takes all of them in one step or none, and holds
/// nothing while it waits.
///
/// **Fairness.** First come, first served for each lock, and nobody barges. A reservation that cannot be served yet may be
/// passed, at most 16 times.
///
/// **Owners.** Whoever names an [`Owner`] passes the locks that it holds already, and is told at once when its waiting would
/// close a cycle of owners who wait for each other, through locks of any set of this host and the pools of tasks that
/// name their parents; the youngest of them gets [`LockError::Deadlock`] with the chain. Without an owner nothing is
/// guessed. Orders that contradict each other are found before they ever deadlock: [`take_inversion`](Self::take_inversion).
///
/// **Closing.** [`close`](Self::close) ends waiting; what is held stays held until it is released.
///
/// Clones are handles of the same locks.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, LockOptions, LockSet, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let locks = LockSet::new(&Host::new(runtime.clone()))?;
/// runtime.block_on(async {
///     let both = locks.acquire(["stats", "cache"], LockOptions::new()).await?;
///     assert_eq!(both.names().map(|name| name.to_string()).collect::<Vec<_>>(), ["cache", "stats"]);
///     assert!(locks.try_acquire(["cache"], LockOptions::new()).is_none());
///     Ok::<(), tidegate::LockError>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LockSet<R: Runtime>(Rc<Inner<R>>);

struct Inner<R: Runtime> {
    room: Rc<Room<R>>,
    names: Rc<Names>,
}

/// What a caller says about a claim. By default it has no owner, and waits 10 s to acquire (longer than a critical
/// section should ever take, short enough to be noticed) and 30 s to reserve (several locks must be free at once).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LockOptions {
    owner: Option<Owner>,
    limit: Limit,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Limit {
    #[default]
    Usual,
    Of(Duration),
    None,
}

impl LockOptions {
    /// No owner, the usual time-out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names who asks: an [`Owner`] or the context of a task.
    pub fn owner(mut self, owner: impl Into<Owner>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// How long all of it may take; zero would not wait at all.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = Limit::Of(timeout);
        self
    }

    /// Waits for as long as it takes.
    pub fn no_timeout(mut self) -> Self {
        self.limit = Limit::None;
        self
    }
}

impl<R: Runtime> LockSet<R> {
    /// Locks whose order is that of their names.
    ///
    /// # Errors
    ///
    /// When the host holds more machines than there are numbers for.
    pub fn new(host: &Host<R>) -> Result<Self, ConfigError> {
        Self::with_order(host, [""; 0])
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.room.name(name.into());
        self
    }

    /// Locks of which these are taken first, in this order.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_order(
        host: &Host<R>,
        order: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ConfigError> {
        let names = Rc::new(Names::default());
        let declared: Vec<u32> = order
            .into_iter()
            .map(|name| names.number(name.as_ref()))
            .collect();
        names.declared.set(declared.len());
        let machine = Machine::new().with_order(&declared);
        let room = Room::open(
            host,
            "lock sets",
            |world| world.open_locks(machine),
            World::drop_locks,
        )?;
        let by_number = Rc::clone(&names);
        host.label(room.id, move |number| {
            format!("lock {:?}", by_number.name(number))
        });
        Ok(Self(Rc::new(Inner { room, names })))
    }

    /// Takes locks one after the other, waiting for each, and keeps what it has while it waits for the next.
    ///
    /// # Errors
    ///
    /// [`LockError::Timeout`] when all of it took too long, [`LockError::Deadlock`], [`LockError::Closed`]. It holds
    /// nothing then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives back at once what it had, and its place in line.
    pub async fn acquire(
        &self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
        options: LockOptions,
    ) -> Result<LockGuard<R>, LockError> {
        self.claim(
            Mode::Ordered,
            self.0.names.numbers(names),
            options,
            ACQUIRE_TIMEOUT,
        )
        .await
    }

    /// Takes locks if all of them are free now and nobody waits for them; `None` if waiting would help.
    pub fn try_acquire(
        &self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
        options: LockOptions,
    ) -> Option<LockGuard<R>> {
        let numbers = self.0.names.numbers(names);
        self.ask(Mode::Ordered, &numbers, options.owner, Patience::None)
            .ok()
    }

    /// Takes all of the locks in one step, as soon as all of them are free, and holds none before.
    ///
    /// # Errors
    ///
    /// [`LockError::Conflict`] at once for a time-out of zero, [`LockError::Timeout`], [`LockError::Deadlock`],
    /// [`LockError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn reserve(
        &self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
        options: LockOptions,
    ) -> Result<LockGuard<R>, LockError> {
        self.claim(Mode::Unit, self.0.names.numbers(names), options, RESERVE_TIMEOUT)
            .await
    }

    /// Ends waiting: those who wait, and whoever asks later and would have to, are turned away. Guards keep their locks
    /// until they are dropped.
    pub fn close(&self) {
        self.0.room.call(|world, now, id| {
            world.at_locks(now, id, |locks, graph, wakes| locks.close(now, graph, wakes))
        });
    }

    /// Whether somebody holds a lock.
    pub fn is_held(&self, name: &str) -> bool {
        self.look(name, |locks, number| locks.holder(number).is_some())
    }

    /// The number of the declared owner who holds a lock.
    pub fn holder(&self, name: &str) -> Option<u64> {
        self.look(name, |locks, number| match locks.holder(number) {
            Some(Name::Named(owner)) => Some(owner),
            Some(Name::Request(_)) | None => None,
        })
    }

    /// How many wait for a lock.
    pub fn waiting(&self, name: &str) -> usize {
        self.look(name, |locks, number| locks.waiting(number))
    }

    /// The oldest order against another that was not told yet: `wanted` was asked for while `held` was held, though it has
    /// been the other way round, or a declared order says so. Each pair is told once, whether or not it ever deadlocks.
    pub fn take_inversion(&self) -> Option<LockInversion> {
        let inversion = self
            .0
            .room
            .call(|world, now, id| world.at_locks(now, id, |locks, _, _| locks.take_inversion()))??;
        Some(LockInversion {
            held: self.0.names.name(inversion.held),
            wanted: self.0.names.name(inversion.wanted),
            declared: inversion.declared,
        })
    }

    async fn claim(
        &self,
        mode: Mode,
        numbers: Vec<u32>,
        options: LockOptions,
        usual: Duration,
    ) -> Result<LockGuard<R>, LockError> {
        let limit = match options.limit {
            Limit::Usual => Some(usual),
            Limit::Of(limit) => Some(limit),
            Limit::None => None,
        };
        let patience = limit.map_or(Patience::Forever, |limit| Patience::Micros(micros(limit)));
        let guard = self
            .ask(mode, &numbers, options.owner, patience)
            .map_err(|refusal| self.error(refusal, None, limit))?;
        guard
            .turn
            .come()
            .await
            .map_err(|refusal| self.error(refusal, Some(guard.turn.ticket()), limit))?;
        Ok(guard)
    }

    fn ask(
        &self,
        mode: Mode,
        numbers: &[u32],
        owner: Option<Owner>,
        patience: Patience,
    ) -> Result<LockGuard<R>, Refusal> {
        let room = &self.0.room;
        let answer = room.host.call_quietly(|world, now| {
            if let Some(owner) = owner {
                world.declare_task(owner.as_parent());
            }
            let claim = Claim {
                locks: numbers,
                mode,
                owner: owner.map(|owner| owner.id()),
                patience,
            };
            world.at_locks(now, room.id, |locks, graph, wakes| {
                locks.claim(now, claim, graph, wakes)
            })
        });
        let leave: Leave = |world, now, id, ticket| {
            world.at_locks(now, id, |locks, graph, wakes| {
                locks.cancel(now, ticket, graph, wakes)
            });
        };
        let (ticket, stage) = match answer {
            Some(Answer::Granted(ticket)) => (ticket, Stage::Holding),
            Some(Answer::Waiting(ticket)) => (ticket, Stage::Queued),
            Some(Answer::Refused(refusal)) => {
                room.host.drain();
                return Err(refusal);
            }
            None => return Err(Refusal::Closed),
        };
        let turn = Turn::take(room, ticket, stage, leave);
        Ok(LockGuard {
            turn,
            locks: Rc::clone(&self.0),
        })
    }

    fn error(&self, refusal: Refusal, of: Option<Ticket>, limit: Option<Duration>) -> LockError {
        let room = &self.0.room;
        let report = room.call(|world, now, id| world.at_locks(now, id, |locks, _, _| locks.take_report(of)));
        let Report {
            wanted,
            held,
            taken,
            chain,
        } = report.flatten().unwrap_or_default();
        let names = |numbers: Vec<u32>| {
            numbers
                .into_iter()
                .map(|number| self.0.names.name(number))
                .collect()
        };
        let (wanted, held, taken) = (names(wanted), names(held), names(taken));
        match refusal {
            Refusal::Deadlock => {
                let chain = DeadlockStep::chain(&chain, |resource: Resource| room.host.label_of(resource));
                LockError::Deadlock { wanted, held, chain }
            }
            Refusal::QueueTimeout => LockError::Timeout {
                wanted,
                held,
                taken,
                after: limit.unwrap_or(Duration::MAX),
            },
            Refusal::Closed => LockError::Closed,
            _ => LockError::Conflict { wanted, taken },
        }
    }

    fn look<T: Default>(&self, name: &str, glance: impl FnOnce(&Machine, u32) -> T) -> T {
        let Some(number) = self.0.names.known(name) else {
            return T::default();
        };
        self.0.room.look(|world, id| {
            world
                .locks(id)
                .map(|locks| glance(locks, number))
                .unwrap_or_default()
        })
    }
}

/// Locks that are held until this is dropped; the one taken last is given back first.
#[must_use = "the locks are given back when this is dropped"]
pub struct LockGuard<R: Runtime> {
    turn: Turn<R>,
    locks: Rc<Inner<R>>,
}

impl<R: Runtime> LockGuard<R> {
    /// What is held, in the order in which it was taken.
    pub fn names(&self) -> impl Iterator<Item = Rc<str>> + '_ {
        let ticket = self.turn.ticket();
        let room = &self.locks.room;
        let held = room.look(|world, id| world.locks(id).map(|locks| locks.held_by(ticket).to_vec()));
        held.unwrap_or_default()
            .into_iter()
            .map(|number| self.locks.names.name(number))
    }

    /// Whether they are still held.
    pub fn is_held(&self) -> bool {
        self.turn.holds()
    }

    /// Gives them back; the same as dropping it.
    pub fn release(self) {}
}

impl<R: Runtime> Drop for LockGuard<R> {
    fn drop(&mut self) {
        let locks = &self.locks;
        locks.names.sweep(|number| {
            locks
                .room
                .look(|world, id| world.locks(id).is_none_or(|locks| locks.is_idle(number)))
        });
    }
}

/// Two locks that were taken in both orders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockInversion {
    /// What was held.
    pub held: Rc<str>,
    /// What was asked for while it was.
    pub wanted: Rc<str>,
    /// Whether a declared order says otherwise, or only what was seen before.
    pub declared: bool,
}

impl<R: Runtime> Clone for LockSet<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for LockSet<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockSet")
            .field("names", &self.0.names.names.borrow().len())
            .finish()
    }
}

impl<R: Runtime> fmt::Debug for LockGuard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests;

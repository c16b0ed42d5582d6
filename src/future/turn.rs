//! What the hosts of machines through which tasks meet have in common: a machine of their own, and a turn in its line.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::ledger::{Ledger, Stage};
use super::readings::Reading;
use super::runtime::Runtime;
use super::seated::Seated;
use crate::machine::config::ConfigError;
use crate::machine::permits::Patience;
use crate::machine::ticket::Ticket;
use crate::machine::time::{Instant, micros};
use crate::machine::wakes::{MachineId, Refusal};
use crate::machine::world::World;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A machine in its world; it goes when its last handle and its last turn have gone.
pub(crate) struct Room<R: Runtime> {
    pub(crate) host: Host<R>,
    pub(crate) id: MachineId,
    pub(crate) ledger: Rc<Ledger<R::Parker>>,
    shut: fn(&mut World, MachineId),
}

impl<R: Runtime> Room<R> {
    /// Makes a machine; `option` is what a sentence about too many of them calls them.
    pub(crate) fn open(
        host: &Host<R>,
        option: &'static str,
        open: impl FnOnce(&mut World) -> Option<MachineId>,
        shut: fn(&mut World, MachineId),
    ) -> Result<Rc<Self>, ConfigError> {
        let full = || ConfigError::integer(option, "at most 2^24 in one host", 1 << 24);
        let id = host.call(|world, _| open(world)).ok_or_else(full)?;
        let kind = match option {
            "lock sets" => "locks",
            "object pools" => "objects",
            "worker pools" => "workers",
            several => several.trim_end_matches('s'),
        };
        host.enrol(id, kind);
        Ok(Rc::new(Self {
            host: host.clone(),
            id,
            ledger: host.open_ledger(id),
            shut,
        }))
    }

    /// A number for something that the host decides by itself, under a name, and how its numbers are read.
    pub(crate) fn counted(
        host: &Host<R>,
        option: &'static str,
        name: Rc<str>,
        count: impl Fn() -> Option<(&'static str, Vec<Reading>)> + 'static,
    ) -> Result<Rc<Self>, ConfigError> {
        let room = Self::open(host, option, World::open_told, World::drop_told)?;
        room.name(name);
        host.count_with(room.id, count);
        Ok(room)
    }

    /// Gives it the name by which metrics know it.
    pub(crate) fn name(&self, name: Rc<str>) {
        self.host.register(self.id, "", Some(name));
    }

    pub(crate) fn call<T>(&self, event: impl FnOnce(&mut World, Instant, MachineId) -> T) -> T {
        self.host.call(|world, now| event(world, now, self.id))
    }

    pub(crate) fn look<T>(&self, glance: impl FnOnce(&World, MachineId) -> T) -> T {
        self.host.look(|world, _| glance(world, self.id))
    }

    pub(crate) fn error(&self, refusal: Refusal) -> AcquireError {
        AcquireError::new(refusal, self.host.runtime().now())
    }
}

impl<R: Runtime> Drop for Room<R> {
    fn drop(&mut self) {
        self.host.unregister(self.id);
        self.host.close_ledger(self.id);
        let (id, shut) = (self.id, self.shut);
        self.host.call(|world, _| shut(world, id));
    }
}

/// How a ticket leaves its machine.
pub(crate) type Leave = fn(&mut World, Instant, MachineId, Ticket);

/// One who waits in a line, or holds what it waited for. Dropping it leaves.
pub(crate) struct Turn<R: Runtime> {
    room: Rc<Room<R>>,
    seated: Seated<R>,
    leave: Leave,
    over: Cell<bool>,
}

impl<R: Runtime> Turn<R> {
    /// Takes a seat for a ticket that the machine has just given; the ring has not been drained since.
    pub(crate) fn take(room: &Rc<Room<R>>, ticket: Ticket, stage: Stage, leave: Leave) -> Self {
        Self {
            room: Rc::clone(room),
            seated: Seated::take(&room.host, &room.ledger, ticket, room.host.number(), None, stage),
            leave,
            over: Cell::new(false),
        }
    }

    /// Waits for what it is here for.
    pub(crate) async fn come(&self) -> Result<(), Refusal> {
        poll_fn(|context| self.poll_come(context)).await
    }

    pub(crate) fn poll_come(&self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.seated.poll_stage(context, |stage| match stage {
            Stage::Outside | Stage::Queued | Stage::Ready | Stage::Failed => None,
            Stage::Holding => Some(Ok(())),
            Stage::Refused(refusal) => Some(Err(refusal)),
            Stage::Expired | Stage::Revoked => Some(Err(Refusal::Closed)),
        })
    }

    pub(crate) fn holds(&self) -> bool {
        self.seated.stage() == Stage::Holding
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.seated.stage(), Stage::Refused(_))
    }

    /// Its ticket has been given up by other means.
    pub(crate) fn is_over(&self) {
        self.over.set(true);
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.seated.ticket
    }
}

impl<R: Runtime> Drop for Turn<R> {
    fn drop(&mut self) {
        if self.over.get() || self.is_refused() {
            return;
        }
        let (ticket, leave) = (self.ticket(), self.leave);
        self.room.call(|world, now, id| leave(world, now, id, ticket));
    }
}

/// How long is `timeout`, where none is for as long as it takes.
pub(crate) fn patience(timeout: Option<Duration>) -> Patience {
    timeout.map_or(Patience::Forever, |timeout| Patience::Micros(micros(timeout)))
}

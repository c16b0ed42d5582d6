//! A place at a pool: first in its queue, then in one of its slots. Dropping it gives back whatever it is.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::ledger::{Ledger, Seat, Stage};
use super::run_options::RunOptions;
use super::runtime::Runtime;
use super::seated::Seated;
use crate::machine::config::ConfigError;
use crate::machine::gate::Outcome;
use crate::machine::permits::{Admission, Ask, AtEnd, Permits};
use crate::machine::time::Instant;
use crate::machine::wait_for::Waiter;
use crate::machine::wakes::{MachineId, Refusal};
use crate::machine::world::{Child, PoolConfig, World};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A pool's machine in its world; it goes when its last handle and its last place have gone.
pub(crate) struct PoolMachine<R: Runtime> {
    pub(crate) host: Host<R>,
    pub(crate) id: MachineId,
    pub(crate) ledger: Rc<Ledger<R::Parker>>,
}

impl<R: Runtime> PoolMachine<R> {
    /// Makes one; `option` is what the caller calls its number of slots.
    pub(crate) fn open(
        host: &Host<R>,
        option: &'static str,
        config: PoolConfig,
    ) -> Result<Rc<Self>, ConfigError> {
        if config.concurrency == 0 {
            return Err(ConfigError::integer(option, "an integer ≥ 1", 0));
        }
        let full = || ConfigError::integer("pools", "at most 2^24 in one host", 1 << 24);
        let id = host.call(|world, _| world.open_pool(config)).ok_or_else(full)?;
        Ok(Rc::new(Self {
            host: host.clone(),
            id,
            ledger: host.open_ledger(id),
        }))
    }

    pub(crate) fn look<T: Default>(&self, glance: impl FnOnce(&Permits, Instant) -> T) -> T {
        self.host.look(|world, now| {
            world
                .pool(self.id)
                .map(|permits| glance(permits, now))
                .unwrap_or_default()
        })
    }

    pub(crate) fn call<T>(&self, event: impl FnOnce(&mut World, Instant, MachineId) -> T) -> T {
        self.host.call(|world, now| event(world, now, self.id))
    }
}

impl<R: Runtime> Drop for PoolMachine<R> {
    fn drop(&mut self) {
        self.host.unregister(self.id);
        self.host.close_ledger(self.id);
        self.host.call(|world, _| world.drop_pool(self.id));
    }
}

/// A place in the queue or in the slots of a pool.
pub(crate) struct Place<R: Runtime> {
    pub(crate) machine: Rc<PoolMachine<R>>,
    seated: Seated<R>,
    at_end: AtEnd,
    outcome: Cell<Outcome>,
}

/// Why somebody no longer holds a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Expired,
    Revoked,
}

impl<R: Runtime> Place<R> {
    /// Asks for a place. It may be granted at once, or wait.
    pub(crate) fn ask(
        machine: &Rc<PoolMachine<R>>,
        ask: Ask,
        options: &RunOptions,
    ) -> Result<Self, AcquireError> {
        let host = &machine.host;
        host.seed();
        let number = host.number();
        let request = |world: &mut World, now| match options.parent {
            Some(parent) => {
                let child = Child {
                    task: number,
                    parent: parent.as_parent(),
                };
                world.pool_request_for(now, machine.id, ask, child)
            }
            None => world.pool_request(now, machine.id, ask),
        };
        let (admission, now) = host.call_quietly(|world, now| (request(world, now), now));
        let (ticket, stage) = match admission {
            Admission::Granted(ticket) => (ticket, Stage::Holding),
            Admission::Queued(ticket) => (ticket, Stage::Queued),
            Admission::Outside(ticket) => (ticket, Stage::Outside),
            Admission::Refused(refusal) => {
                if refusal == Refusal::Deadlock {
                    host.note_deadlock(None);
                }
                host.drain();
                host.log_refusal(machine.id, options.name.clone(), refusal, now);
                return Err(AcquireError::new(refusal, now));
            }
        };
        Ok(Self {
            machine: Rc::clone(machine),
            seated: Seated::take(host, &machine.ledger, ticket, number, options.name.clone(), stage),
            at_end: ask.at_end,
            outcome: Cell::new(Outcome::NeverStarted),
        })
    }

    /// Waits until the slots are there.
    pub(crate) async fn granted(&self) -> Result<(), AcquireError> {
        poll_fn(|context| self.poll_granted(context)).await
    }

    fn poll_granted(&self, context: &mut Context<'_>) -> Poll<Result<(), AcquireError>> {
        let now = || self.machine.host.runtime().now();
        self.seated.poll_stage(context, |stage| match stage {
            Stage::Outside | Stage::Queued | Stage::Ready | Stage::Failed => None,
            // One whose time was over before it was looked at had its slots; whoever runs in them will see.
            Stage::Holding | Stage::Expired => Some(Ok(())),
            Stage::Refused(refusal) => {
                if refusal == Refusal::Deadlock {
                    self.machine.host.note_deadlock(Some(self.as_waiter()));
                }
                Some(Err(AcquireError::new(refusal, now())))
            }
            Stage::Revoked => Some(Err(AcquireError::Closed)),
        })
    }

    /// Waits until the slots are taken back.
    pub(crate) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<Ended> {
        self.seated.poll_stage(context, |stage| match stage {
            Stage::Expired => Some(Ended::Expired),
            Stage::Revoked => Some(Ended::Revoked),
            _ => None,
        })
    }

    /// Whether its time was over before anybody looked.
    pub(crate) fn came_too_late(&self) -> bool {
        self.seated.stage() == Stage::Expired
    }

    /// Whether the slots stay with it although its time is over.
    pub(crate) fn holds_on(&self, ended: Ended) -> bool {
        ended == Ended::Expired && self.at_end == AtEnd::Hold
    }

    /// Goes on in the slots after its time is over.
    pub(crate) fn hold_on(&self) {
        self.seat().hold_on();
    }

    /// Says what to report if the slots are given back from here on.
    pub(crate) fn ends_with(&self, outcome: Outcome) {
        self.outcome.set(outcome);
    }

    /// Moves the end of the time it may hold them.
    pub(crate) fn renew(&self, run_for: u64) -> bool {
        let ticket = self.seated.ticket;
        let renewed = self
            .machine
            .call(|world, now, id| world.pool_renew(now, id, ticket, run_for));
        renewed.is_ok()
    }

    pub(crate) fn as_waiter(&self) -> Waiter {
        Waiter {
            machine: self.machine.id,
            ticket: self.seated.ticket,
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.seated.stage() == Stage::Holding
    }

    pub(crate) fn seat(&self) -> &Rc<Seat<R::Parker>> {
        &self.seated.seat
    }
}

impl<R: Runtime> Drop for Place<R> {
    fn drop(&mut self) {
        if matches!(self.seated.stage(), Stage::Refused(_)) {
            return;
        }
        // In the queue this leaves the queue, in a slot it releases the slot, and after its time it says that the work has settled.
        let (ticket, outcome) = (self.seated.ticket, self.outcome.get());
        let _late = self
            .machine
            .call(|world, now, id| world.pool_release(now, id, ticket, outcome));
    }
}

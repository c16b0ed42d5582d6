//! Who waits at a machine and who holds something of it, by ticket.

use super::task::{TaskInfo, TaskState};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Refusal, Why};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The books of one machine.
pub(crate) struct Ledger<P> {
    seats: RefCell<BTreeMap<Ticket, Rc<Seat<P>>>>,
    // Those whose slot was taken back at the end of a grace, for `close` to report.
    revoked: RefCell<Vec<TaskInfo>>,
    // Whether anybody was given up since the last look, for a host that waits at many seats at once.
    has_given_up: Cell<bool>,
}

/// One who asked: how it is known, how far it has come, and how to reach it.
pub(crate) struct Seat<P> {
    pub(crate) id: u64,
    pub(crate) name: Option<Rc<str>>,
    pub(crate) parker: P,
    pub(crate) queued_at: Instant,
    started_at: Cell<Option<Instant>>,
    stage: Cell<Stage>,
}

/// How far an asker has come.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Stage {
    /// It waits outside the queue for room.
    Outside,
    /// It waits in the queue.
    Queued,
    /// It holds what it asked for.
    Holding,
    /// It was turned away.
    Refused(Refusal),
    /// Its time was over.
    Expired,
    /// The machine was closed and its grace is over.
    Revoked,
    /// Somebody else brought what it waits for.
    Ready,
    /// Somebody else failed to bring what it waits for.
    Failed,
}

impl<P> Ledger<P> {
    pub(crate) fn add(&self, ticket: Ticket, seat: Rc<Seat<P>>) {
        self.seats.borrow_mut().insert(ticket, seat);
    }

    pub(crate) fn remove(&self, ticket: Ticket) {
        self.seats.borrow_mut().remove(&ticket);
    }

    pub(crate) fn seat(&self, ticket: Ticket) -> Option<Rc<Seat<P>>> {
        self.seats.borrow().get(&ticket).cloned()
    }

    /// Remembers what must be reported even if the seat is gone by the time somebody asks.
    pub(crate) fn note(&self, ticket: Ticket, why: Why) {
        if why == Why::Revoked
            && let Some(seat) = self.seats.borrow().get(&ticket)
        {
            let state = TaskState::Abandoned;
            self.revoked.borrow_mut().push(TaskInfo { state, ..seat.info() });
        }
        if why == Why::Refused(Refusal::Deadlock) {
            self.has_given_up.set(true);
        }
    }

    /// Those seated who were given up, for the sake of others who wait for them.
    pub(crate) fn given_up(&self) -> Vec<Ticket> {
        if !self.has_given_up.take() {
            return Vec::new();
        }
        let gone = Stage::Refused(Refusal::Deadlock);
        let seats = self.seats.borrow();
        let given_up = seats.iter().filter(|(_, seat)| seat.stage() == gone);
        given_up.map(|(ticket, _)| *ticket).collect()
    }

    pub(crate) fn take_revoked(&self) -> Vec<TaskInfo> {
        self.revoked.take()
    }

    /// All who wait or hold, in the order in which they asked.
    pub(crate) fn tasks(&self) -> Vec<TaskInfo> {
        let seats = self.seats.borrow();
        let mut tasks: Vec<_> = seats.values().map(|seat| seat.info()).collect();
        tasks.sort_unstable_by_key(|task| task.id);
        tasks
    }
}

impl<P> Default for Ledger<P> {
    fn default() -> Self {
        Self {
            seats: RefCell::default(),
            revoked: RefCell::default(),
            has_given_up: Cell::default(),
        }
    }
}

impl<P> Seat<P> {
    pub(crate) fn new(id: u64, name: Option<Rc<str>>, parker: P, now: Instant, stage: Stage) -> Self {
        Self {
            id,
            name,
            parker,
            queued_at: now,
            started_at: Cell::new((stage == Stage::Holding).then_some(now)),
            stage: Cell::new(stage),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub(crate) fn started_at(&self) -> Option<Instant> {
        self.started_at.get()
    }

    /// Whoever was turned away stays so, whatever the machine decides before that is seen.
    pub(crate) fn decide(&self, why: Why, now: Instant) {
        if matches!(self.stage.get(), Stage::Refused(_)) {
            return;
        }
        self.stage.set(match why {
            Why::Accepted => Stage::Queued,
            Why::Granted => {
                self.started_at.set(Some(now));
                Stage::Holding
            }
            Why::Refused(refusal) => Stage::Refused(refusal),
            Why::Expired => Stage::Expired,
            Why::Revoked => Stage::Revoked,
            Why::Ready => Stage::Ready,
            Why::Failed => Stage::Failed,
        });
    }

    /// Waits again, after what was there is not what it waits for.
    pub(crate) fn wait_on(&self) {
        self.stage.set(Stage::Queued);
    }

    pub(crate) fn hold_on(&self) {
        self.stage.set(Stage::Holding);
    }

    fn info(&self) -> TaskInfo {
        TaskInfo {
            id: self.id,
            name: self.name.clone(),
            state: match self.stage.get() {
                Stage::Outside | Stage::Queued | Stage::Refused(_) | Stage::Ready | Stage::Failed => {
                    TaskState::Queued
                }
                Stage::Holding => TaskState::Running,
                Stage::Expired | Stage::Revoked => TaskState::Abandoned,
            },
            queued_at: self.queued_at,
            started_at: self.started_at.get(),
        }
    }
}

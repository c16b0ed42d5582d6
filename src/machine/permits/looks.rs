//! What there is to see of a pool.

use super::entry::{Entry, Running};
use super::{Intake, Permits};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;

impl Permits {
    /// Slots there are.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Slots taken.
    pub fn in_use(&self) -> u32 {
        self.in_use
    }

    /// Tasks that hold slots.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// Tasks in the queue.
    pub fn queued(&self) -> u32 {
        self.queue.queued()
    }

    /// How many tasks the queue takes; `None` is unbounded.
    pub fn queue_capacity(&self) -> Option<u32> {
        self.queue.capacity()
    }

    /// Tasks that wait outside the queue for room.
    pub fn waiting_for_room(&self) -> u32 {
        self.queue.waiting_outside()
    }

    /// Tasks whose slot is free and whose work goes on.
    pub fn abandoned(&self) -> u32 {
        self.abandoned
    }

    /// Whether the intake is closed.
    pub fn is_closed(&self) -> bool {
        self.intake != Intake::Open
    }

    /// Whether nothing runs and nobody waits. Abandoned work does not count.
    pub fn is_idle(&self) -> bool {
        self.active == 0 && self.queue.is_empty()
    }

    /// How many slots a ticket holds; none while it waits, when it is abandoned, or when it is stale.
    pub fn slots_of(&self, ticket: Ticket) -> u32 {
        match self.entries.get(ticket) {
            Some(Entry::Running(run)) => run.weight,
            _ => 0,
        }
    }

    /// When a task arrived, and when it started.
    pub fn times(&self, ticket: Ticket) -> Option<(Instant, Option<Instant>)> {
        match self.entries.get(ticket)? {
            Entry::Queued(waiting) | Entry::Outside(waiting) => Some((waiting.arrived, None)),
            Entry::Running(Running { arrived, started, .. }) | Entry::Abandoned { arrived, started } => {
                Some((*arrived, Some(*started)))
            }
        }
    }

    /// How long the oldest running task has been at it, in microseconds.
    pub fn oldest_run(&self, now: Instant) -> u64 {
        self.entries
            .iter()
            .filter_map(|(_, entry)| match entry {
                Entry::Running(run) => Some(now.micros_since(run.started)),
                Entry::Abandoned { started, .. } => Some(now.micros_since(*started)),
                _ => None,
            })
            .max()
            .unwrap_or(0)
    }
}

//! What its owner does to a pool: sizes, pauses, cools, closes.

use super::entry::{Entry, Running, end_of, running_of, waiting_of};
use super::{Ask, Intake, Permits};
use crate::machine::gate::{Gate, Pass};
use crate::machine::queue::Standing;
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Refusal, Wakes};

impl Permits {
    /// Changes the number of slots. Growth is granted in this step; what runs above a shrunk bound finishes. A queued
    /// task that would not fit even an idle pool is turned away.
    pub fn resize(&mut self, now: Instant, capacity: u32, gate: &mut impl Gate, wakes: &mut Wakes) {
        self.capacity = capacity.max(1);
        let limit = self.ceiling();
        self.refuse_heavier(limit, Refusal::NeverPossible { limit }, wakes);
        self.advance(now, gate, wakes);
    }

    /// Says how far something that adapts the size may take it: weights up to there may wait.
    pub fn set_elastic(&mut self, most: u32) {
        self.elastic_to = most;
    }

    /// Grants nothing until [`resume`](Self::resume). What runs goes on, and the intake stays open. A pool that closes
    /// is not paused: its queue could not finish.
    pub fn pause(&mut self) {
        self.paused = self.intake == Intake::Open;
    }

    /// Grants again.
    pub fn resume(&mut self, now: Instant, gate: &mut impl Gate, wakes: &mut Wakes) {
        self.paused = false;
        self.advance(now, gate, wakes);
    }

    /// Grants nothing before `until`: the answer to a `Retry-After` that speaks for the whole target.
    pub fn cool_down(&mut self, until: Instant) {
        self.cool_until = self.cool_until.max(until);
    }

    /// Stops the intake. What is queued finishes, or is refused at once if `refuse_queue`; after `grace` microseconds
    /// the queue is refused and running work revoked.
    pub fn close(
        &mut self,
        now: Instant,
        refuse_queue: bool,
        grace: u64,
        gate: &mut impl Gate,
        wakes: &mut Wakes,
    ) {
        let until = end_of(now, grace);
        let grace_until = match self.intake {
            Intake::Open => until,
            Intake::Closed { grace_until } => grace_until.min(until),
        };
        self.intake = Intake::Closed { grace_until };
        // A pause would keep the queue from ever finishing.
        self.paused = false;
        if refuse_queue {
            self.refuse_queue(Refusal::Closed, wakes);
        }
        self.advance(now, gate, wakes);
        self.expire(now, gate, wakes);
    }

    /// Turns away everybody who waits: a breaker opened, or the host must give up.
    pub fn refuse_queue(&mut self, refusal: Refusal, wakes: &mut Wakes) {
        self.refuse_heavier(0, refusal, wakes);
    }

    /// Counts a start of the past as active, over the bound if need be: after a trap the host tells a new instance what
    /// still runs.
    pub fn adopt(&mut self, now: Instant, ask: Ask) -> Option<Ticket> {
        let waiting = waiting_of(now, &ask, Standing::NONE);
        let run = Running {
            cost: 0,
            ..running_of(now, &waiting, Pass::default())
        };
        let ticket = self.entries.insert(Entry::Running(run)).ok()?;
        self.time(ticket, run.ends);
        self.in_use += run.weight;
        self.active += 1;
        Some(ticket)
    }
}

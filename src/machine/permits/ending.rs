//! How a task that runs loses its slots.

use super::entry::{Entry, NEVER, Running};
use super::{AtEnd, Permits};
use crate::machine::gate::{Gate, Outcome};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;

impl Permits {
    /// The slots of a running task are free; its entry is gone or stays as abandoned.
    #[inline(never)]
    pub(super) fn vacate(&mut self, now: Instant, run: &Running, outcome: Outcome, gate: &mut impl Gate) {
        self.in_use -= run.weight;
        self.active -= 1;
        if run.ends != NEVER {
            self.untime();
        }
        gate.settle(now, run.pass, run.cost, outcome, now.micros_since(run.started));
    }

    #[inline(never)]
    pub(super) fn abandon(
        &mut self,
        now: Instant,
        ticket: Ticket,
        run: &Running,
        outcome: Outcome,
        gate: &mut impl Gate,
    ) {
        if let Some(entry) = self.entries.get_mut(ticket) {
            *entry = Entry::Abandoned {
                arrived: run.arrived,
                started: run.started,
            };
            self.abandoned += 1;
        }
        self.vacate(now, run, outcome, gate);
    }

    pub(super) fn revoke(&mut self, now: Instant, ticket: Ticket, run: &Running, gate: &mut impl Gate) {
        self.entries.remove(ticket);
        self.vacate(now, run, Outcome::Ignored, gate);
    }

    #[inline(never)]
    pub(super) fn end_of_time(&mut self, now: Instant, ticket: Ticket, run: &Running, gate: &mut impl Gate) {
        self.counts.task_timeouts += 1;
        match run.at_end {
            AtEnd::Abandon => self.abandon(now, ticket, run, Outcome::Failure, gate),
            AtEnd::Revoke => self.revoke(now, ticket, run, gate),
            AtEnd::Hold => {
                if let Some(Entry::Running(run)) = self.entries.get_mut(ticket) {
                    run.ends = NEVER;
                }
                self.untime();
            }
        }
    }
}

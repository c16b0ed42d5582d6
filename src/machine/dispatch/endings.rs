//! How workers end, and what becomes of their tasks.

use super::supply::{BACKOFF_FIRST, BACKOFF_MOST, HOPELESS_STARTS};
use super::task::Place;
use super::terms::{Fault, Order};
use super::worker::{Stage, Worker};
use super::{Dispatch, Intake};
use crate::machine::ticket::{StaleTicket, Ticket};
use crate::machine::time::Instant;

/// What is known of a worker's death.
#[derive(Clone, Copy)]
pub(super) enum Blame {
    /// Any of its tasks may have been running.
    Any,
    /// This one ran out of time.
    TooSlow(Ticket),
    /// This one broke it, and none behind it has begun.
    Broke(Ticket),
}

impl Dispatch {
    pub(super) fn died(&mut self, now: Instant, worker: Ticket, blame: Blame) -> Result<(), StaleTicket> {
        let stage = self.workers.get(worker).ok_or(StaleTicket)?.stage;
        self.counts.deaths += 1;
        self.bury(worker, blame);
        let supply = &mut self.supply;
        supply.deaths_in_a_row += 1;
        let after = supply.deaths_in_a_row;
        if after > 1 {
            let backoff = BACKOFF_FIRST.saturating_mul(1 << (after - 2).min(20));
            supply.not_before = now.plus_micros(backoff.min(BACKOFF_MOST));
        }
        let starts_fail = stage == Stage::Starting && !supply.ever_ready && after >= HOPELESS_STARTS;
        if starts_fail && self.config.fallback && self.workers.is_empty() {
            supply.hopeless = true;
            self.run_here();
        }
        self.flush(now);
        self.wind_down();
        Ok(())
    }

    /// Takes a worker out that is dead or has to die, and decides what becomes of its tasks.
    pub(super) fn bury(&mut self, worker: Ticket, blame: Blame) {
        if let Some(at) = self.workers.get_mut(worker) {
            at.stage = Stage::Retiring;
        }
        self.scatter(worker);
        let Some(dead) = self.workers.remove(worker) else {
            return;
        };
        for ticket in dead.sent {
            let Some(task) = self.tasks.get_mut(ticket) else {
                continue;
            };
            let Place::Sent { began, .. } = task.place else {
                self.tasks.remove(ticket);
                continue;
            };
            let may_have_run = match blame {
                Blame::Broke(guilty) => guilty == ticket,
                Blame::Any | Blame::TooSlow(_) => began.is_some() || !self.config.reports_start,
            };
            task.tries += u32::from(began.is_some());
            let fault = if matches!(blame, Blame::TooSlow(slow) if slow == ticket) {
                self.counts.timed_out += 1;
                Fault::TimedOut
            } else if may_have_run && (!task.job.idempotent || task.tries > self.config.retries) {
                self.counts.crashed += 1;
                Fault::Crashed
            } else {
                self.counts.retried += 1;
                let kind = task.job.kind;
                self.waits(kind);
                self.place(ticket);
                continue;
            };
            self.tasks.remove(ticket);
            self.orders.push_back(Order::Reject { task: ticket, fault });
        }
    }

    /// Gives the tasks that wait for one worker to the others.
    pub(super) fn scatter(&mut self, worker: Ticket) {
        let tasks = &self.tasks;
        let Some(backlog) = self.workers.get_mut(worker).map(|worker| &mut worker.backlog) else {
            return;
        };
        let waiting: Vec<Ticket> = std::iter::from_fn(|| backlog.pop(tasks)).collect();
        waiting.into_iter().for_each(|task| self.place(task));
    }

    pub(super) fn recycle(&mut self, now: Instant, worker: Ticket) {
        let Some(at) = self.workers.get_mut(worker) else {
            return;
        };
        if at.stage != Stage::Ready {
            return;
        }
        at.stage = Stage::Retiring;
        self.counts.recycled += 1;
        self.scatter(worker);
        self.keep_up(now);
    }

    pub(super) fn retire_if_done(&mut self, worker: Ticket) {
        let done = |worker: &Worker| worker.stage == Stage::Retiring && worker.sent.is_empty();
        if self.workers.get(worker).is_some_and(done) {
            self.workers.remove(worker);
            self.orders.push_back(Order::Retire(worker));
        }
    }

    /// After closing: asks the workers to exit when nothing is left to do.
    pub(super) fn wind_down(&mut self) {
        if self.intake == Intake::Closed && self.unsent() == 0 {
            for worker in self.all_workers() {
                if let Some(at) = self.workers.get_mut(worker) {
                    at.stage = Stage::Retiring;
                }
                self.retire_if_done(worker);
            }
        }
    }
}

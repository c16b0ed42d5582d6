//! When time is over for a task, or for a worker with nothing to do.

use super::endings::Blame;
use super::task::Place;
use super::{Dispatch, Order};
use crate::machine::ticket::Ticket;
use crate::machine::time::{Instant, micros};

impl Dispatch {
    /// Carries out what time has brought: time limits, idle exits, starts that were put off. Spurious calls do nothing.
    pub fn on_deadline(&mut self, now: Instant) {
        for worker in self.all_workers() {
            if let Some((_, task)) = self.overdue(worker).filter(|(at, _)| *at <= now) {
                self.orders.push_back(Order::Terminate(worker));
                self.bury(worker, Blame::TooSlow(task));
            } else if self.idle_exit(worker).is_some_and(|at| at <= now) {
                self.workers.remove(worker);
                self.orders.push_back(Order::Retire(worker));
            }
        }
        if self.grows_at.is_some_and(|at| at <= now) {
            self.grows_at = None;
            if self.unsent() > 0 {
                self.spawn(now);
            }
        }
        self.flush(now);
        self.wind_down();
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        let of_workers = self.workers.iter().flat_map(|(worker, _)| {
            let overdue = self.overdue(worker).map(|(at, _)| at);
            [overdue, self.idle_exit(worker)]
        });
        let put_off = (self.wants_a_worker() && !self.supply.hopeless).then_some(self.supply.not_before);
        let put_off = put_off.filter(|at| *at > Instant::ZERO);
        of_workers.chain([self.grows_at, put_off]).flatten().min()
    }

    /// Where nobody reports the start of a task, the oldest one of a worker is the one that runs.
    pub(super) fn mark_head(&mut self, now: Instant, worker: Ticket) {
        if self.config.reports_start {
            return;
        }
        let head = self
            .workers
            .get(worker)
            .and_then(|worker| worker.sent.front().copied());
        if let Some(Place::Sent { began, .. } | Place::Dropped { began, .. }) = head
            .and_then(|head| self.tasks.get_mut(head))
            .map(|task| &mut task.place)
        {
            *began = began.or(Some(now));
        }
    }

    /// The first of a worker's tasks that runs out of time, and when.
    pub(super) fn overdue(&self, worker: Ticket) -> Option<(Instant, Ticket)> {
        let worker = self.workers.get(worker)?;
        let looked_at = if self.config.reports_start {
            worker.sent.len()
        } else {
            1
        };
        let ends = worker.sent.iter().take(looked_at).filter_map(|ticket| {
            let task = self.tasks.get(*ticket)?;
            let limit = task.job.timeout.or(self.config.task_timeout.map(micros));
            let ends = match task.place {
                Place::Sent {
                    began: Some(began), ..
                } => began.plus_micros(limit?),
                Place::Dropped {
                    began: Some(began),
                    since,
                    grace,
                    ..
                } => {
                    let grace = began.max(since).plus_micros(grace);
                    limit.map_or(grace, |limit| grace.min(began.plus_micros(limit)))
                }
                _ => return None,
            };
            Some((ends, *ticket))
        });
        ends.min()
    }

    pub(super) fn idle_exit(&self, worker: Ticket) -> Option<Instant> {
        let idle = self.config.idle?;
        let at = self.workers.get(worker)?;
        let spare = self.workers.len() > self.config.min as usize;
        (spare && at.is_idle() && at.backlog.len == 0).then(|| at.idle_since + idle)
    }
}

//! Where tasks wait that no worker has yet: in one queue for all, or in the line of the worker they belong to.

use super::Dispatch;
use super::config::{Overflow, Turn};
use super::task::{Place, Task};
use super::terms::Job;
use super::worker::{Stage, Worker};
use crate::machine::line::Line;
use crate::machine::random::Random;
use crate::machine::ticket::{Slab, Ticket};
use crate::machine::wakes::Refusal;
use std::collections::btree_map::Entry;

/// Tasks in line, with how many of them there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    line: Line<Ticket>,
    pub(super) len: usize,
    pub(super) with_key: usize,
}

impl Dispatch {
    /// Puts a task that no worker has into the line where it belongs.
    pub(super) fn place(&mut self, ticket: Ticket) {
        let Some(job) = self.tasks.get(ticket).map(|task| task.job) else {
            return;
        };
        let worker = self.worker_for(&job);
        let Some(task) = self.tasks.get_mut(ticket) else {
            return;
        };
        task.place = worker.map_or(Place::Queue, Place::Backlog);
        match worker.and_then(|worker| self.workers.get_mut(worker)) {
            Some(worker) => worker.backlog.push(ticket, task),
            None => self.queue.push(ticket, task),
        }
    }

    /// The worker that a task belongs to before anybody knows who has time for it, if any.
    pub(super) fn worker_for(&mut self, job: &Job) -> Option<Ticket> {
        let takes_more = |(_, worker): &(Ticket, &Worker)| worker.stage != Stage::Retiring;
        let mut candidates = self.workers.iter().filter(takes_more).map(|(ticket, _)| ticket);
        match (job.key, self.config.turn) {
            (Some(key), _) => candidates.max_by_key(|worker| affinity(key, *worker)),
            (None, Turn::RoundRobin) => {
                self.turn = self.turn.wrapping_add(1);
                let count = self.workers.iter().filter(takes_more).count();
                candidates.nth(self.turn % count.max(1))
            }
            (None, Turn::LeastBusy) => None,
        }
    }

    /// Says whether there is a place for one more, and who gives way if there is not.
    pub(super) fn make_room(&self, priority: i32) -> Result<Option<Ticket>, Refusal> {
        let Some(capacity) = self.config.capacity else {
            return Ok(None);
        };
        // A worker that is idle, or still to come, takes one that is not queued.
        let free = (self.config.max as usize).saturating_sub(self.busy());
        let queued = self.unsent();
        if queued < capacity as usize + free {
            return Ok(None);
        }
        let told = queued as u32;
        match self.config.overflow {
            Overflow::Error => Err(Refusal::QueueFull { queued: told }),
            Overflow::DropNewest => Err(Refusal::Dropped { queued: told }),
            Overflow::DropOldest => {
                let unsent = |task: &Task| matches!(task.place, Place::Queue | Place::Backlog(_));
                let waiting = self.tasks.iter().filter(|(_, task)| unsent(task));
                // Of one priority the lower rank came first.
                let oldest = waiting.min_by_key(|(_, task)| (task.job.priority, task.rank));
                match oldest.map(|(ticket, task)| (ticket, task.job.priority)) {
                    Some((task, lowest)) if lowest <= priority => Ok(Some(task)),
                    _ => Err(Refusal::Dropped { queued: told }),
                }
            }
        }
    }

    pub(super) fn drop_unsent(&mut self, ticket: Ticket) {
        let Some(task) = self.tasks.remove(ticket) else {
            return;
        };
        self.waits_no_more(task.job.kind);
        let line = match task.place {
            Place::Backlog(worker) => self.workers.get_mut(worker).map(|worker| &mut worker.backlog),
            _ => Some(&mut self.queue),
        };
        if let Some(line) = line {
            let tasks = &self.tasks;
            line.left(&task, |other| tasks.contains(other));
        }
    }

    pub(super) fn waits(&mut self, kind: u32) {
        *self.unsent.entry(kind).or_default() += 1;
    }

    pub(super) fn waits_no_more(&mut self, kind: u32) {
        if let Entry::Occupied(mut tasks) = self.unsent.entry(kind) {
            *tasks.get_mut() -= 1;
            if *tasks.get() == 0 {
                tasks.remove();
            }
        }
    }

    pub(super) fn unsent(&self) -> usize {
        self.queue.len
            + self
                .workers
                .iter()
                .map(|(_, worker)| worker.backlog.len)
                .sum::<usize>()
    }
}

impl Waiting {
    pub(super) fn push(&mut self, ticket: Ticket, task: &Task) {
        self.line.push(task.rank, ticket);
        self.len += 1;
        self.with_key += usize::from(task.job.key.is_some());
    }

    pub(super) fn peek(&mut self, tasks: &Slab<Task>) -> Option<(i64, Ticket)> {
        self.line.peek(|ticket| tasks.contains(ticket))
    }

    pub(super) fn pop(&mut self, tasks: &Slab<Task>) -> Option<Ticket> {
        let (_, ticket) = self.line.pop(|ticket| tasks.contains(ticket))?;
        self.len = self.len.saturating_sub(1);
        let keyed = tasks.get(ticket).is_some_and(|task| task.job.key.is_some());
        self.with_key = self.with_key.saturating_sub(usize::from(keyed));
        Some(ticket)
    }

    pub(super) fn left(&mut self, task: &Task, lives: impl Fn(Ticket) -> bool) {
        self.len = self.len.saturating_sub(1);
        self.with_key = self.with_key.saturating_sub(usize::from(task.job.key.is_some()));
        self.line.left(lives);
    }
}

pub(super) fn affinity(key: u32, worker: Ticket) -> u64 {
    Random::new((u64::from(key) << 32) ^ worker.to_bits()).bits()
}

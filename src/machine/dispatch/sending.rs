//! What a worker is sent: how much at a time, and whose task is next.

use super::ahead::Parcel;
use super::task::Place;
use super::terms::Order;
use super::worker::{Stage, Worker};
use super::{Dispatch, HIGH};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;

/// Who is looked at.
#[derive(Clone, Copy)]
pub(super) enum Room {
    Idle,
    Any,
}

/// A message on its way to a worker, whose tasks it has already.
struct Message {
    worker: Ticket,
    tasks: Vec<Ticket>,
    work: u64,
}

impl Message {
    fn parcel(&self) -> Parcel {
        Parcel {
            tasks: self.tasks.len(),
            work: self.work,
        }
    }
}

impl Dispatch {
    /// Sends tasks to workers that have room, the one with the least work first.
    pub(super) fn pump(&mut self, now: Instant, room: Room) {
        let has_room = |worker: &Worker| match room {
            Room::Idle => worker.is_idle(),
            Room::Any => worker.stage == Stage::Ready && (worker.sent.is_empty() || self.runs_low(worker)),
        };
        let mut open = Vec::new();
        for (worker, _) in self.workers.iter().filter(|(_, worker)| has_room(worker)) {
            let (tasks, work) = (Vec::new(), 0);
            open.push(Message { worker, tasks, work });
        }
        let mut full: Vec<Message> = Vec::new();
        while let Some((at, least)) = self.least_busy(&open) {
            let takes_more = self.takes_more(least, open[at].parcel());
            if takes_more && self.feed(&mut open[at]) {
                continue;
            }
            full.push(open.swap_remove(at));
        }
        full.sort_by_key(|message| message.worker.index());
        for Message { worker, tasks, .. } in full {
            if !tasks.is_empty() {
                self.mark_head(now, worker);
                self.counts.messages += 1;
                self.orders.push_back(Order::Send { worker, tasks });
            }
        }
    }

    fn least_busy(&self, open: &[Message]) -> Option<(usize, &Worker)> {
        let workers = open.iter().enumerate();
        let workers =
            workers.filter_map(|(at, message)| Some((at, message.worker, self.workers.get(message.worker)?)));
        let least =
            workers.min_by_key(|(_, ticket, worker)| (worker.work, worker.sent.len(), ticket.index()));
        least.map(|(at, _, worker)| (at, worker))
    }

    /// Gives a worker its next task, from its own line, the common one, or another worker's.
    fn feed(&mut self, message: &mut Message) -> bool {
        let worker = message.worker;
        let Some(task) = self.next_for(worker) else {
            return false;
        };
        let cost = self.cost(task);
        let Some(entry) = self.tasks.get_mut(task) else {
            return false;
        };
        entry.place = Place::Sent {
            worker,
            cost,
            began: None,
        };
        let kind = entry.job.kind;
        self.waits_no_more(kind);
        if let Some(at) = self.workers.get_mut(worker) {
            at.sent.push_back(task);
            at.work += cost;
            message.tasks.push(task);
            message.work += cost;
        }
        true
    }

    pub(super) fn next_for(&mut self, worker: Ticket) -> Option<Ticket> {
        let tasks = &self.tasks;
        let own = self.workers.get_mut(worker)?.backlog.peek(tasks);
        let common = self.queue.peek(tasks);
        match (own, common) {
            (Some((own, _)), Some((common, _))) if own > common => self.queue.pop(tasks),
            (Some(_), _) => self.workers.get_mut(worker)?.backlog.pop(tasks),
            (None, Some(_)) => self.queue.pop(tasks),
            (None, None) => self.steal(worker),
        }
    }

    /// Takes a task from the longest line of another worker, for one that would have nothing to do.
    pub(super) fn steal(&mut self, thief: Ticket) -> Option<Ticket> {
        if self
            .workers
            .get(thief)
            .is_none_or(|worker| !worker.sent.is_empty())
        {
            return None;
        }
        // One that is idle too takes the first of its line itself.
        let without_key = |worker: &Worker| {
            let own = usize::from(worker.is_idle());
            (worker.backlog.len - worker.backlog.with_key).saturating_sub(own)
        };
        let others = || self.workers.iter().filter(|(ticket, _)| *ticket != thief);
        let longest = others()
            .max_by_key(|(_, worker)| without_key(worker))
            .filter(|(_, w)| without_key(w) > 0);
        let (victim, keyed) = match longest {
            Some((victim, _)) => (victim, false),
            None => {
                let longest = others().max_by_key(|(_, worker)| worker.backlog.len);
                (longest.filter(|(_, worker)| worker.backlog.len > 1)?.0, true)
            }
        };
        let tasks = &self.tasks;
        let backlog = &mut self.workers.get_mut(victim)?.backlog;
        let mut kept = Vec::new();
        let found = loop {
            match backlog.pop(tasks) {
                Some(task) if !keyed && tasks.get(task).is_some_and(|task| task.job.key.is_some()) => {
                    kept.push(task)
                }
                found => break found,
            }
        };
        for task in kept {
            if let Some(entry) = tasks.get(task) {
                backlog.push(task, entry);
            }
        }
        self.counts.moved += u64::from(found.is_some());
        found
    }

    pub(super) fn cost(&self, task: Ticket) -> u64 {
        let kind = self.tasks.get(task).map(|task| task.job.kind);
        kind.and_then(|kind| self.kinds.get(&kind))
            .copied()
            .unwrap_or(HIGH)
    }

    /// An average that forgets: an eighth of what is new.
    pub(super) fn learn(&mut self, kind: u32, ran: u64) {
        let ran = ran.max(1);
        let average = self.kinds.entry(kind).or_insert(ran);
        *average = (*average - *average / 8 + ran / 8).max(1);
    }

    pub(super) fn run_here(&mut self) {
        let tasks = &self.tasks;
        let waiting: Vec<Ticket> = std::iter::from_fn(|| self.queue.pop(tasks)).collect();
        for task in waiting {
            if let Some(gone) = self.tasks.remove(task) {
                self.waits_no_more(gone.job.kind);
            }
            self.orders.push_back(Order::RunHere(task));
        }
    }
}

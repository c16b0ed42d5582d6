//! Who gets what in a pool of workers: when to start one, what to send it, when to give it up.
//!
//! **Late messages.** A worker is a ticket. When it dies or is given up its ticket goes stale, so whatever arrives from
//! it later is nobody's, and the next worker in its place is another ticket.
//!
//! **Latency and throughput.** A message costs a hundred times what a task in a batch costs, and a batch that is not
//! full costs latency. So an idle worker is sent a task the moment there is one, and a busy one is sent what has
//! gathered when the work it has falls below [`LOW`], up to [`HIGH`]. Work is counted in what tasks of that kind have
//! cost so far; one that was never seen counts as [`HIGH`], so it travels alone until it is known. Of longer tasks one is
//! sent ahead of its turn while there are enough for everybody ([`AHEAD`]). Long ones therefore never pile up behind each
//! other in a worker, where they could not be moved any more.
//!
//! **Who gets it.** A task without a key waits in one queue for the worker with the least work (or, by round-robin, in
//! the queue of the worker whose turn it is); a task with a key in the queue of its home, the worker that rendezvous
//! hashing (Thaler and Ravishankar, 1998) names, so that a worker more or less moves only the keys it must. A worker
//! with nothing to do takes from the longest queue of another: tasks without keys first, one with a key only if it
//! is not the last there.
//!
//! **Growing.** While work waits and no worker is idle, another is started if its wait would be longer than
//! [`GROW_AFTER`], or is of a kind whose cost nobody knows, or has lasted that long.
//!
//! **Death.** A task that may have been running is tried again elsewhere if it is idempotent, and rejected if it is
//! not; one that cannot have begun is simply sent again. The first death in a row is made good at once, the next ones
//! after 100 ms doubling to 10 s, until a task completes. If the first three workers never start, there are none to be
//! had here, and the host runs the tasks itself.

use super::line::Line;
use super::random::Random;
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::Refusal;
use core::time::Duration;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

mod ahead;
mod chunks;
mod config;
#[cfg(test)]
mod rules;
mod terms;
#[cfg(test)]
mod tests;

pub use ahead::AHEAD;
pub use chunks::chunk;
pub use config::{DispatchConfig, Overflow, Turn};
pub use terms::{Answer, Cancelled, DispatchCounts, Fault, Job, Order};

/// A busy worker with less work than this, in microseconds, is sent more: ten times what a message takes to arrive.
pub const LOW: u64 = 1_000;
/// A worker is sent up to this much work, in microseconds: one batch being done and one at hand.
pub const HIGH: u64 = 2_000;
/// Most tasks at one worker at a time.
pub const MOST: usize = 512;
/// Work that waits longer than this starts another worker: a start takes 20 to 60 ms.
pub const GROW_AFTER: Duration = Duration::from_millis(10);

const BACKOFF_FIRST: u64 = 100_000;
const BACKOFF_MOST: u64 = 10_000_000;
const HOPELESS_STARTS: u32 = 3;
// A task of priority p is served as if it had come 16 p arrivals earlier, as in a pool's queue.
const AGING: i64 = 16;

/// The dispatch machine. See the module.
#[derive(Clone, Debug)]
pub struct Dispatch {
    config: DispatchConfig,
    workers: Slab<Worker>,
    tasks: Slab<Task>,
    queue: Waiting,
    kinds: BTreeMap<u32, u64>,
    // How many tasks of each kind no worker has yet.
    unsent: BTreeMap<u32, u64>,
    arrivals: i64,
    turn: usize,
    supply: Supply,
    intake: Intake,
    grows_at: Option<Instant>,
    orders: VecDeque<Order>,
    /// What happened so far.
    pub counts: DispatchCounts,
}

/// Whether workers can be had.
#[derive(Clone, Copy, Debug)]
struct Supply {
    deaths_in_a_row: u32,
    not_before: Instant,
    ever_ready: bool,
    hopeless: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Intake {
    Open,
    Closed,
}

#[derive(Clone, Debug)]
struct Worker {
    stage: Stage,
    // Sent and not answered, in the order of sending.
    sent: VecDeque<Ticket>,
    work: u64,
    backlog: Waiting,
    idle_since: Instant,
    answered: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Starting,
    Ready,
    /// Gets nothing more and exits when it has answered.
    Retiring,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    job: Job,
    rank: i64,
    tries: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Queue,
    Backlog(Ticket),
    Sent {
        worker: Ticket,
        cost: u64,
        began: Option<Instant>,
    },
    /// Nobody waits for its answer any more.
    Dropped {
        worker: Ticket,
        cost: u64,
        began: Option<Instant>,
        since: Instant,
        grace: u64,
    },
}

/// Tasks in line, with how many of them there are.
#[derive(Clone, Debug, Default)]
struct Waiting {
    line: Line<Ticket>,
    len: usize,
    with_key: usize,
}

impl Dispatch {
    /// A pool without workers: [`open`](Self::open) starts the first.
    pub fn new(config: DispatchConfig) -> Self {
        Self {
            config,
            workers: Slab::new(),
            tasks: Slab::new(),
            queue: Waiting::default(),
            kinds: BTreeMap::new(),
            unsent: BTreeMap::new(),
            arrivals: 0,
            turn: 0,
            supply: Supply {
                deaths_in_a_row: 0,
                not_before: Instant::ZERO,
                ever_ready: false,
                hopeless: false,
            },
            intake: Intake::Open,
            grows_at: None,
            orders: VecDeque::new(),
            counts: DispatchCounts::default(),
        }
    }

    /// Starts the minimum of workers, before there is anything to do.
    pub fn open(&mut self, now: Instant) {
        self.keep_up(now);
    }

    /// Takes a task in. An idle worker gets it at once; otherwise [`flush`](Self::flush) sends what has gathered.
    ///
    /// # Errors
    ///
    /// `Closed`; where the queue is full `QueueFull` or `Dropped`, as the configuration says.
    pub fn submit(&mut self, now: Instant, job: Job) -> Result<Ticket, Refusal> {
        if self.intake == Intake::Closed {
            return Err(Refusal::Closed);
        }
        self.arrivals += 1;
        let task = Task {
            job,
            rank: self.arrivals - i64::from(job.priority) * AGING,
            tries: 0,
            place: Place::Queue,
        };
        let victim = self.make_room(job.priority)?;
        let Ok(ticket) = self.tasks.insert(task) else {
            return Err(Refusal::NotNow);
        };
        self.counts.submitted += 1;
        if let Some(task) = victim {
            // After the newcomer has its ticket, so that it cannot have this one's index.
            self.drop_unsent(task);
            let fault = Fault::Dropped;
            self.orders.push_back(Order::Reject { task, fault });
        }
        self.waits(job.kind);
        self.place(ticket);
        if self.supply.hopeless {
            self.run_here();
        } else if self.workers.iter().any(|(_, worker)| worker.is_idle()) {
            self.pump(now, Room::Idle);
        }
        self.keep_up(now);
        Ok(ticket)
    }

    /// Sends busy workers what has gathered for them. To be called when the host's turn of the loop ends.
    pub fn flush(&mut self, now: Instant) {
        self.pump(now, Room::Any);
        self.keep_up(now);
        self.wind_down();
    }

    /// Says that a worker has started.
    pub fn ready(&mut self, now: Instant, worker: Ticket) -> Result<(), StaleTicket> {
        let started = self.workers.get_mut(worker).ok_or(StaleTicket)?;
        if started.stage == Stage::Starting {
            started.stage = Stage::Ready;
            started.idle_since = now;
            self.supply.ever_ready = true;
            self.flush(now);
        }
        Ok(())
    }

    /// Says that a worker has begun with a task, where workers report that.
    pub fn began(&mut self, now: Instant, worker: Ticket, task: Ticket) -> Result<(), StaleTicket> {
        match self.tasks.get_mut(task).map(|task| &mut task.place) {
            Some(
                Place::Sent {
                    worker: at, began, ..
                }
                | Place::Dropped {
                    worker: at, began, ..
                },
            ) if *at == worker => {
                *began = began.or(Some(now));
                Ok(())
            }
            _ => Err(StaleTicket),
        }
    }

    /// Says that a worker has answered a task, well or with an error of its own, and how long that ran.
    ///
    /// # Errors
    ///
    /// The worker was given up, or the task is not with it: a late message, to be ignored.
    pub fn done(
        &mut self,
        now: Instant,
        worker: Ticket,
        task: Ticket,
        ran: Option<Duration>,
    ) -> Result<Answer, StaleTicket> {
        let answer = self.answered(now, worker, task, ran)?;
        self.flush(now);
        self.wind_down();
        Ok(answer)
    }

    /// The same for one of several answers that came together: [`flush`](Self::flush) once after the last.
    ///
    /// # Errors
    ///
    /// As [`done`](Self::done).
    pub fn answered(
        &mut self,
        now: Instant,
        worker: Ticket,
        task: Ticket,
        ran: Option<Duration>,
    ) -> Result<Answer, StaleTicket> {
        let (answer, cost) = match self.tasks.get(task).map(|task| task.place) {
            Some(Place::Sent { worker: at, cost, .. }) if at == worker => (Answer::Deliver, cost),
            Some(Place::Dropped { worker: at, cost, .. }) if at == worker => (Answer::Discard, cost),
            _ => return Err(StaleTicket),
        };
        let gone = self.tasks.remove(task);
        if let (Some(task), Some(ran), Answer::Deliver) = (gone, ran, answer) {
            self.learn(task.job.kind, super::time::micros(ran));
        }
        if answer == Answer::Deliver {
            self.counts.completed += 1;
        }
        self.supply.deaths_in_a_row = 0;
        self.supply.not_before = Instant::ZERO;
        let recycle_after = self.config.recycle_after;
        let Some(at) = self.workers.get_mut(worker) else {
            return Ok(answer);
        };
        at.forget(task, cost);
        at.answered += 1;
        let worn_out = recycle_after.is_some_and(|after| at.answered >= after);
        if at.sent.is_empty() {
            at.idle_since = now;
        }
        self.mark_head(now, worker);
        if worn_out {
            self.recycle(now, worker);
        }
        self.retire_if_done(worker);
        Ok(answer)
    }

    /// Takes a task back. One that a worker has is told to it, and the worker is terminated if the task runs on for
    /// longer than `grace` microseconds.
    pub fn cancel(&mut self, now: Instant, task: Ticket, grace: u64) -> Result<Cancelled, StaleTicket> {
        let place = self.tasks.get(task).ok_or(StaleTicket)?.place;
        match place {
            Place::Queue | Place::Backlog(_) => {
                self.drop_unsent(task);
                self.counts.cancelled += 1;
                self.wind_down();
                Ok(Cancelled::Unsent)
            }
            Place::Sent { worker, cost, began } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    let since = now;
                    task.place = Place::Dropped {
                        worker,
                        cost,
                        began,
                        since,
                        grace,
                    };
                }
                self.counts.cancelled += 1;
                Ok(Cancelled::Tell(worker))
            }
            Place::Dropped { .. } => Err(StaleTicket),
        }
    }

    /// Says that a worker has died, or could not be started.
    pub fn crashed(&mut self, now: Instant, worker: Ticket) -> Result<(), StaleTicket> {
        self.died(now, worker, Blame::Any)
    }

    /// Says that a task has broken its worker, which has told so and begun none of those behind it. The host ends the
    /// worker.
    pub fn trapped(&mut self, now: Instant, worker: Ticket, task: Ticket) -> Result<(), StaleTicket> {
        self.died(now, worker, Blame::Broke(task))
    }

    /// Says that there are no workers to be had here. What is left, and whatever comes, is run on the host.
    pub fn give_up(&mut self) {
        self.supply.hopeless = true;
        self.grows_at = None;
        self.run_here();
    }

    fn died(&mut self, now: Instant, worker: Ticket, blame: Blame) -> Result<(), StaleTicket> {
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

    /// Says how much memory a worker has taken.
    pub fn memory(&mut self, now: Instant, worker: Ticket, bytes: u64) -> Result<(), StaleTicket> {
        if !self.workers.contains(worker) {
            return Err(StaleTicket);
        }
        if self.config.high_water.is_some_and(|mark| bytes >= mark) {
            self.recycle(now, worker);
            self.retire_if_done(worker);
            self.flush(now);
        }
        Ok(())
    }

    /// Stops the intake. What was taken in is finished, or, if `reject` says so, only what workers already have; then
    /// the workers are asked to exit.
    pub fn close(&mut self, now: Instant, reject: bool) {
        self.intake = Intake::Closed;
        if reject {
            let unsent = |task: &Task| matches!(task.place, Place::Queue | Place::Backlog(_));
            let mut all: Vec<(i64, Ticket)> = self
                .tasks
                .iter()
                .filter(|(_, task)| unsent(task))
                .map(|(ticket, task)| (task.rank, ticket))
                .collect();
            all.sort_unstable();
            for (_, task) in all {
                self.drop_unsent(task);
                self.orders.push_back(Order::Reject {
                    task,
                    fault: Fault::Closed,
                });
            }
        }
        self.flush(now);
        self.wind_down();
    }

    /// Ends all workers at once and rejects whatever is left: when the time of grace after [`close`](Self::close) is
    /// over.
    pub fn kill(&mut self) {
        self.intake = Intake::Closed;
        for worker in self.all_workers() {
            self.workers.remove(worker);
            self.orders.push_back(Order::Terminate(worker));
        }
        let all: Vec<(Ticket, bool)> = self
            .tasks
            .iter()
            .map(|(ticket, task)| (ticket, !matches!(task.place, Place::Dropped { .. })))
            .collect();
        for (task, awaited) in all {
            self.tasks.remove(task);
            if awaited {
                self.orders.push_back(Order::Reject {
                    task,
                    fault: Fault::Closed,
                });
            }
        }
        self.queue = Waiting::default();
        self.unsent.clear();
    }

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

    /// Takes the next thing the host is to do.
    pub fn pop_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Whether [`pop_order`](Self::pop_order) has one.
    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// How many workers there are, those that start and those that finish included.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many of them have tasks.
    pub fn busy(&self) -> usize {
        self.workers
            .iter()
            .filter(|(_, worker)| !worker.sent.is_empty())
            .count()
    }

    /// How many of them are ready and have nothing to do.
    pub fn idle(&self) -> usize {
        self.workers.iter().filter(|(_, worker)| worker.is_idle()).count()
    }

    /// How many tasks no worker has yet.
    pub fn queued(&self) -> usize {
        self.unsent()
    }

    /// How many tasks workers have, those whose answer nobody awaits included.
    pub fn running(&self) -> usize {
        self.tasks.len() - self.unsent()
    }

    /// Whether no worker ever started, so that tasks run on the host.
    pub fn runs_here(&self) -> bool {
        self.supply.hopeless
    }

    /// What a task of this kind is expected to cost, in microseconds; `None` before the first has ended.
    pub fn expected(&self, kind: u32) -> Option<u64> {
        self.kinds.get(&kind).copied()
    }

    fn unsent(&self) -> usize {
        self.queue.len
            + self
                .workers
                .iter()
                .map(|(_, worker)| worker.backlog.len)
                .sum::<usize>()
    }

    fn all_workers(&self) -> Vec<Ticket> {
        self.workers.iter().map(|(ticket, _)| ticket).collect()
    }

    /// Puts a task that no worker has into the line where it belongs.
    fn place(&mut self, ticket: Ticket) {
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
    fn worker_for(&mut self, job: &Job) -> Option<Ticket> {
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
    fn make_room(&self, priority: i32) -> Result<Option<Ticket>, Refusal> {
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
                let arrival = |task: &Task| task.rank + i64::from(task.job.priority) * AGING;
                let oldest = waiting.min_by_key(|(_, task)| (task.job.priority, arrival(task)));
                match oldest.map(|(ticket, task)| (ticket, task.job.priority)) {
                    Some((task, lowest)) if lowest <= priority => Ok(Some(task)),
                    _ => Err(Refusal::Dropped { queued: told }),
                }
            }
        }
    }

    fn drop_unsent(&mut self, ticket: Ticket) {
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

    /// Sends tasks to workers that have room, the one with the least work first.
    fn pump(&mut self, now: Instant, room: Room) {
        let has_room = |worker: &Worker| match room {
            Room::Idle => worker.is_idle(),
            Room::Any => {
                let is_open = worker.sent.is_empty() || worker.work < LOW || self.takes_one_ahead(worker);
                worker.stage == Stage::Ready && is_open
            }
        };
        let mut open: Vec<(Ticket, Vec<Ticket>)> = Vec::new();
        for (ticket, worker) in self.workers.iter() {
            if has_room(worker) {
                open.push((ticket, Vec::new()));
            }
        }
        let mut full: Vec<(Ticket, Vec<Ticket>)> = Vec::new();
        while let Some((at, least)) = self.least_busy(&open) {
            let takes_more = (least.work < HIGH && least.sent.len() < MOST) || self.takes_one_ahead(least);
            if takes_more && self.feed(open[at].0, &mut open[at].1) {
                continue;
            }
            full.push(open.swap_remove(at));
        }
        full.sort_by_key(|(worker, _)| worker.index());
        for (worker, tasks) in full {
            if !tasks.is_empty() {
                self.mark_head(now, worker);
                self.counts.messages += 1;
                self.orders.push_back(Order::Send { worker, tasks });
            }
        }
    }

    fn least_busy(&self, open: &[(Ticket, Vec<Ticket>)]) -> Option<(usize, &Worker)> {
        let workers = open.iter().enumerate();
        let workers = workers.filter_map(|(at, (ticket, _))| Some((at, *ticket, self.workers.get(*ticket)?)));
        let least =
            workers.min_by_key(|(_, ticket, worker)| (worker.work, worker.sent.len(), ticket.index()));
        least.map(|(at, _, worker)| (at, worker))
    }

    /// Gives a worker its next task, from its own line, the common one, or another worker's.
    fn feed(&mut self, worker: Ticket, message: &mut Vec<Ticket>) -> bool {
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
            message.push(task);
        }
        true
    }

    fn next_for(&mut self, worker: Ticket) -> Option<Ticket> {
        let tasks = &self.tasks;
        let own = self
            .workers
            .get_mut(worker)?
            .backlog
            .peek(tasks, Place::is_backlog_of(worker));
        let common = self.queue.peek(tasks, Place::is_queue);
        match (own, common) {
            (Some((own, _)), Some((common, _))) if own > common => self.queue.pop(tasks, Place::is_queue),
            (Some(_), _) => self
                .workers
                .get_mut(worker)?
                .backlog
                .pop(tasks, Place::is_backlog_of(worker)),
            (None, Some(_)) => self.queue.pop(tasks, Place::is_queue),
            (None, None) => self.steal(worker),
        }
    }

    /// Takes a task from the longest line of another worker, for one that would have nothing to do.
    fn steal(&mut self, thief: Ticket) -> Option<Ticket> {
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
            match backlog.pop(tasks, Place::is_backlog_of(victim)) {
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

    fn cost(&self, task: Ticket) -> u64 {
        let kind = self.tasks.get(task).map(|task| task.job.kind);
        kind.and_then(|kind| self.kinds.get(&kind))
            .copied()
            .unwrap_or(HIGH)
    }

    /// An average that forgets: an eighth of what is new.
    fn learn(&mut self, kind: u32, ran: u64) {
        let ran = ran.max(1);
        let average = self.kinds.entry(kind).or_insert(ran);
        *average = (*average - *average / 8 + ran / 8).max(1);
    }

    /// Where nobody reports the start of a task, the oldest one of a worker is the one that runs.
    fn mark_head(&mut self, now: Instant, worker: Ticket) {
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
    fn overdue(&self, worker: Ticket) -> Option<(Instant, Ticket)> {
        let worker = self.workers.get(worker)?;
        let looked_at = if self.config.reports_start {
            worker.sent.len()
        } else {
            1
        };
        let ends = worker.sent.iter().take(looked_at).filter_map(|ticket| {
            let task = self.tasks.get(*ticket)?;
            let limit = task
                .job
                .timeout
                .or(self.config.task_timeout.map(super::time::micros));
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

    fn idle_exit(&self, worker: Ticket) -> Option<Instant> {
        let idle = self.config.idle?;
        let at = self.workers.get(worker)?;
        let spare = self.workers.len() > self.config.min as usize;
        (spare && at.is_idle() && at.backlog.len == 0).then(|| at.idle_since + idle)
    }

    fn recycle(&mut self, now: Instant, worker: Ticket) {
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

    fn retire_if_done(&mut self, worker: Ticket) {
        let done = |worker: &Worker| worker.stage == Stage::Retiring && worker.sent.is_empty();
        if self.workers.get(worker).is_some_and(done) {
            self.workers.remove(worker);
            self.orders.push_back(Order::Retire(worker));
        }
    }

    /// Gives the tasks that wait for one worker to the others.
    fn scatter(&mut self, worker: Ticket) {
        let tasks = &self.tasks;
        let Some(backlog) = self.workers.get_mut(worker).map(|worker| &mut worker.backlog) else {
            return;
        };
        let waiting: Vec<Ticket> =
            std::iter::from_fn(|| backlog.pop(tasks, Place::is_backlog_of(worker))).collect();
        waiting.into_iter().for_each(|task| self.place(task));
    }

    /// Takes a worker out that is dead or has to die, and decides what becomes of its tasks.
    fn bury(&mut self, worker: Ticket, blame: Blame) {
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

    fn wants_a_worker(&self) -> bool {
        let more = self.workers.len() < self.config.max as usize;
        let open = self.intake == Intake::Open;
        more && ((open && self.workers.len() < self.config.min as usize)
            || (self.unsent() > 0 && self.workers.is_empty()))
    }

    /// Starts the workers that there should be.
    fn keep_up(&mut self, now: Instant) {
        while self.wants_a_worker() && self.spawn(now) {}
        let mut starting = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.stage == Stage::Starting)
            .count();
        while self.unsent() > starting && self.should_grow() && self.spawn(now) {
            starting += 1;
        }
        let may_grow = self.unsent() > starting && self.workers.len() < self.config.max as usize;
        self.grows_at = match self.grows_at {
            _ if !may_grow || self.supply.hopeless => None,
            None => Some(now + GROW_AFTER),
            armed => armed,
        };
    }

    /// Whether what waits would wait longer than a start takes, as far as anybody knows.
    fn should_grow(&self) -> bool {
        let ready = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.stage == Stage::Ready);
        let (count, work) = ready.fold((0, 0u64), |(count, work), (_, worker)| {
            (count + 1, work + worker.work)
        });
        if count == 0 {
            return true;
        }
        let mut waits = work;
        for (kind, tasks) in &self.unsent {
            match self.kinds.get(kind) {
                None => return true,
                Some(cost) => waits += cost * tasks,
            }
        }
        waits > super::time::micros(GROW_AFTER) * count
    }

    fn waits(&mut self, kind: u32) {
        *self.unsent.entry(kind).or_default() += 1;
    }

    fn waits_no_more(&mut self, kind: u32) {
        if let Entry::Occupied(mut tasks) = self.unsent.entry(kind) {
            *tasks.get_mut() -= 1;
            if *tasks.get() == 0 {
                tasks.remove();
            }
        }
    }

    fn spawn(&mut self, now: Instant) -> bool {
        let full = self.workers.len() >= self.config.max as usize;
        if full || now < self.supply.not_before || self.supply.hopeless {
            return false;
        }
        let worker = Worker {
            stage: Stage::Starting,
            sent: VecDeque::new(),
            work: 0,
            backlog: Waiting::default(),
            idle_since: now,
            answered: 0,
        };
        match self.workers.insert(worker) {
            Ok(worker) => {
                self.counts.spawned += 1;
                self.orders.push_back(Order::Spawn(worker));
                true
            }
            Err(_) => false,
        }
    }

    fn run_here(&mut self) {
        let tasks = &self.tasks;
        let waiting: Vec<Ticket> = std::iter::from_fn(|| self.queue.pop(tasks, Place::is_queue)).collect();
        for task in waiting {
            if let Some(gone) = self.tasks.remove(task) {
                self.waits_no_more(gone.job.kind);
            }
            self.orders.push_back(Order::RunHere(task));
        }
    }

    /// After closing: asks the workers to exit when nothing is left to do.
    fn wind_down(&mut self) {
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

/// What is known of a worker's death.
#[derive(Clone, Copy)]
enum Blame {
    /// Any of its tasks may have been running.
    Any,
    /// This one ran out of time.
    TooSlow(Ticket),
    /// This one broke it, and none behind it has begun.
    Broke(Ticket),
}

#[derive(Clone, Copy)]
enum Room {
    Idle,
    Any,
}

impl Worker {
    fn is_idle(&self) -> bool {
        self.stage == Stage::Ready && self.sent.is_empty()
    }

    fn forget(&mut self, task: Ticket, cost: u64) {
        if let Some(at) = self.sent.iter().position(|other| *other == task) {
            self.sent.remove(at);
            self.work = self.work.saturating_sub(cost);
        }
    }
}

impl Place {
    fn is_queue(&self) -> bool {
        matches!(self, Self::Queue)
    }

    fn is_backlog_of(worker: Ticket) -> impl Fn(&Self) -> bool {
        move |place| matches!(place, Self::Backlog(at) if *at == worker)
    }
}

impl Waiting {
    fn push(&mut self, ticket: Ticket, task: &Task) {
        self.line.push(task.rank, ticket);
        self.len += 1;
        self.with_key += usize::from(task.job.key.is_some());
    }

    fn peek(&mut self, tasks: &Slab<Task>, here: impl Fn(&Place) -> bool) -> Option<(i64, Ticket)> {
        self.line
            .peek(|ticket| tasks.get(ticket).is_some_and(|task| here(&task.place)))
    }

    fn pop(&mut self, tasks: &Slab<Task>, here: impl Fn(&Place) -> bool) -> Option<Ticket> {
        let (_, ticket) = self
            .line
            .pop(|ticket| tasks.get(ticket).is_some_and(|task| here(&task.place)))?;
        self.len = self.len.saturating_sub(1);
        let keyed = tasks.get(ticket).is_some_and(|task| task.job.key.is_some());
        self.with_key = self.with_key.saturating_sub(usize::from(keyed));
        Some(ticket)
    }

    fn left(&mut self, task: &Task, lives: impl Fn(Ticket) -> bool) {
        self.len = self.len.saturating_sub(1);
        self.with_key = self.with_key.saturating_sub(usize::from(task.job.key.is_some()));
        self.line.left(lives);
    }
}

fn affinity(key: u32, worker: Ticket) -> u64 {
    Random::new((u64::from(key) << 32) ^ worker.to_bits()).bits()
}

//! Who gets what in a pool of workers: when to start one, what to send it, when to give it up.
//!
//! **Late messages.** A worker is a ticket. When it dies or is given up its ticket goes stale, so whatever arrives from
//! it later is nobody's, and the next worker in its place is another ticket.
//!
//! **Latency and throughput.** A message costs a hundred times what a task in a batch costs, and a batch that is not
//! full costs latency. So an idle worker is sent a task the moment there is one, and a busy one is sent what has
//! gathered when the work it has falls below [`LOW`], up to [`HIGH`]. Work is counted in what tasks of that kind have
//! cost so far; one that was never seen counts as [`HIGH`], so it travels alone until it is known. Of longer tasks one is
//! sent ahead of its turn while there are enough for everybody ([`AHEAD`]), and several together while much waits
//! ([`SEVERAL`]). Long ones therefore never pile up behind each other in a worker, where they could not be moved any more.
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

use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::Refusal;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

mod ahead;
mod chunks;
mod config;
mod endings;
mod limits;
mod numbers;
#[cfg(test)]
mod rules;
mod sending;
mod supply;
mod task;
mod terms;
#[cfg(test)]
mod tests;
mod waiting;
mod worker;

pub use ahead::{AHEAD, MOST_SEVERAL, SEVERAL};
pub use chunks::chunk;
pub use config::{DispatchConfig, Overflow, Turn};
use endings::Blame;
use sending::Room;
use supply::Supply;
use task::{Place, Task};
pub use terms::{Answer, Cancelled, DispatchCounts, Fault, Job, Order};
use waiting::Waiting;
use worker::{Stage, Worker};

/// A busy worker with less work than this, in microseconds, is sent more: ten times what a message takes to arrive.
pub const LOW: u64 = 1_000;
/// A worker is sent up to this much work, in microseconds: one batch being done and one at hand.
pub const HIGH: u64 = 2_000;
/// Most tasks at one worker at a time.
pub const MOST: usize = 512;
/// Work that waits longer than this starts another worker: a start takes 20 to 60 ms.
pub const GROW_AFTER: Duration = Duration::from_millis(10);

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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Intake {
    Open,
    Closed,
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
            supply: Supply::UNTRIED,
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

    /// Takes the next thing the host is to do.
    pub fn pop_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Whether [`pop_order`](Self::pop_order) has one.
    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    fn all_workers(&self) -> Vec<Ticket> {
        self.workers.iter().map(|(ticket, _)| ticket).collect()
    }
}

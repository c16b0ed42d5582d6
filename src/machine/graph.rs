//! Task graph: who may start, the moment the last thing it waits for has ended.
//!
//! Nothing is polled: the end of a task is the event that starts its dependents. A task that waits for another holds
//! no slot. Names stay with the host, by interned id.

mod critical_path;
mod cycle;
#[cfg(test)]
mod tests;

use super::keys::KeyMap;
use super::line::Line;
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Wakes, Why};
use std::num::NonZeroU32;
use std::time::Duration;

/// Tasks with their dependencies, before, while and after they run.
#[derive(Clone, Debug)]
pub struct Graph {
    config: GraphConfig,
    tasks: Slab<Task>,
    by_id: KeyMap<Ticket>,
    // Named as dependencies before they were added.
    awaited: KeyMap<Vec<Ticket>>,
    ready: Line<Ticket>,
    arrivals: i64,
    begun: bool,
    in_use: u32,
    progress: GraphProgress,
}

/// How a graph runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GraphConfig {
    /// How many slots there are for tasks: 10, as everywhere where many are gathered.
    pub concurrency: NonZeroU32,
    /// What happens to dependents of a task that did not succeed, unless they say so themselves: skip.
    pub on_failure: OnFailure,
    /// How many later arrivals one step of priority may overtake: 16.
    pub aging: u32,
    /// Whether the host is told of tasks that have become ready too ([`Why::Ready`]): no.
    pub tells_ready: bool,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            concurrency: NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN),
            on_failure: OnFailure::Skip,
            aging: 16,
            tells_ready: false,
        }
    }
}

/// What a task does when something it depends on failed, was cancelled or was itself skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// It is skipped, and so is what depends on it.
    Skip,
    /// It runs all the same, once everything it depends on has ended.
    Run,
}

/// A task to add.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewTask<'a> {
    /// Its name, interned.
    pub id: u32,
    /// The names of those that must end before it starts. Before [`begin`](Graph::begin) they may be added later than it.
    pub depends_on: &'a [u32],
    /// −100 to 100, higher first among those that are ready; 0.
    pub priority: i32,
    /// How many slots it takes; 1. What is heavier than all of them takes all.
    pub weight: u32,
    /// Its own answer to a failure; `None`: the graph's.
    pub on_failure: Option<OnFailure>,
}

impl NewTask<'_> {
    /// A task that depends on nothing.
    pub const fn named(id: u32) -> Self {
        Self {
            id,
            depends_on: &[],
            priority: 0,
            weight: 1,
            on_failure: None,
        }
    }
}

/// Why a task is not added, or the graph not begun. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GraphError {
    /// There is a task of that name.
    Duplicate {
        /// The name.
        id: u32,
    },
    /// Its dependencies lead back to it.
    Cycle {
        /// The way round: each depends on the next, the last on the first.
        through: Vec<u32>,
    },
    /// It depends on a task that is not there, and nobody could add in time.
    Missing {
        /// The task.
        id: u32,
        /// What it depends on.
        dependency: u32,
    },
    /// There are 2^24 tasks already.
    Full,
}

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// It waits for so many others.
    Waiting {
        /// How many have not ended.
        dependencies: u32,
    },
    /// It waits for a slot.
    Ready,
    /// It runs.
    Running,
    /// It is over.
    Ended(TaskEnd),
}

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskEnd {
    /// It ran and succeeded.
    Succeeded,
    /// It ran and failed.
    Failed,
    /// It was cancelled, before or while it ran.
    Cancelled,
    /// It never ran because another did not succeed.
    Skipped {
        /// The one at the root of it: it failed or was cancelled.
        because_of: u32,
    },
}

/// What a task has to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
}

/// When a task did what. What has not happened is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskTiming {
    /// When it was added.
    pub added: Instant,
    /// When the last of its dependencies had ended.
    pub ready: Option<Instant>,
    /// When it got its slot.
    pub started: Option<Instant>,
    /// When it was over.
    pub ended: Option<Instant>,
}

impl TaskTiming {
    /// How long it ran; `None` if it did not, or still does.
    pub fn ran_for(&self) -> Option<Duration> {
        Some(self.ended?.since(self.started?))
    }
}

/// How many tasks are where.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GraphProgress {
    /// Waiting for others.
    pub waiting: u32,
    /// Waiting for a slot.
    pub ready: u32,
    /// Running.
    pub running: u32,
    /// Ended well.
    pub succeeded: u32,
    /// Ended badly.
    pub failed: u32,
    /// Skipped because of another.
    pub skipped: u32,
    /// Cancelled.
    pub cancelled: u32,
}

impl GraphProgress {
    /// All there are.
    pub const fn total(&self) -> u32 {
        self.waiting + self.ready + self.running + self.ended()
    }

    /// Those that are over, however they ended.
    pub const fn ended(&self) -> u32 {
        self.succeeded + self.failed + self.skipped + self.cancelled
    }

    /// Whether all are over.
    pub const fn is_over(&self) -> bool {
        self.waiting + self.ready + self.running == 0
    }
}

#[derive(Clone, Debug)]
struct Task {
    id: u32,
    priority: i32,
    weight: u32,
    // What it took; the number of slots may change while it runs.
    holds: u32,
    on_failure: Option<OnFailure>,
    depends_on: Vec<u32>,
    dependents: Vec<Ticket>,
    state: TaskState,
    timing: TaskTiming,
    // The longest run of work that led up to its end, in time and in tasks, and the dependency it came through.
    path: Duration,
    steps: u32,
    via: Option<u32>,
}

impl Task {
    // Whether a failure before it ends it, where that is the usual answer.
    fn skips(&self, usual: OnFailure) -> bool {
        self.on_failure.unwrap_or(usual) == OnFailure::Skip
    }
}

impl Graph {
    /// A graph without tasks.
    pub fn new(config: GraphConfig) -> Self {
        Self {
            config,
            tasks: Slab::new(),
            by_id: KeyMap::default(),
            awaited: KeyMap::default(),
            ready: Line::new(),
            arrivals: 0,
            begun: false,
            in_use: 0,
            progress: GraphProgress::default(),
        }
    }

    /// Adds a task, also while others run. Once the graph has begun, it may start, or be skipped, in this very call.
    ///
    /// # Errors
    /// See [`GraphError`]; the graph is as it was before.
    pub fn add(&mut self, now: Instant, new: NewTask<'_>, wakes: &mut Wakes) -> Result<Ticket, GraphError> {
        if self.by_id.contains_key(&new.id) {
            return Err(GraphError::Duplicate { id: new.id });
        }
        let mut depends_on = new.depends_on.to_vec();
        depends_on.sort_unstable();
        depends_on.dedup();
        if let Some(through) = self.way_back(new.id, &depends_on) {
            return Err(GraphError::Cycle { through });
        }
        let missing = depends_on.iter().find(|id| !self.by_id.contains_key(id));
        if let Some(dependency) = missing.copied().filter(|_| self.begun) {
            return Err(GraphError::Missing {
                id: new.id,
                dependency,
            });
        }
        let task = Task {
            id: new.id,
            priority: new.priority.clamp(-100, 100),
            weight: new.weight.max(1),
            holds: 0,
            on_failure: new.on_failure,
            dependents: self.awaited.get(&new.id).cloned().unwrap_or_default(),
            depends_on: Vec::new(),
            state: TaskState::Waiting { dependencies: 0 },
            timing: TaskTiming {
                added: now,
                ready: None,
                started: None,
                ended: None,
            },
            path: Duration::ZERO,
            steps: 0,
            via: None,
        };
        let ticket = self.tasks.insert(task).map_err(|_| GraphError::Full)?;
        self.awaited.remove(&new.id);
        self.by_id.insert(new.id, ticket);
        self.progress.waiting += 1;
        self.tie(ticket, depends_on);
        if self.begun {
            self.look_at(now, ticket, wakes);
            self.start_ready(now, wakes);
        }
        Ok(ticket)
    }

    /// Starts what depends on nothing. From here on a dependency must be there when it is named.
    ///
    /// # Errors
    /// [`GraphError::Missing`] names a dependency that was never added.
    pub fn begin(&mut self, now: Instant, wakes: &mut Wakes) -> Result<(), GraphError> {
        let first_missing = self
            .awaited
            .iter()
            .filter_map(|(dependency, waiting)| Some((*waiting.first()?, *dependency)))
            .min();
        if let Some((waiting, dependency)) = first_missing
            && let Some(task) = self.tasks.get(waiting)
        {
            return Err(GraphError::Missing {
                id: task.id,
                dependency,
            });
        }
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        let all: Vec<Ticket> = self.tasks.iter().map(|(ticket, _)| ticket).collect();
        for ticket in all {
            self.look_at(now, ticket, wakes);
        }
        self.start_ready(now, wakes);
        Ok(())
    }

    /// Stops after an execution: what is added from here on waits until the graph begins again, and may name what comes later.
    pub fn rest(&mut self) {
        self.begun = false;
    }

    /// Adds a task that is over already, for a host that lost its graph and makes it again.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn adopt(&mut self, now: Instant, id: u32, end: TaskEnd) -> Result<Ticket, GraphError> {
        let mut nobody = Wakes::new();
        let ticket = self.add(now, NewTask::named(id), &mut nobody)?;
        self.mark_ended(now, ticket, end);
        Ok(ticket)
    }

    /// Changes what happens to dependents that do not say it themselves, from now on.
    pub fn set_on_failure(&mut self, on_failure: OnFailure) {
        self.config.on_failure = on_failure;
    }

    /// A running task has ended. Its slot goes to the next in line, its dependents become ready or are skipped
    /// ([`Why::Failed`]), all in this call.
    ///
    /// # Errors
    /// [`StaleTicket`] when it does not run: it was cancelled, or ended before.
    pub fn end(
        &mut self,
        now: Instant,
        ticket: Ticket,
        outcome: Outcome,
        wakes: &mut Wakes,
    ) -> Result<(), StaleTicket> {
        if self.state(ticket) != Some(TaskState::Running) {
            return Err(StaleTicket);
        }
        let end = match outcome {
            Outcome::Succeeded => TaskEnd::Succeeded,
            Outcome::Failed => TaskEnd::Failed,
        };
        self.settle(now, ticket, end, wakes);
        self.start_ready(now, wakes);
        Ok(())
    }

    /// Cancels a task that is not over ([`Why::Revoked`]); its slot is free at once, and its dependents are treated as after a
    /// failure.
    ///
    /// # Errors
    /// [`StaleTicket`] when it is over.
    pub fn cancel(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) -> Result<(), StaleTicket> {
        match self.state(ticket) {
            None | Some(TaskState::Ended(_)) => Err(StaleTicket),
            Some(_) => {
                wakes.push(ticket, Why::Revoked);
                self.settle(now, ticket, TaskEnd::Cancelled, wakes);
                self.start_ready(now, wakes);
                Ok(())
            }
        }
    }

    /// Cancels every task that is not over; nothing starts any more unless it is added later.
    pub fn cancel_all(&mut self, now: Instant, wakes: &mut Wakes) {
        let open: Vec<Ticket> = self
            .tasks
            .iter()
            .filter(|(_, task)| !matches!(task.state, TaskState::Ended(_)))
            .map(|(ticket, _)| ticket)
            .collect();
        for ticket in &open {
            wakes.push(*ticket, Why::Revoked);
            self.mark_ended(now, *ticket, TaskEnd::Cancelled);
        }
    }

    /// Changes how many run at once; those above a lower bound run on.
    pub fn resize(&mut self, now: Instant, concurrency: NonZeroU32, wakes: &mut Wakes) {
        self.config.concurrency = concurrency;
        if self.begun {
            self.start_ready(now, wakes);
        }
    }

    /// The task of a name.
    pub fn find(&self, id: u32) -> Option<Ticket> {
        self.by_id.get(&id).copied()
    }

    /// The name of a task.
    pub fn id(&self, ticket: Ticket) -> Option<u32> {
        self.tasks.get(ticket).map(|task| task.id)
    }

    /// Where a task is.
    pub fn state(&self, ticket: Ticket) -> Option<TaskState> {
        self.tasks.get(ticket).map(|task| task.state)
    }

    /// When a task did what.
    pub fn timing(&self, ticket: Ticket) -> Option<TaskTiming> {
        self.tasks.get(ticket).map(|task| task.timing)
    }

    /// What a task depends on, by name.
    pub fn dependencies(&self, ticket: Ticket) -> &[u32] {
        self.tasks.get(ticket).map_or(&[], |task| &task.depends_on)
    }

    /// How many slots a task takes, and of how many.
    pub fn slots_of(&self, ticket: Ticket) -> (u32, u32) {
        let slots = self.config.concurrency.get();
        let weight = self.tasks.get(ticket).map_or(1, |task| task.weight);
        (weight.min(slots), slots)
    }

    /// How many tasks are where.
    pub fn progress(&self) -> GraphProgress {
        self.progress
    }

    // Makes the edges of a task that is in the slab.
    fn tie(&mut self, ticket: Ticket, depends_on: Vec<u32>) {
        let mut open = 0;
        for dependency in &depends_on {
            match self
                .by_id
                .get(dependency)
                .and_then(|found| self.tasks.get_mut(*found))
            {
                Some(Task {
                    state: TaskState::Ended(_),
                    ..
                }) => {}
                Some(task) => {
                    task.dependents.push(ticket);
                    open += 1;
                }
                None => {
                    self.awaited.entry(*dependency).or_default().push(ticket);
                    open += 1;
                }
            }
        }
        if let Some(task) = self.tasks.get_mut(ticket) {
            task.depends_on = depends_on;
            task.state = TaskState::Waiting { dependencies: open };
        }
    }

    // A waiting task may have become ready or pointless.
    fn look_at(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) {
        let Some(task) = self.tasks.get(ticket) else {
            return;
        };
        let TaskState::Waiting { dependencies } = task.state else {
            return;
        };
        if task.skips(self.config.on_failure)
            && let Some(because_of) = task.depends_on.iter().find_map(|id| self.root_of_failure(*id))
        {
            self.settle(now, ticket, TaskEnd::Skipped { because_of }, wakes);
        } else if dependencies == 0 {
            self.make_ready(now, ticket, wakes);
        }
    }

    // Which task is to blame if this one did not succeed.
    fn root_of_failure(&self, id: u32) -> Option<u32> {
        match self.tasks.get(self.find(id)?)?.state {
            TaskState::Ended(TaskEnd::Failed | TaskEnd::Cancelled) => Some(id),
            TaskState::Ended(TaskEnd::Skipped { because_of }) => Some(because_of),
            _ => None,
        }
    }

    fn make_ready(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) {
        let Some(task) = self.tasks.get_mut(ticket) else {
            return;
        };
        task.state = TaskState::Ready;
        task.timing.ready = Some(now);
        self.arrivals += 1;
        let rank = self.arrivals - i64::from(task.priority) * i64::from(self.config.aging);
        self.ready.push(rank, ticket);
        self.progress.waiting -= 1;
        self.progress.ready += 1;
        if self.config.tells_ready {
            wakes.push(ticket, Why::Ready);
        }
    }

    fn start_ready(&mut self, now: Instant, wakes: &mut Wakes) {
        let slots = self.config.concurrency.get();
        loop {
            let tasks = &self.tasks;
            let is_ready = |ticket| {
                tasks
                    .get(ticket)
                    .is_some_and(|task| task.state == TaskState::Ready)
            };
            let Some((_, ticket)) = self.ready.peek(is_ready) else {
                return;
            };
            // The head waits for all its slots and blocks those behind it, so that the heavy do not starve.
            let weight = tasks.get(ticket).map_or(1, |task| task.weight.min(slots));
            if self.in_use.saturating_add(weight) > slots {
                return;
            }
            self.ready.pop(is_ready);
            if let Some(task) = self.tasks.get_mut(ticket) {
                task.state = TaskState::Running;
                task.timing.started = Some(now);
                task.holds = weight;
                self.in_use += weight;
                self.progress.ready -= 1;
                self.progress.running += 1;
                wakes.push(ticket, Why::Granted);
            }
        }
    }

    // Ends a task and carries on what follows from it, one task after the other: chains may be long.
    fn settle(&mut self, now: Instant, ticket: Ticket, end: TaskEnd, wakes: &mut Wakes) {
        let mut open = vec![(ticket, end)];
        while let Some((ticket, end)) = open.pop() {
            if matches!(self.state(ticket), Some(TaskState::Ended(_))) {
                // Reached by two ways.
                continue;
            }
            if matches!(end, TaskEnd::Skipped { .. }) {
                wakes.push(ticket, Why::Failed);
            }
            let dependents = self.mark_ended(now, ticket, end);
            let because_of = match end {
                TaskEnd::Succeeded => None,
                TaskEnd::Failed | TaskEnd::Cancelled => self.id(ticket),
                TaskEnd::Skipped { because_of } => Some(because_of),
            };
            // Pushed in reverse, so that they are carried on in order.
            let mut pointless = Vec::new();
            for dependent in dependents {
                let usual = self.config.on_failure;
                let Some(task) = self.tasks.get_mut(dependent) else {
                    continue;
                };
                let skips = task.skips(usual);
                let TaskState::Waiting { dependencies } = &mut task.state else {
                    continue;
                };
                *dependencies = dependencies.saturating_sub(1);
                match because_of {
                    Some(because_of) if skips => {
                        pointless.push((dependent, TaskEnd::Skipped { because_of }));
                    }
                    _ if *dependencies == 0 && self.begun => self.make_ready(now, dependent, wakes),
                    _ => {}
                }
            }
            open.extend(pointless.into_iter().rev());
        }
    }

    fn mark_ended(&mut self, now: Instant, ticket: Ticket, end: TaskEnd) -> Vec<Ticket> {
        let Some(before) = self.state(ticket) else {
            return Vec::new();
        };
        self.trace_path(now, ticket);
        let progress = &mut self.progress;
        *match before {
            TaskState::Waiting { .. } => &mut progress.waiting,
            TaskState::Ready => &mut progress.ready,
            TaskState::Running => &mut progress.running,
            TaskState::Ended(_) => return Vec::new(),
        } -= 1;
        *match end {
            TaskEnd::Succeeded => &mut progress.succeeded,
            TaskEnd::Failed => &mut progress.failed,
            TaskEnd::Cancelled => &mut progress.cancelled,
            TaskEnd::Skipped { .. } => &mut progress.skipped,
        } += 1;
        let Some(task) = self.tasks.get_mut(ticket) else {
            return Vec::new();
        };
        task.state = TaskState::Ended(end);
        task.timing.ended = Some(now);
        self.in_use -= std::mem::take(&mut task.holds);
        if before == TaskState::Ready {
            let tasks = &self.tasks;
            self.ready.left(|ticket| {
                tasks
                    .get(ticket)
                    .is_some_and(|task| task.state == TaskState::Ready)
            });
        }
        self.tasks
            .get_mut(ticket)
            .map(|task| std::mem::take(&mut task.dependents))
            .unwrap_or_default()
    }
}

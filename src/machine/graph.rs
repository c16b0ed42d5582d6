//! Task graph: who may start, the moment the last thing it waits for has ended.
//!
//! Nothing is polled: the end of a task is the event that starts its dependents. A task that waits for another holds
//! no slot. Names stay with the host, by interned id.

mod course;
mod critical_path;
mod cycle;
mod terms;
#[cfg(test)]
mod tests;

use super::keys::KeyMap;
use super::line::Line;
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Wakes, Why};
use std::num::NonZeroU32;
use std::time::Duration;
pub use terms::{
    GraphConfig, GraphError, GraphProgress, NewTask, OnFailure, Outcome, TaskEnd, TaskState, TaskTiming,
};

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
}

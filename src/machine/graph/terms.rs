//! The words of a graph: what is added to it, where tasks are, how they end.

use crate::machine::time::Instant;
use std::num::NonZeroU32;
use std::time::Duration;

/// How a graph runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GraphConfig {
    /// How many slots there are for tasks: 10, as everywhere where many are gathered.
    pub concurrency: NonZeroU32,
    /// What happens to dependents of a task that did not succeed, unless they say so themselves: skip.
    pub on_failure: OnFailure,
    /// How many later arrivals one step of priority may overtake: 16.
    pub aging: u32,
    /// Whether the host is told of tasks that have become ready too ([`Why::Ready`](super::super::wakes::Why::Ready)): no.
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
    /// The names of those that must end before it starts. Before [`begin`](super::Graph::begin) they may be added later than it.
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

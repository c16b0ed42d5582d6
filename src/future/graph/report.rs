//! What an execution of a graph came to, and why there was none.

use crate::future::interned::Circle;
use crate::future::owner::DeadlockStep;
use crate::machine::graph::TaskTiming;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// What an execution came to.
#[derive(Clone, Debug)]
pub struct GraphReport<T, E> {
    /// Every task, in the order in which they were added.
    pub tasks: Vec<TaskReport<T, E>>,
    /// The chain of dependent tasks whose running times add up to the most: with any number of slots it takes that long.
    pub critical_path: Vec<Rc<str>>,
    /// The running time along it.
    pub critical_time: Duration,
    /// How long the execution took.
    pub duration: Duration,
}

/// What became of a task.
#[derive(Clone, Debug)]
pub struct TaskReport<T, E> {
    /// Its name.
    pub name: Rc<str>,
    /// How it ended.
    pub result: TaskResult<T, E>,
    /// When it did what.
    pub timing: TaskTiming,
}

/// How a task ended.
#[derive(PartialEq, Eq, Debug)]
pub enum TaskResult<T, E> {
    /// It ran and succeeded.
    Succeeded(Rc<T>),
    /// It ran and failed.
    Failed(Rc<E>),
    /// It never ran, because another did not succeed.
    Skipped {
        /// The one at the root of it.
        because_of: Rc<str>,
    },
    /// It was cancelled.
    Cancelled,
    /// It was given up: it waited, before it was started, for those who wait for it.
    Deadlocked {
        /// Who waits for whom, itself first.
        chain: Rc<[DeadlockStep]>,
    },
    /// It has not ended. Never in the report of an execution.
    Pending,
}

impl<T, E> GraphReport<T, E> {
    /// What became of a task.
    pub fn task(&self, name: &str) -> Option<&TaskReport<T, E>> {
        self.tasks.iter().find(|task| &*task.name == name)
    }

    /// The value of a task that succeeded.
    pub fn value(&self, name: &str) -> Option<&T> {
        match &self.task(name)?.result {
            TaskResult::Succeeded(value) => Some(value),
            _ => None,
        }
    }
}

// By hand: values and errors are shared and need not be clonable themselves.
impl<T, E> Clone for TaskResult<T, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Succeeded(value) => Self::Succeeded(Rc::clone(value)),
            Self::Failed(error) => Self::Failed(Rc::clone(error)),
            Self::Skipped { because_of } => Self::Skipped {
                because_of: Rc::clone(because_of),
            },
            Self::Cancelled => Self::Cancelled,
            Self::Deadlocked { chain } => Self::Deadlocked {
                chain: Rc::clone(chain),
            },
            Self::Pending => Self::Pending,
        }
    }
}

/// Why a task is not added, or the graph not executed. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TaskGraphError {
    /// There is a task of that name.
    Duplicate {
        /// The name.
        name: Rc<str>,
    },
    /// Its dependencies lead back to it.
    Cycle {
        /// The way round: each depends on the next, the last on the first.
        through: Vec<Rc<str>>,
    },
    /// A dependency was never added.
    Missing {
        /// The task that depends on it.
        name: Rc<str>,
        /// What was never added.
        dependency: Rc<str>,
    },
    /// There are 2^24 tasks already.
    Full,
    /// It is being executed already.
    Executing,
}

impl fmt::Display for TaskGraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { name } => write!(f, "there is a task `{name}` already"),
            Self::Cycle { through } => {
                write!(f, "the dependencies go in a circle: {}", Circle(through))
            }
            Self::Missing { name, dependency } => {
                write!(f, "`{name}` depends on `{dependency}`, which was never added")
            }
            Self::Full => f.write_str("there are 2^24 tasks already"),
            Self::Executing => f.write_str("the graph is being executed already"),
        }
    }
}

impl std::error::Error for TaskGraphError {}

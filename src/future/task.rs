//! A task as its pool knows it, as it knows itself, and how it can end badly.

use super::acquire_error::AcquireError;
use super::timeout::TimeoutError;
use crate::machine::time::Instant;
use crate::machine::wait_for::Waiter;
use std::any::Any;
use std::fmt;
use std::rc::Rc;

/// What a running task knows about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskContext {
    pub(crate) id: u64,
    pub(crate) name: Option<Rc<str>>,
    pub(crate) attempt: u32,
    pub(crate) deadline: Option<Instant>,
    // Where it holds its slots, for those that name it as their parent.
    pub(crate) place: Option<Waiter>,
}

impl TaskContext {
    /// A number that no other task of this host has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name the caller gave it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When all of it must be over; hand it on to nested calls.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// A task as lists show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskInfo {
    /// A number that no other task of this host has.
    pub id: u64,
    /// The name the caller gave it.
    pub name: Option<Rc<str>>,
    /// How far it has come.
    pub state: TaskState,
    /// When it asked.
    pub queued_at: Instant,
    /// When it got its slots.
    pub started_at: Option<Instant>,
}

/// How far a task has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// It waits.
    Queued,
    /// It holds its slots.
    Running,
    /// Its slots were taken back and it has not ended yet.
    Abandoned,
}

/// Why a task has no value.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RunError<E> {
    /// It ran and failed.
    Task(E),
    /// It was never started.
    Refused(AcquireError),
    /// It ran out of time and was dropped.
    Timeout(TimeoutError),
    /// The pool was closed and its grace ended before the task did.
    Closed,
    /// The caller cancelled it.
    Cancelled,
    /// It panicked. On the host this is contained; wasm aborts instead.
    Panicked(String),
}

impl<E> RunError<E> {
    /// The task's own error.
    pub fn into_task(self) -> Option<E> {
        match self {
            Self::Task(error) => Some(error),
            _ => None,
        }
    }

    pub(crate) fn from_panic(payload: Box<dyn Any + Send>) -> Self {
        Self::Panicked(words_of(payload))
    }
}

/// What a panic says.
pub(crate) fn words_of(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(_) => "a panic without a text".to_owned(),
        },
    }
}

impl<E> From<AcquireError> for RunError<E> {
    fn from(error: AcquireError) -> Self {
        Self::Refused(error)
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(error) => error.fmt(f),
            Self::Refused(error) => error.fmt(f),
            Self::Timeout(error) => error.fmt(f),
            Self::Closed => f.write_str("the pool was closed before the task ended"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Panicked(text) => write!(f, "the task panicked: {text}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for RunError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Task(error) => Some(error),
            Self::Refused(error) => Some(error),
            Self::Timeout(error) => Some(error),
            Self::Closed | Self::Cancelled | Self::Panicked(_) => None,
        }
    }
}

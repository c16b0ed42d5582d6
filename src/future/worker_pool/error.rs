//! Why a task has no result.

use super::kernels::KernelError;
use crate::future::acquire_error::AcquireError;
use std::fmt;
use std::time::Duration;

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerError {
    /// No kernel is registered under this name.
    UnknownKernel(String),
    /// The kernel itself failed.
    Kernel(KernelError),
    /// Its worker died while it may have been running, and it is not idempotent or was tried often enough.
    Crashed,
    /// It ran longer than it may; its worker was ended. The limit, where the call brought one.
    TimedOut(Option<Duration>),
    /// The pool was closed before it ended.
    Closed,
    /// The pool took no more.
    Refused(AcquireError),
}

impl WorkerError {
    /// The stable name of the reason, the same as in JavaScript.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownKernel(_) | Self::Kernel(_) => "KERNEL",
            Self::Crashed => "WORKER_CRASHED",
            Self::TimedOut(_) => "TIMEOUT",
            Self::Closed => "CLOSED",
            Self::Refused(error) => error.code(),
        }
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKernel(name) => write!(f, "no kernel is called `{name}`"),
            Self::Kernel(error) => error.fmt(f),
            Self::Crashed => f.write_str("the worker died while the task may have been running"),
            Self::TimedOut(Some(limit)) => write!(f, "the task ran longer than {limit:?}"),
            Self::TimedOut(None) => f.write_str("the task ran longer than the pool allows"),
            Self::Closed => f.write_str("the pool of workers was closed"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WorkerError {}

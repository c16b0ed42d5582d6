//! Why somebody was turned away.

use super::timeout::Spoken;
use crate::machine::time::Instant;
use crate::machine::wakes::Refusal;
use std::fmt;
use std::time::Duration;

/// Why there was no place. What time heals says when to come back; what it does not, says so by [`heals`](Self::heals).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AcquireError {
    /// It cannot be had without waiting, and the caller would not wait.
    NotNow,
    /// The queue is full, and so is the room for those who wait outside it.
    QueueFull {
        /// How many are queued.
        queued: u32,
    },
    /// The overflow rule of the queue sacrificed this task.
    Dropped {
        /// How many are queued.
        queued: u32,
    },
    /// It waited as long as it was willing to.
    QueueTimeout,
    /// It could not have started before its deadline.
    Shed {
        /// In how long it would have started, by the pool's own estimate.
        estimate: Duration,
    },
    /// The circuit breaker is open, or half-open with all its probes out.
    BrokenCircuit {
        /// In how long the next probe may pass; `None` if only a person can close it.
        retry_after: Option<Duration>,
    },
    /// The rate has no tokens within the time the caller would wait.
    RateLimited {
        /// In how long they are there.
        retry_after: Duration,
    },
    /// It is closed.
    Closed,
    /// More was asked than there can ever be.
    NeverPossible {
        /// The most there can be.
        limit: u32,
    },
    /// Waiting would have closed a cycle of those who wait for each other.
    Deadlock,
    /// Part of an all-or-nothing request is held by somebody else.
    Conflict,
}

impl AcquireError {
    pub(crate) fn new(refusal: Refusal, now: Instant) -> Self {
        match refusal {
            Refusal::NotNow => Self::NotNow,
            Refusal::QueueFull { queued } => Self::QueueFull { queued },
            Refusal::Dropped { queued } => Self::Dropped { queued },
            Refusal::QueueTimeout => Self::QueueTimeout,
            Refusal::Shed { estimate } => Self::Shed {
                estimate: estimate - now,
            },
            Refusal::BrokenCircuit { retry_at } => Self::BrokenCircuit {
                retry_after: retry_at.map(|at| at - now),
            },
            Refusal::RateLimited { retry_at } => Self::RateLimited {
                retry_after: retry_at - now,
            },
            Refusal::Closed => Self::Closed,
            Refusal::NeverPossible { limit } => Self::NeverPossible { limit },
            Refusal::Deadlock => Self::Deadlock,
            Refusal::Conflict => Self::Conflict,
        }
    }

    /// The stable name of the reason, the same as in JavaScript.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotNow => "NOT_NOW",
            Self::QueueFull { .. } => "QUEUE_FULL",
            Self::Dropped { .. } => "DROPPED",
            Self::QueueTimeout | Self::Shed { .. } => "QUEUE_TIMEOUT",
            Self::BrokenCircuit { .. } => "BROKEN_CIRCUIT",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::Closed => "CLOSED",
            Self::NeverPossible { .. } => "NEVER_POSSIBLE",
            Self::Deadlock => "DEADLOCK",
            Self::Conflict => "CONFLICT",
        }
    }

    /// When to try again, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Shed { estimate } => Some(*estimate),
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::BrokenCircuit { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// Whether trying again later can help.
    pub const fn heals(&self) -> bool {
        !matches!(
            self,
            Self::Closed
                | Self::NeverPossible { .. }
                | Self::Deadlock
                | Self::BrokenCircuit { retry_after: None }
        )
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNow => f.write_str("not available without waiting"),
            Self::QueueFull { queued } => write!(f, "the queue is full ({queued} queued)"),
            Self::Dropped { queued } => write!(f, "dropped by a full queue ({queued} queued)"),
            Self::QueueTimeout => f.write_str("waited too long in the queue"),
            Self::Shed { estimate } => {
                write!(
                    f,
                    "could not start before its deadline (estimated start in {})",
                    Spoken(*estimate)
                )
            }
            Self::BrokenCircuit {
                retry_after: Some(after),
            } => write!(f, "the circuit is broken (next probe in {})", Spoken(*after)),
            Self::BrokenCircuit { retry_after: None } => f.write_str("the circuit is isolated"),
            Self::RateLimited { retry_after } => {
                write!(f, "rate limited (retry in {})", Spoken(*retry_after))
            }
            Self::Closed => f.write_str("closed"),
            Self::NeverPossible { limit } => write!(f, "more was asked than there can ever be ({limit})"),
            Self::Deadlock => f.write_str("waiting would never end: those waited for wait in turn"),
            Self::Conflict => f.write_str("part of it is held by somebody else"),
        }
    }
}

impl std::error::Error for AcquireError {}

//! What happens, for a logger: silent until somebody sets one.

use super::acquire_error::AcquireError;
use crate::machine::breaker::BreakerState;
use std::fmt;
use std::rc::Rc;

/// One thing that happened in a policy, with the name of the handle that it happened to.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum FlowEvent {
    /// A pool turned a task away: a full queue, a rate, a breaker, a deadline.
    Refused {
        /// The pool.
        pool: Rc<str>,
        /// The task, if it has a name.
        task: Option<Rc<str>>,
        /// Why.
        error: AcquireError,
    },
    /// A task ran out of time.
    TimedOut {
        /// The pool.
        pool: Rc<str>,
        /// The task, if it has a name.
        task: Option<Rc<str>>,
    },
    /// A task panicked; the panic went no further.
    Panicked {
        /// The pool.
        pool: Rc<str>,
        /// The task, if it has a name.
        task: Option<Rc<str>>,
    },
    /// A breaker changed its state.
    BreakerChanged {
        /// The breaker.
        breaker: Rc<str>,
        /// The state before.
        from: BreakerState,
        /// The state now.
        to: BreakerState,
    },
    /// A pool that finds its own size changed it.
    Scaled {
        /// The pool.
        pool: Rc<str>,
        /// Slots before.
        from: u32,
        /// Slots now.
        to: u32,
    },
}

impl FlowEvent {
    /// The stable name of the kind, the same as in JavaScript.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "overflow",
            Self::TimedOut { .. } => "timeout",
            Self::Panicked { .. } => "panic",
            Self::BreakerChanged { .. } => "breaker",
            Self::Scaled { .. } => "scale",
        }
    }
}

impl fmt::Display for FlowEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |task: &Option<Rc<str>>| {
            task.as_deref()
                .map_or_else(|| "a task".to_owned(), |name| format!("task {name:?}"))
        };
        match self {
            Self::Refused { pool, task, error } => {
                write!(f, "pool {pool:?} turned {} away: {error}", of(task))
            }
            Self::TimedOut { pool, task } => write!(f, "{} of pool {pool:?} ran out of time", of(task)),
            Self::Panicked { pool, task } => write!(f, "{} of pool {pool:?} panicked", of(task)),
            Self::BreakerChanged { breaker, from, to } => {
                write!(f, "breaker {breaker:?} went from {from:?} to {to:?}")
            }
            Self::Scaled { pool, from, to } => write!(f, "pool {pool:?} went from {from} to {to} slots"),
        }
    }
}

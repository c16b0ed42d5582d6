//! Why locks were not given, in a sentence that names them.

use crate::future::owner::DeadlockStep;
use crate::future::timeout::Spoken;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Why locks were not given.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LockError {
    /// It took too long.
    Timeout {
        /// All that was wanted, in the order of taking.
        wanted: Vec<Rc<str>>,
        /// What was held when the time was over; it has been given back.
        held: Vec<Rc<str>>,
        /// What somebody else held then.
        taken: Vec<Rc<str>>,
        /// How long it took.
        after: Duration,
    },
    /// Part of an all-or-nothing reservation is held by somebody else, and the caller would not wait.
    Conflict {
        /// All that was wanted.
        wanted: Vec<Rc<str>>,
        /// What somebody else holds.
        taken: Vec<Rc<str>>,
    },
    /// Waiting would never have ended.
    Deadlock {
        /// All that was wanted.
        wanted: Vec<Rc<str>>,
        /// What was held; it has been given back.
        held: Vec<Rc<str>>,
        /// Who waits for whom.
        chain: Vec<DeadlockStep>,
    },
    /// The set is closed, and they are not free.
    Closed,
}

impl LockError {
    /// The stable name of the reason, the same as in JavaScript.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "TIMEOUT",
            Self::Conflict { .. } => "CONFLICT",
            Self::Deadlock { .. } => "DEADLOCK",
            Self::Closed => "CLOSED",
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout {
                wanted,
                held,
                taken,
                after,
            } => write!(
                f,
                "Waited {} for locks {} (held: {}; taken by others: {})",
                Spoken(*after),
                List(wanted),
                List(held),
                List(taken)
            ),
            Self::Conflict { wanted, taken } => {
                write!(
                    f,
                    "Locks {} cannot be had together: {} taken by others",
                    List(wanted),
                    List(taken)
                )
            }
            Self::Deadlock { wanted, chain, .. } => {
                write!(f, "Waiting for locks {} would never end", List(wanted))?;
                for (n, step) in chain.iter().enumerate() {
                    write!(f, "{} {step}", if n == 0 { ":" } else { "," })?;
                }
                Ok(())
            }
            Self::Closed => f.write_str("The locks are closed"),
        }
    }
}

impl std::error::Error for LockError {}

struct List<'a>(&'a [Rc<str>]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (n, name) in self.0.iter().enumerate() {
            write!(f, "{}{name:?}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

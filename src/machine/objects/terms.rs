//! The words of a pool of objects: its bounds, its answers, its counts.

use crate::machine::config::ConfigError;
use crate::machine::ticket::Ticket;
use crate::machine::wakes::Refusal;
use core::time::Duration;

/// How many connections of a key there are at most unless told otherwise: enough to overlap, few enough that no
/// server takes them for an attack.
pub const CONNECTIONS: u32 = 10;

/// How many objects there may be, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectsConfig {
    pub(super) max: u32,
    pub(super) max_total: Option<u32>,
    pub(super) max_age: Option<Duration>,
    pub(super) idle: Option<Duration>,
}

impl ObjectsConfig {
    /// At most `max` of each key, at least 1, for as long as they are good.
    pub fn new(max: u32) -> Result<Self, ConfigError> {
        if max == 0 {
            return Err(ConfigError::integer("max", "an integer ≥ 1", 0));
        }
        Ok(Self {
            max,
            max_total: None,
            max_age: None,
            idle: None,
        })
    }

    /// Bounds the objects of all keys together: to make room, the longest idle one of another key is destroyed.
    pub fn with_max_total(mut self, max: u32) -> Result<Self, ConfigError> {
        if max == 0 {
            return Err(ConfigError::integer("maxTotal", "an integer ≥ 1", 0));
        }
        self.max_total = Some(max);
        Ok(self)
    }

    /// Destroys objects this long after they were made, as soon as nobody uses them.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Destroys objects that nobody has used for this long.
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }
}

/// The answer to somebody who wants an object.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Acquire {
    /// It has one, or a place for one.
    Now(Grant),
    /// A wake will follow, then [`Objects::claim`](super::Objects::claim) says what it got.
    Waiting(Ticket),
    /// Turned away: `NotNow` if it would not wait, `Closed`.
    Refused(Refusal),
}

/// What somebody got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grant {
    /// This object, used before. If it is no longer valid: [`Objects::replace`](super::Objects::replace).
    Reuse(Ticket),
    /// A place under this ticket: make an object, then [`Objects::made`](super::Objects::made) or [`Objects::failed`](super::Objects::failed).
    Create(Ticket),
}

/// What becomes of an object that was given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returned {
    /// It stays.
    Kept,
    /// The host destroys it; its ticket is stale.
    Destroy,
}

/// What happened so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ObjectCounts {
    /// How often one was wanted.
    pub requests: u64,
    /// How often one was reused.
    pub hits: u64,
    /// How often one had to be made.
    pub misses: u64,
    /// How many were made.
    pub created: u64,
    /// How many could not be made.
    pub failed: u64,
    /// How many were given back in good order.
    pub returned: u64,
    /// How many were found to be no longer valid.
    pub invalid: u64,
    /// How many were destroyed, whatever for.
    pub destroyed: u64,
    /// How many waited in vain.
    pub timeouts: u64,
}

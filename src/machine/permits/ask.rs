//! What a task asks of a pool, and what it is told.

use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::Refusal;

/// What a task asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Slots it takes while it runs, at least 1.
    pub weight: u32,
    /// Tokens it takes from the rates.
    pub cost: u32,
    /// Higher first; the field's range is −100 to 100.
    pub priority: i32,
    /// Whose turn it takes; 0 is nobody's in particular.
    pub key: u32,
    /// How long it is willing to wait for its start.
    pub patience: Patience,
    /// When all of it must be over: what cannot start before is shed at once.
    pub deadline: Instant,
    /// How long it may run, in microseconds.
    pub run_for: u64,
    /// What happens when that time is over.
    pub at_end: AtEnd,
}

impl Ask {
    /// One slot, one token, no priority, no limits.
    pub const PLAIN: Self = Self {
        weight: 1,
        cost: 1,
        priority: 0,
        key: 0,
        patience: Patience::Forever,
        deadline: Instant::FAR_FUTURE,
        run_for: u64::MAX,
        at_end: AtEnd::Abandon,
    };
}

impl Default for Ask {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// How long a task waits for its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// So many microseconds.
    Micros(u64),
    /// As long as it takes.
    Forever,
}

/// What happens to a slot whose holder has run out of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtEnd {
    /// It is free at once; the work that goes on counts as abandoned until it settles.
    Abandon,
    /// It stays taken until the work settles: the bound is never exceeded, and a dead task holds it for ever.
    Hold,
    /// It is free at once and the ticket is stale: a lease that nobody renewed.
    Revoke,
}

/// The answer to a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Admission {
    /// It may run now.
    Granted(Ticket),
    /// It is queued; a wake will follow.
    Queued(Ticket),
    /// It waits outside the queue for room; a wake will follow.
    Outside(Ticket),
    /// It is turned away.
    Refused(Refusal),
}

//! The words of a lock set: what is asked of it, what it answers.

use crate::machine::permits::Patience;
use crate::machine::ticket::Ticket;
use crate::machine::wakes::Refusal;
use core::time::Duration;

/// How long `acquire` waits unless told otherwise: longer than a critical section should ever be, short enough to be
/// seen by somebody who waits for an answer.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long `reserve` waits unless told otherwise: it needs several locks to be free at once.
pub const RESERVE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a reservation that cannot be served yet may be passed by later ones.
pub const PASSES: u32 = 16;

/// What is asked of a lock set.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The locks, in the host's order; the same one twice counts once.
    pub locks: &'a [u32],
    /// One after the other, or as a unit.
    pub mode: Mode,
    /// Who asks, if declared.
    pub owner: Option<u64>,
    /// How long all of it may take.
    pub patience: Patience,
}

/// How several locks are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// One after the other, in order, keeping what it has.
    Ordered,
    /// All in one step, holding nothing before.
    Unit,
}

/// The answer to a claim.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Answer {
    /// All of them are held, under this ticket.
    Granted(Ticket),
    /// A wake will follow.
    Waiting(Ticket),
    /// Turned away: `NotNow` (ordered) or `Conflict` (unit) if the caller would not wait, `Closed` if nobody may any
    /// more, `Deadlock` if waiting would have closed a cycle. [`take_report`](super::LockSet::take_report) has the rest.
    Refused(Refusal),
}

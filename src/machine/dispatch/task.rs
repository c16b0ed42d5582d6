//! A task, and where it is.

use super::terms::Job;
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) job: Job,
    pub(super) rank: i64,
    pub(super) tries: u32,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Queue,
    Backlog(Ticket),
    Sent {
        worker: Ticket,
        cost: u64,
        began: Option<Instant>,
    },
    /// Nobody waits for its answer any more.
    Dropped {
        worker: Ticket,
        cost: u64,
        began: Option<Instant>,
        since: Instant,
        grace: u64,
    },
}

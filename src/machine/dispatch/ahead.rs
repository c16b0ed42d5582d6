//! Work at hand behind the task that runs.
//!
//! Between an answer and the next task a worker has nothing to do for a round trip; and where every core is busy, with the
//! workers themselves or with something else, the host is not even there to send it: a scheduler lets a thread wait for some
//! milliseconds. So a worker has work for that long lying behind what it is at. The price is that this can no longer be
//! moved, and goes down with its worker. It is paid only while tasks are short, and while so much is in line that all
//! workers still end together.

use super::{Dispatch, Stage, Worker};

/// Tasks up to this cost, in microseconds, are sent ahead: for a longer one the round trip is less than a hundredth.
pub const AHEAD: u64 = 20_000;
/// A worker has up to this much work, in microseconds, behind the task that it is at: as long as a host may be kept from
/// its core, which was seen to be 8 ms where three threads share two cores.
pub const AT_HAND: u64 = 10_000;

impl Dispatch {
    /// Whether a busy worker takes another task, if it lacks at least `lacks` of what it may have at hand.
    pub(super) fn takes_ahead(&self, worker: &Worker, lacks: u64) -> bool {
        let Some(running) = worker.sent.front().and_then(|ticket| self.tasks.get(*ticket)) else {
            return false;
        };
        let cost = |kind: &u32| self.kinds.get(kind).copied().filter(|cost| *cost <= AHEAD);
        let Some(first) = cost(&running.job.kind) else {
            return false;
        };
        worker.work.saturating_sub(first) + lacks <= AT_HAND
            && self.unsent() > self.ready_workers() * worker.sent.len()
            && self.unsent.keys().all(|kind| cost(kind).is_some())
    }

    fn ready_workers(&self) -> usize {
        let ready = |worker: &Worker| worker.stage == Stage::Ready;
        self.workers.iter().filter(|(_, worker)| ready(worker)).count()
    }
}

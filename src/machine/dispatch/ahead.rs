//! One task at hand behind the one that runs.
//!
//! Between an answer and the next task a worker has nothing to do for a round trip, and where every core is busy the host is
//! not even there to send it. So a worker gets its next task while it is at one. The price is that this one can no longer
//! be moved, and goes down with its worker. It is paid only while tasks are short, and while more are in line than there
//! are workers, so that all end together.

use super::{Dispatch, Stage, Worker};

/// Tasks up to this cost, in microseconds, are sent one ahead: for a longer one the round trip is less than a hundredth.
pub const AHEAD: u64 = 20_000;

impl Dispatch {
    /// Whether a worker takes another task behind the only one it has.
    pub(super) fn takes_one_ahead(&self, worker: &Worker) -> bool {
        let is_short = |kind: &u32| self.kinds.get(kind).is_some_and(|cost| *cost <= AHEAD);
        if worker.sent.len() != 1 {
            return false;
        }
        let running = worker.sent.front().and_then(|ticket| self.tasks.get(*ticket));
        running.is_some_and(|task| is_short(&task.job.kind))
            && self.unsent.keys().all(is_short)
            && self.unsent() > self.ready_workers()
    }

    fn ready_workers(&self) -> usize {
        let ready = |worker: &Worker| worker.stage == Stage::Ready;
        self.workers.iter().filter(|(_, worker)| ready(worker)).count()
    }
}

//! What a worker has at hand behind the task that runs.
//!
//! Between an answer and the next task a worker has nothing to do for a round trip, and where every core is busy the host is
//! not even there to send it. So a worker gets its next task while it is at one. And each message takes the core from a
//! worker for as long as a tenth of a millisecond, whatever is in it, so where much waits several tasks go together and
//! are answered together. The price is that these can no longer be moved, and go down with their worker. It is paid only
//! while tasks are short and of known cost, and while so much waits that all end together.

use super::{Dispatch, HIGH, LOW, MOST, Stage, Worker};

/// Tasks up to this cost, in microseconds, are sent one ahead: for a longer one the round trip is less than a hundredth.
pub const AHEAD: u64 = 20_000;
/// Up to this much work, in microseconds, lies at a worker while at least as much waits for each: half of it in a message, a frame
/// of a page, so that one is being done while its like is at hand.
pub const SEVERAL: u64 = 32_000;
/// Most tasks that lie at a worker for that reason.
pub const MOST_SEVERAL: usize = 8;

/// What is about to be sent to a worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parcel {
    pub(super) tasks: usize,
    pub(super) work: u64,
}

impl Dispatch {
    /// Whether a worker that is at something is to be sent more.
    pub(super) fn runs_low(&self, worker: &Worker) -> bool {
        let parcel = Parcel::default();
        worker.work < LOW || self.takes_several(worker, parcel) || self.takes_one_ahead(worker)
    }

    /// Whether a worker takes another task, beside what is about to be sent to it and counts as its own already.
    pub(super) fn takes_more(&self, worker: &Worker, parcel: Parcel) -> bool {
        (worker.work < HIGH && worker.sent.len() < MOST)
            || self.takes_several(worker, parcel)
            || self.takes_one_ahead(worker)
    }

    /// Whether a worker takes one of several that go together. Once a worker of the pool has died they no longer do: another may, and
    /// what had not begun there would be lost with what had.
    fn takes_several(&self, worker: &Worker, parcel: Parcel) -> bool {
        let has_room = worker.sent.len() < MOST_SEVERAL && worker.work < SEVERAL;
        let parcel_has_room = parcel.tasks < MOST_SEVERAL / 2 && parcel.work < SEVERAL / 2;
        has_room
            && parcel_has_room
            && self.counts.deaths == 0
            && !self.is_watched(worker)
            && self.runs_what_is_short(worker)
            && self
                .fair_share()
                .is_some_and(|share| share > 2 * HIGH && worker.work < share)
    }

    /// Whether the time of a task is limited: one that takes too long ends its worker with all it has.
    fn is_watched(&self, worker: &Worker) -> bool {
        let mut tasks = worker.sent.iter().filter_map(|ticket| self.tasks.get(*ticket));
        self.config.task_timeout.is_some() || tasks.any(|task| task.job.timeout.is_some())
    }

    /// Whether a worker takes another task behind the only one it has.
    fn takes_one_ahead(&self, worker: &Worker) -> bool {
        worker.sent.len() == 1
            && self.runs_what_is_short(worker)
            && self.unsent.keys().all(|kind| self.is_short(*kind))
            && self.unsent() > self.ready_workers()
    }

    /// What each worker will have to do of all that waits, in microseconds, if that is short and known.
    fn fair_share(&self) -> Option<u64> {
        let mut waits = 0u64;
        for (kind, tasks) in &self.unsent {
            let cost = self.kinds.get(kind).filter(|cost| **cost <= AHEAD)?;
            waits = waits.saturating_add(cost.saturating_mul(*tasks));
        }
        waits.checked_div(self.ready_workers() as u64)
    }

    fn runs_what_is_short(&self, worker: &Worker) -> bool {
        let running = worker.sent.front().and_then(|ticket| self.tasks.get(*ticket));
        running.is_some_and(|task| self.is_short(task.job.kind))
    }

    fn is_short(&self, kind: u32) -> bool {
        self.kinds.get(&kind).is_some_and(|cost| *cost <= AHEAD)
    }

    fn ready_workers(&self) -> usize {
        let ready = |worker: &Worker| worker.stage == Stage::Ready;
        self.workers.iter().filter(|(_, worker)| ready(worker)).count()
    }
}

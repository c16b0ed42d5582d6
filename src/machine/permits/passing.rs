//! Who passes without asking: where each question costs more than the task, a host may be told that the next would be let in.

use super::{Intake, Permits};
use crate::machine::time::Instant;

impl Permits {
    /// Whether a task of one slot that says nothing else would start at once, whenever it asks, if nothing happens here before. Not
    /// while anybody's time is running: whoever asks also ends what is overdue.
    pub fn lets_pass(&self) -> bool {
        self.intake == Intake::Open
            && self.timed == 0
            && self.in_use < self.capacity
            && self.queue.is_empty()
            && self.may_grant(Instant::ZERO)
    }

    /// Counts tasks of one slot, at least one, that did not ask while they were [let pass](Self::lets_pass): they came one after the
    /// other, took no time, and ended with success.
    pub fn passed(&mut self, tasks: u64) {
        let counts = &mut self.counts;
        counts.accepted += tasks;
        counts.started += tasks;
        counts.completed += tasks;
        counts.peak_active = counts.peak_active.max(self.active + 1);
        if self.measured {
            for times in [&mut self.waited, &mut self.ran] {
                times.record_many(0, tasks);
            }
        }
        // As if each had been released.
        for _ in 0..tasks {
            let less = self.typical_run / 8;
            if less == 0 {
                break;
            }
            self.typical_run -= less;
        }
    }
}

//! What there is of everything, now.

use super::Dispatch;

impl Dispatch {
    /// How many workers there are, those that start and those that finish included.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many of them have tasks.
    pub fn busy(&self) -> usize {
        self.workers
            .iter()
            .filter(|(_, worker)| !worker.sent.is_empty())
            .count()
    }

    /// How many of them are ready and have nothing to do.
    pub fn idle(&self) -> usize {
        self.workers.iter().filter(|(_, worker)| worker.is_idle()).count()
    }

    /// How many tasks no worker has yet.
    pub fn queued(&self) -> usize {
        self.unsent()
    }

    /// How many tasks workers have, those whose answer nobody awaits included.
    pub fn running(&self) -> usize {
        self.tasks.len() - self.unsent()
    }

    /// Whether no worker ever started, so that tasks run on the host.
    pub fn runs_here(&self) -> bool {
        self.supply.hopeless
    }

    /// What a task of this kind is expected to cost, in microseconds; `None` before the first has ended.
    pub fn expected(&self, kind: u32) -> Option<u64> {
        self.kinds.get(&kind).copied()
    }
}

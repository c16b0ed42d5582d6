//! What an orchestrator counts, over all its runs.

use super::PluginEnd;
use crate::future::readings::Reading;
use std::cell::Cell;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) plugins: Cell<usize>,
    pub(super) runs: Cell<usize>,
    pub(super) running: Cell<usize>,
    // In the order of `OUTCOMES`.
    results: [Cell<u64>; 5],
}

const OUTCOMES: [&str; 5] = ["succeeded", "failed", "skipped", "unavailable", "cancelled"];

impl Tally {
    /// A plugin has come to its end.
    pub(super) fn note<T, E>(&self, end: &PluginEnd<T, E>) {
        let of = match end {
            PluginEnd::Succeeded(_) => 0,
            PluginEnd::Failed(_) | PluginEnd::Panicked(_) => 1,
            PluginEnd::Skipped { .. } => 2,
            PluginEnd::Unavailable => 3,
            PluginEnd::Cancelled => 4,
        };
        let count = &self.results[of];
        count.set(count.get() + 1);
    }

    pub(super) fn readings(&self) -> Vec<Reading> {
        let mut all = vec![
            Reading::now("plugins", self.plugins.get()),
            Reading::now("runs", self.runs.get()),
            Reading::now("running", self.running.get()),
        ];
        let results = OUTCOMES.iter().zip(&self.results);
        all.extend(results.map(|(outcome, count)| Reading::outcome("results", outcome, count.get())));
        all
    }
}

//! Finding the cycle that a new task would close, and naming it.

use super::Graph;
use crate::machine::keys::{KeyMap, KeySet};

impl Graph {
    /// The way round that a task of this name would close: it depends on the second, that on the third, and so on; the last
    /// depends on it.
    pub(super) fn way_back(&self, id: u32, depends_on: &[u32]) -> Option<Vec<u32>> {
        if depends_on.contains(&id) {
            return Some(vec![id]);
        }
        // Only somebody who named it before it was added can lead back to it.
        self.awaited.get(&id)?;
        let mut came_from: KeyMap<u32> = KeyMap::default();
        let mut seen: KeySet = depends_on.iter().copied().collect();
        let mut open: Vec<u32> = depends_on.iter().rev().copied().collect();
        while let Some(next) = open.pop() {
            let Some(ticket) = self.find(next) else {
                continue;
            };
            for dependency in self.dependencies(ticket) {
                if *dependency == id {
                    let back = std::iter::successors(Some(next), |at| came_from.get(at).copied());
                    let mut through: Vec<u32> = back.chain([id]).collect();
                    through.reverse();
                    return Some(through);
                }
                if seen.insert(*dependency) {
                    came_from.insert(*dependency, next);
                    open.push(*dependency);
                }
            }
        }
        None
    }
}

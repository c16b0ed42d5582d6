//! What was computed from what: the edges along which an invalidation travels.
//!
//! An entry that was evicted or expired may still stand between a name and the entries computed from it. It stays in the
//! graph as a *go-between* until the last of those is gone. Chains of go-betweens could grow for ever, so there may only
//! be so many; beyond that, an entry that leaves takes its dependents along. Forgetting a value is always
//! sound, serving an outdated one never.

use crate::machine::keys::{KeyMap, KeySet};

/// Edges between names; a name may be an entry, a mere tag, or both.
#[derive(Clone, Debug, Default)]
pub(super) struct Dependencies {
    nodes: KeyMap<Node>,
    go_betweens: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    // What it was computed from, and what was computed from it.
    from: Vec<u32>,
    into: KeySet,
    lives: bool,
}

const FEW: usize = 1024;

impl Node {
    fn is_go_between(&self) -> bool {
        !self.lives && !self.from.is_empty()
    }
}

impl Dependencies {
    /// An entry was stored, computed from these. Whatever it was computed from before no longer counts.
    pub(super) fn enter(&mut self, key: u32, from: &[u32], unknown: &mut Vec<u32>) {
        if from.is_empty() && !self.nodes.contains_key(&key) {
            return;
        }
        let mut from = from.to_vec();
        from.sort_unstable();
        from.dedup();
        // Saying that something depends on itself says nothing.
        from.retain(|source| *source != key);
        for source in &from {
            self.nodes.entry(*source).or_default().into.insert(key);
        }
        let node = self.nodes.entry(key).or_default();
        self.go_betweens -= usize::from(node.is_go_between());
        node.lives = true;
        let before = std::mem::replace(&mut node.from, from.clone());
        for source in before {
            if from.binary_search(&source).is_err() {
                self.cut(source, key, unknown);
            }
        }
        self.drop_if_idle(key, unknown);
    }

    /// An entry left by eviction or expiry. Its dependents that have to follow are appended.
    pub(super) fn leave(&mut self, key: u32, unknown: &mut Vec<u32>, follow: &mut Vec<u32>) {
        let allowed = FEW.max(self.nodes.len() / 2);
        let Some(node) = self.nodes.get_mut(&key) else {
            return;
        };
        let lived = std::mem::replace(&mut node.lives, false);
        if node.into.is_empty() {
            self.detach(key, unknown);
        } else if lived && node.is_go_between() {
            self.go_betweens += 1;
            if self.go_betweens > allowed {
                follow.extend(self.nodes.get(&key).into_iter().flat_map(|node| &node.into));
            }
        }
    }

    /// Everything computed from `root`, directly or through others, whatever cycles there are; `root` itself only if `with_root`.
    pub(super) fn reached(&self, root: u32, with_root: bool) -> Vec<u32> {
        let mut seen = KeySet::default();
        let mut order = Vec::new();
        seen.insert(root);
        if with_root {
            order.push(root);
        }
        let mut open = vec![root];
        while let Some(next) = open.pop() {
            for dependent in self.nodes.get(&next).into_iter().flat_map(|node| &node.into) {
                if seen.insert(*dependent) {
                    order.push(*dependent);
                    open.push(*dependent);
                }
            }
        }
        order
    }

    /// An entry or go-between was invalidated or deleted: its own edges go.
    pub(super) fn remove(&mut self, key: u32, unknown: &mut Vec<u32>) {
        if let Some(node) = self.nodes.get_mut(&key) {
            self.go_betweens -= usize::from(node.is_go_between());
            node.lives = false;
            self.detach(key, unknown);
        }
    }

    pub(super) fn knows(&self, key: u32) -> bool {
        self.nodes.contains_key(&key)
    }

    pub(super) fn clear(&mut self, unknown: &mut Vec<u32>) {
        unknown.extend(self.nodes.keys());
        *self = Self::default();
    }

    // Takes away what `key` was computed from, and with it whatever stood only for `key`.
    fn detach(&mut self, key: u32, unknown: &mut Vec<u32>) {
        let from = self
            .nodes
            .get_mut(&key)
            .map(|node| std::mem::take(&mut node.from))
            .unwrap_or_default();
        for source in from {
            self.cut(source, key, unknown);
        }
        self.drop_if_idle(key, unknown);
    }

    fn cut(&mut self, source: u32, key: u32, unknown: &mut Vec<u32>) {
        // A loop and not a recursion: chains of go-betweens may be long.
        let mut open = vec![(source, key)];
        while let Some((source, key)) = open.pop() {
            let Some(node) = self.nodes.get_mut(&source) else {
                continue;
            };
            node.into.remove(&key);
            if node.into.is_empty() && node.is_go_between() {
                self.go_betweens -= 1;
                let from = std::mem::take(&mut node.from);
                open.extend(from.into_iter().map(|before| (before, source)));
            }
            self.drop_if_idle(source, unknown);
        }
    }

    fn drop_if_idle(&mut self, key: u32, unknown: &mut Vec<u32>) {
        if self
            .nodes
            .get(&key)
            .is_some_and(|node| node.from.is_empty() && node.into.is_empty())
        {
            self.nodes.remove(&key);
            unknown.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn built(edges: &[(u32, &[u32])]) -> Dependencies {
        let mut dependencies = Dependencies::default();
        for (key, from) in edges {
            dependencies.enter(*key, from, &mut Vec::new());
        }
        dependencies
    }

    fn sorted(mut keys: Vec<u32>) -> Vec<u32> {
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_diamond_is_reached_once() {
        let graph = built(&[(2, &[1]), (3, &[1]), (4, &[2, 3])]);
        assert_eq!(sorted(graph.reached(1, false)), [2, 3, 4]);
    }

    #[test]
    fn a_cycle_is_reached_once_and_comes_to_an_end() {
        let graph = built(&[(1, &[3]), (2, &[1]), (3, &[2])]);
        assert_eq!(sorted(graph.reached(2, true)), [1, 2, 3]);
    }

    #[test]
    fn an_evicted_entry_still_stands_between() {
        let mut graph = built(&[(2, &[1]), (3, &[2])]);
        let (mut unknown, mut follow) = (Vec::new(), Vec::new());
        graph.leave(2, &mut unknown, &mut follow);
        assert_eq!((unknown.len(), follow.len()), (0, 0));
        assert_eq!(sorted(graph.reached(1, false)), [2, 3]);
        graph.leave(3, &mut unknown, &mut follow);
        assert_eq!(sorted(unknown), [1, 2, 3]);
        assert_eq!(graph.go_betweens, 0);
    }

    #[test]
    fn go_betweens_are_bounded_and_their_dependents_follow_instead() {
        let mut graph = Dependencies::default();
        let (mut unknown, mut follow) = (Vec::new(), Vec::new());
        for key in 1..5000 {
            graph.enter(key, &[key - 1], &mut unknown);
        }
        for key in 1..4999 {
            graph.leave(key, &mut unknown, &mut follow);
        }
        assert!(!follow.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_remains_when_every_entry_is_gone(
            ops in prop::collection::vec((0u8..4, 0u32..12, prop::collection::vec(0u32..12, 0..4)), 0..80)
        ) {
            let mut graph = Dependencies::default();
            let (mut unknown, mut follow) = (Vec::new(), Vec::new());
            for (op, key, from) in ops {
                match op {
                    0 | 1 => graph.enter(key, &from, &mut unknown),
                    2 => graph.leave(key, &mut unknown, &mut follow),
                    _ => graph.remove(key, &mut unknown),
                }
                let go_betweens = graph.nodes.values().filter(|node| node.is_go_between()).count();
                prop_assert_eq!(graph.go_betweens, go_betweens);
                for (key, node) in &graph.nodes {
                    prop_assert!(!node.from.is_empty() || !node.into.is_empty());
                    for source in &node.from { prop_assert!(graph.nodes[source].into.contains(key)); }
                    for dependent in &node.into { prop_assert!(graph.nodes[dependent].from.contains(key)); }
                }
            }
            for key in 0..12 { graph.remove(key, &mut unknown); }
            prop_assert!(graph.nodes.is_empty());
        }
    }
}

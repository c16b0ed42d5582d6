//! In which order locks are taken, and who takes them the other way round.
//!
//! Two tasks that take the same two locks in opposite orders can deadlock, but most days they do not: they miss each
//! other. So orders are remembered across time (the idea of the Linux kernel's lock validator, `lockdep`): holding one
//! lock while asking for another makes an edge, and an edge against a path that is already there is reported, once,
//! before it ever deadlocks.

use super::{LockSet, Mode};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A lock was asked for against an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inversion {
    /// What was held.
    pub held: u32,
    /// What was asked for.
    pub wanted: u32,
    /// Whether a declared order says otherwise, or only what was seen before.
    pub declared: bool,
}

/// The orders seen so far.
#[derive(Clone, Debug, Default)]
pub struct LockOrder {
    after: BTreeMap<u32, BTreeSet<u32>>,
    edges: usize,
    reported: BTreeSet<(u32, u32)>,
    found: VecDeque<Inversion>,
}

/// How many pairs are remembered: what a program with a few dozen lock names can have. Names made of data (a lock per
/// user) would grow it without bound; beyond this the old pairs are still checked and new ones are not remembered.
const EDGES: usize = 4096;

impl LockOrder {
    /// Remembers that `wanted` was asked for while `held` was held.
    pub fn record(&mut self, held: u32, wanted: u32, ranks: &BTreeMap<u32, u32>) {
        if held == wanted || self.knows(held, wanted) {
            return;
        }
        let declared = match (ranks.get(&held), ranks.get(&wanted)) {
            (Some(held), Some(wanted)) => held > wanted,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if declared || self.leads_to(wanted, held) {
            // An inverted pair makes no edge, so what is remembered stays free of cycles.
            if self.reported.len() < EDGES && self.reported.insert((held, wanted)) {
                self.found.push_back(Inversion {
                    held,
                    wanted,
                    declared,
                });
            }
        } else if self.edges < EDGES {
            self.edges += 1;
            self.after.entry(held).or_default().insert(wanted);
        }
    }

    /// The oldest inversion that was not taken yet.
    pub fn take(&mut self) -> Option<Inversion> {
        self.found.pop_front()
    }

    fn knows(&self, held: u32, wanted: u32) -> bool {
        self.after.get(&held).is_some_and(|after| after.contains(&wanted))
    }

    fn leads_to(&self, from: u32, to: u32) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(lock) = open.pop() {
            if lock == to {
                return true;
            }
            let next = self.after.get(&lock).into_iter().flatten();
            open.extend(next.filter(|next| seen.insert(**next)));
        }
        false
    }
}

impl LockSet {
    pub(super) fn in_order(&self, locks: &[u32]) -> Vec<u32> {
        let mut sorted: Vec<u32> = Vec::with_capacity(locks.len());
        for lock in locks {
            if !sorted.contains(lock) {
                sorted.push(*lock);
            }
        }
        sorted.sort_by_key(|lock| self.ranks.get(lock).copied().unwrap_or(u32::MAX));
        sorted
    }

    pub(super) fn remember_order(&mut self, owner: Option<u64>, wanted: &[u32], mode: Mode) {
        if let Some(own) = owner.and_then(|owner| self.owners.get(&owner)) {
            for held in own.held.keys() {
                for lock in wanted.iter().filter(|lock| !own.held.contains_key(lock)) {
                    self.order.record(*held, *lock, &self.ranks);
                }
            }
        }
        if mode == Mode::Ordered {
            for pair in wanted.windows(2) {
                self.order.record(pair[0], pair[1], &self.ranks);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_order_against_a_chain_seen_before_is_reported_once() {
        let (mut order, ranks) = (LockOrder::default(), BTreeMap::new());
        order.record(1, 2, &ranks);
        order.record(2, 3, &ranks);
        assert_eq!(order.take(), None);
        order.record(3, 1, &ranks);
        order.record(3, 1, &ranks);
        let inversion = Inversion {
            held: 3,
            wanted: 1,
            declared: false,
        };
        assert_eq!(order.take(), Some(inversion));
        assert_eq!(order.take(), None);
    }

    #[test]
    fn an_order_against_a_declared_one_is_reported_the_first_time() {
        let mut order = LockOrder::default();
        let ranks = BTreeMap::from([(5, 0), (6, 1)]);
        order.record(6, 5, &ranks);
        assert_eq!(order.take().map(|inversion| inversion.declared), Some(true));
        order.record(9, 6, &ranks);
        assert_eq!(order.take().map(|inversion| inversion.held), Some(9));
        order.record(6, 9, &ranks);
        assert_eq!(order.take(), None);
    }

    #[test]
    fn names_made_of_data_do_not_grow_it_without_bound() {
        let (mut order, ranks) = (LockOrder::default(), BTreeMap::new());
        (0..20_000).for_each(|n| order.record(n, n + 1, &ranks));
        assert_eq!(order.edges, EDGES);
    }
}

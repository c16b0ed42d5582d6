//! Who waits for whom: the wait-for graph over locks, pools, task graphs and conditions.
//!
//! # What is known
//!
//! Only what is told. An [`Owner`] is declared by the host (`owner` on a lock, `parent: ctx` on a pool); slots held by
//! anybody else are taken to come back sooner or later, so undeclared owners make no edges and nothing is guessed. To
//! declare means:
//!
//! - *an owner that waits does nothing else until one of its waits is over*;
//! - *a parent does not end before its children end*, and while it has waits and children at once, any of them may
//!   be what lets it go on.
//!
//! # What a deadlock is
//!
//! A lock has one slot and a pool has many, so a cycle alone is not a deadlock: a waiter on a pool of ten is stuck
//! only if nine live tasks are not enough, that is, if slots held by owners who are *themselves stuck* leave fewer
//! than it asked for. That makes the graph an AND/OR graph (Knapp, "Deadlock detection in distributed databases", ACM
//! Computing Surveys 1987; for slots the reduction of Holt, "Some deadlock properties of computer systems", 1972):
//!
//! | node | can go on if |
//! |---|---|
//! | owner | it has neither waits nor children, **or** one of its waits can end, **or** one of its children can go on |
//! | wait | **all** of its needs can come |
//! | need of `n` slots | capacity − slots held by owners who cannot go on ≥ `n` (or `n` is above the capacity: not ours to judge) |
//! | need of an owner's end | that owner can go on |
//! | need of a signal | nobody is declared to give it, **or** one of those declared can go on |
//!
//! An owner is *stuck* if the least solution of these rules does not contain it. Nobody outside can free a stuck
//! owner, and every event that could make one is seen here, so a set of stuck owners is found the moment it forms,
//! and its youngest wait is refused. Since everybody could go on before the event, every newly stuck owner depends on
//! the owner the event was about; therefore one search from that owner is exact, and it ends at the first proof that
//! the owner can go on. An owner on whom nobody depends is not searched at all, and a resource with enough slots
//! outside the hands of waiting owners is seen in one comparison.
//!
//! # What is not found
//!
//! A light waiter behind a heavy one counts as needing its own slots alone, and the places in a queue are not edges:
//! such a knot ends with the timeout of one of its waits. Rates, breakers and time heal by themselves.

use super::ticket::{Slab, Ticket};
use std::collections::{BTreeMap, BTreeSet};

mod care;
mod search;
mod terms;

pub use terms::{Awaits, Deadlock, Link, Need, Owner, Resource, Waiter};

/// The graph. See the module for what it knows and what it proves.
#[derive(Clone, Debug)]
pub struct WaitFor {
    owners: BTreeMap<Owner, Node>,
    resources: BTreeMap<Resource, Held>,
    waits: Slab<Wait>,
    begun: u64,
    // Owners whom an event may have left without a way to go on: judged once the call that brought it has ended.
    suspects: BTreeSet<Owner>,
    // Whether the host says when it has told everything, and nothing is judged before.
    judged_later: bool,
}

#[derive(Clone, Debug, Default)]
struct Node {
    parent: Option<Owner>,
    children: BTreeSet<Owner>,
    // Children with neither waits nor children: one of them proves at once that this owner can go on.
    free_children: usize,
    waits: Vec<Ticket>,
    holds: Vec<(Resource, u32)>,
    // How many needs name this owner's end.
    awaited: usize,
}

#[derive(Clone, Debug, Default)]
struct Held {
    capacity: u32,
    holders: BTreeMap<Owner, u32>,
    // Slots of those holders who wait or have children. The others are as good as free.
    busy: u64,
    waits: BTreeSet<Ticket>,
}

#[derive(Clone, Debug)]
struct Wait {
    owner: Owner,
    waiter: Waiter,
    age: u64,
    needs: Vec<Need>,
}

impl Node {
    fn is_busy(&self) -> bool {
        !self.waits.is_empty() || !self.children.is_empty()
    }

    fn is_depended_on(&self) -> bool {
        self.parent.is_some() || !self.holds.is_empty() || self.awaited > 0
    }

    fn is_empty(&self) -> bool {
        !self.is_busy() && !self.is_depended_on()
    }
}

impl Default for WaitFor {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitFor {
    /// A graph without anybody in it.
    pub const fn new() -> Self {
        Self {
            owners: BTreeMap::new(),
            resources: BTreeMap::new(),
            waits: Slab::new(),
            begun: 0,
            suspects: BTreeSet::new(),
            judged_later: false,
        }
    }

    /// Declares that `parent` does not end before `child`. A parent that is already below its child is ignored.
    pub fn child(&mut self, child: Owner, parent: Owner) {
        if self.ancestors(parent).any(|above| above == child) || self.parent(child) == Some(parent) {
            return;
        }
        let before = self.parent(child);
        self.orphan(child);
        self.change(parent, |node| {
            node.children.insert(child);
            // Corrected below if the child is busy.
            node.free_children += 1;
        });
        let node = self.owners.entry(child).or_default();
        node.parent = Some(parent);
        if node.is_busy() {
            self.child_became(parent, true);
        }
        self.look_at(parent);
        if let Some(before) = before {
            self.look_at(before);
        }
    }

    /// Declares that `owner` holds `slots` of a resource (or is one of those who will give a signal).
    pub fn hold(&mut self, owner: Owner, resource: Resource, slots: u32) {
        let node = self.owners.entry(owner).or_default();
        match node.holds.iter_mut().find(|(held, _)| *held == resource) {
            Some((_, count)) => *count = count.saturating_add(slots),
            None => node.holds.push((resource, slots)),
        }
        let busy = node.is_busy();
        let held = self.resources.entry(resource).or_default();
        let count = held.holders.entry(owner).or_default();
        *count = count.saturating_add(slots);
        if busy {
            held.busy += u64::from(slots);
            self.look_at(owner);
        }
    }

    /// How many slots of the resource the owner is declared to hold.
    pub fn held(&self, owner: Owner, resource: Resource) -> u32 {
        let held = self.resources.get(&resource);
        held.and_then(|held| held.holders.get(&owner))
            .copied()
            .unwrap_or(0)
    }

    /// Says that `owner` gave slots back. More than it holds is all that it holds.
    pub fn let_go(&mut self, owner: Owner, resource: Resource, slots: u32) {
        let Some(node) = self.owners.get_mut(&owner) else {
            return;
        };
        let Some(at) = node.holds.iter().position(|(held, _)| *held == resource) else {
            return;
        };
        let gone = slots.min(node.holds[at].1);
        node.holds[at].1 -= gone;
        if node.holds[at].1 == 0 {
            node.holds.swap_remove(at);
        }
        let busy = node.is_busy();
        self.forget_if_empty(owner);
        if let Some(held) = self.resources.get_mut(&resource) {
            if busy {
                held.busy = held.busy.saturating_sub(u64::from(gone));
            }
            if let Some(count) = held.holders.get_mut(&owner) {
                *count -= gone.min(*count);
                if *count == 0 {
                    held.holders.remove(&owner);
                }
            }
        }
        // Whoever waits for a signal may have lost the last one who could give it.
        self.look_at_waiters(resource);
        self.forget_resource_if_empty(resource);
    }

    /// Declares that `owner` waits until all its `needs` are there, and gives the name of that wait.
    ///
    /// # Errors
    ///
    /// The cycle that this wait would have closed. It is then the youngest, so it is the one to be refused, and the
    /// graph is as it was before.
    pub fn wait(&mut self, owner: Owner, waiter: Waiter, needs: &[Need]) -> Result<Ticket, Deadlock> {
        self.begun += 1;
        let wait = Wait {
            owner,
            waiter,
            age: self.begun,
            needs: needs.to_vec(),
        };
        // With 2^24 waits at once the graph is full; what it cannot hold makes no edges.
        let Ok(ticket) = self.waits.insert(wait) else {
            return Ok(Ticket::from_bits(u64::MAX));
        };
        for need in needs {
            match *need {
                Need::Slots {
                    resource, capacity, ..
                } => {
                    let held = self.resources.entry(resource).or_default();
                    held.capacity = capacity;
                    held.waits.insert(ticket);
                }
                Need::Signal(resource) => {
                    self.resources.entry(resource).or_default().waits.insert(ticket);
                }
                Need::End(other) => self.owners.entry(other).or_default().awaited += 1,
            }
        }
        self.change(owner, |node| node.waits.push(ticket));
        if self.judged_later {
            self.look_at(owner);
            return Ok(ticket);
        }
        match self.deadlock_from(owner) {
            Some((victim, deadlock)) if victim == ticket => {
                self.remove_wait(ticket);
                Err(deadlock)
            }
            Some(_) => {
                self.look_at(owner);
                Ok(ticket)
            }
            None => Ok(ticket),
        }
    }

    /// Says that a wait is over: granted, refused, cancelled or timed out. A stale name does nothing.
    pub fn wait_over(&mut self, wait: Ticket) {
        if let Some(wait) = self.remove_wait(wait) {
            self.look_at(wait.owner);
        }
    }

    /// Says that `owner` ended: what it held is back, and nobody waits for it any more.
    pub fn ended(&mut self, owner: Owner) {
        let Some(node) = self.owners.get(&owner) else {
            return;
        };
        let (parent, waits, holds, children) = (
            node.parent,
            node.waits.clone(),
            node.holds.clone(),
            node.children.clone(),
        );
        for wait in waits {
            self.remove_wait(wait);
        }
        for child in children {
            self.orphan(child);
        }
        for (resource, slots) in holds {
            self.let_go(owner, resource, slots);
        }
        self.orphan(owner);
        if let Some(parent) = parent {
            self.look_at(parent);
        }
    }

    /// Says that a resource has another capacity now.
    pub fn resize(&mut self, resource: Resource, capacity: u32) {
        if let Some(held) = self.resources.get_mut(&resource) {
            held.capacity = capacity;
            self.look_at_waiters(resource);
        }
    }

    /// Takes a deadlock that an event other than the beginning of a wait has closed; its wait is no longer in the
    /// graph, and the host refuses the victim at its machine. Called until there is none after every call of a machine,
    /// and not before its end: in between, what is handed over is in nobody's hands.
    pub fn pop_found(&mut self) -> Option<Deadlock> {
        if self.judged_later { None } else { self.judge() }
    }

    /// From here on nothing is judged, not even a wait that begins, before the host calls [`judge`](Self::judge): it
    /// tells what happened later than it happens, and what is not told yet could make a cycle of what is none.
    pub fn judge_later(&mut self) {
        self.judged_later = true;
    }

    /// Takes a deadlock, whoever judges: see [`pop_found`](Self::pop_found).
    pub fn judge(&mut self) -> Option<Deadlock> {
        while let Some(owner) = self.suspects.first().copied() {
            if let Some((victim, deadlock)) = self.deadlock_from(owner) {
                // One that had other waits is looked at in its turn: the one given up may have been what those hoped
                // for.
                let owner = self.remove_wait(victim).map(|wait| wait.owner);
                self.suspects.extend(owner);
                return Some(deadlock);
            }
            self.suspects.remove(&owner);
        }
        None
    }

    /// The owner and all who wait for its end as parents, upwards.
    pub fn ancestors(&self, owner: Owner) -> impl Iterator<Item = Owner> + '_ {
        std::iter::successors(Some(owner), |owner| self.parent(*owner))
    }

    /// How many waits are in the graph.
    pub fn waiting(&self) -> usize {
        self.waits.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.resources.is_empty() && self.waits.is_empty()
    }
}

#[cfg(test)]
mod tests;

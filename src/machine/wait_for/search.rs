//! Whether an owner can go on by the rules of the graph, and if not, the circle it is part of.

use super::{Awaits, Deadlock, Link, Need, Owner, Resource, Wait, WaitFor};
use crate::machine::ticket::Ticket;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl WaitFor {
    /// The deadlock that this owner is part of, and the wait to give up.
    pub(super) fn deadlock_from(&self, owner: Owner) -> Option<(Ticket, Deadlock)> {
        let node = self.owners.get(&owner)?;
        if !node.is_depended_on() || self.can_go_on(owner, &BTreeSet::new()) {
            return None;
        }
        Search::from(self, owner)?.youngest_on_a_cycle()
    }

    /// Whether the rules of the module let the owner go on, given some who are proved to.
    fn can_go_on(&self, owner: Owner, proved: &BTreeSet<Owner>) -> bool {
        let Some(node) = self.owners.get(&owner) else {
            return true;
        };
        !node.is_busy()
            || node.free_children > 0
            || node.waits.iter().any(|wait| self.can_end(*wait, proved))
            || (!proved.is_empty() && node.children.iter().any(|child| proved.contains(child)))
    }

    fn can_end(&self, wait: Ticket, proved: &BTreeSet<Owner>) -> bool {
        let needs = self.waits.get(wait).map(|wait| &wait.needs[..]).unwrap_or(&[]);
        needs.iter().all(|need| self.can_be_met(need, proved))
    }

    fn can_be_met(&self, need: &Need, proved: &BTreeSet<Owner>) -> bool {
        match *need {
            Need::Slots { resource, slots, .. } => self.can_come(resource, slots, proved),
            Need::End(other) => self.is_free(other) || proved.contains(&other),
            Need::Signal(resource) => self.resources.get(&resource).is_none_or(|held| {
                let mut givers = held.holders.keys();
                held.holders.is_empty() || givers.any(|giver| self.is_free(*giver) || proved.contains(giver))
            }),
        }
    }

    fn can_come(&self, resource: Resource, slots: u32, proved: &BTreeSet<Owner>) -> bool {
        let Some(held) = self.resources.get(&resource) else {
            return true;
        };
        let (slots, capacity) = (u64::from(slots), u64::from(held.capacity));
        if slots > capacity || held.busy + slots <= capacity {
            return true;
        }
        if proved.is_empty() {
            return false;
        }
        let mut stuck = held.busy;
        for (holder, count) in &held.holders {
            // Only busy holders are ever proved: the others were never counted.
            if proved.contains(holder) {
                stuck = stuck.saturating_sub(u64::from(*count));
                if stuck + slots <= capacity {
                    return true;
                }
            }
        }
        false
    }

    fn is_free(&self, owner: Owner) -> bool {
        self.owners.get(&owner).is_none_or(|node| !node.is_busy())
    }

    /// The busy owners on whom this one depends, and through what. A need that can be met without them depends on nobody:
    /// of a dependent with a slot to spare, the dependency is what it waits for, and not the slot.
    fn dependencies(
        &self,
        owner: Owner,
        only: Option<Ticket>,
        proved: &BTreeSet<Owner>,
    ) -> Vec<(Awaits, Owner)> {
        let Some(node) = self.owners.get(&owner) else {
            return Vec::new();
        };
        let mut on = Vec::new();
        for wait in node
            .waits
            .iter()
            .filter(|wait| only.is_none_or(|only| only == **wait))
        {
            let needs = self.waits.get(*wait).map(|wait| &wait.needs[..]).unwrap_or(&[]);
            for need in needs.iter().filter(|need| !self.can_be_met(need, proved)) {
                match *need {
                    Need::End(other) => on.push((Awaits::End, other)),
                    Need::Slots { resource, .. } | Need::Signal(resource) => {
                        let holders = self
                            .resources
                            .get(&resource)
                            .into_iter()
                            .flat_map(|held| held.holders.keys());
                        on.extend(holders.map(|holder| (Awaits::Resource(resource), *holder)));
                    }
                }
            }
        }
        if only.is_none() {
            on.extend(node.children.iter().map(|child| (Awaits::End, *child)));
        }
        on.retain(|(_, other)| !self.is_free(*other));
        on
    }
}

/// A search for a proof that one owner can go on: depth first, each dependency looked at once, proofs handed up to
/// those who depend on them as soon as they are found.
struct Search<'a> {
    graph: &'a WaitFor,
    seen: BTreeSet<Owner>,
    proved: BTreeSet<Owner>,
    dependents: BTreeMap<Owner, Vec<Owner>>,
}

impl<'a> Search<'a> {
    /// The finished search if there is no proof: then all that were seen and not proved are stuck.
    fn from(graph: &'a WaitFor, start: Owner) -> Option<Self> {
        let mut search = Self {
            graph,
            seen: BTreeSet::new(),
            proved: BTreeSet::new(),
            dependents: BTreeMap::new(),
        };
        search.seen.insert(start);
        let mut path = vec![(start, graph.dependencies(start, None, &BTreeSet::new()))];
        while let Some((owner, rest)) = path.last_mut() {
            let owner = *owner;
            if search.proved.contains(&owner) {
                path.pop();
                continue;
            }
            let Some((_, other)) = rest.pop() else {
                path.pop();
                continue;
            };
            search.dependents.entry(other).or_default().push(owner);
            if search.proved.contains(&other) {
                search.prove(owner);
            } else if search.seen.insert(other) {
                search.prove(other);
                if !search.proved.contains(&other) {
                    path.push((other, graph.dependencies(other, None, &search.proved)));
                }
            }
            if search.proved.contains(&start) {
                return None;
            }
        }
        Some(search)
    }

    fn prove(&mut self, owner: Owner) {
        let mut open = vec![owner];
        while let Some(owner) = open.pop() {
            if self.proved.contains(&owner) || !self.graph.can_go_on(owner, &self.proved) {
                continue;
            }
            self.proved.insert(owner);
            open.extend(self.dependents.get(&owner).into_iter().flatten());
        }
    }

    fn is_stuck(&self, owner: &Owner) -> bool {
        self.seen.contains(owner) && !self.proved.contains(owner)
    }

    /// The youngest wait through which a cycle runs, and that cycle. Every set of stuck owners has one: each of them
    /// depends on another, and parents alone cannot form a circle.
    fn youngest_on_a_cycle(&self) -> Option<(Ticket, Deadlock)> {
        let stuck = self.seen.iter().filter(|owner| self.is_stuck(owner));
        let nodes = stuck.filter_map(|owner| self.graph.owners.get(owner));
        let waits = nodes.flat_map(|node| node.waits.iter());
        let mut waits: Vec<(Ticket, &Wait)> = waits
            .filter_map(|ticket| Some((*ticket, self.graph.waits.get(*ticket)?)))
            .collect();
        waits.sort_unstable_by_key(|(_, wait)| std::cmp::Reverse(wait.age));
        waits.into_iter().find_map(|(ticket, wait)| {
            let chain = self.way_round(wait.owner, ticket);
            let victim = wait.waiter;
            (!chain.is_empty()).then_some((ticket, Deadlock { victim, chain }))
        })
    }

    /// The shortest way from a stuck owner, through one of its waits, round to itself.
    fn way_round(&self, first: Owner, through: Ticket) -> Vec<Link> {
        let mut before: BTreeMap<Owner, Link> = BTreeMap::new();
        let mut open = VecDeque::from([first]);
        while let Some(owner) = open.pop_front() {
            let only = (owner == first).then_some(through);
            for (awaits, other) in self.graph.dependencies(owner, only, &self.proved) {
                if self.is_stuck(&other) && !before.contains_key(&other) {
                    before.insert(other, Link { owner, awaits });
                    open.push_back(other);
                }
            }
            if before.contains_key(&first) {
                break;
            }
        }
        let mut chain = Vec::new();
        let mut at = first;
        while let Some(link) = before.get(&at) {
            chain.push(*link);
            at = link.owner;
            if at == first {
                break;
            }
        }
        chain.reverse();
        chain
    }
}

//! What is kept in step when an owner, a wait or a resource changes, and what is forgotten when nothing is left of it.

use super::{Held, Need, Node, Owner, Resource, Wait, WaitFor};
use crate::machine::ticket::Ticket;

impl WaitFor {
    pub(super) fn parent(&self, owner: Owner) -> Option<Owner> {
        self.owners.get(&owner).and_then(|node| node.parent)
    }

    pub(super) fn look_at(&mut self, owner: Owner) {
        if self
            .owners
            .get(&owner)
            .is_some_and(|node| node.is_busy() && node.is_depended_on())
        {
            self.suspects.insert(owner);
        }
    }

    pub(super) fn look_at_waiters(&mut self, resource: Resource) {
        let Some(held) = self.resources.get(&resource) else {
            return;
        };
        if held.busy == 0 || held.waits.is_empty() {
            return;
        }
        for wait in held.waits.clone() {
            if let Some(wait) = self.waits.get(wait) {
                self.look_at(wait.owner);
            }
        }
    }

    pub(super) fn remove_wait(&mut self, ticket: Ticket) -> Option<Wait> {
        let wait = self.waits.remove(ticket)?;
        for need in &wait.needs {
            match *need {
                Need::Slots { resource, .. } | Need::Signal(resource) => {
                    if let Some(held) = self.resources.get_mut(&resource) {
                        held.waits.remove(&ticket);
                    }
                    self.forget_resource_if_empty(resource);
                }
                Need::End(other) => {
                    if let Some(node) = self.owners.get_mut(&other) {
                        node.awaited = node.awaited.saturating_sub(1);
                    }
                    self.forget_if_empty(other);
                }
            }
        }
        self.change(wait.owner, |node| node.waits.retain(|other| *other != ticket));
        Some(wait)
    }

    pub(super) fn orphan(&mut self, child: Owner) {
        let Some(node) = self.owners.get_mut(&child) else {
            return;
        };
        let Some(parent) = node.parent.take() else { return };
        let was_free = !node.is_busy();
        self.forget_if_empty(child);
        self.change(parent, |node| {
            node.children.remove(&child);
            if was_free {
                node.free_children = node.free_children.saturating_sub(1);
            }
        });
    }

    /// Changes an owner's waits or children and keeps the sums that hang on whether it is busy.
    pub(super) fn change(&mut self, owner: Owner, change: impl FnOnce(&mut Node)) {
        let node = self.owners.entry(owner).or_default();
        let was = node.is_busy();
        change(node);
        let is = node.is_busy();
        let parent = node.parent;
        if was != is {
            for (resource, slots) in &node.holds {
                if let Some(held) = self.resources.get_mut(resource) {
                    let slots = u64::from(*slots);
                    held.busy = if is {
                        held.busy + slots
                    } else {
                        held.busy.saturating_sub(slots)
                    };
                }
            }
            if let Some(parent) = parent {
                self.child_became(parent, is);
            }
        }
        self.forget_if_empty(owner);
    }

    pub(super) fn child_became(&mut self, parent: Owner, busy: bool) {
        if let Some(node) = self.owners.get_mut(&parent) {
            node.free_children = if busy {
                node.free_children.saturating_sub(1)
            } else {
                node.free_children + 1
            };
        }
    }

    pub(super) fn forget_if_empty(&mut self, owner: Owner) {
        if self.owners.get(&owner).is_some_and(Node::is_empty) {
            self.owners.remove(&owner);
        }
    }

    pub(super) fn forget_resource_if_empty(&mut self, resource: Resource) {
        let empty = |held: &Held| held.holders.is_empty() && held.waits.is_empty();
        if self.resources.get(&resource).is_some_and(empty) {
            self.resources.remove(&resource);
        }
    }
}

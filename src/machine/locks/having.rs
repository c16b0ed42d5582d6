//! What a lease has: its places in the lines, its edge in the wait-for graph, its locks.

use super::{Holder, Lease, LockSet, PASSES, Progress, Stage, Step};
use crate::machine::ticket::Ticket;
use crate::machine::wait_for::{Need, Owner, WaitFor, Waiter};
use std::collections::btree_map::Entry;

impl LockSet {
    pub(super) fn take(&mut self, lock: u32, owner: Owner, arrival: u64, step: &mut Step<'_>) {
        let resource = self.resource(lock);
        let entry = self.locks.entry(lock).or_default();
        let mut stirs = false;
        if let Some(holder) = &mut entry.holder {
            holder.leases += 1;
        } else {
            entry.holder = Some(Holder { owner, leases: 1 });
            for (_, ticket) in entry.line.range(..arrival) {
                if let Some(lease) = self.leases.get_mut(*ticket)
                    && let Stage::Unit { passed, .. } = &mut lease.stage
                {
                    *passed += 1;
                    if *passed == PASSES {
                        self.firm.push_back(*ticket);
                        stirs = true;
                    }
                }
            }
            self.stir_fellows(lock, owner, step);
            if let Owner::Named(_) = owner {
                step.graph.hold(owner, resource, 1);
            }
        }
        if let Owner::Named(name) = owner {
            let held = &mut self.owners.entry(name).or_default().held;
            stirs |= held.is_empty();
            *held.entry(lock).or_default() += 1;
        }
        if stirs {
            self.stir_behind_firm();
        }
    }

    /// Lets those look again who stand behind a unit that may be passed no more: one who held nothing when it came may
    /// pass it now, and the unit may be waiting for what it got. Forgets the units that wait no longer.
    fn stir_behind_firm(&mut self) {
        for _ in 0..self.firm.len() {
            if let Some(unit) = self.firm.pop_front()
                && let Some(lease) = self.leases.get(unit)
                && let Stage::Unit { .. } = lease.stage
            {
                for lock in &lease.locks {
                    self.freed.push_back(*lock);
                }
                self.firm.push_back(unit);
            }
        }
    }

    /// Lets other requests of an owner look again after it got a lock or gave it back: while it has it they need not
    /// wait for it.
    pub(super) fn stir_fellows(&mut self, lock: u32, owner: Owner, step: &mut Step<'_>) {
        let Owner::Named(name) = owner else { return };
        if self.owners.get(&name).is_none_or(|own| own.waiting == 0) {
            return;
        }
        let Some(lock) = self.locks.get(&lock) else { return };
        for ticket in lock.line.values() {
            if let Some(lease) = self.leases.get_mut(*ticket)
                && lease.owner == owner
            {
                if let Some(edge) = lease.stage.take_edge() {
                    step.graph.wait_over(edge);
                }
                self.fellows.push_back(*ticket);
            }
        }
    }

    /// Puts one who waits into the lines of what it lacks, and its wait into the graph.
    pub(super) fn stand(&mut self, ticket: Ticket, step: &mut Step<'_>) -> Progress {
        let Some(lease) = self.leases.get(ticket) else {
            return Progress::Waits;
        };
        let (lacking, got, arrival) = match &lease.stage {
            Stage::Ordered {
                got,
                arrival,
                edge: None,
            } => (&lease.locks[*got..=*got], &lease.locks[..*got], *arrival),
            Stage::Unit {
                arrival, edge: None, ..
            } => (&lease.locks[..], &[][..], *arrival),
            _ => return Progress::Waits,
        };
        for lock in lacking {
            self.locks.entry(*lock).or_default().line.insert(arrival, ticket);
        }
        let owner = lease.owner;
        if matches!(owner, Owner::Request(_)) {
            if got.is_empty() {
                return Progress::Waits;
            }
            step.graph.ended(owner);
            for lock in got {
                step.graph.hold(owner, self.resource(*lock), 1);
            }
        }
        let others = |lock: &&u32| self.holder(**lock) != Some(owner);
        let need = |lock: &u32| Need::Slots {
            resource: self.resource(*lock),
            slots: 1,
            capacity: 1,
        };
        let needs: Vec<Need> = lacking.iter().filter(others).map(need).collect();
        let waiter = Waiter {
            machine: self.id,
            ticket,
        };
        match step.graph.wait(owner, waiter, &needs) {
            Ok(edge) => {
                if let Some(lease) = self.leases.get_mut(ticket) {
                    lease.stage.put_edge(edge);
                }
                Progress::Waits
            }
            Err(deadlock) => {
                if let Some(lease) = self.leases.leave(ticket) {
                    self.keep_report(ticket, &lease, deadlock.chain);
                    self.withdraw(&lease, step);
                }
                Progress::Deadlock
            }
        }
    }

    /// Takes one out of the lines and of the graph, before it is served or goes away.
    pub(super) fn leave_lines(&mut self, ticket: Ticket, arrival: u64, locks: &[u32], step: &mut Step<'_>) {
        if let Some(edge) = self
            .leases
            .get_mut(ticket)
            .and_then(|lease| lease.stage.take_edge())
        {
            step.graph.wait_over(edge);
        }
        for lock in locks {
            if let Some(entry) = self.locks.get_mut(lock) {
                entry.line.remove(&arrival);
            }
        }
    }

    /// Undoes all that a lease that was taken out had: places, edges, locks.
    pub(super) fn withdraw(&mut self, lease: &Lease, step: &mut Step<'_>) {
        let (got, arrival, edge, lacking) = match &lease.stage {
            Stage::Held => return self.let_go(lease, lease.locks.len(), step),
            Stage::Ordered { got, arrival, edge } => (*got, *arrival, edge, lease.locks.get(*got..=*got)),
            Stage::Unit { arrival, edge, .. } => (0, *arrival, edge, Some(&lease.locks[..])),
        };
        if let Some(edge) = edge {
            step.graph.wait_over(*edge);
        }
        for lock in lacking.unwrap_or(&[]) {
            if let Some(entry) = self.locks.get_mut(lock) {
                entry.line.remove(&arrival);
            }
            // Whoever stood behind it may be servable now.
            self.freed.push_back(*lock);
        }
        self.waits_no_more(lease.owner, step);
        self.let_go(lease, got, step);
    }

    /// Gives the first `got` locks of a lease back, the last one first.
    pub(super) fn let_go(&mut self, lease: &Lease, got: usize, step: &mut Step<'_>) {
        for lock in lease.locks[..got].iter().rev() {
            if let Owner::Named(name) = lease.owner
                && let Entry::Occupied(mut own) = self.owners.entry(name)
            {
                if let Entry::Occupied(mut held) = own.get_mut().held.entry(*lock) {
                    *held.get_mut() -= 1;
                    if *held.get() == 0 {
                        held.remove();
                    }
                }
                if own.get().held.is_empty() && own.get().waiting == 0 {
                    own.remove();
                }
            }
            let resource = self.resource(*lock);
            let Some(entry) = self.locks.get_mut(lock) else {
                continue;
            };
            match &mut entry.holder {
                Some(holder) if holder.leases > 1 => holder.leases -= 1,
                holder => {
                    *holder = None;
                    self.freed.push_back(*lock);
                    step.graph.let_go(lease.owner, resource, 1);
                    // What its own requests did not need to wait for, they may have to from here on.
                    self.stir_fellows(*lock, lease.owner, step);
                }
            }
        }
    }

    pub(super) fn waits_no_more(&mut self, owner: Owner, step: &mut Step<'_>) {
        match owner {
            // From here on it may do anything with what it holds: nothing is known about it any more.
            Owner::Request(_) => step.graph.ended(owner),
            Owner::Named(name) => {
                if let Entry::Occupied(mut own) = self.owners.entry(name) {
                    own.get_mut().waiting = own.get().waiting.saturating_sub(1);
                    if own.get().waiting == 0 && own.get().held.is_empty() {
                        own.remove();
                    }
                }
            }
        }
    }

    /// Takes all that this set has in the graph out of it: the set goes, and nothing in it can be waited for any more.
    pub fn leave_graph(&self, graph: &mut WaitFor) {
        for (_, lease) in self.leases.iter() {
            if let Stage::Ordered { edge: Some(edge), .. } | Stage::Unit { edge: Some(edge), .. } =
                &lease.stage
            {
                graph.wait_over(*edge);
            }
            if let Owner::Request(_) = lease.owner {
                graph.ended(lease.owner);
            }
        }
        for (lock, entry) in &self.locks {
            if let Some(Holder {
                owner: owner @ Owner::Named(_),
                ..
            }) = entry.holder
            {
                graph.let_go(owner, self.resource(*lock), 1);
            }
        }
    }
}

impl Stage {
    fn take_edge(&mut self) -> Option<Ticket> {
        match self {
            Self::Ordered { edge, .. } | Self::Unit { edge, .. } => edge.take(),
            Self::Held => None,
        }
    }

    fn put_edge(&mut self, new: Ticket) {
        if let Self::Ordered { edge, .. } | Self::Unit { edge, .. } = self {
            *edge = Some(new);
        }
    }
}

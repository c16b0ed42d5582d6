//! Who is served next, and who may pass whom.

use super::{Lease, Lock, LockSet, PASSES, Progress, Stage, Step};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wait_for::{Owner, WaitFor};
use crate::machine::wakes::{Refusal, Why};
use std::ops::Bound;

impl LockSet {
    /// Takes what it can for one who waits, and sees to it that it stands where it has to wait for the rest.
    pub(super) fn proceed(&mut self, ticket: Ticket, step: &mut Step<'_>) -> Progress {
        loop {
            let Some(lease) = self.leases.get(ticket) else {
                return Progress::Waits;
            };
            let (wanted, arrival) = match &lease.stage {
                Stage::Held => return Progress::Held,
                Stage::Ordered { got, arrival, .. } => {
                    (lease.locks.get(*got..=*got).unwrap_or(&[]), *arrival)
                }
                Stage::Unit { arrival, .. } => (&lease.locks[..], *arrival),
            };
            if !self.is_open(lease, wanted, arrival, step.graph) {
                return self.stand(ticket, step);
            }
            let (owner, wanted) = (lease.owner, wanted.to_vec());
            self.leave_lines(ticket, arrival, &wanted, step);
            for lock in &wanted {
                self.take(*lock, owner, arrival, step);
            }
            // Its place in the next line is that of somebody who has just come.
            self.arrivals += 1;
            let next = self.arrivals;
            let Some(lease) = self.leases.get_mut(ticket) else {
                return Progress::Waits;
            };
            let all = lease.locks.len();
            match &mut lease.stage {
                Stage::Ordered { got, arrival, .. } if *got + wanted.len() < all => {
                    *got += wanted.len();
                    *arrival = next;
                }
                stage => {
                    *stage = Stage::Held;
                    self.complete(ticket, owner, step);
                    return Progress::Held;
                }
            }
        }
    }

    pub(super) fn complete(&mut self, ticket: Ticket, owner: Owner, step: &mut Step<'_>) {
        self.waits_no_more(owner, step);
        let ends = self
            .lease_timeout
            .map_or(Instant::FAR_FUTURE, |timeout| step.now + timeout);
        self.leases.give_up_at(ticket, ends);
    }

    /// Whether all of the locks are free for this lease, or its owner's already, with nobody before it who counts.
    pub(super) fn is_open(&self, lease: &Lease, wanted: &[u32], arrival: u64, graph: &WaitFor) -> bool {
        let free = wanted.iter().filter_map(|lock| {
            let lock = self.locks.get(lock)?;
            match lock.holder {
                Some(holder) if holder.owner == lease.owner => None,
                Some(_) => Some(None),
                None => Some(Some(lock)),
            }
        });
        let mut free: Vec<Option<&Lock>> = free.collect();
        if free.iter().any(Option::is_none) {
            return false;
        }
        free.retain(|lock| lock.is_some_and(|lock| !lock.line.is_empty()));
        free.is_empty() || {
            let insider = self.holds_something(lease, graph);
            free.into_iter()
                .flatten()
                .all(|lock| self.may_pass_all(lock, arrival, insider, graph))
        }
    }

    /// Whether all who stand before `arrival` in the line of a free lock are units that may be passed, or wait behind
    /// a unit that this one may pass and they may not.
    pub(super) fn may_pass_all(&self, lock: &Lock, arrival: u64, insider: bool, graph: &WaitFor) -> bool {
        let mut firm = false;
        for other in lock
            .line
            .range(..arrival)
            .filter_map(|(_, ticket)| self.leases.get(*ticket))
        {
            match other.stage {
                Stage::Unit { passed, .. } if passed >= PASSES => {
                    if !insider {
                        return false;
                    }
                    firm = true;
                }
                Stage::Unit { .. } => {}
                Stage::Ordered { .. } if firm && !self.holds_something(other, graph) => {}
                Stage::Ordered { .. } | Stage::Held => return false,
            }
        }
        true
    }

    pub(super) fn holds_something(&self, lease: &Lease, graph: &WaitFor) -> bool {
        matches!(lease.stage, Stage::Ordered { got: 1.., .. })
            || graph.ancestors(lease.owner).any(|owner| match owner {
                Owner::Named(name) => self.owners.get(&name).is_some_and(|own| !own.held.is_empty()),
                Owner::Request(_) => false,
            })
    }

    /// Serves whoever can be served now that something has changed hands.
    pub(super) fn settle(&mut self, step: &mut Step<'_>) {
        loop {
            if let Some(ticket) = self.fellows.pop_front() {
                self.serve(ticket, step);
            } else if let Some(lock) = self.freed.pop_front() {
                self.serve_line(lock, step);
            } else {
                return;
            }
        }
    }

    pub(super) fn serve_line(&mut self, lock: u32, step: &mut Step<'_>) {
        let mut last = Bound::Unbounded;
        while let Some(entry) = self.locks.get(&lock) {
            let next = entry.line.range((last, Bound::Unbounded)).next();
            match (entry.holder, next) {
                (None, Some((arrival, ticket))) => {
                    last = Bound::Excluded(*arrival);
                    let ticket = *ticket;
                    self.serve(ticket, step);
                }
                (Some(_), _) | (None, None) => break,
            }
        }
        if self
            .locks
            .get(&lock)
            .is_some_and(|lock| lock.holder.is_none() && lock.line.is_empty())
        {
            self.locks.remove(&lock);
        }
    }

    pub(super) fn serve(&mut self, ticket: Ticket, step: &mut Step<'_>) {
        let waits = |lease: &Lease| !matches!(lease.stage, Stage::Held);
        if !self.leases.get(ticket).is_some_and(waits) {
            return;
        }
        match self.proceed(ticket, step) {
            Progress::Held => step.wakes.push(ticket, Why::Granted),
            Progress::Deadlock => step.wakes.push(ticket, Why::Refused(Refusal::Deadlock)),
            Progress::Waits => {}
        }
    }
}

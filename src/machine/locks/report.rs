//! What a claim that was turned away had to do with which locks.

use super::{Lease, LockSet, Stage};
use crate::machine::ticket::Ticket;
use crate::machine::wait_for::Link;

/// What a claim that was turned away had to do with which locks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// All that it wanted, in the order of taking.
    pub wanted: Vec<u32>,
    /// Those it held when it was turned away.
    pub held: Vec<u32>,
    /// Those of the wanted that somebody else held.
    pub taken: Vec<u32>,
    /// The cycle, if it was turned away for one.
    pub chain: Vec<Link>,
}

/// How many reports are kept for hosts that do not fetch them.
const REPORTS: usize = 256;

impl LockSet {
    /// What a refused claim had to do with which locks: by the ticket of its wake, or `None` for the last one that
    /// was refused at once. The latest 256 are kept until fetched.
    pub fn take_report(&mut self, of: Option<Ticket>) -> Option<Report> {
        let Some(of) = of else { return self.latest.take() };
        let at = self.reports.iter().rposition(|(other, _)| *other == of)?;
        self.reports.remove(at).map(|(_, report)| report)
    }

    pub(super) fn keep_report(&mut self, of: Ticket, lease: &Lease, chain: Vec<Link>) {
        if self.reports.len() == REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back((of, self.report(lease, chain)));
    }

    pub(super) fn report(&self, lease: &Lease, chain: Vec<Link>) -> Report {
        let got = match lease.stage {
            Stage::Ordered { got, .. } => got,
            Stage::Unit { .. } | Stage::Held => 0,
        };
        let taken = |lock: &&u32| self.holder(**lock).is_some_and(|holder| holder != lease.owner);
        Report {
            wanted: lease.locks.clone(),
            held: lease.locks[..got].to_vec(),
            taken: lease.locks.iter().filter(taken).copied().collect(),
            chain,
        }
    }
}

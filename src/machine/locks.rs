//! Named locks: several at once in one order, all-or-nothing reservations, reentrancy by owner, deadlocks found as
//! they form.
//!
//! Names are numbers that the host interned. [`Mode::Ordered`] takes its locks one after the other, in the declared
//! order and then in the order in which the host lists them (by name, so that two callers never disagree), and keeps
//! what it has while it waits for the next. [`Mode::Unit`] takes all of them in one step or none, and holds nothing
//! while it waits.
//!
//! **Fairness.** Each lock is served first come, first served, and nobody barges: a newcomer is served at once only if
//! nobody is before it. One thing is allowed, since a lock that lies idle for a unit whose other locks are taken helps
//! nobody: such a unit may be passed, at most [`PASSES`] times. After that only those pass who already hold a lock of
//! this set (they, an ancestor, or the same request), because the unit may be waiting for exactly that lock.
//!
//! **Reentrancy.** Whoever holds a lock passes it again at once, whoever waits; it is free when each lease is released.
//! Without an owner a request is nobody's, and asking twice is asking against oneself.
//!
//! **Deadlocks.** Named owners stand in the [`WaitFor`] graph with all they hold; a request without an owner stands
//! there only while it holds part of what it wants and waits for the rest, for then it is known to do nothing else.
//! Orders in which locks are taken are remembered, and an inverted one is reported the first time it is seen, though
//! nothing has deadlocked yet: see [`LockOrder`].

use super::permits::Patience;
use super::ticket::{StaleTicket, Ticket};
use super::time::Instant;
use super::wait_for::{Deadlock, Owner, Resource, WaitFor, Waiter};
use super::waiters::Waiters;
use super::wakes::{MachineId, Refusal, Wakes, Why};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

mod having;
mod order;
mod report;
mod serving;
mod terms;
#[cfg(test)]
mod tests;

pub use order::{Inversion, LockOrder};
pub use report::Report;
pub use terms::{ACQUIRE_TIMEOUT, Answer, Claim, Mode, PASSES, RESERVE_TIMEOUT};

/// Named locks. See the module.
#[derive(Clone, Debug, Default)]
pub struct LockSet {
    id: MachineId,
    ranks: BTreeMap<u32, u32>,
    lease_timeout: Option<Duration>,
    // Only locks that are held or waited for.
    locks: BTreeMap<u32, Lock>,
    leases: Waiters<Lease>,
    owners: BTreeMap<u64, Own>,
    order: LockOrder,
    arrivals: u64,
    // What may be servable now: settled before every call ends.
    freed: VecDeque<u32>,
    fellows: VecDeque<Ticket>,
    // Units that were passed as often as they may be; the next who is forgets those that wait no longer.
    firm: VecDeque<Ticket>,
    reports: VecDeque<(Ticket, Report)>,
    latest: Option<Report>,
    closed: bool,
}

#[derive(Clone, Debug, Default)]
struct Lock {
    holder: Option<Holder>,
    // By arrival.
    line: BTreeMap<u64, Ticket>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    owner: Owner,
    leases: u32,
}

#[derive(Clone, Debug)]
struct Lease {
    owner: Owner,
    locks: Vec<u32>,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Has the first `got` locks and waits in the line of the next.
    Ordered {
        got: usize,
        arrival: u64,
        edge: Option<Ticket>,
    },
    /// Has none and waits in the lines of all.
    Unit {
        passed: u32,
        arrival: u64,
        edge: Option<Ticket>,
    },
    /// Has all of them.
    Held,
}

#[derive(Clone, Debug, Default)]
struct Own {
    held: BTreeMap<u32, u32>,
    waiting: u32,
}

/// What every step of a call needs beside the set itself.
struct Step<'a> {
    now: Instant,
    graph: &'a mut WaitFor,
    wakes: &'a mut Wakes,
}

enum Progress {
    Held,
    Waits,
    Deadlock,
}

impl LockSet {
    /// Locks without a declared order, held until released.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares an order: these locks are taken before all others, in this order.
    pub fn with_order(mut self, order: &[u32]) -> Self {
        self.ranks = order.iter().copied().zip(0..).collect();
        self
    }

    /// Takes leases back that are neither released nor renewed for so long: for hosts whose tasks may vanish.
    pub fn with_lease_timeout(mut self, timeout: Duration) -> Self {
        self.lease_timeout = Some(timeout);
        self
    }

    /// Says under which number the world knows this set. A set that is used alone needs no such call.
    pub fn named(mut self, id: MachineId) -> Self {
        self.id = id;
        self
    }

    /// Asks for locks.
    pub fn claim(
        &mut self,
        now: Instant,
        claim: Claim<'_>,
        graph: &mut WaitFor,
        wakes: &mut Wakes,
    ) -> Answer {
        self.on_deadline(now, graph, wakes);
        let mut step = Step { now, graph, wakes };
        let locks = self.in_order(claim.locks);
        self.remember_order(claim.owner, &locks, claim.mode);
        let mut lease = Lease {
            owner: claim.owner.map_or(
                Owner::Request(Waiter {
                    machine: self.id,
                    ticket: Ticket::from_bits(u64::MAX),
                }),
                Owner::Named,
            ),
            locks,
            stage: Stage::Held,
        };
        let waits = !matches!(claim.patience, Patience::None | Patience::Micros(0));
        let waits = waits && !self.closed;
        let refusal = match claim.mode {
            _ if self.closed => Refusal::Closed,
            Mode::Ordered => Refusal::NotNow,
            Mode::Unit => Refusal::Conflict,
        };
        if !waits && !self.is_open(&lease, &lease.locks, u64::MAX, step.graph) {
            self.latest = Some(self.report(&lease, Vec::new()));
            return Answer::Refused(refusal);
        }
        self.arrivals += 1;
        lease.stage = match claim.mode {
            Mode::Ordered => Stage::Ordered {
                got: 0,
                arrival: self.arrivals,
                edge: None,
            },
            Mode::Unit => Stage::Unit {
                passed: 0,
                arrival: self.arrivals,
                edge: None,
            },
        };
        let entered = match waits {
            true => self.leases.enter(now, claim.patience, lease),
            false => self.leases.seat(lease),
        };
        let Some(ticket) = entered else {
            return Answer::Refused(refusal);
        };
        if let Some(Lease {
            owner: Owner::Request(waiter),
            ..
        }) = self.leases.get_mut(ticket)
        {
            waiter.ticket = ticket;
        }
        if let Some(owner) = claim.owner {
            self.owners.entry(owner).or_default().waiting += 1;
        }
        let answer = match self.proceed(ticket, &mut step) {
            Progress::Held => Answer::Granted(ticket),
            Progress::Waits => Answer::Waiting(ticket),
            Progress::Deadlock => {
                // The caller has no ticket to ask by.
                self.latest = self.reports.pop_back().map(|(_, report)| report);
                Answer::Refused(Refusal::Deadlock)
            }
        };
        self.settle(&mut step);
        answer
    }

    /// Gives the locks of a lease back, the last taken first.
    ///
    /// # Errors
    ///
    /// The lease was released or taken back before, or never granted.
    pub fn release(
        &mut self,
        now: Instant,
        ticket: Ticket,
        graph: &mut WaitFor,
        wakes: &mut Wakes,
    ) -> Result<(), StaleTicket> {
        self.on_deadline(now, graph, wakes);
        match self.leases.get(ticket) {
            Some(Lease {
                stage: Stage::Held, ..
            }) => {}
            _ => return Err(StaleTicket),
        }
        let mut step = Step { now, graph, wakes };
        if let Some(lease) = self.leases.leave(ticket) {
            self.let_go(&lease, lease.locks.len(), &mut step);
        }
        self.settle(&mut step);
        Ok(())
    }

    /// Leaves: whoever waits gives back what it has so far, and whoever holds releases.
    pub fn cancel(
        &mut self,
        now: Instant,
        ticket: Ticket,
        graph: &mut WaitFor,
        wakes: &mut Wakes,
    ) -> Result<(), StaleTicket> {
        self.on_deadline(now, graph, wakes);
        let lease = self.leases.leave(ticket).ok_or(StaleTicket)?;
        let mut step = Step { now, graph, wakes };
        self.withdraw(&lease, &mut step);
        self.settle(&mut step);
        Ok(())
    }

    /// Ends waiting: those who wait are turned away and give back what they have so far, and so is whoever asks later
    /// and would have to wait. Leases stay until they are released.
    pub fn close(&mut self, now: Instant, graph: &mut WaitFor, wakes: &mut Wakes) {
        self.on_deadline(now, graph, wakes);
        self.closed = true;
        let mut waiting: Vec<(u64, Ticket)> = self
            .leases
            .iter()
            .filter_map(|(ticket, lease)| match lease.stage {
                Stage::Ordered { arrival, .. } | Stage::Unit { arrival, .. } => Some((arrival, ticket)),
                Stage::Held => None,
            })
            .collect();
        waiting.sort_unstable();
        // All of them first: what one gives back is not for another that goes too.
        let gone: Vec<(Ticket, Lease)> = waiting
            .into_iter()
            .filter_map(|(_, ticket)| Some((ticket, self.leases.leave(ticket)?)))
            .collect();
        let mut step = Step { now, graph, wakes };
        for (ticket, lease) in gone {
            self.withdraw(&lease, &mut step);
            step.wakes.push(ticket, Why::Refused(Refusal::Closed));
        }
        self.settle(&mut step);
    }

    /// Turns away a waiter that the graph chose as the one to give way.
    pub fn give_way(
        &mut self,
        now: Instant,
        deadlock: Deadlock,
        graph: &mut WaitFor,
        wakes: &mut Wakes,
    ) -> Result<(), StaleTicket> {
        let ticket = deadlock.victim.ticket;
        let lease = self.leases.leave(ticket).ok_or(StaleTicket)?;
        self.keep_report(ticket, &lease, deadlock.chain);
        let mut step = Step { now, graph, wakes };
        self.withdraw(&lease, &mut step);
        step.wakes.push(ticket, Why::Refused(Refusal::Deadlock));
        self.settle(&mut step);
        Ok(())
    }

    /// Moves the end of a lease to a full lease timeout from now; `None` where leases do not end.
    pub fn renew(&mut self, now: Instant, ticket: Ticket) -> Result<Option<Instant>, StaleTicket> {
        match self.leases.get(ticket) {
            Some(Lease {
                stage: Stage::Held, ..
            }) => {}
            _ => return Err(StaleTicket),
        }
        let Some(timeout) = self.lease_timeout else {
            return Ok(None);
        };
        self.leases.give_up_at(ticket, now + timeout);
        Ok(Some(now + timeout))
    }

    /// Turns away those who have waited as long as they would and takes back leases that ran out. Spurious calls do
    /// nothing.
    pub fn on_deadline(&mut self, now: Instant, graph: &mut WaitFor, wakes: &mut Wakes) {
        let mut step = Step { now, graph, wakes };
        while let Some((ticket, lease)) = self.leases.expired(now) {
            let why = match lease.stage {
                Stage::Held => Why::Expired,
                Stage::Ordered { .. } | Stage::Unit { .. } => {
                    self.keep_report(ticket, &lease, Vec::new());
                    Why::Refused(Refusal::QueueTimeout)
                }
            };
            self.withdraw(&lease, &mut step);
            step.wakes.push(ticket, why);
            self.settle(&mut step);
        }
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.leases.next_deadline()
    }

    /// Takes the oldest inverted order that nobody has been warned about.
    pub fn take_inversion(&mut self) -> Option<Inversion> {
        self.order.take()
    }

    /// Who holds a lock.
    pub fn holder(&self, lock: u32) -> Option<Owner> {
        self.locks.get(&lock)?.holder.map(|holder| holder.owner)
    }

    /// What a lease holds, in the order in which it was taken; nothing while it waits.
    pub fn held_by(&self, lease: Ticket) -> &[u32] {
        match self.leases.get(lease) {
            Some(Lease {
                locks,
                stage: Stage::Held,
                ..
            }) => locks,
            _ => &[],
        }
    }

    /// How many locks are held.
    pub fn taken(&self) -> usize {
        self.locks.values().filter(|lock| lock.holder.is_some()).count()
    }

    /// How many wait for the lock that most wait for.
    pub fn most_waiting(&self) -> usize {
        self.locks.values().map(|lock| lock.line.len()).max().unwrap_or(0)
    }

    /// How many wait for a lock.
    pub fn waiting(&self, lock: u32) -> usize {
        self.locks.get(&lock).map_or(0, |lock| lock.line.len())
    }

    /// Whether a lock is neither held nor waited for: its number may be given to another name.
    pub fn is_idle(&self, lock: u32) -> bool {
        !self.locks.contains_key(&lock)
    }

    fn resource(&self, lock: u32) -> Resource {
        Resource {
            machine: self.id,
            part: lock,
        }
    }
}

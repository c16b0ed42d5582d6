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
use super::wait_for::{Deadlock, Link, Need, Owner, Resource, WaitFor, Waiter};
use super::waiters::Waiters;
use super::wakes::{MachineId, Refusal, Wakes, Why};
use core::time::Duration;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

mod order;
#[cfg(test)]
mod tests;

pub use order::{Inversion, LockOrder};

/// How long `acquire` waits unless told otherwise: longer than a critical section should ever be, short enough to be
/// seen by somebody who waits for an answer.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long `reserve` waits unless told otherwise: it needs several locks to be free at once.
pub const RESERVE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a reservation that cannot be served yet may be passed by later ones.
pub const PASSES: u32 = 16;

/// What is asked of a lock set.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The locks, in the host's order; the same one twice counts once.
    pub locks: &'a [u32],
    /// One after the other, or as a unit.
    pub mode: Mode,
    /// Who asks, if declared.
    pub owner: Option<u64>,
    /// How long all of it may take.
    pub patience: Patience,
}

/// How several locks are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// One after the other, in order, keeping what it has.
    Ordered,
    /// All in one step, holding nothing before.
    Unit,
}

/// The answer to a claim.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Answer {
    /// All of them are held, under this ticket.
    Granted(Ticket),
    /// A wake will follow.
    Waiting(Ticket),
    /// Turned away: `NotNow` (ordered) or `Conflict` (unit) if the caller would not wait, `Deadlock` if waiting would
    /// have closed a cycle. [`LockSet::take_report`] has the rest.
    Refused(Refusal),
}

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
    reports: VecDeque<(Ticket, Report)>,
    latest: Option<Report>,
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

/// How many reports are kept for hosts that do not fetch them.
const REPORTS: usize = 256;

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
        let refusal = match claim.mode {
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

    /// What a refused claim had to do with which locks: by the ticket of its wake, or `None` for the last one that
    /// was refused at once. The latest 256 are kept until fetched.
    pub fn take_report(&mut self, of: Option<Ticket>) -> Option<Report> {
        let Some(of) = of else { return self.latest.take() };
        let at = self.reports.iter().rposition(|(other, _)| *other == of)?;
        self.reports.remove(at).map(|(_, report)| report)
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

    fn in_order(&self, locks: &[u32]) -> Vec<u32> {
        let mut sorted: Vec<u32> = Vec::with_capacity(locks.len());
        for lock in locks {
            if !sorted.contains(lock) {
                sorted.push(*lock);
            }
        }
        sorted.sort_by_key(|lock| self.ranks.get(lock).copied().unwrap_or(u32::MAX));
        sorted
    }

    fn remember_order(&mut self, owner: Option<u64>, wanted: &[u32], mode: Mode) {
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

    /// Takes what it can for one who waits, and sees to it that it stands where it has to wait for the rest.
    fn proceed(&mut self, ticket: Ticket, step: &mut Step<'_>) -> Progress {
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

    fn complete(&mut self, ticket: Ticket, owner: Owner, step: &mut Step<'_>) {
        self.waits_no_more(owner, step);
        let ends = self
            .lease_timeout
            .map_or(Instant::FAR_FUTURE, |timeout| step.now + timeout);
        self.leases.give_up_at(ticket, ends);
    }

    fn waits_no_more(&mut self, owner: Owner, step: &mut Step<'_>) {
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

    /// Whether all of the locks are free for this lease, or its owner's already, with nobody before it who counts.
    fn is_open(&self, lease: &Lease, wanted: &[u32], arrival: u64, graph: &WaitFor) -> bool {
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
    fn may_pass_all(&self, lock: &Lock, arrival: u64, insider: bool, graph: &WaitFor) -> bool {
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

    fn holds_something(&self, lease: &Lease, graph: &WaitFor) -> bool {
        matches!(lease.stage, Stage::Ordered { got: 1.., .. })
            || graph.ancestors(lease.owner).any(|owner| match owner {
                Owner::Named(name) => self.owners.get(&name).is_some_and(|own| !own.held.is_empty()),
                Owner::Request(_) => false,
            })
    }

    fn take(&mut self, lock: u32, owner: Owner, arrival: u64, step: &mut Step<'_>) {
        let resource = self.resource(lock);
        let entry = self.locks.entry(lock).or_default();
        if let Some(holder) = &mut entry.holder {
            holder.leases += 1;
        } else {
            entry.holder = Some(Holder { owner, leases: 1 });
            let before: Vec<Ticket> = entry.line.range(..arrival).map(|(_, ticket)| *ticket).collect();
            for ticket in before {
                if let Some(Lease {
                    stage: Stage::Unit { passed, .. },
                    ..
                }) = self.leases.get_mut(ticket)
                {
                    *passed += 1;
                }
            }
            self.stir_fellows(lock, owner, step);
            if let Owner::Named(_) = owner {
                step.graph.hold(owner, resource, 1);
            }
        }
        if let Owner::Named(name) = owner {
            *self.owners.entry(name).or_default().held.entry(lock).or_default() += 1;
        }
    }

    /// Lets other requests of an owner look again after it got a lock or gave it back: while it has it they need not
    /// wait for it.
    fn stir_fellows(&mut self, lock: u32, owner: Owner, step: &mut Step<'_>) {
        let Owner::Named(name) = owner else { return };
        if self.owners.get(&name).is_none_or(|own| own.waiting == 0) {
            return;
        }
        let line: Vec<Ticket> = self
            .locks
            .get(&lock)
            .into_iter()
            .flat_map(|lock| lock.line.values().copied())
            .collect();
        for ticket in line {
            if let Some(lease) = self.leases.get_mut(ticket)
                && lease.owner == owner
            {
                if let Some(edge) = lease.stage.take_edge() {
                    step.graph.wait_over(edge);
                }
                self.fellows.push_back(ticket);
            }
        }
    }

    /// Puts one who waits into the lines of what it lacks, and its wait into the graph.
    fn stand(&mut self, ticket: Ticket, step: &mut Step<'_>) -> Progress {
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
    fn leave_lines(&mut self, ticket: Ticket, arrival: u64, locks: &[u32], step: &mut Step<'_>) {
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
    fn withdraw(&mut self, lease: &Lease, step: &mut Step<'_>) {
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
    fn let_go(&mut self, lease: &Lease, got: usize, step: &mut Step<'_>) {
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

    /// Serves whoever can be served now that something has changed hands.
    fn settle(&mut self, step: &mut Step<'_>) {
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

    fn serve_line(&mut self, lock: u32, step: &mut Step<'_>) {
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

    fn serve(&mut self, ticket: Ticket, step: &mut Step<'_>) {
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

    fn keep_report(&mut self, of: Ticket, lease: &Lease, chain: Vec<Link>) {
        if self.reports.len() == REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back((of, self.report(lease, chain)));
    }

    fn report(&self, lease: &Lease, chain: Vec<Link>) -> Report {
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

    fn resource(&self, lock: u32) -> Resource {
        Resource {
            machine: self.id,
            part: lock,
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

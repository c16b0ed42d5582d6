//! Tasks that name their parents, and the wait-for graph they share with the locks of the same world.
//!
//! A pool knows nothing of who waits for whom. A task that names a parent is looked after here: it stands in the
//! [`WaitFor`] graph while it waits and while it holds slots, and so does its parent from then on, so that a task that
//! awaits its own full pool is told the moment it would hang. Tasks that name nobody cost one comparison.

use super::{Kind, World, kind_of};
use crate::machine::permits::{Admission, Ask};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wait_for::{Deadlock, Link, Need, Owner, Resource, WaitFor, Waiter};
use crate::machine::wakes::{MachineId, Refusal, Why};
use std::collections::{BTreeMap, VecDeque};

/// A task as a child: its own number, and whom it keeps from ending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Child {
    /// The number by which the graph shall know it: the one its own children name.
    pub task: u64,
    /// Who waits for it.
    pub parent: Parent,
}

/// A task that waits for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parent {
    /// Its number.
    pub task: u64,
    /// Where it holds its slots, if it runs in a pool.
    pub place: Option<Waiter>,
}

#[derive(Debug)]
pub(super) struct Families {
    pub(super) graph: WaitFor,
    // Those tasks of pools that the graph knows.
    known: BTreeMap<Waiter, Known>,
    chains: VecDeque<(Option<Waiter>, Vec<Link>)>,
}

impl Families {
    pub(super) const fn new() -> Self {
        Self {
            graph: WaitFor::new(),
            known: BTreeMap::new(),
            chains: VecDeque::new(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    owner: Owner,
    edge: Option<Ticket>,
}

/// The calls into the graph, as a table that the first task with a parent and the first lock set put there. A program
/// without either links no graph: in wasm that is a third of the download.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kin {
    look: fn(&mut World),
    ends: fn(&mut World, MachineId, Ticket),
    leaves: fn(&mut World, MachineId, Ticket),
    resized: fn(&mut World, Instant, MachineId),
    gone: fn(&mut World, MachineId),
    settle: fn(&mut World, Instant),
}

impl Kin {
    const THERE: Self = Self {
        look: World::look,
        ends: World::ends,
        leaves: World::leaves,
        resized: World::resized,
        gone: World::gone,
        settle: World::settle_deadlocks,
    };
}

/// How many chains are kept for hosts that do not fetch them.
const CHAINS: usize = 64;

impl World {
    /// Asks for a start on behalf of a parent: see [`Permits::request`](crate::machine::permits::Permits::request).
    /// Refused with `Deadlock` if the parent, or anybody who waits for it, would then wait for ever.
    pub fn pool_request_for(&mut self, now: Instant, id: MachineId, ask: Ask, child: Child) -> Admission {
        self.keep_kin();
        let owner = Owner::Named(child.task);
        self.declare_task(child.parent);
        let admission = self.pool_request(now, id, ask);
        let (Admission::Granted(ticket) | Admission::Queued(ticket) | Admission::Outside(ticket)) = admission
        else {
            return admission;
        };
        let Some(permits) = self.pool(id) else {
            return admission;
        };
        let (slots, capacity, is_gone) = (
            permits.slots_of(ticket),
            permits.capacity(),
            permits.times(ticket).is_none(),
        );
        if is_gone {
            return admission;
        }
        let place = Waiter { machine: id, ticket };
        let families = &mut self.families;
        families.graph.child(owner, Owner::Named(child.parent.task));
        let mut edge = None;
        if slots > 0 {
            families.graph.hold(owner, pool_of(id), slots);
        } else {
            let need = Need::Slots {
                resource: pool_of(id),
                slots: ask.weight.max(1),
                capacity,
            };
            match families.graph.wait(owner, place, &[need]) {
                Ok(ticket) => edge = Some(ticket),
                Err(deadlock) => {
                    families.graph.ended(owner);
                    families.keep(None, deadlock.chain);
                    // It was accepted a moment ago, so it can leave.
                    let _left = self.pool_cancel(now, id, ticket);
                    return Admission::Refused(Refusal::Deadlock);
                }
            }
        }
        self.families.known.insert(place, Known { owner, edge });
        self.break_deadlocks(now);
        admission
    }

    /// The cycle for which a task was turned away: by the wake's machine and ticket, or `None` for the last one that was
    /// refused at once.
    pub fn take_chain(&mut self, of: Option<Waiter>) -> Option<Vec<Link>> {
        let chains = &mut self.families.chains;
        let at = chains.iter().rposition(|(other, _)| *other == of)?;
        chains.remove(at).map(|(_, chain)| chain)
    }

    /// The wait-for graph, for waits that no machine here knows of. Followed by
    /// [`break_deadlocks`](Self::break_deadlocks).
    pub fn wait_for(&mut self) -> &mut WaitFor {
        self.keep_kin();
        self.look_at_fresh();
        &mut self.families.graph
    }

    /// The wait-for graph, for a host that says itself what its tasks hold and wait for, later than they do it: from here
    /// on nothing is judged before it calls [`judge`](Self::judge).
    pub fn told(&mut self) -> &mut WaitFor {
        self.families.graph.judge_later();
        &mut self.families.graph
    }

    /// Looks for deadlocks in what was told. Those of machines here give way by a wake; one whose wait the host told is
    /// the answer, and the host turns it away and calls again until there is none.
    pub fn judge(&mut self, now: Instant) -> Option<Deadlock> {
        loop {
            let deadlock = self.families.graph.judge()?;
            match self.locks_give_way {
                Some(give_way) if kind_of(deadlock.victim.machine) == Some(Kind::Locks) => {
                    give_way(self, now, deadlock);
                }
                _ => return Some(deadlock),
            }
        }
    }

    /// Turns away the youngest of those who wait for each other, wherever it waits. Every call of a machine ends with
    /// this; a host calls it after it has changed the graph itself.
    pub fn break_deadlocks(&mut self, now: Instant) {
        if let Some(kin) = self.kin {
            (kin.settle)(self, now);
        }
    }

    /// From here on the graph is kept.
    pub(super) fn keep_kin(&mut self) {
        self.kin = Some(Kin::THERE);
    }

    /// Tells the graph what the pools decided since it was told last.
    pub(super) fn look_at_fresh(&mut self) {
        if let Some(kin) = self.kin {
            (kin.look)(self);
        }
    }

    /// A task that settles keeps nobody from ending any more.
    pub(super) fn task_ends(&mut self, id: MachineId, ticket: Ticket) {
        if let Some(kin) = self.kin {
            (kin.ends)(self, id, ticket);
        }
    }

    /// A task that leaves holds nothing any more, but if it has begun it may still be what its parent waits for.
    pub(super) fn task_leaves(&mut self, id: MachineId, ticket: Ticket) {
        if let Some(kin) = self.kin {
            (kin.leaves)(self, id, ticket);
        }
    }

    pub(super) fn pool_was_resized(&mut self, now: Instant, id: MachineId) {
        if let Some(kin) = self.kin {
            (kin.resized)(self, now, id);
        }
    }

    pub(super) fn families_of_gone(&mut self, id: MachineId) {
        if let Some(kin) = self.kin {
            (kin.gone)(self, id);
        }
    }

    fn settle_deadlocks(&mut self, now: Instant) {
        self.look_at_fresh();
        while let Some(deadlock) = self.families.graph.pop_found() {
            let victim = deadlock.victim;
            match kind_of(victim.machine) {
                Some(Kind::Locks) => {
                    if let Some(give_way) = self.locks_give_way {
                        give_way(self, now, deadlock);
                    }
                }
                Some(Kind::Pool) => {
                    self.families.keep(Some(victim), deadlock.chain);
                    // In the graph it waits, so in the pool it waits too.
                    if let Some(give_way) = self.pools_give_way {
                        give_way(self, now, victim.machine, victim.ticket);
                    }
                    self.refuse_for_deadlock(victim);
                }
                _ => {
                    self.families.keep(Some(victim), deadlock.chain);
                    self.refuse_for_deadlock(victim);
                }
            }
        }
    }

    fn refuse_for_deadlock(&mut self, victim: Waiter) {
        let wakes = self.wakes.of(victim.machine);
        wakes.push(victim.ticket, Why::Refused(Refusal::Deadlock));
    }

    fn look(&mut self) {
        if !self.wakes.has_fresh() {
            return;
        }
        let families = &mut self.families;
        for wake in self.wakes.fresh() {
            let place = Waiter {
                machine: wake.machine,
                ticket: wake.ticket,
            };
            let Some(known) = families.known.get_mut(&place) else {
                continue;
            };
            let permits = self.pools.get(wake.machine).map(|pool| &pool.permits);
            let slots = permits.map_or(0, |permits| permits.slots_of(wake.ticket));
            let is_gone = permits.is_none_or(|permits| permits.times(wake.ticket).is_none());
            let (owner, pool) = (known.owner, pool_of(wake.machine));
            if let Some(edge) = known.edge.take_if(|_| wake.why != Why::Accepted) {
                families.graph.wait_over(edge);
            }
            if is_gone {
                families.known.remove(&place);
                families.graph.ended(owner);
            } else {
                let held = families.graph.held(owner, pool);
                families.graph.hold(owner, pool, slots.saturating_sub(held));
                families.graph.let_go(owner, pool, held.saturating_sub(slots));
            }
        }
    }

    fn ends(&mut self, id: MachineId, ticket: Ticket) {
        let families = &mut self.families;
        if let Some(known) = families.known.remove(&Waiter { machine: id, ticket }) {
            families.graph.ended(known.owner);
        }
    }

    fn leaves(&mut self, id: MachineId, ticket: Ticket) {
        if self.families.known.is_empty() {
            return;
        }
        let runs = self.pool(id).is_some_and(|permits| permits.slots_of(ticket) > 0);
        if !runs {
            self.task_ends(id, ticket);
        } else if let Some(known) = self.families.known.get(&Waiter { machine: id, ticket }).copied() {
            self.families.graph.let_go(known.owner, pool_of(id), u32::MAX);
        }
    }

    fn resized(&mut self, now: Instant, id: MachineId) {
        if let Some(capacity) = self.pool(id).map(|permits| permits.capacity())
            && !self.families.known.is_empty()
        {
            self.families.graph.resize(pool_of(id), capacity);
            self.break_deadlocks(now);
        }
    }

    fn gone(&mut self, id: MachineId) {
        let families = &mut self.families;
        let of_gone = |place: &Waiter| place.machine == id;
        let gone: Vec<Known> = families
            .known
            .iter()
            .filter(|(place, _)| of_gone(place))
            .map(|(_, k)| *k)
            .collect();
        families.known.retain(|place, _| !of_gone(place));
        gone.into_iter()
            .for_each(|known| families.graph.ended(known.owner));
    }

    /// From here on the graph knows what a task of a pool holds; before anybody named it, nobody had to.
    pub fn declare_task(&mut self, parent: Parent) {
        let Some(place) = parent.place else { return };
        self.look_at_fresh();
        let slots = self
            .pool(place.machine)
            .map_or(0, |permits| permits.slots_of(place.ticket));
        let families = &mut self.families;
        if slots > 0 && !families.known.contains_key(&place) {
            let owner = Owner::Named(parent.task);
            families.known.insert(place, Known { owner, edge: None });
            families.graph.hold(owner, pool_of(place.machine), slots);
        }
    }
}

impl Families {
    pub(super) fn keep(&mut self, of: Option<Waiter>, chain: Vec<Link>) {
        if self.chains.len() == CHAINS {
            self.chains.pop_front();
        }
        self.chains.push_back((of, chain));
    }
}

/// A pool as something that is held and waited for.
fn pool_of(id: MachineId) -> Resource {
    Resource { machine: id, part: 0 }
}

#[cfg(test)]
mod tests;

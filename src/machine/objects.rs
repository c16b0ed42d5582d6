//! Object and connection pools: what to reuse, what to make, what to throw away, and who waits.
//!
//! The objects stay with the host; here they are tickets with a key (a pool of plain objects has one key, a pool of
//! connections one for each place they lead to). Of several idle objects the one returned last is reused first, so the
//! others grow old and leave. Waiters are served in the order in which they came, and nobody barges.
//!
//! A place is taken from the moment a decision is [`Grant::Create`] until the object is destroyed or its making has
//! failed, so there are never more than `max` of a key, those being made included.
//!
//! Objects leave when they are idle for too long, too old, marked as not reusable, or not valid any more. The host
//! destroys those that [`pop_doomed`](Objects::pop_doomed) names; their tickets are stale by then.

use super::line::Line;
use super::permits::Patience;
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::waiters::Waiters;
use super::wakes::{Refusal, Wakes, Why};
use std::collections::{BTreeMap, VecDeque};

mod fading;
mod serving;
mod terms;
#[cfg(test)]
mod tests;

use fading::is_fading;
pub use terms::{Acquire, CONNECTIONS, Grant, ObjectCounts, ObjectsConfig, Returned};

/// Objects by key. See the module.
#[derive(Clone, Debug)]
pub struct Objects {
    config: ObjectsConfig,
    closed: bool,
    things: Slab<Thing>,
    keys: BTreeMap<u32, Keyed>,
    waiters: Waiters<Waiter>,
    arrivals: u64,
    fading: Line<(Ticket, Instant)>,
    fades_next: Option<Instant>,
    doomed: VecDeque<Ticket>,
    /// What happened so far.
    pub counts: ObjectCounts,
}

#[derive(Clone, Copy, Debug)]
struct Thing {
    key: u32,
    made: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Making,
    InUse,
    Idle { since: Instant, fades: Instant },
}

#[derive(Clone, Debug, Default)]
struct Keyed {
    // Being made, in use and idle.
    places: u32,
    // The one returned last is at the back.
    idle: VecDeque<Ticket>,
    line: VecDeque<(u64, Ticket)>,
}

#[derive(Clone, Copy, Debug)]
enum Waiter {
    Waiting { key: u32 },
    Served(Grant),
}

impl Objects {
    /// No objects yet.
    pub fn new(config: ObjectsConfig) -> Self {
        Self {
            config,
            closed: false,
            things: Slab::new(),
            keys: BTreeMap::new(),
            waiters: Waiters::new(),
            arrivals: 0,
            fading: Line::new(),
            fades_next: None,
            doomed: VecDeque::new(),
            counts: ObjectCounts::default(),
        }
    }

    /// Wants an object of a key.
    pub fn acquire(&mut self, now: Instant, key: u32, patience: Patience, wakes: &mut Wakes) -> Acquire {
        self.on_deadline(now, wakes);
        self.counts.requests += 1;
        if self.closed {
            return Acquire::Refused(Refusal::Closed);
        }
        let nobody_waits = self.head(key).is_none();
        if nobody_waits && let Some(grant) = self.grant(key) {
            return Acquire::Now(grant);
        }
        match self.waiters.enter(now, patience, Waiter::Waiting { key }) {
            Some(ticket) => {
                self.arrivals += 1;
                let place = (self.arrivals, ticket);
                self.keys.entry(key).or_default().line.push_back(place);
                Acquire::Waiting(ticket)
            }
            None => Acquire::Refused(Refusal::NotNow),
        }
    }

    /// What a woken waiter got. Its own ticket is stale afterwards.
    pub fn claim(&mut self, waiter: Ticket) -> Result<Grant, StaleTicket> {
        match self.waiters.get(waiter) {
            Some(Waiter::Served(grant)) => {
                let grant = *grant;
                self.waiters.leave(waiter);
                Ok(grant)
            }
            _ => Err(StaleTicket),
        }
    }

    /// Says that an object was made: it is in use now, and its age counts from here.
    pub fn made(&mut self, now: Instant, object: Ticket) -> Result<(), StaleTicket> {
        match self.things.get_mut(object) {
            Some(thing) if matches!(thing.state, State::Making) => {
                thing.made = now;
                thing.state = State::InUse;
                self.counts.created += 1;
                Ok(())
            }
            _ => Err(StaleTicket),
        }
    }

    /// Says that an object could not be made: its place is free again.
    pub fn failed(&mut self, now: Instant, object: Ticket, wakes: &mut Wakes) -> Result<(), StaleTicket> {
        self.on_deadline(now, wakes);
        match self.things.get(object) {
            Some(thing) if matches!(thing.state, State::Making) => {
                let key = thing.key;
                self.remove(object);
                self.counts.failed += 1;
                self.serve(key, wakes);
                Ok(())
            }
            _ => Err(StaleTicket),
        }
    }

    /// Gives an object back, reset by the host and fit for reuse or not.
    pub fn give_back(
        &mut self,
        now: Instant,
        object: Ticket,
        reusable: bool,
        wakes: &mut Wakes,
    ) -> Result<Returned, StaleTicket> {
        self.on_deadline(now, wakes);
        let thing = match self.things.get(object) {
            Some(thing) if matches!(thing.state, State::InUse) => *thing,
            _ => return Err(StaleTicket),
        };
        let too_old = self.config.max_age.is_some_and(|age| now >= thing.made + age);
        if !reusable || too_old || self.closed {
            self.remove(object);
            self.counts.destroyed += 1;
            self.serve(thing.key, wakes);
            return Ok(Returned::Destroy);
        }
        self.counts.returned += 1;
        self.rest(now, object);
        self.serve(thing.key, wakes);
        Ok(Returned::Kept)
    }

    /// Says that a reused object turned out not to be valid, and gives the caller another one, or the place to make
    /// one, without waiting. The host destroys the invalid one.
    pub fn replace(&mut self, object: Ticket) -> Result<Grant, StaleTicket> {
        let key = match self.things.get(object) {
            Some(thing) if matches!(thing.state, State::InUse) => thing.key,
            _ => return Err(StaleTicket),
        };
        self.remove(object);
        self.counts.destroyed += 1;
        self.counts.invalid += 1;
        self.counts.hits = self.counts.hits.saturating_sub(1);
        self.grant(key).ok_or(StaleTicket)
    }

    /// Leaves without an object. One that was handed over and not claimed goes to the next.
    pub fn cancel(&mut self, now: Instant, waiter: Ticket, wakes: &mut Wakes) -> Result<(), StaleTicket> {
        self.on_deadline(now, wakes);
        match self.waiters.leave(waiter).ok_or(StaleTicket)? {
            Waiter::Waiting { key } => self.forget_waiter(key, waiter),
            Waiter::Served(Grant::Reuse(object)) => {
                self.counts.hits = self.counts.hits.saturating_sub(1);
                if let Some(key) = self.things.get(object).map(|thing| thing.key) {
                    self.rest(now, object);
                    self.serve(key, wakes);
                }
            }
            Waiter::Served(Grant::Create(object)) => {
                self.counts.misses = self.counts.misses.saturating_sub(1);
                if let Some(key) = self.things.get(object).map(|thing| thing.key) {
                    self.remove(object);
                    self.serve(key, wakes);
                }
            }
        }
        Ok(())
    }

    /// Turns away all who wait, destroys what is idle now and the rest as it comes back.
    pub fn close(&mut self, now: Instant, wakes: &mut Wakes) {
        self.on_deadline(now, wakes);
        self.closed = true;
        let mut waiting: Vec<(u64, Ticket)> = self
            .keys
            .values()
            .flat_map(|keyed| keyed.line.iter().copied())
            .collect();
        waiting.sort_unstable();
        for (_, ticket) in waiting {
            if let Some(Waiter::Waiting { key }) = self.waiters.leave(ticket) {
                self.forget_waiter(key, ticket);
                wakes.push(ticket, Why::Refused(Refusal::Closed));
            }
        }
        self.drop_idle();
    }

    /// Destroys all that is idle: what to do when memory is short.
    pub fn drop_idle(&mut self) {
        let idle: Vec<Ticket> = self
            .keys
            .values()
            .flat_map(|keyed| keyed.idle.iter().copied())
            .collect();
        idle.into_iter().for_each(|object| self.doom(object));
    }

    /// Turns away those who have waited as long as they would, and destroys what is too old or idle for too long.
    /// Spurious calls do nothing.
    pub fn on_deadline(&mut self, now: Instant, wakes: &mut Wakes) {
        while self.fades_next.is_some_and(|at| at <= now) {
            let things = &self.things;
            let faded = self.fading.pop(|fading| is_fading(things, fading));
            if let Some((_, (object, _))) = faded {
                self.doom(object);
            }
            self.find_next_to_fade();
        }
        while let Some((ticket, waiter)) = self.waiters.expired(now) {
            if let Waiter::Waiting { key } = waiter {
                self.forget_waiter(key, ticket);
                self.counts.timeouts += 1;
                wakes.push(ticket, Why::Refused(Refusal::QueueTimeout));
            }
        }
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        match (self.fades_next, self.waiters.next_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes the next object to destroy that nobody holds.
    pub fn pop_doomed(&mut self) -> Option<Ticket> {
        self.doomed.pop_front()
    }

    /// Whether [`pop_doomed`](Self::pop_doomed) has one.
    pub fn has_doomed(&self) -> bool {
        !self.doomed.is_empty()
    }

    /// How many objects of all keys there are, those being made included.
    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// How many of them nobody uses.
    pub fn idle(&self) -> usize {
        self.keys.values().map(|keyed| keyed.idle.len()).sum()
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        self.keys.values().map(|keyed| keyed.line.len()).sum()
    }

    /// Whether a key has neither objects nor waiters: its number may be given to another name.
    pub fn is_unused(&self, key: u32) -> bool {
        !self.keys.contains_key(&key)
    }
}

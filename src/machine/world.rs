//! The world: all machines of one instance, by number.
//!
//! It is what lets one admission cover a pool, its rates and a breaker shared with other pools, all or nothing; lets a
//! breaker's change reach every pool that hangs on it; and keeps one ring of wakes and one next deadline, so that a
//! host drains one place and keeps one timer. A file per kind of machine under `world/` says what its calls are.

use super::adaptive::Scaled;
use super::breaker::Transition;
use super::deadlines::Deadlines;
use super::limiter::Limiter;
use super::random::Random;
use super::retry::RetryBudget;
use super::ticket::{Slab, Ticket};
use super::time::Instant;
use super::wait_for::Deadlock;
use super::wakes::{MachineId, Wake, Wakes};
use std::collections::VecDeque;

mod adaptive;
mod alone;
mod between;
mod breaker;
mod family;
mod gate;
mod limiter;
mod pool;
mod retry;
mod told;

pub use family::{Child, Parent};
pub use pool::PoolConfig;

/// A number that names no machine of the kind that was asked for: closed before, or of another world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSuchMachine;

impl core::fmt::Display for NoSuchMachine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no such machine in this world")
    }
}

impl core::error::Error for NoSuchMachine {}

/// The kinds of machine that a world holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Slots, a queue, rates and a breaker under one admission.
    Pool = 1,
    /// A circuit breaker, alone or before pools.
    Breaker = 2,
    /// A rate with a line before it.
    Limiter = 3,
    /// The share of calls that may be retries.
    RetryBudget = 4,
    /// Values with a time to live.
    Cache = 16,
    /// Versioned entries.
    State = 17,
    /// Tasks with dependencies.
    Graph = 18,
    /// Items in batches.
    Batches = 19,
    /// One pass of plugins over a target.
    Run = 20,
    /// The plugins that are registered.
    Orchestrator = 21,
    /// Named locks.
    Locks = 32,
    /// Values from senders to receivers.
    Channel = 33,
    /// A flag that is waited for.
    Event = 34,
    /// Parties that wait for each other.
    Barrier = 35,
    /// Objects or connections that are used again.
    Objects = 36,
    /// Tasks and the workers that do them.
    Dispatch = 37,
    /// What the host decides by itself.
    Told = 38,
}

/// What time does to a machine.
type OnDeadline = fn(&mut World, Instant, MachineId);

/// All machines of one instance.
#[derive(Debug)]
pub struct World {
    pools: Table<pool::Pool>,
    breakers: Table<breaker::Shared>,
    limiters: Table<Limiter>,
    budgets: Table<RetryBudget>,
    alone: alone::Alone,
    between: between::Between,
    families: family::Families,
    told: told::Told,
    kin: Option<family::Kin>,
    locks_give_way: Option<fn(&mut World, Instant, Deadlock)>,
    pools_give_way: Option<fn(&mut World, Instant, MachineId, Ticket)>,
    handlers: Vec<(Kind, OnDeadline)>,
    // What breakers did that nobody has heard of yet.
    changes: VecDeque<(MachineId, Transition)>,
    scales: VecDeque<(MachineId, Scaled)>,
    /// What was decided and not yet carried out.
    pub wakes: Wakes,
    timers: Timers,
    random: Random,
}

impl World {
    /// An empty world. The seed spreads retries and picks probes; hosts draw it when the first machine is made.
    pub const fn new(seed: u64) -> Self {
        Self {
            pools: Table::new(Kind::Pool),
            breakers: Table::new(Kind::Breaker),
            limiters: Table::new(Kind::Limiter),
            budgets: Table::new(Kind::RetryBudget),
            alone: alone::Alone::new(),
            between: between::Between::new(),
            families: family::Families::new(),
            told: told::Told::new(),
            kin: None,
            locks_give_way: None,
            pools_give_way: None,
            handlers: Vec::new(),
            changes: VecDeque::new(),
            scales: VecDeque::new(),
            wakes: Wakes::new(),
            timers: Timers::new(),
            random: Random::new(seed),
        }
    }

    /// Starts the generator again from a seed.
    pub fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// The oldest decision that the host has not carried out.
    pub fn wake(&mut self) -> Option<Wake> {
        self.look_at_fresh();
        self.wakes.pop()
    }

    /// How many changes of breakers nobody has heard of.
    pub fn breaker_changes(&self) -> usize {
        self.changes.len()
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next
    }

    /// Carries out what time has brought, in every machine that is due. Spurious calls do nothing.
    pub fn on_deadline(&mut self, now: Instant) {
        for id in self.timers.due(now) {
            let kind = kind_of(id);
            // Time comes to some only with their calls, and does not matter to others: those have no handler.
            if let Some(&(_, handler)) = self.handlers.iter().find(|(of, _)| Some(*of) == kind) {
                handler(self, now, id);
            }
        }
    }

    /// Says what time does to the machines of a kind; called by whatever makes one. A table of functions and not a
    /// `match`, so that a program links the machines it makes and no others: in wasm every one of them is a download.
    fn in_time(&mut self, kind: Kind, handler: OnDeadline) {
        if self.handlers.iter().all(|(of, _)| *of != kind) {
            self.handlers.push((kind, handler));
        }
    }
}

/// The machines of one kind.
#[derive(Debug)]
struct Table<T> {
    kind: Kind,
    slab: Slab<T>,
    // The live ticket behind each index: an id is an index with its kind.
    tickets: Vec<Option<Ticket>>,
}

const INDEX_BITS: u32 = 24;

fn kind_of(id: MachineId) -> Option<Kind> {
    match id.0 >> INDEX_BITS {
        1 => Some(Kind::Pool),
        2 => Some(Kind::Breaker),
        3 => Some(Kind::Limiter),
        4 => Some(Kind::RetryBudget),
        16 => Some(Kind::Cache),
        17 => Some(Kind::State),
        18 => Some(Kind::Graph),
        19 => Some(Kind::Batches),
        20 => Some(Kind::Run),
        21 => Some(Kind::Orchestrator),
        32 => Some(Kind::Locks),
        33 => Some(Kind::Channel),
        34 => Some(Kind::Event),
        35 => Some(Kind::Barrier),
        36 => Some(Kind::Objects),
        37 => Some(Kind::Dispatch),
        38 => Some(Kind::Told),
        _ => None,
    }
}

impl<T> Table<T> {
    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            slab: Slab::new(),
            tickets: Vec::new(),
        }
    }

    fn insert(&mut self, machine: T) -> Option<MachineId> {
        let ticket = self.slab.insert(machine).ok()?;
        let index = ticket.index() as usize;
        if self.tickets.len() <= index {
            self.tickets.resize(index + 1, None);
        }
        self.tickets[index] = Some(ticket);
        Some(MachineId(((self.kind as u32) << INDEX_BITS) | ticket.index()))
    }

    fn ticket(&self, id: MachineId) -> Option<Ticket> {
        if id.0 >> INDEX_BITS != self.kind as u32 {
            return None;
        }
        *self.tickets.get(index_of(id))?
    }

    fn get(&self, id: MachineId) -> Option<&T> {
        self.slab.get(self.ticket(id)?)
    }

    fn get_mut(&mut self, id: MachineId) -> Option<&mut T> {
        let ticket = self.ticket(id)?;
        self.slab.get_mut(ticket)
    }

    fn remove(&mut self, id: MachineId) -> Option<T> {
        let ticket = self.ticket(id)?;
        self.tickets[ticket.index() as usize] = None;
        self.slab.remove(ticket)
    }
}

/// Which machine wants to be called when.
#[derive(Debug)]
struct Timers {
    // By kind, then by index: an id is both. Never is the far future.
    armed: Vec<Vec<Instant>>,
    // Ids travel as tickets.
    line: Deadlines,
    next: Option<Instant>,
}

const NEVER: Instant = Instant::FAR_FUTURE;

impl Timers {
    const fn new() -> Self {
        Self {
            armed: Vec::new(),
            line: Deadlines::new(),
            next: None,
        }
    }

    /// Says when a machine wants to be called, after anything that may have changed it.
    #[cfg_attr(feature = "bindings", inline(always))]
    fn arm(&mut self, id: MachineId, at: Option<Instant>) {
        let at = at.unwrap_or(NEVER);
        let before = armed_for(&self.armed, id);
        if at != before {
            self.change(id, before, at);
        }
    }

    #[inline(never)]
    fn change(&mut self, id: MachineId, before: Instant, at: Instant) {
        *self.place(id) = at;
        if at != NEVER {
            self.line.push(Ticket::from_bits(u64::from(id.0)), at);
        }
        if before != NEVER {
            let armed = &self.armed;
            self.line.left(|timer, at| is_armed(armed, timer, at));
        }
        self.look_ahead();
    }

    /// The machines whose time has come; they are no longer armed.
    fn due(&mut self, now: Instant) -> Vec<MachineId> {
        let mut due = Vec::new();
        while self.next.is_some_and(|at| at <= now) {
            let armed = &self.armed;
            let Some((_, timer)) = self.line.pop(|timer, at| is_armed(armed, timer, at)) else {
                break;
            };
            let id = MachineId(timer.to_bits() as u32);
            *self.place(id) = NEVER;
            due.push(id);
            self.look_ahead();
        }
        due
    }

    fn look_ahead(&mut self) {
        let armed = &self.armed;
        let first = self.line.first(|timer, at| is_armed(armed, timer, at));
        self.next = first.map(|(at, _)| at);
    }

    fn place(&mut self, id: MachineId) -> &mut Instant {
        let (kind, index) = ((id.0 >> INDEX_BITS) as usize, index_of(id));
        if self.armed.len() <= kind {
            self.armed.resize(kind + 1, Vec::new());
        }
        let places = &mut self.armed[kind];
        if places.len() <= index {
            places.resize(index + 1, NEVER);
        }
        &mut places[index]
    }
}

fn index_of(id: MachineId) -> usize {
    (id.0 & ((1 << INDEX_BITS) - 1)) as usize
}

fn armed_for(armed: &[Vec<Instant>], id: MachineId) -> Instant {
    armed
        .get((id.0 >> INDEX_BITS) as usize)
        .and_then(|places| places.get(index_of(id)))
        .copied()
        .unwrap_or(NEVER)
}

fn is_armed(armed: &[Vec<Instant>], timer: Ticket, at: Instant) -> bool {
    armed_for(armed, MachineId(timer.to_bits() as u32)) == at
}

#[cfg(test)]
mod tests;

//! Cache: which keys are kept, for how long, who loads a missing one, and what falls with what.
//!
//! Values stay with the host, by the id of their key; the machine says which to drop and which ids nobody needs any
//! more ([`pop_gone`](Cache::pop_gone)). Eviction is W-TinyLFU with a window that a duel of two pretend caches turns
//! between frequency and recency (papers in the files of `cache/`). It was chosen by measurement; hit ratios in percent at
//! capacity 1,000, seed 1, on the traces of `cargo run --release --example cache_hit_ratio`, which prints the first and the last column:
//!
//! | trace | exact LRU | SIEVE | S3-FIFO | W-TinyLFU, window 1 % | this cache |
//! |---|---|---|---|---|---|
//! | zipf 0.9 | 39.1 | 48.6 | 49.3 | 49.5 | **49.5** |
//! | scan | 25.4 | 33.7 | **34.3** | 34.0 | 33.9 |
//! | loop | 0.0 | 0.0 | 32.0 | **49.2** | **49.2** |
//! | mixed | 28.5 | 20.3 | 24.0 | 17.3 | **35.7** |
//!
//! SIEVE: Zhang et al., NSDI 2024. S3-FIFO: Yang et al., SOSP 2023. W-TinyLFU: Einziger et al., Middleware 2018. Each alone loses to LRU
//! where requests come in bursts; the duel is what makes up for it.

mod dependencies;
mod duel;
mod flights;
#[cfg(test)]
mod model;
mod residents;
mod sketch;
mod terms;
#[cfg(test)]
mod tests;

pub use terms::{CacheConfig, CacheStats, Gone, Key, Load, Lookup, Store, Stored};

use super::keys::{KeyMap, KeySet};
use super::line::Line;
use super::random::Random;
use super::ticket::{StaleTicket, Ticket};
use super::time::{Instant, micros};
use super::wakes::{Refusal, Wakes, Why};
use dependencies::Dependencies;
use duel::Duel;
use flights::Flights;
use residents::{Favour, Newcomer, Residents};
use sketch::Sketch;
use std::collections::VecDeque;

/// The entries of one cache.
#[derive(Clone, Debug)]
pub struct Cache {
    config: CacheConfig,
    entries: KeyMap<Entry>,
    keeper: Option<Keeper>,
    weight: u64,
    dependencies: Dependencies,
    flights: Flights,
    expiries: Line<(u32, u64)>,
    writes: u64,
    dropped: VecDeque<(u32, Gone)>,
    unknown: VecDeque<u32>,
    unknown_set: KeySet,
    stats: CacheStats,
    // Reused, so that a write allocates nothing.
    leaving: Vec<u32>,
    forgotten: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    weight: u32,
    // Where the keeper has it; unused without a bound.
    slot: u32,
    hash: u32,
    fresh_until: Instant,
    gone_at: Instant,
    write: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Value,
    Failure,
}

// What only a bounded cache needs.
#[derive(Clone, Debug)]
struct Keeper {
    max: u64,
    residents: Residents,
    sketch: Sketch,
    duel: Duel,
    random: Random,
}

impl Cache {
    /// An empty cache. The generator is used by eviction alone.
    pub fn new(config: CacheConfig, random: Random) -> Self {
        let keeper = config.max.map(|max| Keeper {
            max: max.get(),
            residents: Residents::new(max.get(), Favour::Frequency),
            sketch: Sketch::default(),
            duel: Duel::new(max.get()),
            random,
        });
        Self {
            config,
            entries: KeyMap::default(),
            keeper,
            weight: 0,
            dependencies: Dependencies::default(),
            flights: Flights::default(),
            expiries: Line::new(),
            writes: 0,
            dropped: VecDeque::new(),
            unknown: VecDeque::new(),
            unknown_set: KeySet::default(),
            stats: CacheStats::default(),
            leaving: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    /// Looks for a value and counts the look.
    pub fn get(&mut self, now: Instant, key: Key) -> Lookup {
        self.expire(now);
        self.asked(key.hash);
        let found = self.peek(now, key.id);
        match found {
            Lookup::Fresh => self.stats.hits += 1,
            Lookup::Stale => {
                self.stats.hits += 1;
                self.stats.stale_hits += 1;
            }
            Lookup::Negative => self.stats.negative_hits += 1,
            Lookup::Missing => self.stats.misses += 1,
        }
        if found != Lookup::Missing {
            self.touch(key.id);
        }
        found
    }

    /// Counts a look for a name that the host has no id for, so that it need not make one up.
    pub fn missed(&mut self, now: Instant, hash: u32) {
        self.expire(now);
        self.asked(hash);
        self.stats.misses += 1;
    }

    /// Looks without counting and without keeping the entry any longer for it.
    pub fn peek(&self, now: Instant, id: u32) -> Lookup {
        match self.entries.get(&id) {
            Some(entry) if now >= entry.gone_at => Lookup::Missing,
            Some(entry) if entry.kind == Kind::Failure => Lookup::Negative,
            Some(entry) if now >= entry.fresh_until => Lookup::Stale,
            Some(_) => Lookup::Fresh,
            None => Lookup::Missing,
        }
    }

    /// Stores a value. Entries computed from the one it replaces stay: say [`invalidate`](Self::invalidate) if they must not.
    /// A load under way for the key no longer counts.
    pub fn set(&mut self, now: Instant, key: Key, store: Store<'_>) -> Stored {
        self.expire(now);
        self.flights.detach(key.id);
        self.put(now, key, store, Kind::Value)
    }

    /// Asks for a value that somebody is to load if it is not there. Counts as a look.
    pub fn load(&mut self, now: Instant, key: Key) -> Load {
        let found = self.get(now, key);
        let flight = self.flights.current(key.id);
        let outcome = match (found, flight) {
            (Lookup::Fresh, _) => Load::Fresh,
            (Lookup::Negative, _) => Load::Negative,
            (Lookup::Stale, Some(_)) => Load::Stale(None),
            (Lookup::Stale, None) => Load::Stale(self.begin(now, key).ok()),
            (Lookup::Missing, Some(flight)) => match self.flights.join(flight) {
                Ok(ticket) => {
                    self.stats.coalesced += 1;
                    Load::Wait(ticket)
                }
                Err(refusal) => Load::Refused(refusal),
            },
            (Lookup::Missing, None) => match self.begin(now, key) {
                Ok(ticket) => Load::Run(ticket),
                Err(refusal) => Load::Refused(refusal),
            },
        };
        self.forget(key.id);
        outcome
    }

    /// The loader has the value. All who waited are told [`Why::Ready`], whether it is kept or not.
    ///
    /// # Errors
    /// [`StaleTicket`] when the load is not the caller's any more: it took too long, or gave up.
    pub fn loaded(
        &mut self,
        now: Instant,
        ticket: Ticket,
        store: Store<'_>,
        wakes: &mut Wakes,
    ) -> Result<Stored, StaleTicket> {
        self.expire(now);
        let landed = self.flights.land(ticket, Why::Ready, wakes);
        if landed.is_err() {
            for tag in store.depends_on {
                self.forget(*tag);
            }
        }
        let landed = landed?;
        let key = Key {
            id: landed.key,
            hash: landed.hash,
        };
        let stored = if landed.counts && !self.flights.outdated(landed.began, store.depends_on) {
            self.put(now, key, store, Kind::Value)
        } else {
            Stored::Outdated
        };
        for tag in store.depends_on {
            self.forget(*tag);
        }
        self.landed(landed.key);
        Ok(stored)
    }

    /// The loader failed. All who waited are told [`Why::Failed`]; a stale value stays until its time is over. Says whether the failure
    /// is remembered.
    ///
    /// # Errors
    /// [`StaleTicket`] when the load is not the caller's any more.
    pub fn failed(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) -> Result<bool, StaleTicket> {
        self.expire(now);
        let landed = self.flights.land(ticket, Why::Failed, wakes)?;
        self.stats.load_failures += 1;
        let remembered = landed.counts
            && !self.config.negative_ttl.is_zero()
            && self.peek(now, landed.key) == Lookup::Missing;
        if remembered {
            let key = Key {
                id: landed.key,
                hash: landed.hash,
            };
            let store = Store {
                ttl: Some(self.config.negative_ttl),
                ..Store::default()
            };
            self.put(now, key, store, Kind::Failure);
        }
        self.landed(landed.key);
        Ok(remembered)
    }

    /// Somebody who loads or waits gives up. If it was the loader, the oldest waiter is told [`Why::Granted`] and loads.
    ///
    /// # Errors
    /// [`StaleTicket`] when it holds nothing any more.
    pub fn abandon(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) -> Result<(), StaleTicket> {
        self.expire(now);
        let ended = self.flights.abandon(ticket, self.load_until(now), wakes)?;
        if let Some(key) = ended {
            self.landed(key);
        }
        Ok(())
    }

    /// Drops a value and everything computed from it; loads under way for any of them no longer count. Says how many values it was.
    pub fn invalidate(&mut self, id: u32) -> u32 {
        self.fell(id, true)
    }

    /// Drops everything computed from a key or tag, directly or through others, but not the key's own value. Says how many values it was.
    pub fn invalidate_by(&mut self, dependency: u32) -> u32 {
        self.fell(dependency, false)
    }

    /// Drops one value alone. Whether there was one.
    pub fn delete(&mut self, id: u32) -> bool {
        self.flights.detach(id);
        let was = self.drop_entry(id, Gone::Invalidated);
        self.left(id);
        self.forget(id);
        was
    }

    /// Drops everything. Loads under way go on, but are not kept.
    pub fn clear(&mut self) {
        let mut ids: Vec<u32> = self.entries.keys().copied().collect();
        ids.sort_unstable();
        for id in &ids {
            self.drop_entry(*id, Gone::Invalidated);
        }
        ids.clear();
        self.dependencies.clear(&mut ids);
        self.flights.detach_all(&mut ids);
        for id in ids {
            self.forget(id);
        }
    }

    /// What the host should drop, oldest first. To be drained after every call that may have changed something.
    pub fn pop_gone(&mut self) -> Option<(u32, Gone)> {
        while let Some((id, gone)) = self.dropped.pop_front() {
            // A value that was stored since stays.
            if !self.entries.contains_key(&id) {
                return Some((id, gone));
            }
        }
        while let Some(id) = self.unknown.pop_front() {
            self.unknown_set.remove(&id);
            if !self.knows(id) {
                return Some((id, Gone::Forgotten));
            }
        }
        None
    }

    /// Whether there is anything to drop. Ids that have come into use again since may make it true although there is not.
    pub fn has_gone(&self) -> bool {
        !self.dropped.is_empty() || !self.unknown.is_empty()
    }

    /// When the next entry has to go or the next loader is over its time.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let expiry = self.next_expiry().map(|(at, _)| at);
        let loader = self.flights.next_deadline().map(|(at, _)| at);
        [expiry, loader].into_iter().flatten().min()
    }

    /// Drops what has expired, read or not, and hands loads of late loaders on. Calling it too early does nothing.
    pub fn on_deadline(&mut self, now: Instant, wakes: &mut Wakes) {
        self.expire(now);
        while let Some(late) = self.flights.overdue(now) {
            wakes.push(late, Why::Expired);
            if let Ok(Some(key)) = self.flights.abandon(late, self.load_until(now), wakes) {
                self.landed(key);
            }
        }
    }

    /// How many values and remembered failures there are, expired ones not yet reclaimed among them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Their weight together.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// What was counted.
    pub fn stats(&self) -> CacheStats {
        self.stats
    }

    fn put(&mut self, now: Instant, key: Key, store: Store<'_>, kind: Kind) -> Stored {
        let weight = store.weight.max(1);
        // The old entry leaves its place first: its weight may be another.
        self.take_out(key.id);
        if self
            .keeper
            .as_ref()
            .is_some_and(|keeper| u64::from(weight) > keeper.max)
        {
            self.left(key.id);
            self.dropped.push_back((key.id, Gone::Evicted));
            self.stats.evictions += 1;
            for tag in store.depends_on {
                self.forget(*tag);
            }
            self.forget(key.id);
            return Stored::TooHeavy;
        }
        let fresh_until = now + store.ttl.unwrap_or(self.config.ttl);
        let gone_at = match kind {
            Kind::Value => fresh_until + self.config.stale_for,
            Kind::Failure => fresh_until,
        };
        self.writes += 1;
        let mut entry = Entry {
            kind,
            weight,
            slot: 0,
            hash: key.hash,
            fresh_until,
            gone_at,
            write: self.writes,
        };
        let mut leaving = std::mem::take(&mut self.leaving);
        if let Some(keeper) = &mut self.keeper {
            entry.slot = keeper.admit(key, weight, &mut leaving);
        }
        self.entries.insert(key.id, entry);
        self.weight += u64::from(weight);
        if gone_at != Instant::FAR_FUTURE {
            let rank = i64::try_from(gone_at.as_micros()).unwrap_or(i64::MAX);
            self.expiries.push(rank, (key.id, entry.write));
        }
        // A failure was computed from nothing, and what was computed from the value before it still was.
        if kind == Kind::Value {
            let mut forgotten = std::mem::take(&mut self.forgotten);
            self.dependencies.enter(key.id, store.depends_on, &mut forgotten);
            for id in forgotten.drain(..) {
                self.forget(id);
            }
            self.forgotten = forgotten;
        }
        for id in leaving.drain(..) {
            self.evicted(id);
        }
        self.leaving = leaving;
        Stored::Kept
    }

    fn evicted(&mut self, id: u32) {
        if let Some(entry) = self.entries.remove(&id) {
            self.weight -= u64::from(entry.weight);
            self.unexpire();
            self.dropped.push_back((id, Gone::Evicted));
            self.stats.evictions += 1;
            self.left(id);
        }
    }

    // By eviction, expiry or deletion: what was computed from it stays, as long as there is room to remember why.
    fn left(&mut self, id: u32) {
        let mut follow = Vec::new();
        let mut forgotten = std::mem::take(&mut self.forgotten);
        self.dependencies.leave(id, &mut forgotten, &mut follow);
        for id in forgotten.drain(..) {
            self.forget(id);
        }
        self.forgotten = forgotten;
        self.forget(id);
        for dependent in follow {
            self.fell(dependent, true);
        }
    }

    fn fell(&mut self, root: u32, with_root: bool) -> u32 {
        let mut count = 0;
        let mut forgotten = Vec::new();
        let reached = self.dependencies.reached(root, with_root);
        for id in &reached {
            self.flights.invalidated(*id);
            count += u32::from(self.drop_entry(*id, Gone::Invalidated));
            self.dependencies.remove(*id, &mut forgotten);
        }
        self.flights.note(root);
        for id in reached.into_iter().chain(forgotten).chain([root]) {
            self.forget(id);
        }
        count
    }

    fn drop_entry(&mut self, id: u32, gone: Gone) -> bool {
        let was = self.take_out(id);
        if was {
            self.dropped.push_back((id, gone));
            match gone {
                Gone::Expired => self.stats.expirations += 1,
                _ => self.stats.invalidations += 1,
            }
        }
        was
    }

    fn take_out(&mut self, id: u32) -> bool {
        let Some(entry) = self.entries.remove(&id) else {
            return false;
        };
        self.weight -= u64::from(entry.weight);
        if let Some(keeper) = &mut self.keeper {
            keeper.residents.leave(entry.slot);
        }
        self.unexpire();
        true
    }

    fn unexpire(&mut self) {
        let entries = &self.entries;
        self.expiries
            .left(|(id, write)| entries.get(&id).is_some_and(|entry| entry.write == write));
    }

    fn next_expiry(&mut self) -> Option<(Instant, u32)> {
        let entries = &self.entries;
        let (rank, (id, _)) = self
            .expiries
            .peek(|(id, write)| entries.get(&id).is_some_and(|entry: &Entry| entry.write == write))?;
        Some((Instant::from_micros(rank as u64), id))
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, id)) = self.next_expiry()
            && at <= now
        {
            self.drop_entry(id, Gone::Expired);
            self.left(id);
        }
    }

    fn begin(&mut self, now: Instant, key: Key) -> Result<Ticket, Refusal> {
        let until = self.load_until(now);
        let ticket = self.flights.begin(key.id, key.hash, until)?;
        self.stats.loads += 1;
        Ok(ticket)
    }

    fn load_until(&self, now: Instant) -> Option<Instant> {
        self.config
            .load_timeout
            .map(|timeout| now.plus_micros(micros(timeout)))
    }

    fn landed(&mut self, key: u32) {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        self.flights.forget(&mut forgotten);
        for id in forgotten.drain(..) {
            self.forget(id);
        }
        self.forgotten = forgotten;
        self.forget(key);
    }

    fn asked(&mut self, hash: u32) {
        let entries = self.entries.len();
        if let Some(keeper) = &mut self.keeper {
            keeper.asked(hash, entries);
        }
    }

    fn touch(&mut self, id: u32) {
        if let (Some(keeper), Some(entry)) = (&mut self.keeper, self.entries.get(&id)) {
            keeper.residents.touch(entry.slot);
            keeper
                .duel
                .present(entry.hash, entry.weight, &keeper.sketch, &mut keeper.random);
        }
    }

    fn forget(&mut self, id: u32) {
        if !self.knows(id) && self.unknown_set.insert(id) {
            self.unknown.push_back(id);
        }
    }

    fn knows(&self, id: u32) -> bool {
        self.entries.contains_key(&id) || self.dependencies.knows(id) || self.flights.knows(id)
    }
}

impl Keeper {
    fn asked(&mut self, hash: u32, entries: usize) {
        self.sketch.add(hash);
        if let Some(favour) = self.duel.asked(hash, entries) {
            self.residents.favour(favour);
        }
    }

    fn admit(&mut self, key: Key, weight: u32, leaving: &mut Vec<u32>) -> u32 {
        self.sketch.fit(self.residents.len() + 1);
        self.duel
            .present(key.hash, weight, &self.sketch, &mut self.random);
        let newcomer = Newcomer {
            name: key.id,
            hash: key.hash,
            weight,
        };
        self.residents
            .enter(newcomer, &self.sketch, &mut self.random, leaving)
    }
}

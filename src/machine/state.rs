//! Versioned state: who may write over what, who is told, who waits for what.
//!
//! Values stay with the host, by the interned id of their key. A version is the revision of the whole state at the
//! write, so it only ever grows and a key that was deleted and written again never shows an old version twice.
//!
//! **Updates** read, compute (perhaps across an await) and write. The first attempt is optimistic and waits for nobody. Those who find
//! that somebody else wrote meanwhile try again one after the other, oldest first: with `n` updates at once each is
//! computed about twice, where bare compare-and-set loops would take `n²` attempts.
//!
//! **Prefixes** are ids too. Only the host can compare names, and it does so once for each pair: when it subscribes to a
//! prefix it [`join`](State::join)s the keys it knows, when it interns a key the prefixes it knows. The machine keeps who belongs to
//! what and never sees a name.

#[cfg(test)]
mod tests;

use super::keys::{KeyMap, KeySet};
use super::line::Line;
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Refusal, Wakes, Why};
use std::collections::VecDeque;
use std::num::NonZeroU32;

/// Entries by key, with their versions, updates, subscribers and waiters.
#[derive(Clone, Debug)]
pub struct State {
    config: StateConfig,
    revision: u64,
    versions: KeyMap<u64>,
    holders: Slab<Holder>,
    // By key, in the order in which they came.
    subscribers: KeyMap<Vec<Ticket>>,
    waiters: KeyMap<Vec<Ticket>>,
    turns: KeyMap<Turn>,
    // How many updates are under way.
    updating: KeyMap<u32>,
    prefixes_of: KeyMap<Vec<u32>>,
    members: KeyMap<KeySet>,
    deadlines: Line<Ticket>,
    changes: VecDeque<Change>,
    stats: StateStats,
}

/// How updates behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateConfig {
    /// How often an update is tried before it is refused: 100. An update that updates its own key inside would otherwise
    /// never end.
    pub attempts: NonZeroU32,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(100).unwrap_or(NonZeroU32::MIN),
        }
    }
}

/// A version that did not match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionConflict {
    /// What the version is; 0 if there is no entry.
    pub current: u64,
}

/// What a finished attempt at an update leads to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Update {
    /// It is written, with this version. The ticket is over.
    Written(u64),
    /// Somebody else wrote meanwhile: read and compute again, now.
    Again,
    /// Somebody else wrote meanwhile, and others are already trying again: wait for [`Why::Granted`], then read and compute again.
    Wait,
    /// It was tried as often as may be. The ticket is over.
    Refused(Refusal),
}

/// A change that a subscriber is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Whom to tell.
    pub subscriber: Ticket,
    /// Which key changed.
    pub key: u32,
    /// Its version from then on; 0: it was deleted.
    pub version: u64,
}

/// What a state counted since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StateStats {
    /// Writes and deletions.
    pub writes: u64,
    /// Writes refused or updates to be computed again because of another's version.
    pub conflicts: u64,
    /// Updates that were written.
    pub updates: u64,
    /// Waits that timed out.
    pub timeouts: u64,
}

#[derive(Clone, Copy, Debug)]
enum Holder {
    Subscriber { key: u32 },
    Waiter { key: u32, until: Instant },
    Update { key: u32, base: u64, attempts: u32 },
}

// Who of those that try again has the turn, and who is next.
#[derive(Clone, Debug)]
struct Turn {
    holder: Ticket,
    next: Line<Ticket>,
}

impl State {
    /// A state without entries.
    pub fn new(config: StateConfig) -> Self {
        Self {
            config,
            revision: 0,
            versions: KeyMap::default(),
            holders: Slab::new(),
            subscribers: KeyMap::default(),
            waiters: KeyMap::default(),
            turns: KeyMap::default(),
            updating: KeyMap::default(),
            prefixes_of: KeyMap::default(),
            members: KeyMap::default(),
            deadlines: Line::new(),
            changes: VecDeque::new(),
            stats: StateStats::default(),
        }
    }

    /// The version of a key; 0 if there is no entry.
    pub fn version(&self, key: u32) -> u64 {
        self.versions.get(&key).copied().unwrap_or(0)
    }

    /// The version of the newest write of any key, so that hosts can tell whether a snapshot is still true.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Writes whatever the version is, and gives the new one.
    pub fn set(&mut self, key: u32, wakes: &mut Wakes) -> u64 {
        self.revision += 1;
        self.versions.insert(key, self.revision);
        self.changed(key, self.revision, wakes);
        self.revision
    }

    /// Writes if the version is still the one that the caller saw (0: there was no entry), and gives the new one.
    ///
    /// # Errors
    /// [`VersionConflict`] with what the version is; nothing was written.
    pub fn compare_and_set(
        &mut self,
        key: u32,
        version: u64,
        wakes: &mut Wakes,
    ) -> Result<u64, VersionConflict> {
        let current = self.version(key);
        if current != version {
            self.stats.conflicts += 1;
            return Err(VersionConflict { current });
        }
        Ok(self.set(key, wakes))
    }

    /// Deletes an entry. Whether there was one.
    pub fn delete(&mut self, key: u32, wakes: &mut Wakes) -> bool {
        if self.versions.remove(&key).is_none() {
            return false;
        }
        self.revision += 1;
        self.changed(key, 0, wakes);
        true
    }

    /// Begins an update: the caller reads, computes, and comes back to [`commit`](Self::commit) or [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] when 2^24 tickets are out.
    pub fn begin_update(&mut self, key: u32) -> Result<Ticket, Refusal> {
        let base = self.version(key);
        let ticket = self.hold(Holder::Update {
            key,
            base,
            attempts: 1,
        })?;
        *self.updating.entry(key).or_insert(0) += 1;
        Ok(ticket)
    }

    /// An attempt is computed: it is written if nobody else wrote since the caller read.
    ///
    /// # Errors
    /// [`StaleTicket`] when the update is over.
    pub fn commit(&mut self, ticket: Ticket, wakes: &mut Wakes) -> Result<Update, StaleTicket> {
        let Some(Holder::Update { key, base, attempts }) = self.holders.get_mut(ticket) else {
            return Err(StaleTicket);
        };
        let key = *key;
        let current = self.versions.get(&key).copied().unwrap_or(0);
        if current == *base {
            let version = self.set(key, wakes);
            self.end_update(ticket, key, wakes);
            self.stats.updates += 1;
            return Ok(Update::Written(version));
        }
        self.stats.conflicts += 1;
        if *attempts >= self.config.attempts.get() {
            self.end_update(ticket, key, wakes);
            return Ok(Update::Refused(Refusal::Conflict));
        }
        *attempts += 1;
        *base = current;
        Ok(match self.turns.get_mut(&key) {
            Some(turn) if turn.holder != ticket => {
                turn.next.push(0, ticket);
                Update::Wait
            }
            Some(_) => Update::Again,
            None => {
                let next = Line::new();
                let turn = Turn { holder: ticket, next };
                self.turns.insert(key, turn);
                Update::Again
            }
        })
    }

    /// Tells the holder of the ticket about every change of a key, or of every key that belongs to a prefix.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] when 2^24 tickets are out.
    pub fn subscribe(&mut self, key_or_prefix: u32) -> Result<Ticket, Refusal> {
        let ticket = self.hold(Holder::Subscriber { key: key_or_prefix })?;
        self.subscribers.entry(key_or_prefix).or_default().push(ticket);
        Ok(ticket)
    }

    /// Says that the name of a key begins with a prefix. Saying it again changes nothing.
    pub fn join(&mut self, key: u32, prefix: u32) {
        if self.members.entry(prefix).or_default().insert(key) {
            self.prefixes_of.entry(key).or_default().push(prefix);
        }
    }

    /// Waits for changes of a key: each is [`Why::Ready`], for the host to look whether it is what it waits for and, if so, to
    /// [`leave`](Self::leave). At `until` the wait is refused with [`Refusal::QueueTimeout`]; [`Instant::FAR_FUTURE`] waits for ever.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] when 2^24 tickets are out.
    pub fn wait(&mut self, key: u32, until: Instant) -> Result<Ticket, Refusal> {
        let ticket = self.hold(Holder::Waiter { key, until })?;
        self.waiters.entry(key).or_default().push(ticket);
        if until != Instant::FAR_FUTURE {
            let rank = i64::try_from(until.as_micros()).unwrap_or(i64::MAX);
            self.deadlines.push(rank, ticket);
        }
        Ok(ticket)
    }

    /// Ends a subscription, a wait or an update, whatever the ticket is for.
    ///
    /// # Errors
    /// [`StaleTicket`] when it is over.
    pub fn leave(&mut self, ticket: Ticket, wakes: &mut Wakes) -> Result<(), StaleTicket> {
        match *self.holders.get(ticket).ok_or(StaleTicket)? {
            Holder::Update { key, .. } => self.end_update(ticket, key, wakes),
            Holder::Subscriber { key } => {
                self.holders.remove(ticket);
                if strike(&mut self.subscribers, key, ticket) {
                    self.disband(key);
                }
            }
            Holder::Waiter { key, until } => {
                self.holders.remove(ticket);
                strike(&mut self.waiters, key, ticket);
                if until != Instant::FAR_FUTURE {
                    let holders = &self.holders;
                    self.deadlines.left(|ticket| holders.contains(ticket));
                }
            }
        }
        Ok(())
    }

    /// The next change that a subscriber is to be told, in the order of the writes.
    pub fn pop_change(&mut self) -> Option<Change> {
        while let Some(change) = self.changes.pop_front() {
            // Who unsubscribed meanwhile hears no more.
            if self.holders.contains(change.subscriber) {
                return Some(change);
            }
        }
        None
    }

    /// When the next wait is over.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let holders = &self.holders;
        self.deadlines
            .peek(|ticket| holders.contains(ticket))
            .map(|(rank, _)| Instant::from_micros(rank as u64))
    }

    /// Refuses the waits whose time is over. Calling it too early does nothing.
    pub fn on_deadline(&mut self, now: Instant, wakes: &mut Wakes) {
        while self.next_deadline().is_some_and(|at| at <= now) {
            let holders = &self.holders;
            let Some((_, ticket)) = self.deadlines.pop(|ticket| holders.contains(ticket)) else {
                return;
            };
            if let Some(Holder::Waiter { key, .. }) = self.holders.remove(ticket) {
                strike(&mut self.waiters, key, ticket);
                self.stats.timeouts += 1;
                wakes.push(ticket, Why::Refused(Refusal::QueueTimeout));
            }
        }
    }

    /// All keys that have an entry, with their versions, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (u32, u64)> {
        self.versions.iter().map(|(key, version)| (*key, *version))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// Whether anything is known under an id. When not, after a deletion or a [`leave`](Self::leave), the host may give it to
    /// another name.
    pub fn knows(&self, id: u32) -> bool {
        self.versions.contains_key(&id)
            || self.subscribers.contains_key(&id)
            || self.waiters.contains_key(&id)
            || self.updating.contains_key(&id)
    }

    /// Forgets which prefixes a key belongs to, for when its id is given to another name.
    pub fn forget(&mut self, id: u32) {
        for prefix in self.prefixes_of.remove(&id).unwrap_or_default() {
            if let Some(members) = self.members.get_mut(&prefix) {
                members.remove(&id);
            }
        }
        self.disband(id);
    }

    /// What was counted.
    pub fn stats(&self) -> StateStats {
        self.stats
    }

    fn changed(&mut self, key: u32, version: u64, wakes: &mut Wakes) {
        self.stats.writes += 1;
        let prefixes = self.prefixes_of.get(&key).into_iter().flatten();
        for watched in std::iter::once(&key).chain(prefixes) {
            for subscriber in self.subscribers.get(watched).into_iter().flatten() {
                self.changes.push_back(Change {
                    subscriber: *subscriber,
                    key,
                    version,
                });
            }
        }
        for waiter in self.waiters.get(&key).into_iter().flatten() {
            wakes.push(*waiter, Why::Ready);
        }
    }

    fn hold(&mut self, holder: Holder) -> Result<Ticket, Refusal> {
        let queued = self.holders.len() as u32;
        self.holders
            .insert(holder)
            .map_err(|_| Refusal::QueueFull { queued })
    }

    // Takes an update out; whoever is next in line gets the turn.
    fn end_update(&mut self, ticket: Ticket, key: u32, wakes: &mut Wakes) {
        self.holders.remove(ticket);
        if let Some(count) = self.updating.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.updating.remove(&key);
            }
        }
        let Some(turn) = self.turns.get_mut(&key) else {
            return;
        };
        let holders = &self.holders;
        if turn.holder != ticket {
            turn.next.left(|ticket| holders.contains(ticket));
            return;
        }
        let Some((_, next)) = turn.next.pop(|ticket| holders.contains(ticket)) else {
            self.turns.remove(&key);
            return;
        };
        turn.holder = next;
        let current = self.version(key);
        if let Some(Holder::Update { base, .. }) = self.holders.get_mut(next) {
            *base = current;
        }
        wakes.push(next, Why::Granted);
    }

    fn disband(&mut self, prefix: u32) {
        for key in self.members.remove(&prefix).into_iter().flatten() {
            if let Some(prefixes) = self.prefixes_of.get_mut(&key) {
                prefixes.retain(|other| *other != prefix);
                if prefixes.is_empty() {
                    self.prefixes_of.remove(&key);
                }
            }
        }
    }
}

// Whether nobody is left there.
fn strike(lists: &mut KeyMap<Vec<Ticket>>, key: u32, ticket: Ticket) -> bool {
    let Some(list) = lists.get_mut(&key) else {
        return true;
    };
    list.retain(|other| *other != ticket);
    let empty = list.is_empty();
    if empty {
        lists.remove(&key);
    }
    empty
}

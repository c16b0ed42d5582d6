//! Who gets what: an idle object, a place for a new one, or the turn of whoever has waited longest.

use super::{Grant, Keyed, Objects, State, Thing, Waiter};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Wakes, Why};

impl Objects {
    pub(super) fn head(&self, key: u32) -> Option<(u64, Ticket)> {
        self.keys.get(&key)?.line.front().copied()
    }

    /// An idle object of the key, or a place for a new one, if there is either.
    pub(super) fn grant(&mut self, key: u32) -> Option<Grant> {
        if let Some(object) = self.keys.get_mut(&key).and_then(|keyed| keyed.idle.pop_back()) {
            if let Some(thing) = self.things.get_mut(object) {
                thing.state = State::InUse;
            }
            self.no_longer_fading();
            self.counts.hits += 1;
            return Some(Grant::Reuse(object));
        }
        if !self.has_room(key) {
            return None;
        }
        if self.is_full() {
            self.doom(self.longest_idle()?);
        }
        let thing = Thing {
            key,
            made: Instant::ZERO,
            state: State::Making,
        };
        let object = self.things.insert(thing).ok()?;
        self.keys.entry(key).or_default().places += 1;
        self.counts.misses += 1;
        Some(Grant::Create(object))
    }

    pub(super) fn has_room(&self, key: u32) -> bool {
        self.keys
            .get(&key)
            .is_none_or(|keyed| keyed.places < self.config.max)
            && (!self.is_full() || self.longest_idle().is_some())
    }

    pub(super) fn is_full(&self) -> bool {
        self.config
            .max_total
            .is_some_and(|max| self.things.len() >= max as usize)
    }

    pub(super) fn longest_idle(&self) -> Option<Ticket> {
        let oldest = self.keys.values().filter_map(|keyed| keyed.idle.front());
        oldest
            .copied()
            .min_by_key(|object| match self.things.get(*object).map(|thing| thing.state) {
                Some(State::Idle { since, .. }) => since,
                _ => Instant::FAR_FUTURE,
            })
    }

    /// Hands what has become free to those who wait: to those of the key, and where all keys share a bound, to
    /// whoever has waited longest of those that can be served.
    pub(super) fn serve(&mut self, key: u32, wakes: &mut Wakes) {
        while let Some(key) = self.next_to_serve(key) {
            let Some(keyed) = self.keys.get_mut(&key) else {
                return;
            };
            let Some(place) = keyed.line.pop_front() else {
                return;
            };
            let Some(grant) = self.grant(key) else {
                self.keys.entry(key).or_default().line.push_front(place);
                return;
            };
            let (_, ticket) = place;
            if let Some(waiter) = self.waiters.get_mut(ticket) {
                *waiter = Waiter::Served(grant);
            }
            self.waiters.give_up_at(ticket, Instant::FAR_FUTURE);
            wakes.push(ticket, Why::Granted);
        }
        self.forget_key_if_empty(key);
    }

    pub(super) fn next_to_serve(&self, key: u32) -> Option<u32> {
        let servable = |key: u32, keyed: &Keyed| !keyed.idle.is_empty() || self.has_room(key);
        let candidates: &mut dyn Iterator<Item = (&u32, &Keyed)> = match self.config.max_total {
            None => &mut self.keys.get_key_value(&key).into_iter(),
            Some(_) => &mut self.keys.iter(),
        };
        let waiting = candidates.filter_map(|(key, keyed)| Some((keyed.line.front()?.0, *key, keyed)));
        let first = waiting
            .filter(|(_, key, keyed)| servable(*key, keyed))
            .min_by_key(|(arrival, ..)| *arrival);
        first.map(|(_, key, _)| key)
    }

    pub(super) fn forget_waiter(&mut self, key: u32, ticket: Ticket) {
        if let Some(keyed) = self.keys.get_mut(&key) {
            keyed.line.retain(|(_, other)| *other != ticket);
        }
        self.forget_key_if_empty(key);
    }

    pub(super) fn forget_key_if_empty(&mut self, key: u32) {
        if self
            .keys
            .get(&key)
            .is_some_and(|keyed| keyed.places == 0 && keyed.line.is_empty())
        {
            self.keys.remove(&key);
        }
    }
}

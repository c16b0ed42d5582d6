//! How objects leave: idle for too long, too old, or not wanted any more.

use super::{Objects, State, Thing};
use crate::machine::ticket::{Slab, Ticket};
use crate::machine::time::Instant;

impl Objects {
    /// Lays an object down until somebody wants it.
    pub(super) fn rest(&mut self, now: Instant, object: Ticket) {
        let Some(thing) = self.things.get_mut(object) else {
            return;
        };
        let fades = self.config.idle.map_or(Instant::FAR_FUTURE, |idle| now + idle);
        let fades = fades.min(
            self.config
                .max_age
                .map_or(Instant::FAR_FUTURE, |age| thing.made + age),
        );
        thing.state = State::Idle { since: now, fades };
        self.keys.entry(thing.key).or_default().idle.push_back(object);
        if fades < Instant::FAR_FUTURE {
            self.fading.push(fades.as_micros() as i64, (object, fades));
            self.fades_next = Some(self.fades_next.map_or(fades, |next| next.min(fades)));
        }
    }

    /// Destroys one that is idle.
    pub(super) fn doom(&mut self, object: Ticket) {
        if let Some(key) = self.things.get(object).map(|thing| thing.key) {
            if let Some(keyed) = self.keys.get_mut(&key) {
                keyed.idle.retain(|other| *other != object);
            }
            self.remove(object);
            self.no_longer_fading();
            self.counts.destroyed += 1;
            self.doomed.push_back(object);
        }
    }

    pub(super) fn remove(&mut self, object: Ticket) {
        if let Some(thing) = self.things.remove(object) {
            if let Some(keyed) = self.keys.get_mut(&thing.key) {
                keyed.places = keyed.places.saturating_sub(1);
            }
            self.forget_key_if_empty(thing.key);
        }
    }

    pub(super) fn no_longer_fading(&mut self) {
        let things = &self.things;
        self.fading.left(|fading| is_fading(things, fading));
        self.find_next_to_fade();
    }

    pub(super) fn find_next_to_fade(&mut self) {
        let things = &self.things;
        self.fades_next = self
            .fading
            .peek(|fading| is_fading(things, fading))
            .map(|(_, (_, at))| at);
    }
}

pub(super) fn is_fading(things: &Slab<Thing>, (object, at): (Ticket, Instant)) -> bool {
    matches!(things.get(object), Some(Thing { state: State::Idle { fades, .. }, .. }) if *fades == at)
}

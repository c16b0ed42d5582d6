//! The objects that nobody uses, and those that are being made.

use super::times::Times;
use super::{About, ObjectOptions, Pooled};
use crate::future::runtime::Runtime;
use crate::future::turn::Room;
use crate::machine::objects::{Grant, Objects};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::Wakes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The objects themselves; the machine knows them by their tickets.
pub(super) struct Store<R: Runtime, T> {
    pub(super) room: Rc<Room<R>>,
    pub(super) idle: RefCell<BTreeMap<Ticket, Thing<T>>>,
    pub(super) options: ObjectOptions<T>,
    pub(super) times: Times,
}

pub(super) struct Thing<T> {
    pub(super) value: T,
    pub(super) about: About,
}

impl<R: Runtime, T> Store<R, T> {
    /// Calls the machine, carries out what it decided, and destroys what it gave up.
    pub(super) fn call<O>(&self, event: impl FnOnce(&mut Objects, Instant, &mut Wakes) -> O) -> Option<O> {
        let outcome = self
            .room
            .call(|world, now, id| world.at_objects(id, |objects, wakes| event(objects, now, wakes)));
        self.sweep();
        outcome
    }

    pub(super) fn look<O: Default>(&self, glance: impl FnOnce(&Objects) -> O) -> O {
        self.look_or(O::default(), glance)
    }

    pub(super) fn look_or<O>(&self, or: O, glance: impl FnOnce(&Objects) -> O) -> O {
        self.room
            .look(|world, id| world.objects(id).map(glance))
            .unwrap_or(or)
    }

    /// Makes an object fit for the next, if that can be.
    pub(super) fn reset(&self, value: &mut T) -> bool {
        let runtime = self.room.host.runtime();
        let began = runtime.now();
        let is_fit = (self.options.reset)(value);
        self.times.was_reset(began, runtime.now());
        is_fit
    }

    /// Bytes that were saved because objects were used again.
    pub(super) fn bytes_saved(&self) -> u64 {
        let hits = self.look(|objects| objects.counts.hits);
        hits.saturating_mul(self.options.bytes)
    }

    /// Destroys what the machine gave up.
    pub(super) fn sweep(&self) {
        loop {
            let doomed = self.room.host.call_quietly(|world, _| {
                world
                    .at_objects(self.room.id, |objects, _| objects.pop_doomed())
                    .flatten()
            });
            let Some(doomed) = doomed else { return };
            let thing = self.idle.borrow_mut().remove(&doomed);
            if let Some(thing) = thing {
                (self.options.destroy)(thing.value);
            }
        }
    }

    /// Takes an object up again, or gets what takes its place if it is no longer valid.
    pub(super) fn take_up(self: &Rc<Self>, object: Ticket) -> Result<Pooled<R, T>, Option<Grant>> {
        let thing = self.idle.borrow_mut().remove(&object);
        let Some(mut thing) = thing else {
            return Err(self.call(|objects, _, _| objects.replace(object).ok()).flatten());
        };
        if !(self.options.validate)(&mut thing.value) {
            let grant = self.call(|objects, _, _| objects.replace(object).ok()).flatten();
            (self.options.destroy)(thing.value);
            return Err(grant);
        }
        thing.about.used_at = self.room.host.runtime().now();
        thing.about.uses += 1;
        Ok(Pooled {
            store: Rc::clone(self),
            ticket: object,
            thing: Some(thing),
            reusable: true,
        })
    }
}

/// The room for an object that is being made.
pub(super) struct Making<'a, R: Runtime, T> {
    pub(super) store: &'a Store<R, T>,
    pub(super) place: Option<Ticket>,
}

impl<R: Runtime, T> Making<'_, R, T> {
    pub(super) fn has_succeeded(mut self) {
        self.place = None;
    }
}

impl<R: Runtime, T> Drop for Making<'_, R, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let _gone = self
                .store
                .call(|objects, now, wakes| objects.failed(now, place, wakes));
        }
    }
}

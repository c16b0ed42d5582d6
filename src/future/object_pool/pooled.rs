//! An object in use.

use super::store::{Store, Thing};
use crate::future::runtime::Runtime;
use crate::machine::objects::Returned;
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// What is known about an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About {
    /// A number that no other object of this host has.
    pub id: u64,
    /// When it was made.
    pub created_at: Instant,
    /// When it was given out, this time included.
    pub used_at: Instant,
    /// How often it was given out, this time included.
    pub uses: u64,
}

/// An object in use. It goes back when this is dropped.
#[must_use = "the object goes back when this is dropped"]
pub struct Pooled<R: Runtime, T> {
    pub(super) store: Rc<Store<R, T>>,
    pub(super) ticket: Ticket,
    // Only while it is being dropped there is none.
    pub(super) thing: Option<Thing<T>>,
    pub(super) reusable: bool,
}

impl<R: Runtime, T> Pooled<R, T> {
    /// What is known about it.
    pub fn about(&self) -> About {
        let nothing = About {
            id: 0,
            created_at: Instant::ZERO,
            used_at: Instant::ZERO,
            uses: 0,
        };
        self.thing.as_ref().map_or(nothing, |thing| thing.about)
    }

    /// Says that it must not be used again: it is destroyed when it comes back.
    pub fn mark_non_reusable(&mut self) {
        self.reusable = false;
    }

    /// Gives it back; the same as dropping it.
    pub fn release(self) {}
}

impl<R: Runtime, T> Deref for Pooled<R, T> {
    type Target = T;

    #[expect(
        clippy::expect_used,
        reason = "the object is taken out only in `drop`, and nothing follows that"
    )]
    fn deref(&self) -> &T {
        &self.thing.as_ref().expect("an object in use").value
    }
}

impl<R: Runtime, T> DerefMut for Pooled<R, T> {
    #[expect(
        clippy::expect_used,
        reason = "the object is taken out only in `drop`, and nothing follows that"
    )]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.thing.as_mut().expect("an object in use").value
    }
}

impl<R: Runtime, T> Drop for Pooled<R, T> {
    fn drop(&mut self) {
        let Some(mut thing) = self.thing.take() else {
            return;
        };
        let (store, ticket) = (&self.store, self.ticket);
        let reusable = self.reusable && store.reset(&mut thing.value);
        // It lies ready before anybody can be told that it does.
        store.idle.borrow_mut().insert(ticket, thing);
        let returned = store.call(|objects, now, wakes| objects.give_back(now, ticket, reusable, wakes));
        if returned != Some(Ok(Returned::Kept)) {
            let thing = store.idle.borrow_mut().remove(&ticket);
            if let Some(thing) = thing {
                (store.options.destroy)(thing.value);
            }
        }
    }
}

impl<R: Runtime, T: fmt::Debug> fmt::Debug for Pooled<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

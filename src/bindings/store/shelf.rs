//! Machines at which nobody waits and to which time does nothing: they need no world, only a number.

use std::cell::UnsafeCell;

/// The machines of one kind, by number. The highest eight bits of a number are the kind, far above those of a world.
pub(super) struct Shelf<T> {
    kind: u32,
    places: UnsafeCell<Vec<Option<T>>>,
}

// SAFETY: one thread, and no export calls another or user code, as for the reply area.
unsafe impl<T> Sync for Shelf<T> {}

const INDEX_BITS: u32 = 24;
const INDEX: u32 = (1 << INDEX_BITS) - 1;

impl<T> Shelf<T> {
    pub(super) const fn new(kind: u32) -> Self {
        Self {
            kind,
            places: UnsafeCell::new(Vec::new()),
        }
    }

    /// The number of a machine from now on; −1 when there can be no more.
    pub(super) fn put(&self, machine: T) -> f64 {
        // SAFETY: see the `Sync` implementation above.
        let places = unsafe { &mut *self.places.get() };
        let free = places.iter().position(Option::is_none);
        let index = free.unwrap_or(places.len());
        if index > INDEX as usize {
            return -1.0;
        }
        match places.get_mut(index) {
            Some(place) => *place = Some(machine),
            None => places.push(Some(machine)),
        }
        f64::from(self.kind << INDEX_BITS | index as u32)
    }

    /// Calls a machine; `None` if there is no such machine.
    pub(super) fn at<R>(&self, id: u32, call: impl FnOnce(&mut T) -> R) -> Option<R> {
        // SAFETY: see the `Sync` implementation above; `call` is ours and never comes back in.
        let places = unsafe { &mut *self.places.get() };
        let place = places.get_mut((id & INDEX) as usize)?;
        place.as_mut().map(call)
    }

    pub(super) fn remove(&self, id: u32) {
        // SAFETY: see the `Sync` implementation above.
        let places = unsafe { &mut *self.places.get() };
        if let Some(place) = places.get_mut((id & INDEX) as usize) {
            *place = None;
        }
    }
}

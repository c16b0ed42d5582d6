//! How long it takes to get an object and to make one fit again, and what that saves.

use crate::future::readings::Reading;
use crate::machine::time::Instant;
use std::cell::Cell;
use std::time::Duration;

/// How long something took, over all the times that it was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Durations {
    /// How often it was done.
    pub count: u64,
    /// How long that took in all.
    pub total: Duration,
    /// How long the longest took.
    pub max: Duration,
}

/// The times of a pool of objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ObjectTimes {
    /// From asking for an object to having it, the making of one included.
    pub acquire: Durations,
    /// Making one fit for the next.
    pub reset: Durations,
}

/// Those times as they are kept.
#[derive(Debug, Default)]
pub(super) struct Times(Cell<ObjectTimes>);

impl Times {
    pub(super) fn acquired(&self, since: Instant, now: Instant) {
        self.change(|times| times.acquire.add(now - since));
    }

    pub(super) fn was_reset(&self, since: Instant, now: Instant) {
        self.change(|times| times.reset.add(now - since));
    }

    pub(super) fn so_far(&self) -> ObjectTimes {
        self.0.get()
    }

    fn change(&self, change: impl FnOnce(&mut ObjectTimes)) {
        let mut times = self.0.get();
        change(&mut times);
        self.0.set(times);
    }
}

/// What the metrics say beside the counts of the machine.
pub(super) fn saved(bytes: u64) -> Vec<Reading> {
    vec![Reading::ever("saved_bytes", bytes)]
}

impl Durations {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.total = self.total.saturating_add(took);
        self.max = self.max.max(took);
    }
}

//! Those who wait, and how long they are willing to: what channels, locks and object pools have in common.
//!
//! A waiter has a ticket and a time at which it gives up. Whose turn it is stands in [`Line`](super::line::Line)s that belong to the
//! machine; a waiter that has left is no longer alive there.

use super::deadlines::Deadlines;
use super::permits::Patience;
use super::ticket::{Slab, Ticket};
use super::time::Instant;

/// Waiters of a machine, with what it knows about each.
#[derive(Clone, Debug)]
pub struct Waiters<T> {
    slab: Slab<Waiter<T>>,
    deadlines: Deadlines,
    next: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Waiter<T> {
    gives_up: Instant,
    value: T,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self {
            slab: Slab::new(),
            deadlines: Deadlines::new(),
            next: None,
        }
    }
}

impl<T> Waiters<T> {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody who waits from now on. `None` when 2^24 wait already, or the newcomer would not wait at all.
    pub fn enter(&mut self, now: Instant, patience: Patience, value: T) -> Option<Ticket> {
        let gives_up = match patience {
            Patience::None => return None,
            Patience::Micros(micros) => now.plus_micros(micros),
            Patience::Forever => Instant::FAR_FUTURE,
        };
        let ticket = self.slab.insert(Waiter { gives_up, value }).ok()?;
        self.arm(ticket, gives_up);
        Some(ticket)
    }

    /// Somebody who has a ticket here without waiting: it gives up never.
    pub fn seat(&mut self, value: T) -> Option<Ticket> {
        let gives_up = Instant::FAR_FUTURE;
        self.slab.insert(Waiter { gives_up, value }).ok()
    }

    /// What is known about a waiter.
    pub fn get(&self, ticket: Ticket) -> Option<&T> {
        self.slab.get(ticket).map(|waiter| &waiter.value)
    }

    /// What is known about a waiter, to change.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.slab.get_mut(ticket).map(|waiter| &mut waiter.value)
    }

    /// Whether the ticket is not stale.
    pub fn contains(&self, ticket: Ticket) -> bool {
        self.slab.contains(ticket)
    }

    /// Moves the time at which it gives up: `FAR_FUTURE` for one who was served but still has its ticket.
    pub fn give_up_at(&mut self, ticket: Ticket, at: Instant) {
        let Some(waiter) = self.slab.get_mut(ticket) else {
            return;
        };
        let before = waiter.gives_up;
        waiter.gives_up = at;
        if before != at {
            self.arm(ticket, at);
            self.disarmed(before);
        }
    }

    /// Takes a waiter out and makes its ticket stale.
    pub fn leave(&mut self, ticket: Ticket) -> Option<T> {
        let waiter = self.slab.remove(ticket)?;
        self.disarmed(waiter.gives_up);
        Some(waiter.value)
    }

    /// Takes out one who gives up by now, the earliest first.
    pub fn expired(&mut self, now: Instant) -> Option<(Ticket, T)> {
        let ticket = self.due(now)?;
        self.leave(ticket).map(|value| (ticket, value))
    }

    /// The first who gives up by now; it stays until it is taken out or told to wait on.
    pub fn due(&mut self, now: Instant) -> Option<Ticket> {
        if self.next.is_none_or(|at| at > now) {
            return None;
        }
        let slab = &self.slab;
        let first = self.deadlines.first(|ticket, at| is_armed(slab, ticket, at));
        first.map(|(_, ticket)| ticket)
    }

    /// When the first of them gives up.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// All of them, by ticket.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket, &T)> {
        self.slab.iter().map(|(ticket, waiter)| (ticket, &waiter.value))
    }

    fn arm(&mut self, ticket: Ticket, at: Instant) {
        if at < Instant::FAR_FUTURE {
            self.deadlines.push(ticket, at);
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    fn disarmed(&mut self, at: Instant) {
        if at < Instant::FAR_FUTURE {
            let slab = &self.slab;
            self.deadlines.left(|ticket, at| is_armed(slab, ticket, at));
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        let slab = &self.slab;
        let first = self.deadlines.first(|ticket, at| is_armed(slab, ticket, at));
        self.next = first.map(|(at, _)| at);
    }
}

fn is_armed<T>(slab: &Slab<Waiter<T>>, ticket: Ticket, at: Instant) -> bool {
    slab.get(ticket).is_some_and(|waiter| waiter.gives_up == at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn whoever_would_not_wait_does_not_enter() {
        let mut waiters = Waiters::new();
        assert_eq!(waiters.enter(Instant::ZERO, Patience::None, ()), None);
        assert!(waiters.is_empty());
    }

    #[test]
    fn waits_before_t_and_gives_up_at_t() {
        let mut waiters = Waiters::new();
        let ticket = waiters.enter(Instant::ZERO, Patience::Micros(5), 'a').unwrap();
        assert!(!waiters.is_empty());
        assert_eq!(waiters.next_deadline(), Some(Instant::from_micros(5)));
        assert_eq!(waiters.expired(Instant::from_micros(4)), None);
        assert_eq!(waiters.expired(Instant::from_micros(5)), Some((ticket, 'a')));
        assert_eq!(waiters.next_deadline(), None);
    }

    proptest! {
        #[test]
        fn the_next_deadline_is_that_of_somebody_who_waits(ops in prop::collection::vec((0u8..5, 0u64..20), 1..200)) {
            let mut waiters = Waiters::new();
            let mut model: Vec<(Ticket, u64)> = Vec::new();
            let mut now = 0;
            for (op, n) in ops {
                match op {
                    0 | 1 => {
                        let ticket = waiters.enter(Instant::from_micros(now), Patience::Micros(n), n).unwrap();
                        model.push((ticket, now + n));
                    }
                    2 if !model.is_empty() => {
                        let (ticket, _) = model.remove(n as usize % model.len());
                        prop_assert!(waiters.leave(ticket).is_some());
                    }
                    3 if !model.is_empty() => {
                        let at = n as usize % model.len();
                        model[at].1 = now + 2 * n;
                        waiters.give_up_at(model[at].0, Instant::from_micros(now + 2 * n));
                    }
                    _ => {
                        now += n;
                        while let Some((ticket, _)) = waiters.expired(Instant::from_micros(now)) {
                            let at = model.iter().position(|(other, _)| *other == ticket).unwrap();
                            prop_assert!(model.remove(at).1 <= now);
                        }
                        prop_assert!(model.iter().all(|(_, at)| *at > now));
                    }
                }
                let first = model.iter().map(|(_, at)| Instant::from_micros(*at)).min();
                prop_assert_eq!(waiters.next_deadline(), first);
                prop_assert_eq!(waiters.len(), model.len());
            }
        }
    }
}

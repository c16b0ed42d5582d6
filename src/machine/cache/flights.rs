//! Loads under way: for each key at most one that counts, run by one caller while the others wait.

use crate::machine::keys::KeyMap;
use crate::machine::line::Line;
use crate::machine::ticket::{Slab, StaleTicket, Ticket};
use crate::machine::time::Instant;
use crate::machine::wakes::{Refusal, Wakes, Why};
use std::collections::VecDeque;

/// Flights and those aboard.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    flights: Slab<Flight>,
    aboard: Slab<Aboard>,
    current: KeyMap<Ticket>,
    deadlines: Line<(Ticket, Ticket)>,
    // What was invalidated while somebody was loading, oldest first: a value computed from it must not be stored.
    invalidations: VecDeque<(u64, u32)>,
    invalidated: KeyMap<u64>,
    moments: u64,
}

#[derive(Clone, Debug)]
struct Flight {
    key: u32,
    hash: u32,
    began: u64,
    counts: bool,
    pilot: Ticket,
    waiters: Line<Ticket>,
}

#[derive(Clone, Copy, Debug)]
struct Aboard {
    flight: Ticket,
}

/// A flight that has landed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landed {
    pub(super) key: u32,
    pub(super) hash: u32,
    /// Nobody wrote or invalidated the key since it began.
    pub(super) counts: bool,
    pub(super) began: u64,
}

impl Flights {
    /// The flight for a key that a new caller may join.
    pub(super) fn current(&self, key: u32) -> Option<Ticket> {
        self.current.get(&key).copied()
    }

    /// Begins one; the ticket is its pilot's.
    pub(super) fn begin(&mut self, key: u32, hash: u32, until: Option<Instant>) -> Result<Ticket, Refusal> {
        let full = Refusal::QueueFull {
            queued: self.aboard.len() as u32,
        };
        self.moments += 1;
        // The pilot's ticket needs the flight's and the other way round: the first is corrected below.
        let nobody = Ticket::from_bits(0);
        let flight = Flight {
            key,
            hash,
            began: self.moments,
            counts: true,
            pilot: nobody,
            waiters: Line::new(),
        };
        let Ok(flight) = self.flights.insert(flight) else {
            return Err(full);
        };
        let Ok(pilot) = self.aboard.insert(Aboard { flight }) else {
            self.flights.remove(flight);
            return Err(full);
        };
        self.hand_to(flight, pilot, until);
        self.current.insert(key, flight);
        Ok(pilot)
    }

    /// Joins one as a waiter.
    pub(super) fn join(&mut self, flight: Ticket) -> Result<Ticket, Refusal> {
        let queued = self.aboard.len() as u32;
        match (
            self.flights.get_mut(flight),
            self.aboard.insert(Aboard { flight }),
        ) {
            (Some(flight), Ok(ticket)) => {
                flight.waiters.push(0, ticket);
                Ok(ticket)
            }
            (_, joined) => {
                joined.ok().and_then(|ticket| self.aboard.remove(ticket));
                Err(Refusal::QueueFull { queued })
            }
        }
    }

    /// The pilot is done, well or badly: everybody aboard is told so.
    pub(super) fn land(&mut self, pilot: Ticket, why: Why, wakes: &mut Wakes) -> Result<Landed, StaleTicket> {
        let id = self.aboard.get(pilot).ok_or(StaleTicket)?.flight;
        if self.flights.get(id).is_none_or(|flight| flight.pilot != pilot) {
            return Err(StaleTicket);
        }
        let mut flight = self.remove(id).ok_or(StaleTicket)?;
        self.aboard.remove(pilot);
        while let Some((_, waiter)) = flight.waiters.pop(|waiter| self.aboard.contains(waiter)) {
            self.aboard.remove(waiter);
            wakes.push(waiter, why);
        }
        Ok(Landed {
            key: flight.key,
            hash: flight.hash,
            counts: flight.counts,
            began: flight.began,
        })
    }

    /// Somebody gives up. When it is the pilot, the oldest waiter takes over. Gives the key whose last flight ended by it.
    pub(super) fn abandon(
        &mut self,
        ticket: Ticket,
        until: Option<Instant>,
        wakes: &mut Wakes,
    ) -> Result<Option<u32>, StaleTicket> {
        let id = self.aboard.remove(ticket).ok_or(StaleTicket)?.flight;
        let Some(flight) = self.flights.get_mut(id) else {
            return Ok(None);
        };
        if flight.pilot != ticket {
            flight.waiters.left(|waiter| self.aboard.contains(waiter));
            return Ok(None);
        }
        if let Some((_, next)) = flight.waiters.pop(|waiter| self.aboard.contains(waiter)) {
            wakes.push(next, Why::Granted);
            self.hand_to(id, next, until);
            return Ok(None);
        }
        Ok(self.remove(id).map(|flight| flight.key))
    }

    /// The key was written or invalidated: whoever asks from now on must not get what an older flight brings.
    pub(super) fn detach(&mut self, key: u32) {
        if let Some(flight) = self.current.remove(&key)
            && let Some(flight) = self.flights.get_mut(flight)
        {
            flight.counts = false;
        }
    }

    /// A key was invalidated: its flight no longer counts, nor will a value computed from it.
    pub(super) fn invalidated(&mut self, key: u32) {
        self.detach(key);
        self.note(key);
    }

    /// Remembers an invalidation for as long as a flight is under way that began before it.
    pub(super) fn note(&mut self, key: u32) {
        if !self.flights.is_empty() {
            self.moments += 1;
            self.invalidations.push_back((self.moments, key));
            self.invalidated.insert(key, self.moments);
        }
    }

    /// No flight under way counts any more. Gives their keys.
    pub(super) fn detach_all(&mut self, keys: &mut Vec<u32>) {
        let current: Vec<u32> = self.current.keys().copied().collect();
        for key in &current {
            self.detach(*key);
        }
        keys.extend(current);
    }

    /// Whether one of these was invalidated after a flight began.
    pub(super) fn outdated(&self, began: u64, from: &[u32]) -> bool {
        from.iter()
            .filter_map(|key| self.invalidated.get(key))
            .any(|moment| *moment > began)
    }

    pub(super) fn knows(&self, key: u32) -> bool {
        self.current.contains_key(&key) || self.invalidated.contains_key(&key)
    }

    /// The first pilot whose time is over.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Ticket> {
        let (due, pilot) = self.next_deadline()?;
        (due <= now).then_some(pilot)
    }

    pub(super) fn next_deadline(&mut self) -> Option<(Instant, Ticket)> {
        let flights = &self.flights;
        let pilots = |(flight, pilot)| {
            flights
                .get(flight)
                .is_some_and(|flight: &Flight| flight.pilot == pilot)
        };
        self.deadlines
            .peek(pilots)
            .map(|(rank, (_, pilot))| (Instant::from_micros(rank as u64), pilot))
    }

    /// Invalidations that no flight under way can have missed any more.
    pub(super) fn forget(&mut self, unknown: &mut Vec<u32>) {
        if self.invalidations.is_empty() {
            return;
        }
        let oldest = self.flights.iter().map(|(_, flight)| flight.began).min();
        while let Some((moment, key)) = self.invalidations.front().copied()
            && oldest.is_none_or(|oldest| moment < oldest)
        {
            self.invalidations.pop_front();
            if self.invalidated.get(&key) == Some(&moment) {
                self.invalidated.remove(&key);
                unknown.push(key);
            }
        }
    }

    fn hand_to(&mut self, id: Ticket, pilot: Ticket, until: Option<Instant>) {
        if let Some(flight) = self.flights.get_mut(id) {
            flight.pilot = pilot;
        }
        if let Some(until) = until {
            let rank = i64::try_from(until.as_micros()).unwrap_or(i64::MAX);
            self.deadlines.push(rank, (id, pilot));
        }
    }

    fn remove(&mut self, id: Ticket) -> Option<Flight> {
        let flight = self.flights.remove(id)?;
        if self.current.get(&flight.key) == Some(&id) {
            self.current.remove(&flight.key);
        }
        let flights = &self.flights;
        self.deadlines
            .left(|(flight, pilot)| flights.get(flight).is_some_and(|flight| flight.pilot == pilot));
        Some(flight)
    }
}

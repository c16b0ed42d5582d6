//! Presence: who of those who wait is still there. For hosts where a waiter may vanish without a word: on an edge isolate
//! a request that was given up never runs its `finally`, and a timer dies with the request that set it.
//!
//! Each waiter has a **seat** and is heard of at its **beats**, timers of its own that go off after a delay that this
//! machine gives. What it waited for is **handed** to it, and it must **claim** it within a beat; who is silent
//! for two beats is passed over, and what nobody claims is reported, so that the host can take it back and give it to the next.
//!
//! Silence is not measured by a clock. Timers go off in the order in which they are due, so a beat that was due later than
//! somebody's own, and has been heard, proves that the other is gone; a thread that was busy for a minute proves nothing. The time of
//! this machine is therefore the latest due time of all beats that have been heard. A clock that stands still only makes
//! dues count from there.
//!
//! A **lease** is the other half: what a holder took ends by itself, in case the holder never says so.

use super::line::Line;
use super::ticket::{Slab, Ticket};
use super::time::Instant;
use std::collections::BTreeMap;

/// The longest that one of few waiters is not heard of, in microseconds: no more than anybody notices.
pub const BEAT: u64 = 50_000;
/// What somebody looks after first, where nobody can tell it.
pub const FIRST_BEAT: u64 = 5_000;
/// The shortest: what one that is about to be served looks after in a line that moves as fast as that.
pub const LEAST_BEAT: u64 = 1_000;
/// How many of a line are about to be served: they look often, lest the line waits for them.
const NEXT: u64 = 4;
/// What each waiter adds to the longest beat, lest a thousand of them keep the thread busy with saying that they are there:
/// together they are heard of about 2,000 times a second.
const SHARE: u64 = 500;

/// All seats and leases of an instance.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    seats: Slab<Seat>,
    expected: Line<(Ticket, Instant)>,
    leases: Slab<Instant>,
    ends: Line<(Ticket, Instant)>,
    lines: BTreeMap<u32, Pace>,
    heard_until: Instant,
    reach: Reach,
}

/// How somebody learns of what it was handed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reach {
    /// It looks at its beats, so those of the next in line are short.
    #[default]
    Looks,
    /// It is told at once, so beats only say that somebody is there.
    Told,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    line: u32,
    rank: u64,
    beats: u32,
    // One departure for each seat, however many there are who share it.
    served: bool,
    due: Instant,
    // When it is past hoping for.
    by: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Handed,
}

/// How fast a line is served.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    arrivals: u64,
    departures: u64,
    // Microseconds between two departures, averaged; 0 before the second.
    gap: u64,
    last: Option<Instant>,
}

/// A seat or a lease that is over, though nobody said so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// Nobody has been heard of on this seat for two beats, or nobody has claimed what it was handed.
    Seat(Ticket),
    /// The time of this lease is over.
    Lease(Ticket),
}

impl Presence {
    /// Nobody is here.
    pub fn new(reach: Reach) -> Self {
        Presence {
            reach,
            ..Self::default()
        }
    }

    /// In how many microseconds the first beat of a seat must go off.
    pub fn first_beat(&self) -> u64 {
        match self.reach {
            Reach::Looks => FIRST_BEAT,
            Reach::Told => BEAT,
        }
    }

    /// Somebody waits from now on, in this line. `None` when there is no number left.
    pub fn sit(&mut self, now: Instant, line: u32) -> Option<Ticket> {
        let base = self.base(now);
        let due = base.plus_micros(self.first_beat());
        let by = due.plus_micros(self.longest());
        let pace = self.lines.entry(line).or_default();
        let seat = Seat {
            line,
            rank: pace.arrivals,
            beats: 0,
            served: false,
            due,
            by,
            state: State::Waiting,
        };
        let ticket = self.seats.insert(seat).ok()?;
        pace.arrivals += 1;
        self.expect(ticket, seat.by);
        Some(ticket)
    }

    /// A timer of this seat has gone off: in how many microseconds the next must. `None` when the seat is over.
    pub fn beat(&mut self, now: Instant, ticket: Ticket) -> Option<u64> {
        let due = self.seats.get(ticket)?.due;
        self.heard_until = self.heard_until.max(due);
        let base = self.base(now);
        let delay = self.delay(base, ticket);
        let longest = self.longest();
        let seat = self.seats.get_mut(ticket)?;
        seat.beats += 1;
        seat.due = base.plus_micros(delay);
        if seat.state == State::Waiting {
            seat.by = seat.due.plus_micros(longest);
            let by = seat.by;
            self.unexpect();
            self.expect(ticket, by);
        }
        Some(delay)
    }

    /// Hands somebody what it waited for. False when it is past hoping for that it takes it, or not there any more.
    pub fn hand(&mut self, now: Instant, ticket: Ticket) -> bool {
        let base = self.base(now);
        let heard_until = self.heard_until;
        let longest = self.longest();
        let Some(seat) = self.seats.get_mut(ticket) else {
            return false;
        };
        if seat.by < heard_until {
            return false;
        }
        if seat.state == State::Handed {
            return true;
        }
        seat.state = State::Handed;
        seat.by = base.plus_micros(longest);
        let (by, line) = (seat.by, seat.line);
        let first = !std::mem::replace(&mut seat.served, true);
        if first && let Some(pace) = self.lines.get_mut(&line) {
            pace.departures += 1;
            let since = pace.last.map_or(0, |last| base.micros_since(last));
            pace.last = Some(base);
            // Over about four departures: a line that gets slower must not be polled for long at its old pace.
            pace.gap = if pace.gap == 0 {
                since
            } else {
                pace.gap - pace.gap / 4 + since / 4
            };
        }
        self.unexpect();
        self.expect(ticket, by);
        true
    }

    /// Somebody takes what it was handed, and waits on if it is not over. False when it was given up before: the
    /// seat is over then, and what it was handed is somebody else's.
    pub fn claim(&mut self, now: Instant, ticket: Ticket) -> bool {
        let base = self.base(now);
        let longest = self.longest();
        let Some(seat) = self.seats.get_mut(ticket) else {
            return false;
        };
        seat.state = State::Waiting;
        seat.due = seat.due.max(base);
        seat.by = seat.due.plus_micros(2 * longest);
        let by = seat.by;
        self.unexpect();
        self.expect(ticket, by);
        true
    }

    /// Somebody leaves.
    pub fn rise(&mut self, ticket: Ticket) {
        let Some(seat) = self.seats.remove(ticket) else {
            return;
        };
        self.unexpect();
        if let Some(pace) = self.lines.get_mut(&seat.line) {
            if !seat.served {
                pace.departures = (pace.departures + 1).min(pace.arrivals);
            }
            if pace.departures == pace.arrivals {
                // What is known of the pace stays while the instance lives on it; numbers of lines are few.
                pace.departures = 0;
                pace.arrivals = 0;
            }
        }
    }

    /// Forgets a line that nobody will stand in any more.
    pub fn forget_line(&mut self, line: u32) {
        self.lines.remove(&line);
    }

    /// Somebody holds something for at most `micros`. `None` when there is no number left.
    pub fn lease(&mut self, now: Instant, micros: u64) -> Option<Ticket> {
        let ends = self.base(now).plus_micros(micros);
        let ticket = self.leases.insert(ends).ok()?;
        self.ends.push(rank(ends), (ticket, ends));
        Some(ticket)
    }

    /// The end of a lease is so far from now again. False when it is over.
    pub fn renew(&mut self, now: Instant, ticket: Ticket, micros: u64) -> bool {
        let ends = self.base(now).plus_micros(micros);
        let Some(lease) = self.leases.get_mut(ticket) else {
            return false;
        };
        *lease = ends;
        self.ends.push(rank(ends), (ticket, ends));
        true
    }

    /// Somebody gives back what it held.
    pub fn end_lease(&mut self, ticket: Ticket) {
        if self.leases.remove(ticket).is_some() {
            let leases = &self.leases;
            self.ends.left(|(ticket, ends)| leases.get(ticket) == Some(&ends));
        }
    }

    /// The next seat or lease that is over though nobody said so; it is forgotten with that.
    pub fn next_lost(&mut self, now: Instant) -> Option<Lost> {
        let base = self.base(now);
        let seats = &self.seats;
        if let Some((by, (ticket, _))) = self.expected.peek(|(ticket, by)| is_by(seats, ticket, by))
            && by < rank(self.heard_until)
        {
            self.rise(ticket);
            return Some(Lost::Seat(ticket));
        }
        let leases = &self.leases;
        let (ends, (ticket, _)) = self
            .ends
            .peek(|(ticket, ends)| leases.get(ticket) == Some(&ends))?;
        if ends > rank(base) {
            return None;
        }
        self.end_lease(ticket);
        Some(Lost::Lease(ticket))
    }

    /// How many seats there are.
    pub fn seated(&self) -> usize {
        self.seats.len()
    }

    /// How many leases run.
    pub fn leased(&self) -> usize {
        self.leases.len()
    }

    /// Where dues count from.
    fn base(&self, now: Instant) -> Instant {
        now.max(self.heard_until)
    }

    fn expect(&mut self, ticket: Ticket, by: Instant) {
        self.expected.push(rank(by), (ticket, by));
    }

    fn unexpect(&mut self) {
        let seats = &self.seats;
        self.expected.left(|(ticket, by)| is_by(seats, ticket, by));
    }

    /// The longest that anybody is not heard of, with as many as there are.
    fn longest(&self) -> u64 {
        BEAT.max(SHARE.saturating_mul(self.seats.len() as u64))
    }

    /// Half of the time until it is about to be served at the pace of its line, so that one of a thousand looks ten times until
    /// then; after that, often enough that its looks add little to the pace. Longer and longer where nothing is known, or where the
    /// line has come to a halt.
    fn delay(&self, now: Instant, ticket: Ticket) -> u64 {
        let longest = self.longest();
        let (Reach::Looks, Some(seat)) = (self.reach, self.seats.get(ticket)) else {
            return longest;
        };
        let wait = match self.lines.get(&seat.line) {
            Some(&Pace {
                departures,
                gap,
                last: Some(last),
                ..
            }) if gap > 0 => {
                let ahead = seat.rank.saturating_sub(departures);
                let gap = gap.max(now.micros_since(last) / 16);
                let wait = gap.saturating_mul(ahead.saturating_sub(NEXT)) / 2;
                wait.max(gap / 8).max(LEAST_BEAT)
            }
            _ => FIRST_BEAT << seat.beats.min(4),
        };
        wait.min(longest)
    }
}

fn is_by(seats: &Slab<Seat>, ticket: Ticket, by: Instant) -> bool {
    seats.get(ticket).is_some_and(|seat| seat.by == by)
}

fn rank(at: Instant) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

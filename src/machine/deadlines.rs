//! Moments at which something wants to be looked at, the next one first.
//!
//! A [`Line`] whose ranks are the moments themselves. What has a deadline may get another or none at all; its old one stays
//! in the line until it comes to the front, and whoever owns the line says which still stand.

use super::line::Line;
use super::ticket::Ticket;
use super::time::Instant;

/// Tickets by the moment that each of them waits for.
#[derive(Clone, Debug, Default)]
pub struct Deadlines {
    line: Line<Ticket>,
}

impl Deadlines {
    /// None; it allocates with the first one.
    pub const fn new() -> Self {
        Self { line: Line::new() }
    }

    /// One more. Those that a ticket had before no longer stand.
    pub fn push(&mut self, ticket: Ticket, at: Instant) {
        self.line.push(rank_of(at), ticket);
    }

    /// The first that still stands.
    pub fn first(&mut self, stands: impl Fn(Ticket, Instant) -> bool) -> Option<(Instant, Ticket)> {
        let (rank, ticket) = self
            .line
            .peek_ranked(|rank, ticket| stands(ticket, instant_of(rank)))?;
        Some((instant_of(rank), ticket))
    }

    /// Takes out the first that still stands.
    pub fn pop(&mut self, stands: impl Fn(Ticket, Instant) -> bool) -> Option<(Instant, Ticket)> {
        let (rank, ticket) = self
            .line
            .pop_ranked(|rank, ticket| stands(ticket, instant_of(rank)))?;
        Some((instant_of(rank), ticket))
    }

    /// Never later than the first that still stands, and known without a look at any.
    pub fn earliest(&self) -> Option<Instant> {
        self.line.front_rank().map(instant_of)
    }

    /// Says that one of them no longer stands.
    pub fn left(&mut self, stands: impl Fn(Ticket, Instant) -> bool) {
        self.line
            .left_ranked(|rank, ticket| stands(ticket, instant_of(rank)));
    }
}

// Microseconds fit an i64 for 292,000 years.
fn rank_of(at: Instant) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

fn instant_of(rank: i64) -> Instant {
    Instant::from_micros(rank.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn the_first_is_the_next_that_still_stands() {
        let mut deadlines = Deadlines::new();
        let [first, second] = [Ticket::from_bits(1), Ticket::from_bits(2)];
        assert_eq!(deadlines.first(|_, _| true), None);
        deadlines.push(first, at(5));
        deadlines.push(second, at(7));
        deadlines.push(first, at(9));
        assert_eq!(deadlines.earliest(), Some(at(5)));
        assert_eq!(deadlines.first(|_, _| true), Some((at(5), first)));
        let stands = |ticket, when| (ticket, when) != (first, at(5));
        deadlines.left(stands);
        assert_eq!(deadlines.first(stands), Some((at(7), second)));
        assert_eq!(deadlines.pop(stands), Some((at(7), second)));
        assert_eq!(deadlines.first(stands), Some((at(9), first)));
        assert_eq!(deadlines.first(|_, _| false), None);
        assert_eq!(deadlines.earliest(), None);
    }

    #[test]
    fn those_that_no_longer_stand_are_swept_away() {
        let mut deadlines = Deadlines::new();
        for n in 0..100 {
            deadlines.push(Ticket::from_bits(n), at(n));
        }
        (0..51).for_each(|_| deadlines.left(|_, when| when > at(50)));
        assert_eq!(deadlines.earliest(), Some(at(51)));
    }
}

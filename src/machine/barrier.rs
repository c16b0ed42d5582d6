//! A barrier: nobody passes until `parties` have arrived, then all of them do, and the next generation begins.
//!
//! Whoever leaves early (cancelled or out of patience) gives its place back: the barrier is not broken for the others,
//! who wait for somebody else instead.

use super::config::ConfigError;
use super::crowd::Crowd;
use super::permits::Patience;
use super::ticket::{StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Refusal, Wakes};

/// The answer to a party that arrives.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Arrival {
    /// It was the last one: everybody passes. Exactly one party of each generation is told this, so that it can do
    /// what is to be done once.
    Last {
        /// The generation that is now complete, counted from 0.
        generation: u64,
    },
    /// Others are missing; a wake will follow.
    Waiting(Ticket),
    /// Others are missing and the caller would not wait, or the barrier is closed. It does not count as arrived.
    Refused(Refusal),
}

/// A barrier. See the module.
#[derive(Clone, Debug)]
pub struct Barrier {
    parties: u32,
    generation: u64,
    closed: bool,
    waiters: Crowd,
}

impl Barrier {
    /// A barrier for so many parties.
    ///
    /// # Errors
    ///
    /// For no parties at all.
    pub fn new(parties: u32) -> Result<Self, ConfigError> {
        if parties == 0 {
            return Err(ConfigError::integer("parties", "an integer ≥ 1", 0));
        }
        Ok(Self {
            parties,
            generation: 0,
            closed: false,
            waiters: Crowd::new(),
        })
    }

    /// Arrives.
    pub fn arrive(&mut self, now: Instant, patience: Patience, wakes: &mut Wakes) -> Arrival {
        self.on_deadline(now, wakes);
        if self.closed {
            return Arrival::Refused(Refusal::Closed);
        }
        if self.waiters.len() + 1 >= self.parties as usize {
            let generation = self.generation;
            self.generation += 1;
            self.waiters.go(wakes);
            return Arrival::Last { generation };
        }
        match self.waiters.join(now, patience) {
            Ok(ticket) => Arrival::Waiting(ticket),
            Err(refusal) => Arrival::Refused(refusal),
        }
    }

    /// Leaves before the others have come.
    pub fn cancel(&mut self, ticket: Ticket) -> Result<(), StaleTicket> {
        self.waiters.leave(ticket)
    }

    /// Ends waiting: those who have arrived are turned away, and so is whoever arrives later.
    pub fn close(&mut self, now: Instant, wakes: &mut Wakes) {
        self.on_deadline(now, wakes);
        self.closed = true;
        self.waiters.refuse(Refusal::Closed, wakes);
    }

    /// Turns away those who have waited as long as they would. Spurious calls do nothing.
    pub fn on_deadline(&mut self, now: Instant, wakes: &mut Wakes) {
        self.waiters.on_deadline(now, wakes);
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiters.next_deadline()
    }

    /// How many it takes.
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// How many have arrived and wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Which generation is gathering now, counted from 0.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::wakes::Why;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn waiting(answer: Arrival) -> Ticket {
        match answer {
            Arrival::Waiting(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_barrier_for_nobody_is_refused_with_a_sentence() {
        let error = Barrier::new(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Expected `parties` to be an integer ≥ 1, got `0`"
        );
    }

    #[test]
    fn the_last_to_arrive_opens_and_the_next_generation_begins() {
        let (mut barrier, mut wakes) = (Barrier::new(3).unwrap(), Wakes::new());
        for generation in 0..2 {
            let first = waiting(barrier.arrive(Instant::ZERO, Patience::Forever, &mut wakes));
            let second = waiting(barrier.arrive(Instant::ZERO, Patience::Forever, &mut wakes));
            let last = barrier.arrive(Instant::ZERO, Patience::None, &mut wakes);
            assert_eq!(last, Arrival::Last { generation });
            assert_eq!(wakes.pop().map(|wake| wake.ticket), Some(first));
            assert_eq!(wakes.pop().map(|wake| wake.ticket), Some(second));
            assert!(wakes.is_empty());
        }
        assert_eq!((barrier.parties(), barrier.generation()), (3, 2));
    }

    #[test]
    fn whoever_leaves_gives_its_place_back_and_breaks_nothing() {
        let (mut barrier, mut wakes) = (Barrier::new(2).unwrap(), Wakes::new());
        let gone = waiting(barrier.arrive(Instant::ZERO, Patience::Forever, &mut wakes));
        barrier.cancel(gone).unwrap();
        let stays = waiting(barrier.arrive(Instant::ZERO, Patience::Micros(5), &mut wakes));
        assert!(wakes.is_empty());
        barrier.on_deadline(Instant::from_micros(4), &mut wakes);
        assert!(wakes.is_empty());
        barrier.on_deadline(Instant::from_micros(5), &mut wakes);
        assert_eq!(wakes.pop().map(|wake| wake.ticket), Some(stays));
        assert_eq!(barrier.waiting(), 0);
    }

    #[test]
    fn closing_turns_away_who_has_arrived_and_the_last_one_too() {
        let (mut barrier, mut wakes) = (Barrier::new(2).unwrap(), Wakes::new());
        let first = waiting(barrier.arrive(Instant::ZERO, Patience::Micros(9), &mut wakes));
        barrier.close(Instant::from_micros(8), &mut wakes);
        let wake = wakes.pop().map(|wake| (wake.ticket, wake.why));
        assert_eq!(wake, Some((first, Why::Refused(Refusal::Closed))));
        for _ in 0..2 {
            let late = barrier.arrive(Instant::from_micros(8), Patience::Forever, &mut wakes);
            assert_eq!(late, Arrival::Refused(Refusal::Closed));
        }
        assert!(wakes.is_empty());
        assert_eq!((barrier.waiting(), barrier.generation()), (0, 0));
        assert_eq!(barrier.next_deadline(), None);
    }

    proptest! {
        #[test]
        fn as_many_pass_as_there_are_parties_in_each_generation(
            parties in 1u32..5,
            ops in prop::collection::vec(0u8..4, 1..100),
        ) {
            let (mut barrier, mut wakes) = (Barrier::new(parties).unwrap(), Wakes::new());
            let mut here = std::collections::BTreeSet::new();
            let mut complete = 0;
            for op in ops {
                if op > 0 {
                    match barrier.arrive(Instant::ZERO, Patience::Forever, &mut wakes) {
                        Arrival::Waiting(ticket) => { here.insert(ticket); }
                        answer => {
                            prop_assert_eq!(answer, Arrival::Last { generation: complete });
                            complete += 1;
                            prop_assert_eq!(wakes.len() as u32, parties - 1);
                        }
                    }
                } else if let Some(ticket) = here.pop_first() {
                    barrier.cancel(ticket).unwrap();
                }
                while let Some(wake) = wakes.pop() { prop_assert!(here.remove(&wake.ticket)); }
                prop_assert_eq!(barrier.waiting(), here.len());
                prop_assert!(here.len() < parties as usize);
            }
        }
    }
}

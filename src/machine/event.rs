//! An event: set, cleared, waited for.
//!
//! While it is set everybody passes; setting it lets all who wait go at once, in the order in which they came.
//! Clearing it afterwards takes nothing back from them. Closing it ends waiting, not the flag: whoever finds it set
//! passes a closed one too.

use super::crowd::Crowd;
use super::permits::Patience;
use super::ticket::{StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Refusal, Wakes};

/// The answer to somebody who waits for an event.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Wait {
    /// It is set.
    Passed,
    /// It is not; a wake will follow.
    Waiting(Ticket),
    /// It is not, and the caller would not wait, or nobody may any more.
    Refused(Refusal),
}

/// An event, at first not set.
#[derive(Clone, Debug, Default)]
pub struct Event {
    set: bool,
    closed: bool,
    waiters: Crowd,
}

impl Event {
    /// An event that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until it is set.
    pub fn wait(&mut self, now: Instant, patience: Patience, wakes: &mut Wakes) -> Wait {
        self.on_deadline(now, wakes);
        if self.set {
            return Wait::Passed;
        }
        if self.closed {
            return Wait::Refused(Refusal::Closed);
        }
        match self.waiters.join(now, patience) {
            Ok(ticket) => Wait::Waiting(ticket),
            Err(refusal) => Wait::Refused(refusal),
        }
    }

    /// Sets it: everybody who waits goes, and whoever comes passes until it is cleared.
    pub fn set(&mut self, now: Instant, wakes: &mut Wakes) {
        self.on_deadline(now, wakes);
        self.set = true;
        self.waiters.go(wakes);
    }

    /// Clears it: whoever comes from now on waits.
    pub fn clear(&mut self) {
        self.set = false;
    }

    /// Ends waiting: those who wait are turned away, and so is whoever comes while it is not set.
    pub fn close(&mut self, now: Instant, wakes: &mut Wakes) {
        self.on_deadline(now, wakes);
        self.closed = true;
        self.waiters.refuse(Refusal::Closed, wakes);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.set
    }

    /// Leaves without waiting any longer.
    pub fn cancel(&mut self, ticket: Ticket) -> Result<(), StaleTicket> {
        self.waiters.leave(ticket)
    }

    /// Turns away those who have waited as long as they would. Spurious calls do nothing.
    pub fn on_deadline(&mut self, now: Instant, wakes: &mut Wakes) {
        self.waiters.on_deadline(now, wakes);
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiters.next_deadline()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::wakes::Why;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn waiting(answer: Wait) -> Ticket {
        match answer {
            Wait::Waiting(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn setting_lets_all_go_in_the_order_in_which_they_came() {
        let (mut event, mut wakes) = (Event::new(), Wakes::new());
        let first = waiting(event.wait(Instant::ZERO, Patience::Forever, &mut wakes));
        let second = waiting(event.wait(Instant::ZERO, Patience::Micros(9), &mut wakes));
        event.set(Instant::ZERO, &mut wakes);
        assert_eq!(wakes.pop().map(|wake| wake.ticket), Some(first));
        assert_eq!(wakes.pop().map(|wake| wake.ticket), Some(second));
        assert_eq!(
            event.wait(Instant::ZERO, Patience::None, &mut wakes),
            Wait::Passed
        );
        assert_eq!(event.next_deadline(), None);
    }

    #[test]
    fn clearing_makes_newcomers_wait_and_takes_nothing_back() {
        let (mut event, mut wakes) = (Event::new(), Wakes::new());
        event.set(Instant::ZERO, &mut wakes);
        assert!(event.is_set());
        event.clear();
        assert!(!event.is_set());
        let refused = Wait::Refused(Refusal::NotNow);
        assert_eq!(event.wait(Instant::ZERO, Patience::None, &mut wakes), refused);
    }

    #[test]
    fn waits_before_t_and_is_turned_away_at_t() {
        let (mut event, mut wakes) = (Event::new(), Wakes::new());
        let ticket = waiting(event.wait(Instant::ZERO, Patience::Micros(5), &mut wakes));
        event.on_deadline(Instant::from_micros(4), &mut wakes);
        assert!(wakes.is_empty());
        event.on_deadline(Instant::from_micros(5), &mut wakes);
        assert_eq!(
            wakes.pop().map(|wake| wake.why),
            Some(Why::Refused(Refusal::QueueTimeout))
        );
        assert_eq!(event.cancel(ticket), Err(StaleTicket));
    }

    #[test]
    fn closing_turns_away_who_waits_and_whoever_would_have_to() {
        let (mut event, mut wakes) = (Event::new(), Wakes::new());
        let late = waiting(event.wait(Instant::ZERO, Patience::Micros(5), &mut wakes));
        let waits = waiting(event.wait(Instant::ZERO, Patience::Micros(6), &mut wakes));
        event.close(Instant::from_micros(5), &mut wakes);
        let refused = |ticket, refusal| Some((ticket, Why::Refused(refusal)));
        let mut next = || wakes.pop().map(|wake| (wake.ticket, wake.why));
        assert_eq!(next(), refused(late, Refusal::QueueTimeout));
        assert_eq!(next(), refused(waits, Refusal::Closed));
        assert_eq!(next(), None);
        let closed = Wait::Refused(Refusal::Closed);
        let wait = |event: &mut Event| event.wait(Instant::ZERO, Patience::Forever, &mut Wakes::new());
        assert_eq!(wait(&mut event), closed);
        event.set(Instant::ZERO, &mut wakes);
        assert_eq!(wait(&mut event), Wait::Passed);
        event.clear();
        assert_eq!(wait(&mut event), closed);
        assert_eq!((event.waiting(), event.next_deadline()), (0, None));
    }

    proptest! {
        #[test]
        fn every_waiter_is_answered_once(ops in prop::collection::vec((0u8..5, 0u64..9), 1..100)) {
            let (mut event, mut wakes) = (Event::new(), Wakes::new());
            let mut waits = std::collections::BTreeMap::new();
            let mut now = 0;
            for (op, n) in ops {
                let at = Instant::from_micros(now);
                match op {
                    0 | 1 => match event.wait(at, Patience::Micros(n), &mut wakes) {
                        Wait::Waiting(ticket) => { waits.insert(ticket, now + n); }
                        answer => prop_assert!(event.is_set() && answer == Wait::Passed),
                    },
                    2 => { event.set(at, &mut wakes); event.clear(); }
                    3 => if let Some((ticket, _)) = waits.pop_first() { prop_assert!(event.cancel(ticket).is_ok()) },
                    _ => { now += n; event.on_deadline(Instant::from_micros(now), &mut wakes); }
                }
                while let Some(wake) = wakes.pop() {
                    let gave_up = waits.remove(&wake.ticket).expect("one answer each");
                    prop_assert_eq!(wake.why == Why::Granted, gave_up > now);
                }
                prop_assert_eq!(event.waiting(), waits.len());
            }
        }
    }
}

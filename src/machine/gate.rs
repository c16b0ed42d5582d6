//! The gate before a start: what else must agree beside the slots, all of it or nothing.

use super::time::Instant;
use super::wakes::Refusal;

/// How a running task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As it should.
    Success,
    /// With a failure that says something about its target.
    Failure,
    /// In a way that says nothing about its target: an abort, a refusal from elsewhere.
    Ignored,
    /// It was granted and its function was never called: its tokens go back.
    NeverStarted,
}

/// What must agree to a start beside the slots.
pub trait Gate {
    /// Whether everybody is turned away at the moment.
    fn refusal(&mut self, now: Instant) -> Option<Refusal>;
    /// Takes `cost` tokens and the permission to start, or nothing.
    fn admit(&mut self, now: Instant, cost: u32) -> Verdict;
    /// When `cost` tokens will be there, once the `ahead` of those who wait before were taken. `Err` says how many there
    /// can ever be.
    fn ready_at(&mut self, now: Instant, ahead: u64, cost: u32) -> Result<Instant, u32>;
    /// A start that was permitted has ended.
    fn settle(&mut self, now: Instant, pass: Pass, cost: u32, outcome: Outcome, took: u64);
}

/// What a [`Gate`] says to a start.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Verdict {
    /// Yes; the pass comes back with the outcome.
    Pass(Pass),
    /// Not before then.
    NotBefore(Instant),
    /// No.
    Refuse(Refusal),
}

/// What a gate wants to remember about a start it permitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pass(pub u32);

/// The gate that is always open.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenGate;

impl Gate for OpenGate {
    fn refusal(&mut self, _: Instant) -> Option<Refusal> {
        None
    }
    fn admit(&mut self, _: Instant, _: u32) -> Verdict {
        Verdict::Pass(Pass::default())
    }
    fn ready_at(&mut self, now: Instant, _: u64, _: u32) -> Result<Instant, u32> {
        Ok(now)
    }
    fn settle(&mut self, _: Instant, _: Pass, _: u32, _: Outcome, _: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_open_gate_is_ready_at_once() {
        let now = Instant::from_micros(7);
        assert_eq!(OpenGate.ready_at(now, 0, 1), Ok(now));
        assert_eq!(OpenGate.refusal(now), None);
        assert!(matches!(OpenGate.admit(now, 1), Verdict::Pass(_)));
    }
}

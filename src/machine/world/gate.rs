//! What stands before a pool's slots: its own rates and a breaker that others may share.

use super::adaptive::Watched;
use crate::machine::breaker::{Breaker, Transition};
use crate::machine::gate::{Gate, Outcome, Pass, Verdict};
use crate::machine::random::Random;
use crate::machine::rate::{self, Rate};
use crate::machine::time::Instant;
use crate::machine::wakes::Refusal;
use core::time::Duration;

/// The gate of one pool for the length of one call.
pub(super) struct PoolGate<'a> {
    pub(super) rate: Option<&'a mut Rate>,
    pub(super) breaker: Option<&'a mut Breaker>,
    pub(super) random: &'a mut Random,
    /// What the call did to the breaker, last change last; carried on once the call has ended.
    pub(super) transitions: Transitions,
    /// What an adaptive pool learns of the call.
    pub(super) watched: Option<Watched>,
}

/// At most two changes come of one call: what time brought, and what an outcome did.
pub(super) type Transitions = [Option<Transition>; 2];

impl PoolGate<'_> {
    fn note(&mut self, transition: Option<Transition>) {
        if transition.is_none() {
            return;
        }
        match &mut self.transitions {
            [first @ None, _] => *first = transition,
            [_, last] => *last = transition,
        }
    }
}

impl Gate for PoolGate<'_> {
    #[inline(always)]
    fn refusal(&mut self, now: Instant) -> Option<Refusal> {
        let breaker = self.breaker.as_mut()?;
        let by_time = breaker.on_deadline(now);
        let refusal = breaker.refuse(now);
        if refusal.is_some() {
            breaker.turned_away();
        }
        self.note(by_time);
        refusal
    }

    fn admit(&mut self, now: Instant, cost: u32) -> Verdict {
        // The rate is only looked at until the breaker has agreed: tokens are taken for starts, not for refusals.
        match self.rate.as_mut().map(|rate| rate.check(now, cost)) {
            None | Some(rate::Verdict::Pass) => {}
            Some(rate::Verdict::NotBefore(then)) => return Verdict::NotBefore(then),
            Some(rate::Verdict::Never { limit }) => return Verdict::Refuse(Refusal::NeverPossible { limit }),
        }
        let pass = match self.breaker.as_mut() {
            None => Pass::default(),
            Some(breaker) => {
                let by_time = breaker.on_deadline(now);
                let admitted = breaker.admit(now);
                self.note(by_time);
                match admitted {
                    Ok(pass) => pass,
                    Err(refusal) => return Verdict::Refuse(refusal),
                }
            }
        };
        if let Some(rate) = self.rate.as_mut() {
            rate.try_take(now, cost);
        }
        Verdict::Pass(pass)
    }

    #[inline(always)]
    fn ready_at(&mut self, now: Instant, ahead: u64, cost: u32) -> Result<Instant, u32> {
        match self.rate.as_mut().map(|rate| rate.ready_after(now, ahead, cost)) {
            None | Some(rate::Verdict::Pass) => Ok(now),
            Some(rate::Verdict::NotBefore(then)) => Ok(then),
            Some(rate::Verdict::Never { limit }) => Err(limit),
        }
    }

    fn settle(&mut self, now: Instant, pass: Pass, cost: u32, outcome: Outcome, took: u64) {
        if let Some(watched) = &mut self.watched {
            watched.ended(outcome, took);
        }
        if outcome == Outcome::NeverStarted
            && let Some(rate) = self.rate.as_mut()
        {
            let taken_at = Instant::from_micros(now.as_micros().saturating_sub(took));
            rate.refund(now, taken_at, cost);
        }
        if let Some(breaker) = self.breaker.as_mut() {
            let changed = breaker.record(now, pass, outcome, Duration::from_micros(took), self.random);
            self.note(changed);
        }
    }
}

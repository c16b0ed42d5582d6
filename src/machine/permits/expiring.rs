//! What time brings: waits and runs that are over, and the end of a grace.

use super::entry::{Entry, NEVER, Running, is_timed};
use super::{AtEnd, Intake, Permits};
use crate::machine::gate::{Gate, Outcome};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Refusal, Wakes, Why};

impl Permits {
    /// When [`on_deadline`](Self::on_deadline) wants to be called; earlier calls do nothing.
    pub fn next_deadline(&self) -> Option<Instant> {
        let timed = if self.timed > 0 {
            self.deadlines.earliest().unwrap_or(NEVER)
        } else {
            NEVER
        };
        let blocked = match self.held_until() {
            Instant::ZERO => NEVER,
            _ if self.queue.is_empty() || self.paused => NEVER,
            held => held,
        };
        let grace = match self.intake {
            Intake::Closed { grace_until } if !self.is_idle() => grace_until,
            _ => NEVER,
        };
        Some(timed.min(blocked).min(grace)).filter(|at| *at != NEVER)
    }

    /// Carries out what time has brought.
    pub fn on_deadline(&mut self, now: Instant, gate: &mut impl Gate, wakes: &mut Wakes) {
        self.expire(now, gate, wakes);
        self.advance(now, gate, wakes);
    }

    #[inline(always)]
    pub(super) fn expire(&mut self, now: Instant, gate: &mut impl Gate, wakes: &mut Wakes) {
        if self.may_be_due(now) || self.intake != Intake::Open {
            self.expire_due(now, gate, wakes);
        }
    }

    #[inline(always)]
    fn may_be_due(&self, now: Instant) -> bool {
        self.timed > 0 && self.deadlines.earliest().is_some_and(|at| at <= now)
    }

    #[cold]
    #[inline(never)]
    fn expire_due(&mut self, now: Instant, gate: &mut impl Gate, wakes: &mut Wakes) {
        let mut freed = false;
        while self.may_be_due(now) {
            let entries = &self.entries;
            let stands = |ticket, at| is_timed(entries, ticket, at);
            let Some((_, ticket)) = self.deadlines.first(stands).filter(|(at, _)| *at <= now) else {
                break;
            };
            freed = true;
            match self.entries.get(ticket) {
                Some(Entry::Queued(_) | Entry::Outside(_)) => {
                    self.turn_away(ticket, Refusal::QueueTimeout, wakes);
                }
                Some(Entry::Running(run)) => {
                    let run = *run;
                    self.end_of_time(now, ticket, &run, gate);
                    wakes.push(ticket, Why::Expired);
                }
                _ => break,
            }
        }
        if let Intake::Closed { grace_until } = self.intake
            && grace_until <= now
            && !self.is_idle()
        {
            self.refuse_queue(Refusal::Closed, wakes);
            let running: Vec<(Ticket, Running)> = self
                .entries
                .iter()
                .filter_map(|(ticket, entry)| match entry {
                    Entry::Running(run) => Some((ticket, *run)),
                    _ => None,
                })
                .collect();
            for (ticket, run) in running {
                match run.at_end {
                    AtEnd::Revoke => self.revoke(now, ticket, &run, gate),
                    AtEnd::Abandon | AtEnd::Hold => self.abandon(now, ticket, &run, Outcome::Ignored, gate),
                }
                wakes.push(ticket, Why::Revoked);
            }
        }
        if freed {
            self.advance(now, gate, wakes);
        }
    }

    pub(super) fn time(&mut self, ticket: Ticket, at: Instant) {
        if at != NEVER {
            self.timed += 1;
            self.deadlines.push(ticket, at);
        }
    }

    /// One deadline no longer counts. Its entry has changed already.
    #[inline(never)]
    pub(super) fn untime(&mut self) {
        self.timed -= 1;
        let entries = &self.entries;
        self.deadlines.left(|ticket, at| is_timed(entries, ticket, at));
    }
}

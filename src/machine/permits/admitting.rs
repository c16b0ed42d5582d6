//! Who is granted at once, who waits, and who is turned away and why.

use super::entry::{Entry, NEVER, Running, Waiting, running_of, waiting_of};
use super::{Admission, Ask, Intake, Patience, Permits};
use crate::machine::gate::{Gate, Pass};
use crate::machine::queue::{Room, Standing};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Refusal, Wakes, Why};

impl Permits {
    pub(super) fn turned_away(&mut self, now: Instant, ask: &Ask, gate: &mut impl Gate) -> Option<Refusal> {
        if self.intake != Intake::Open {
            return Some(Refusal::Closed);
        }
        if ask.weight > self.ceiling() {
            return Some(Refusal::NeverPossible {
                limit: self.ceiling(),
            });
        }
        if let Some(refusal) = gate.refusal(now) {
            return Some(refusal);
        }
        let tokens_at = match gate.ready_at(now, self.queued_cost, ask.cost) {
            Ok(at) => at.max(self.cool_until),
            Err(limit) => return Some(Refusal::NeverPossible { limit }),
        };
        if ask.deadline <= now {
            return Some(Refusal::Shed { estimate: now });
        }
        if ask.deadline == NEVER && !matches!(ask.patience, Patience::Micros(_)) {
            return None;
        }
        let patient_until = match ask.patience {
            Patience::Micros(micros) => now.plus_micros(micros).min(ask.deadline),
            _ => ask.deadline,
        };
        if tokens_at > patient_until {
            return Some(Refusal::RateLimited { retry_at: tokens_at });
        }
        let estimate = self.start_estimate(now, ask.weight);
        (estimate > ask.deadline).then_some(Refusal::Shed { estimate })
    }

    /// When a newcomer would start, if all tasks run as long as they typically do.
    fn start_estimate(&self, now: Instant, weight: u32) -> Instant {
        let ahead = self.queued_weight + u64::from(self.in_use) + u64::from(weight);
        let over = ahead.saturating_sub(u64::from(self.capacity));
        // The running ones are half done on average, hence the half-round less.
        let wait =
            (over * 2).saturating_sub(1).saturating_mul(self.typical_run) / (2 * u64::from(self.capacity));
        if over == 0 { now } else { now.plus_micros(wait) }
    }

    /// Microseconds until a slot becomes free, if all tasks run as long as they typically do and are half done on
    /// average. Nothing before the first has ended.
    pub const fn turnover(&self) -> u64 {
        self.typical_run / (2 * self.capacity as u64)
    }

    #[inline(always)]
    pub(super) fn fits(&self, weight: u32) -> bool {
        weight <= self.capacity.saturating_sub(self.in_use)
            // A weight between capacity and ceiling runs alone rather than wait for growth that may never come.
            || (weight > self.capacity && self.in_use == 0)
    }

    /// The most slots there can ever be: who asks for more would wait for ever.
    pub(super) fn ceiling(&self) -> u32 {
        self.capacity.max(self.elastic_to)
    }

    #[inline(always)]
    pub(super) fn may_grant(&self, now: Instant) -> bool {
        !self.paused && self.held_until() <= now
    }

    pub(super) fn held_until(&self) -> Instant {
        self.blocked_until.max(self.cool_until)
    }

    pub(super) fn grant_newcomer(&mut self, now: Instant, ask: &Ask, pass: Pass) -> Admission {
        let waiting = waiting_of(now, ask, Standing::NONE);
        let run = running_of(now, &waiting, pass);
        let Ok(ticket) = self.entries.insert(Entry::Running(run)) else {
            let queued = self.queue.queued();
            return self.refuse(Refusal::QueueFull { queued });
        };
        self.counts.accepted += 1;
        self.started(now, ticket, &waiting, &run);
        Admission::Granted(ticket)
    }

    pub(super) fn enqueue(
        &mut self,
        now: Instant,
        ask: &Ask,
        gate: &mut impl Gate,
        wakes: &mut Wakes,
    ) -> Admission {
        let entries = &self.entries;
        let queued = self.queue.queued();
        let outside = match self
            .queue
            .room(|t| matches!(entries.get(t), Some(Entry::Queued(_))))
        {
            Room::Inside => false,
            Room::Outside => true,
            Room::InsteadOf(victim) => {
                self.turn_away(victim, Refusal::Dropped { queued }, wakes);
                false
            }
            Room::Dropped => return self.refuse(Refusal::Dropped { queued }),
            Room::Full => return self.refuse(Refusal::QueueFull { queued }),
        };
        let standing = self.queue.arrive(ask.priority, ask.key);
        let waiting = waiting_of(now, ask, standing);
        let entry = if outside {
            Entry::Outside(waiting)
        } else {
            Entry::Queued(waiting)
        };
        let Ok(ticket) = self.entries.insert(entry) else {
            return self.refuse(Refusal::QueueFull { queued });
        };
        self.counts.accepted += 1;
        self.queued_weight += u64::from(ask.weight);
        self.queued_cost += u64::from(ask.cost);
        self.time(ticket, waiting.give_up);
        if outside {
            self.queue.park(ticket, standing);
            return Admission::Outside(ticket);
        }
        self.queue.enter(ticket, standing);
        // A dropped head may have been what held this one up.
        self.advance(now, gate, wakes);
        Admission::Queued(ticket)
    }

    #[inline(always)]
    pub(super) fn started(&mut self, now: Instant, ticket: Ticket, waiting: &Waiting, run: &Running) {
        self.time(ticket, run.ends);
        self.in_use += run.weight;
        self.active += 1;
        self.counts.started += 1;
        self.counts.peak_active = self.counts.peak_active.max(self.active);
        if self.measured {
            self.waited.record(now.micros_since(waiting.arrived));
        }
    }

    /// Refuses whoever asks.
    pub(super) fn refuse(&mut self, refusal: Refusal) -> Admission {
        self.count_refusal(refusal);
        Admission::Refused(refusal)
    }

    /// Refuses somebody who waits.
    pub(super) fn turn_away(&mut self, ticket: Ticket, refusal: Refusal, wakes: &mut Wakes) {
        self.step_out(ticket);
        self.count_refusal(refusal);
        wakes.push(ticket, Why::Refused(refusal));
    }

    fn count_refusal(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Dropped { .. } => self.counts.dropped += 1,
            Refusal::QueueFull { .. } | Refusal::Closed | Refusal::NeverPossible { .. } => {
                self.counts.rejected += 1
            }
            Refusal::BrokenCircuit { .. } | Refusal::RateLimited { .. } => self.counts.blocked += 1,
            Refusal::Shed { .. } => self.counts.shed += 1,
            Refusal::QueueTimeout => self.counts.queue_timeouts += 1,
            Refusal::NotNow | Refusal::Deadlock | Refusal::Conflict => {}
        }
    }
}

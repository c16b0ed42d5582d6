//! Permits: who may run, who waits, who is turned away. The heart of every pool.
//!
//! A task asks once and holds one ticket until it has settled. A released slot goes to the next waiter in the same
//! step and nobody barges: a newcomer is granted at once only if nobody waits. The head of the queue waits for all its
//! slots and blocks those behind it, so a heavy task cannot starve.
//!
//! What else must agree before a task starts (rates, a breaker) stands behind [`Gate`]; a grant takes the slots, the
//! tokens and the breaker's permission together or nothing at all.
//!
//! Here and below, `inline(always)` stands on the steps that every task takes: wasm engines inline nothing by themselves, and a
//! third of what a task cost was calls. What other machines use too is inlined in the module with the pools alone.

use super::deadlines::Deadlines;
use super::gate::{Gate, Outcome, Verdict};
use super::histogram::Histogram;
use super::queue::{Queue, QueueConfig};
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Refusal, Wakes, Why};

mod admitting;
mod ask;
mod counts;
mod ending;
mod entry;
mod expiring;
mod looks;
#[cfg(test)]
mod model;
mod passing;
mod steering;
#[cfg(test)]
mod tests;
mod waiting;

pub use ask::{Admission, Ask, AtEnd, Patience};
pub use counts::Counts;
use entry::{Entry, NEVER, end_of, running_of};

/// Slots, those who hold them and those who wait for them.
#[derive(Clone, Debug)]
pub struct Permits {
    capacity: u32,
    // How far something that adapts the size may take it.
    elastic_to: u32,
    in_use: u32,
    active: u32,
    abandoned: u32,
    entries: Slab<Entry>,
    queue: Queue,
    queued_weight: u64,
    queued_cost: u64,
    deadlines: Deadlines,
    timed: u32,
    blocked_until: Instant,
    cool_until: Instant,
    paused: bool,
    intake: Intake,
    typical_run: u64,
    /// What happened so far.
    pub counts: Counts,
    /// Whether waits and runs are measured.
    pub measured: bool,
    /// Microseconds from request to start.
    pub waited: Histogram,
    /// Microseconds from start to end.
    pub ran: Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    Open,
    Closed { grace_until: Instant },
}

impl Permits {
    /// `capacity` slots (at least one) and a queue before them.
    pub fn new(capacity: u32, queue: QueueConfig) -> Self {
        let capacity = capacity.max(1);
        Self {
            capacity,
            elastic_to: 0,
            in_use: 0,
            active: 0,
            abandoned: 0,
            entries: Slab::new(),
            queue: Queue::new(queue),
            queued_weight: 0,
            queued_cost: 0,
            deadlines: Deadlines::new(),
            timed: 0,
            blocked_until: Instant::ZERO,
            cool_until: Instant::ZERO,
            paused: false,
            intake: Intake::Open,
            typical_run: 0,
            counts: Counts::default(),
            measured: true,
            waited: Histogram::new(),
            ran: Histogram::new(),
        }
    }

    /// Asks for a start. Granted at once only if nobody waits; turned away at once for what waiting cannot heal.
    pub fn request(
        &mut self,
        now: Instant,
        mut ask: Ask,
        gate: &mut impl Gate,
        wakes: &mut Wakes,
    ) -> Admission {
        // Who asks for no slot would find room in a full pool.
        ask.weight = ask.weight.max(1);
        self.expire(now, gate, wakes);
        if let Some(refusal) = self.turned_away(now, &ask, gate) {
            return self.refuse(refusal);
        }
        if self.queue.is_empty() {
            // Whom the gate held up has left; what it said to them does not hold for this one.
            self.blocked_until = Instant::ZERO;
        }
        if self.queue.is_empty() && self.fits(ask.weight) && self.may_grant(now) {
            match gate.admit(now, ask.cost) {
                Verdict::Pass(pass) => return self.grant_newcomer(now, &ask, pass),
                Verdict::NotBefore(at) => self.blocked_until = at,
                Verdict::Refuse(refusal) => return self.refuse(refusal),
            }
        }
        if ask.patience == Patience::None {
            return Admission::Refused(Refusal::NotNow);
        }
        self.enqueue(now, &ask, gate, wakes)
    }

    /// Gives slots back, or, for work that was abandoned before, says that it has settled. The next waiter is granted
    /// in this step.
    pub fn release(
        &mut self,
        now: Instant,
        ticket: Ticket,
        outcome: Outcome,
        gate: &mut impl Gate,
        wakes: &mut Wakes,
    ) -> Result<(), StaleTicket> {
        let run = match self.entries.get(ticket) {
            Some(Entry::Running(run)) => *run,
            Some(Entry::Abandoned { .. }) => {
                self.entries.remove(ticket);
                self.abandoned -= 1;
                return Ok(());
            }
            // One that still waits has nothing to release.
            Some(Entry::Queued(_) | Entry::Outside(_)) => return self.cancel(now, ticket, gate, wakes),
            None => {
                self.counts.late_releases += 1;
                return Err(StaleTicket);
            }
        };
        self.entries.remove(ticket);
        match outcome {
            Outcome::Success => self.counts.completed += 1,
            Outcome::Failure => self.counts.failed += 1,
            Outcome::Ignored | Outcome::NeverStarted => self.counts.cancelled += 1,
        }
        if matches!(outcome, Outcome::Success | Outcome::Failure) {
            let took = now.micros_since(run.started);
            if self.measured {
                self.ran.record(took);
            }
            // An exponential average over about eight tasks: recent enough to follow, old enough not to jump.
            self.typical_run = if self.typical_run == 0 {
                took
            } else {
                self.typical_run - self.typical_run / 8 + took / 8
            };
        }
        self.vacate(now, &run, outcome, gate);
        self.advance(now, gate, wakes);
        Ok(())
    }

    /// Leaves: a place in the queue, or slots whose work goes on as abandoned. The slots are free in this step.
    pub fn cancel(
        &mut self,
        now: Instant,
        ticket: Ticket,
        gate: &mut impl Gate,
        wakes: &mut Wakes,
    ) -> Result<(), StaleTicket> {
        match self.entries.get_mut(ticket) {
            Some(Entry::Running(run)) => {
                let run = *run;
                self.abandon(now, ticket, &run, Outcome::Ignored, gate);
                self.counts.cancelled += 1;
                self.advance(now, gate, wakes);
                Ok(())
            }
            Some(Entry::Queued(_) | Entry::Outside(_)) => {
                let was_first = self.head() == Some(ticket);
                self.step_out(ticket);
                self.counts.cancelled += 1;
                // Only the head can hold others up, and only a place inside makes room for those outside.
                if was_first || self.queue.waiting_outside() > 0 {
                    self.advance(now, gate, wakes);
                }
                Ok(())
            }
            Some(Entry::Abandoned { .. }) => Ok(()),
            None => Err(StaleTicket),
        }
    }

    /// Moves the end of a running lease to `run_for` microseconds from now.
    pub fn renew(&mut self, now: Instant, ticket: Ticket, run_for: u64) -> Result<Instant, StaleTicket> {
        let Some(Entry::Running(run)) = self.entries.get_mut(ticket) else {
            return Err(StaleTicket);
        };
        let before = run.ends;
        let ends = end_of(now, run_for);
        run.ends = ends;
        if before != NEVER {
            self.untime();
        }
        self.time(ticket, ends);
        Ok(ends)
    }

    /// Grants whatever can be granted; for hosts whose gate has changed from outside.
    pub fn advance(&mut self, now: Instant, gate: &mut impl Gate, wakes: &mut Wakes) {
        self.blocked_until = Instant::ZERO;
        if self.cool_until <= now {
            self.cool_until = Instant::ZERO;
        }
        // With every slot taken nobody fits, whoever is the head.
        while self.in_use < self.capacity && self.may_grant(now) {
            let Some(ticket) = self.head() else { break };
            let Some(Entry::Queued(waiting) | Entry::Outside(waiting)) = self.entries.get(ticket) else {
                break;
            };
            let waiting = *waiting;
            if !self.fits(waiting.weight) {
                break;
            }
            match gate.admit(now, waiting.cost) {
                Verdict::Pass(pass) => {
                    let run = running_of(now, &waiting, pass);
                    self.step_in(ticket, &waiting, run);
                    self.started(now, ticket, &waiting, &run);
                    wakes.push(ticket, Why::Granted);
                }
                Verdict::NotBefore(at) => {
                    self.blocked_until = at;
                    break;
                }
                Verdict::Refuse(refusal) => self.turn_away(ticket, refusal, wakes),
            }
        }
        self.let_in(wakes);
    }
}

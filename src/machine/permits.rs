//! Permits: who may run, who waits, who is turned away. The heart of every pool.
//!
//! A task asks once and holds one ticket until it has settled. A released slot goes to the next waiter in the same
//! step and nobody barges: a newcomer is granted at once only if nobody waits. The head of the queue waits for all its
//! slots and blocks those behind it, so a heavy task cannot starve.
//!
//! What else must agree before a task starts (rates, a breaker) stands behind [`Gate`]; a grant takes the slots, the
//! tokens and the breaker's permission together or nothing at all.

use super::deadlines::Deadlines;
use super::gate::{Gate, Outcome, Pass, Verdict};
use super::histogram::Histogram;
use super::line::Line;
use super::queue::{Queue, QueueConfig, Room, Standing};
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Refusal, Wakes, Why};

mod ask;
mod counts;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use ask::{Admission, Ask, AtEnd, Patience};
pub use counts::Counts;

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

#[derive(Clone, Copy, Debug)]
enum Entry {
    Outside(Waiting),
    Queued(Waiting),
    Running(Running),
    Abandoned { arrived: Instant, started: Instant },
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    standing: Standing,
    arrived: Instant,
    give_up: Instant,
    deadline: Instant,
    weight: u32,
    cost: u32,
    run_for: u64,
    at_end: AtEnd,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    arrived: Instant,
    started: Instant,
    ends: Instant,
    weight: u32,
    cost: u32,
    pass: Pass,
    at_end: AtEnd,
}

const NEVER: Instant = Instant::FAR_FUTURE;

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
            self.count_refusal(refusal);
            return Admission::Refused(refusal);
        }
        if self.queue.is_empty() {
            // Whom the gate held up has left; what it said to them does not hold for this one.
            self.blocked_until = Instant::ZERO;
        }
        if self.queue.is_empty() && self.fits(ask.weight) && self.may_grant(now) {
            match gate.admit(now, ask.cost) {
                Verdict::Pass(pass) => return self.grant_newcomer(now, &ask, pass),
                Verdict::NotBefore(at) => self.blocked_until = at,
                Verdict::Refuse(refusal) => {
                    self.count_refusal(refusal);
                    return Admission::Refused(refusal);
                }
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
        match self.entries.get(ticket) {
            Some(Entry::Running(_)) => {}
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
        }
        let Some(Entry::Running(run)) = self.entries.remove(ticket) else {
            return Err(StaleTicket);
        };
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
                self.step_out(ticket, None);
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

    /// Changes the number of slots. Growth is granted in this step; what runs above a shrunk bound finishes. A queued
    /// task that would not fit even an idle pool is turned away.
    pub fn resize(&mut self, now: Instant, capacity: u32, gate: &mut impl Gate, wakes: &mut Wakes) {
        self.capacity = capacity.max(1);
        let limit = self.ceiling();
        self.refuse_heavier(limit, Refusal::NeverPossible { limit }, wakes);
        self.advance(now, gate, wakes);
    }

    /// Says how far something that adapts the size may take it: weights up to there may wait.
    pub fn set_elastic(&mut self, most: u32) {
        self.elastic_to = most;
    }

    /// Grants nothing until [`resume`](Self::resume). What runs goes on, and the intake stays open. A pool that closes
    /// is not paused: its queue could not finish.
    pub fn pause(&mut self) {
        self.paused = self.intake == Intake::Open;
    }

    /// Grants again.
    pub fn resume(&mut self, now: Instant, gate: &mut impl Gate, wakes: &mut Wakes) {
        self.paused = false;
        self.advance(now, gate, wakes);
    }

    /// Grants nothing before `until`: the answer to a `Retry-After` that speaks for the whole target.
    pub fn cool_down(&mut self, until: Instant) {
        self.cool_until = self.cool_until.max(until);
    }

    /// Stops the intake. What is queued finishes, or is refused at once if `refuse_queue`; after `grace` microseconds
    /// the queue is refused and running work revoked.
    pub fn close(
        &mut self,
        now: Instant,
        refuse_queue: bool,
        grace: u64,
        gate: &mut impl Gate,
        wakes: &mut Wakes,
    ) {
        let until = end_of(now, grace);
        let grace_until = match self.intake {
            Intake::Open => until,
            Intake::Closed { grace_until } => grace_until.min(until),
        };
        self.intake = Intake::Closed { grace_until };
        // A pause would keep the queue from ever finishing.
        self.paused = false;
        if refuse_queue {
            self.refuse_queue(Refusal::Closed, wakes);
        }
        self.advance(now, gate, wakes);
        self.expire(now, gate, wakes);
    }

    /// Turns away everybody who waits: a breaker opened, or the host must give up.
    pub fn refuse_queue(&mut self, refusal: Refusal, wakes: &mut Wakes) {
        self.refuse_heavier(0, refusal, wakes);
    }

    /// Counts a start of the past as active, over the bound if need be: after a trap the host tells a new instance what
    /// still runs.
    pub fn adopt(&mut self, now: Instant, ask: Ask) -> Option<Ticket> {
        let waiting = waiting_of(now, &ask, Standing::NONE);
        let run = Running {
            cost: 0,
            ..running_of(now, &waiting, Pass::default())
        };
        let ticket = self.entries.insert(Entry::Running(run)).ok()?;
        self.time(ticket, run.ends);
        self.in_use += run.weight;
        self.active += 1;
        Some(ticket)
    }

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
                    self.queue.serve(waiting.standing);
                    self.step_out(ticket, Some(run));
                    self.started(now, ticket, &waiting, &run);
                    wakes.push(ticket, Why::Granted);
                }
                Verdict::NotBefore(at) => {
                    self.blocked_until = at;
                    break;
                }
                Verdict::Refuse(refusal) => {
                    self.step_out(ticket, None);
                    self.count_refusal(refusal);
                    wakes.push(ticket, Why::Refused(refusal));
                }
            }
        }
        self.let_in(wakes);
    }

    /// Slots there are.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Slots taken.
    pub fn in_use(&self) -> u32 {
        self.in_use
    }

    /// Tasks that hold slots.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// Tasks in the queue.
    pub fn queued(&self) -> u32 {
        self.queue.queued()
    }

    /// How many tasks the queue takes; `None` is unbounded.
    pub fn queue_capacity(&self) -> Option<u32> {
        self.queue.capacity()
    }

    /// Tasks that wait outside the queue for room.
    pub fn waiting_for_room(&self) -> u32 {
        self.queue.waiting_outside()
    }

    /// Tasks whose slot is free and whose work goes on.
    pub fn abandoned(&self) -> u32 {
        self.abandoned
    }

    /// Whether the intake is closed.
    pub fn is_closed(&self) -> bool {
        self.intake != Intake::Open
    }

    /// Whether nothing runs and nobody waits. Abandoned work does not count.
    pub fn is_idle(&self) -> bool {
        self.active == 0 && self.queue.is_empty()
    }

    /// How many slots a ticket holds; none while it waits, when it is abandoned, or when it is stale.
    pub fn slots_of(&self, ticket: Ticket) -> u32 {
        match self.entries.get(ticket) {
            Some(Entry::Running(run)) => run.weight,
            _ => 0,
        }
    }

    /// When a task arrived, and when it started.
    pub fn times(&self, ticket: Ticket) -> Option<(Instant, Option<Instant>)> {
        match self.entries.get(ticket)? {
            Entry::Queued(waiting) | Entry::Outside(waiting) => Some((waiting.arrived, None)),
            Entry::Running(Running { arrived, started, .. }) | Entry::Abandoned { arrived, started } => {
                Some((*arrived, Some(*started)))
            }
        }
    }

    /// How long the oldest running task has been at it, in microseconds.
    pub fn oldest_run(&self, now: Instant) -> u64 {
        self.entries
            .iter()
            .filter_map(|(_, entry)| match entry {
                Entry::Running(run) => Some(now.micros_since(run.started)),
                Entry::Abandoned { started, .. } => Some(now.micros_since(*started)),
                _ => None,
            })
            .max()
            .unwrap_or(0)
    }

    fn turned_away(&mut self, now: Instant, ask: &Ask, gate: &mut impl Gate) -> Option<Refusal> {
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
        if tokens_at > patient_until && tokens_at > now {
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

    fn fits(&self, weight: u32) -> bool {
        weight <= self.capacity.saturating_sub(self.in_use)
            // A weight between capacity and ceiling runs alone rather than wait for growth that may never come.
            || (weight > self.capacity && self.in_use == 0)
    }

    /// The most slots there can ever be: who asks for more would wait for ever.
    fn ceiling(&self) -> u32 {
        self.capacity.max(self.elastic_to)
    }

    fn may_grant(&self, now: Instant) -> bool {
        !self.paused && self.held_until() <= now
    }

    fn held_until(&self) -> Instant {
        self.blocked_until.max(self.cool_until)
    }

    fn grant_newcomer(&mut self, now: Instant, ask: &Ask, pass: Pass) -> Admission {
        let waiting = waiting_of(now, ask, Standing::NONE);
        let run = running_of(now, &waiting, pass);
        let Ok(ticket) = self.entries.insert(Entry::Running(run)) else {
            return Admission::Refused(Refusal::QueueFull {
                queued: self.queue.queued(),
            });
        };
        self.counts.accepted += 1;
        self.started(now, ticket, &waiting, &run);
        Admission::Granted(ticket)
    }

    fn enqueue(&mut self, now: Instant, ask: &Ask, gate: &mut impl Gate, wakes: &mut Wakes) -> Admission {
        let entries = &self.entries;
        let queued = self.queue.queued();
        let outside = match self
            .queue
            .room(|t| matches!(entries.get(t), Some(Entry::Queued(_))))
        {
            Room::Inside => false,
            Room::Outside => true,
            Room::InsteadOf(victim) => {
                self.step_out(victim, None);
                self.counts.dropped += 1;
                wakes.push(victim, Why::Refused(Refusal::Dropped { queued }));
                false
            }
            Room::Dropped => {
                self.counts.dropped += 1;
                return Admission::Refused(Refusal::Dropped { queued });
            }
            Room::Full => {
                self.counts.rejected += 1;
                return Admission::Refused(Refusal::QueueFull { queued });
            }
        };
        let standing = self.queue.arrive(ask.priority, ask.key);
        let waiting = waiting_of(now, ask, standing);
        let entry = if outside {
            Entry::Outside(waiting)
        } else {
            Entry::Queued(waiting)
        };
        let Ok(ticket) = self.entries.insert(entry) else {
            self.counts.rejected += 1;
            return Admission::Refused(Refusal::QueueFull { queued });
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

    fn started(&mut self, now: Instant, ticket: Ticket, waiting: &Waiting, run: &Running) {
        self.time(ticket, run.ends);
        self.in_use += run.weight;
        self.active += 1;
        self.counts.started += 1;
        self.counts.peak_active = self.counts.peak_active.max(self.active);
        if self.measured {
            self.waited.record(now.micros_since(waiting.arrived));
        }
    }

    /// Those outside enter while there is room.
    fn let_in(&mut self, wakes: &mut Wakes) {
        if self.queue.waiting_outside() > 0 {
            self.let_in_some(wakes);
        }
    }

    #[inline(never)]
    fn let_in_some(&mut self, wakes: &mut Wakes) {
        while self.queue.waiting_outside() > 0 && self.queue.has_room() {
            let entries = &self.entries;
            let Some(ticket) = self
                .queue
                .next_outside(|t| matches!(entries.get(t), Some(Entry::Outside(_))))
            else {
                break;
            };
            let Some(entry) = self.entries.get_mut(ticket) else {
                break;
            };
            let Entry::Outside(waiting) = *entry else { break };
            *entry = Entry::Queued(waiting);
            let entries = &self.entries;
            self.queue.left_outside(waiting.standing, true, |t| {
                matches!(entries.get(t), Some(Entry::Outside(_)))
            });
            self.queue.enter(ticket, waiting.standing);
            wakes.push(ticket, Why::Accepted);
        }
    }

    fn head(&mut self) -> Option<Ticket> {
        let entries = &self.entries;
        self.queue.head(
            |t| matches!(entries.get(t), Some(Entry::Queued(_))),
            |t| matches!(entries.get(t), Some(Entry::Outside(_))),
        )
    }

    /// Takes a waiting task out of its line: to run, or altogether.
    #[inline(never)]
    fn step_out(&mut self, ticket: Ticket, to: Option<Running>) {
        let Some(entry) = self.entries.get_mut(ticket) else {
            return;
        };
        let (waiting, was_outside) = match entry {
            Entry::Outside(waiting) => (*waiting, true),
            Entry::Queued(waiting) => (*waiting, false),
            _ => return,
        };
        match to {
            Some(run) => *entry = Entry::Running(run),
            None => drop(self.entries.remove(ticket)),
        }
        self.queued_weight -= u64::from(waiting.weight);
        self.queued_cost -= u64::from(waiting.cost);
        if waiting.give_up != NEVER {
            self.untime();
        }
        let entries = &self.entries;
        if was_outside {
            self.queue.left_outside(waiting.standing, false, |t| {
                matches!(entries.get(t), Some(Entry::Outside(_)))
            });
        } else {
            self.queue.left_inside(waiting.standing, |t| {
                matches!(entries.get(t), Some(Entry::Queued(_)))
            });
        }
    }

    /// Turns away who waits for more than `weight` slots, in their order.
    #[inline(never)]
    fn refuse_heavier(&mut self, weight: u32, refusal: Refusal, wakes: &mut Wakes) {
        if self.queue.is_empty() {
            return;
        }
        let mut refused = Line::new();
        for (ticket, entry) in self.entries.iter() {
            if let Entry::Queued(waiting) | Entry::Outside(waiting) = entry
                && waiting.weight > weight
            {
                refused.push(waiting.standing.rank, ticket);
            }
        }
        while let Some((_, ticket)) = refused.pop(|_| true) {
            self.step_out(ticket, None);
            self.count_refusal(refusal);
            wakes.push(ticket, Why::Refused(refusal));
        }
        self.let_in(wakes);
    }

    /// The slots of a running task are free; its entry is gone or stays as abandoned.
    #[inline(never)]
    fn vacate(&mut self, now: Instant, run: &Running, outcome: Outcome, gate: &mut impl Gate) {
        self.in_use -= run.weight;
        self.active -= 1;
        if run.ends != NEVER {
            self.untime();
        }
        gate.settle(now, run.pass, run.cost, outcome, now.micros_since(run.started));
    }

    #[inline(never)]
    fn abandon(
        &mut self,
        now: Instant,
        ticket: Ticket,
        run: &Running,
        outcome: Outcome,
        gate: &mut impl Gate,
    ) {
        if let Some(entry) = self.entries.get_mut(ticket) {
            *entry = Entry::Abandoned {
                arrived: run.arrived,
                started: run.started,
            };
            self.abandoned += 1;
        }
        self.vacate(now, run, outcome, gate);
    }

    fn revoke(&mut self, now: Instant, ticket: Ticket, run: &Running, gate: &mut impl Gate) {
        self.entries.remove(ticket);
        self.vacate(now, run, Outcome::Ignored, gate);
    }

    fn expire(&mut self, now: Instant, gate: &mut impl Gate, wakes: &mut Wakes) {
        if self.may_be_due(now) || self.intake != Intake::Open {
            self.expire_due(now, gate, wakes);
        }
    }

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
                    self.step_out(ticket, None);
                    self.counts.queue_timeouts += 1;
                    wakes.push(ticket, Why::Refused(Refusal::QueueTimeout));
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

    #[inline(never)]
    fn end_of_time(&mut self, now: Instant, ticket: Ticket, run: &Running, gate: &mut impl Gate) {
        self.counts.task_timeouts += 1;
        match run.at_end {
            AtEnd::Abandon => self.abandon(now, ticket, run, Outcome::Failure, gate),
            AtEnd::Revoke => self.revoke(now, ticket, run, gate),
            AtEnd::Hold => {
                if let Some(Entry::Running(run)) = self.entries.get_mut(ticket) {
                    run.ends = NEVER;
                }
                self.untime();
            }
        }
    }

    fn time(&mut self, ticket: Ticket, at: Instant) {
        if at != NEVER {
            self.timed += 1;
            self.deadlines.push(ticket, at);
        }
    }

    /// One deadline no longer counts. Its entry has changed already.
    #[inline(never)]
    fn untime(&mut self) {
        self.timed -= 1;
        let entries = &self.entries;
        self.deadlines.left(|ticket, at| is_timed(entries, ticket, at));
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

fn waiting_of(now: Instant, ask: &Ask, standing: Standing) -> Waiting {
    let give_up = match ask.patience {
        Patience::Micros(micros) => end_of(now, micros).min(ask.deadline),
        Patience::None | Patience::Forever => ask.deadline,
    };
    Waiting {
        standing,
        arrived: now,
        give_up,
        deadline: ask.deadline,
        weight: ask.weight.max(1),
        cost: ask.cost,
        run_for: ask.run_for,
        at_end: ask.at_end,
    }
}

fn running_of(now: Instant, waiting: &Waiting, pass: Pass) -> Running {
    Running {
        arrived: waiting.arrived,
        started: now,
        ends: end_of(now, waiting.run_for).min(waiting.deadline),
        weight: waiting.weight,
        cost: waiting.cost,
        pass,
        at_end: waiting.at_end,
    }
}

fn is_timed(entries: &Slab<Entry>, ticket: Ticket, at: Instant) -> bool {
    match entries.get(ticket) {
        Some(Entry::Queued(waiting) | Entry::Outside(waiting)) => waiting.give_up == at,
        Some(Entry::Running(run)) => run.ends == at,
        _ => false,
    }
}

fn end_of(now: Instant, micros: u64) -> Instant {
    if micros == u64::MAX {
        NEVER
    } else {
        now.plus_micros(micros)
    }
}

//! Permits: who may run, who waits, who is turned away. The heart of every pool.
//!
//! A task asks once and holds one ticket until it has settled. A released slot goes to the next waiter in the same
//! step and nobody barges: a newcomer is granted at once only if nobody waits. The head of the queue waits for all its
//! slots and blocks those behind it, so a heavy task cannot starve.
//!
//! What else must agree before a task starts (rates, a breaker) stands behind [`Gate`]; a grant takes the slots, the
//! tokens and the breaker's permission together or nothing at all.

use super::histogram::Histogram;
use super::line::Line;
use super::queue::{Queue, QueueConfig, Room, Standing};
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Refusal, Wakes, Why};

/// What a task asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Slots it takes while it runs, at least 1.
    pub weight: u32,
    /// Tokens it takes from the rates.
    pub cost: u32,
    /// Higher first; the field's range is −100 to 100.
    pub priority: i32,
    /// Whose turn it takes; 0 is nobody's in particular.
    pub key: u32,
    /// How long it is willing to wait for its start.
    pub patience: Patience,
    /// When all of it must be over: what cannot start before is shed at once.
    pub deadline: Instant,
    /// How long it may run, in microseconds.
    pub run_for: u64,
    /// What happens when that time is over.
    pub at_end: AtEnd,
}

impl Ask {
    /// One slot, one token, no priority, no limits.
    pub const PLAIN: Self = Self {
        weight: 1,
        cost: 1,
        priority: 0,
        key: 0,
        patience: Patience::Forever,
        deadline: Instant::FAR_FUTURE,
        run_for: u64::MAX,
        at_end: AtEnd::Abandon,
    };
}

impl Default for Ask {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// How long a task waits for its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// So many microseconds.
    Micros(u64),
    /// As long as it takes.
    Forever,
}

/// What happens to a slot whose holder has run out of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtEnd {
    /// It is free at once; the work that goes on counts as abandoned until it settles.
    Abandon,
    /// It stays taken until the work settles: the bound is never exceeded, and a dead task holds it for ever.
    Hold,
    /// It is free at once and the ticket is stale: a lease that nobody renewed.
    Revoke,
}

/// The answer to a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Admission {
    /// It may run now.
    Granted(Ticket),
    /// It is queued; a wake will follow.
    Queued(Ticket),
    /// It waits outside the queue for room; a wake will follow.
    Outside(Ticket),
    /// It is turned away.
    Refused(Refusal),
}

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
    /// When `cost` tokens will be there, if nobody else takes any. `Err` says how many there can ever be.
    fn ready_at(&mut self, now: Instant, cost: u64) -> Result<Instant, u32>;
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
    fn ready_at(&mut self, now: Instant, _: u64) -> Result<Instant, u32> {
        Ok(now)
    }
    fn settle(&mut self, _: Instant, _: Pass, _: u32, _: Outcome, _: u64) {}
}

/// What happened so far, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests that were let in: granted, queued or parked.
    pub accepted: u64,
    /// Starts.
    pub started: u64,
    /// Ends with success.
    pub completed: u64,
    /// Ends with failure, time-outs not included.
    pub failed: u64,
    /// Left while waiting or running, by the caller's wish.
    pub cancelled: u64,
    /// Sacrificed by an overflow rule.
    pub dropped: u64,
    /// Refused by a full queue.
    pub rejected: u64,
    /// Refused by a rate or a breaker.
    pub blocked: u64,
    /// Refused because they could not start before their deadline.
    pub shed: u64,
    /// Gave up waiting.
    pub queue_timeouts: u64,
    /// Ran out of time.
    pub task_timeouts: u64,
    /// Leases that were released after they had been taken back.
    pub late_releases: u64,
    /// The most tasks that ever ran at once.
    pub peak_active: u32,
}

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
    deadlines: Line<(Ticket, Instant)>,
    timed: u32,
    blocked_until: Instant,
    cool_until: Instant,
    paused: bool,
    intake: Intake,
    typical_run: u64,
    /// What happened so far.
    pub counts: Counts,
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
    Abandoned { since: Instant },
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    standing: Standing,
    arrived: Instant,
    give_up: Instant,
    weight: u32,
    cost: u32,
    run_for: u64,
    at_end: AtEnd,
}

#[derive(Clone, Copy, Debug)]
struct Running {
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
            deadlines: Line::new(),
            timed: 0,
            blocked_until: Instant::ZERO,
            cool_until: Instant::ZERO,
            paused: false,
            intake: Intake::Open,
            typical_run: 0,
            counts: Counts::default(),
            waited: Histogram::new(),
            ran: Histogram::new(),
        }
    }

    /// Asks for a start. Granted at once only if nobody waits; turned away at once for what waiting cannot heal.
    pub fn request(&mut self, now: Instant, ask: Ask, gate: &mut impl Gate, wakes: &mut Wakes) -> Admission {
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
            self.ran.record(took);
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
        self.refuse_waiting(Refusal::NeverPossible { limit }, wakes, |waiting| {
            waiting.weight > limit
        });
        self.advance(now, gate, wakes);
    }

    /// Says how far something that adapts the size may take it: weights up to there may wait.
    pub fn set_elastic(&mut self, most: u32) {
        self.elastic_to = most;
    }

    /// Grants nothing until [`resume`](Self::resume). What runs goes on, and the intake stays open.
    pub fn pause(&mut self) {
        self.paused = true;
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
            self.refuse_waiting(Refusal::Closed, wakes, |_| true);
        }
        self.advance(now, gate, wakes);
        self.expire(now, gate, wakes);
    }

    /// Turns away everybody who waits: a breaker opened, or the host must give up.
    pub fn refuse_queue(&mut self, refusal: Refusal, wakes: &mut Wakes) {
        self.refuse_waiting(refusal, wakes, |_| true);
    }

    /// Counts a lease of the past as active: after a trap the host tells a new instance what still runs.
    pub fn adopt(&mut self, now: Instant, weight: u32) -> Option<Ticket> {
        let run = Running {
            started: now,
            ends: NEVER,
            weight,
            cost: 0,
            pass: Pass::default(),
            at_end: AtEnd::Abandon,
        };
        let ticket = self.entries.insert(Entry::Running(run)).ok()?;
        self.in_use += weight;
        self.active += 1;
        Some(ticket)
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called; earlier calls do nothing.
    pub fn next_deadline(&self) -> Option<Instant> {
        let timed = if self.timed > 0 {
            self.deadlines.front_rank().map_or(NEVER, instant_of)
        } else {
            NEVER
        };
        let blocked = if self.queue.is_empty() || self.paused {
            NEVER
        } else {
            self.held_until()
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
        while self.may_grant(now) {
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

    /// How long the oldest running task has been at it, in microseconds.
    pub fn oldest_run(&self, now: Instant) -> u64 {
        self.entries
            .iter()
            .filter_map(|(_, entry)| match entry {
                Entry::Running(run) => Some(now.micros_since(run.started)),
                Entry::Abandoned { since } => Some(now.micros_since(*since)),
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
        let tokens_at = match gate.ready_at(now, self.queued_cost + u64::from(ask.cost)) {
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
        let waiting = waiting_of(
            now,
            ask,
            Standing {
                rank: 0,
                priority: 0,
                key: 0,
            },
        );
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
        self.waited.record(now.micros_since(waiting.arrived));
    }

    /// Those outside enter while there is room.
    fn let_in(&mut self, wakes: &mut Wakes) {
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

    fn refuse_waiting(&mut self, refusal: Refusal, wakes: &mut Wakes, which: impl Fn(&Waiting) -> bool) {
        if self.queue.is_empty() {
            return;
        }
        let mut refused: Vec<(i64, Ticket)> = self
            .entries
            .iter()
            .filter_map(|(ticket, entry)| match entry {
                Entry::Queued(waiting) | Entry::Outside(waiting) if which(waiting) => {
                    Some((waiting.standing.rank, ticket))
                }
                _ => None,
            })
            .collect();
        refused.sort_unstable_by_key(|(rank, _)| *rank);
        for (_, ticket) in refused {
            self.step_out(ticket, None);
            self.count_refusal(refusal);
            wakes.push(ticket, Why::Refused(refusal));
        }
        self.let_in(wakes);
    }

    /// The slots of a running task are free; its entry is gone or stays as abandoned.
    fn vacate(&mut self, now: Instant, run: &Running, outcome: Outcome, gate: &mut impl Gate) {
        self.in_use -= run.weight;
        self.active -= 1;
        if run.ends != NEVER {
            self.untime();
        }
        gate.settle(now, run.pass, run.cost, outcome, now.micros_since(run.started));
    }

    fn abandon(
        &mut self,
        now: Instant,
        ticket: Ticket,
        run: &Running,
        outcome: Outcome,
        gate: &mut impl Gate,
    ) {
        if let Some(entry) = self.entries.get_mut(ticket) {
            *entry = Entry::Abandoned { since: run.started };
            self.abandoned += 1;
        }
        self.vacate(now, run, outcome, gate);
    }

    fn expire(&mut self, now: Instant, gate: &mut impl Gate, wakes: &mut Wakes) {
        let mut freed = false;
        while self.timed > 0
            && self
                .deadlines
                .front_rank()
                .is_some_and(|rank| instant_of(rank) <= now)
        {
            let entries = &self.entries;
            let Some((rank, (ticket, _))) = self.deadlines.peek(|timed| is_timed(entries, timed)) else {
                break;
            };
            if instant_of(rank) > now {
                break;
            }
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
            self.refuse_waiting(Refusal::Closed, wakes, |_| true);
            let running: Vec<(Ticket, Running)> = self
                .entries
                .iter()
                .filter_map(|(ticket, entry)| match entry {
                    Entry::Running(run) => Some((ticket, *run)),
                    _ => None,
                })
                .collect();
            for (ticket, run) in running {
                self.abandon(now, ticket, &run, Outcome::Ignored, gate);
                wakes.push(ticket, Why::Revoked);
            }
        }
        if freed {
            self.advance(now, gate, wakes);
        }
    }

    fn end_of_time(&mut self, now: Instant, ticket: Ticket, run: &Running, gate: &mut impl Gate) {
        self.counts.task_timeouts += 1;
        match run.at_end {
            AtEnd::Abandon => self.abandon(now, ticket, run, Outcome::Failure, gate),
            AtEnd::Revoke => {
                self.entries.remove(ticket);
                self.vacate(now, run, Outcome::Ignored, gate);
            }
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
            self.deadlines.push(rank_of(at), (ticket, at));
        }
    }

    /// One deadline no longer counts. Its entry has changed already.
    fn untime(&mut self) {
        self.timed -= 1;
        let entries = &self.entries;
        self.deadlines.left(|timed| is_timed(entries, timed));
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
        weight: ask.weight.max(1),
        cost: ask.cost,
        run_for: ask.run_for,
        at_end: ask.at_end,
    }
}

fn running_of(now: Instant, waiting: &Waiting, pass: Pass) -> Running {
    Running {
        started: now,
        ends: end_of(now, waiting.run_for),
        weight: waiting.weight,
        cost: waiting.cost,
        pass,
        at_end: waiting.at_end,
    }
}

fn is_timed(entries: &Slab<Entry>, (ticket, at): (Ticket, Instant)) -> bool {
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

// Microseconds fit an i64 for 292,000 years.
fn rank_of(at: Instant) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

fn instant_of(rank: i64) -> Instant {
    Instant::from_micros(rank.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::super::queue::Overflow;
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const T0: Instant = Instant::from_micros(1_000_000);

    struct House {
        permits: Permits,
        wakes: Wakes,
        now: Instant,
    }

    impl House {
        fn of(capacity: u32, queue: QueueConfig) -> Self {
            Self {
                permits: Permits::new(capacity, queue),
                wakes: Wakes::new(),
                now: T0,
            }
        }
        fn ask(&mut self, ask: Ask) -> Admission {
            self.permits
                .request(self.now, ask, &mut OpenGate, &mut self.wakes)
        }
        fn granted(&mut self, ask: Ask) -> Ticket {
            match self.ask(ask) {
                Admission::Granted(ticket) => ticket,
                other => panic!("expected a grant, got {other:?}"),
            }
        }
        fn queued(&mut self, ask: Ask) -> Ticket {
            match self.ask(ask) {
                Admission::Queued(ticket) => ticket,
                other => panic!("expected a place in the queue, got {other:?}"),
            }
        }
        fn release(&mut self, ticket: Ticket) {
            self.permits
                .release(self.now, ticket, Outcome::Success, &mut OpenGate, &mut self.wakes)
                .unwrap();
        }
        fn cancel(&mut self, ticket: Ticket) {
            self.permits
                .cancel(self.now, ticket, &mut OpenGate, &mut self.wakes)
                .unwrap();
        }
        fn pass(&mut self, micros: u64) {
            self.now = self.now.plus_micros(micros);
            self.permits.on_deadline(self.now, &mut OpenGate, &mut self.wakes);
        }
        fn wakes(&mut self) -> Vec<(Ticket, Why)> {
            std::iter::from_fn(|| self.wakes.pop())
                .map(|wake| (wake.ticket, wake.why))
                .collect()
        }
    }

    fn bounded(capacity: u32, overflow: Overflow) -> QueueConfig {
        QueueConfig {
            capacity: Some(capacity),
            overflow,
            ..QueueConfig::default()
        }
    }

    #[test]
    fn released_slot_goes_to_the_oldest_waiter() {
        let mut house = House::of(1, QueueConfig::default());
        let running = house.granted(Ask::PLAIN);
        let (first, second) = (house.queued(Ask::PLAIN), house.queued(Ask::PLAIN));
        house.release(running);
        assert_eq!(house.wakes(), [(first, Why::Granted)]);
        house.release(first);
        assert_eq!(house.wakes(), [(second, Why::Granted)]);
    }

    #[test]
    fn nobody_barges_past_a_heavy_head() {
        let mut house = House::of(2, QueueConfig::default());
        let running = house.granted(Ask::PLAIN);
        let heavy = house.queued(Ask {
            weight: 2,
            ..Ask::PLAIN
        });
        let light = house.queued(Ask::PLAIN);
        assert_eq!(house.permits.in_use(), 1);
        house.release(running);
        assert_eq!(house.wakes(), [(heavy, Why::Granted)]);
        house.release(heavy);
        assert_eq!(house.wakes(), [(light, Why::Granted)]);
    }

    #[test]
    fn cancelling_a_heavy_head_lets_the_next_run_in_the_same_step() {
        let mut house = House::of(2, QueueConfig::default());
        house.granted(Ask::PLAIN);
        let heavy = house.queued(Ask {
            weight: 2,
            ..Ask::PLAIN
        });
        let light = house.queued(Ask::PLAIN);
        house.cancel(heavy);
        assert_eq!(house.wakes(), [(light, Why::Granted)]);
    }

    #[test]
    fn a_weight_above_capacity_is_never_possible() {
        let mut house = House::of(2, QueueConfig::default());
        let refused = Admission::Refused(Refusal::NeverPossible { limit: 2 });
        assert_eq!(
            house.ask(Ask {
                weight: 3,
                ..Ask::PLAIN
            }),
            refused
        );
        house.granted(Ask::PLAIN);
        let heavy = house.queued(Ask {
            weight: 2,
            ..Ask::PLAIN
        });
        house.permits.resize(T0, 1, &mut OpenGate, &mut house.wakes);
        assert_eq!(
            house.wakes(),
            [(heavy, Why::Refused(Refusal::NeverPossible { limit: 1 }))]
        );
    }

    #[test]
    fn overflow_error_refuses_at_once() {
        let mut house = House::of(1, bounded(1, Overflow::Error));
        house.granted(Ask::PLAIN);
        house.queued(Ask::PLAIN);
        assert_eq!(
            house.ask(Ask::PLAIN),
            Admission::Refused(Refusal::QueueFull { queued: 1 })
        );
    }

    #[test]
    fn overflow_drop_newest_drops_the_newcomer() {
        let mut house = House::of(1, bounded(1, Overflow::DropNewest));
        house.granted(Ask::PLAIN);
        house.queued(Ask::PLAIN);
        assert_eq!(
            house.ask(Ask::PLAIN),
            Admission::Refused(Refusal::Dropped { queued: 1 })
        );
    }

    #[test]
    fn overflow_drop_oldest_drops_the_longest_queued_of_the_lowest_priority() {
        let mut house = House::of(1, bounded(3, Overflow::DropOldest));
        house.granted(Ask::PLAIN);
        house.queued(Ask {
            priority: 1,
            ..Ask::PLAIN
        });
        let victim = house.queued(Ask::PLAIN);
        house.queued(Ask::PLAIN);
        house.queued(Ask::PLAIN);
        assert_eq!(
            house.wakes(),
            [(victim, Why::Refused(Refusal::Dropped { queued: 3 }))]
        );
        assert_eq!(house.permits.queued(), 3);
    }

    #[test]
    fn overflow_wait_parks_outside_and_enters_in_the_step_that_makes_room() {
        let config = QueueConfig {
            max_waiters: Some(1),
            ..bounded(1, Overflow::Wait)
        };
        let mut house = House::of(1, config);
        let running = house.granted(Ask::PLAIN);
        let queued = house.queued(Ask::PLAIN);
        let Admission::Outside(outside) = house.ask(Ask::PLAIN) else {
            panic!("expected to wait outside")
        };
        assert_eq!(
            house.ask(Ask::PLAIN),
            Admission::Refused(Refusal::QueueFull { queued: 1 })
        );
        assert_eq!((house.permits.queued(), house.permits.waiting_for_room()), (1, 1));
        house.release(running);
        assert_eq!(house.wakes(), [(queued, Why::Granted), (outside, Why::Accepted)]);
        assert_eq!((house.permits.queued(), house.permits.waiting_for_room()), (1, 0));
    }

    #[test]
    fn without_a_queue_those_who_wait_go_straight_from_outside_to_a_slot() {
        let mut house = House::of(1, bounded(0, Overflow::Wait));
        let running = house.granted(Ask::PLAIN);
        let Admission::Outside(outside) = house.ask(Ask::PLAIN) else {
            panic!("expected to wait outside")
        };
        house.release(running);
        assert_eq!(house.wakes(), [(outside, Why::Granted)]);
    }

    #[test]
    fn patience_ends_at_its_moment_and_not_before() {
        let mut house = House::of(1, QueueConfig::default());
        house.granted(Ask::PLAIN);
        let waiting = house.queued(Ask {
            patience: Patience::Micros(10),
            ..Ask::PLAIN
        });
        assert_eq!(house.permits.next_deadline(), Some(T0.plus_micros(10)));
        house.pass(9);
        assert_eq!(house.wakes(), []);
        house.pass(1);
        assert_eq!(house.wakes(), [(waiting, Why::Refused(Refusal::QueueTimeout))]);
        assert_eq!(house.permits.next_deadline(), None);
    }

    #[test]
    fn a_task_out_of_time_frees_its_slot_and_is_abandoned_until_it_settles() {
        let mut house = House::of(1, QueueConfig::default());
        let running = house.granted(Ask {
            run_for: 10,
            ..Ask::PLAIN
        });
        let waiting = house.queued(Ask::PLAIN);
        house.pass(10);
        assert_eq!(house.wakes(), [(running, Why::Expired), (waiting, Why::Granted)]);
        assert_eq!((house.permits.active(), house.permits.abandoned()), (1, 1));
        house.release(running);
        assert_eq!((house.permits.active(), house.permits.abandoned()), (1, 0));
        assert_eq!(house.permits.counts.completed, 0);
    }

    #[test]
    fn holding_keeps_the_slot_of_a_task_out_of_time() {
        let mut house = House::of(1, QueueConfig::default());
        let running = house.granted(Ask {
            run_for: 10,
            at_end: AtEnd::Hold,
            ..Ask::PLAIN
        });
        let waiting = house.queued(Ask::PLAIN);
        house.pass(10);
        assert_eq!(house.wakes(), [(running, Why::Expired)]);
        house.pass(10);
        assert_eq!(house.wakes(), []);
        house.release(running);
        assert_eq!(house.wakes(), [(waiting, Why::Granted)]);
    }

    #[test]
    fn a_lease_can_be_renewed_and_is_revoked_when_it_is_not() {
        let mut house = House::of(1, QueueConfig::default());
        let lease = house.granted(Ask {
            run_for: 10,
            at_end: AtEnd::Revoke,
            ..Ask::PLAIN
        });
        house.pass(9);
        assert_eq!(
            house.permits.renew(house.now, lease, 10),
            Ok(house.now.plus_micros(10))
        );
        house.pass(9);
        assert_eq!(house.wakes(), []);
        house.pass(1);
        assert_eq!(house.wakes(), [(lease, Why::Expired)]);
        let late = house.permits.release(
            house.now,
            lease,
            Outcome::Success,
            &mut OpenGate,
            &mut house.wakes,
        );
        assert_eq!((late, house.permits.counts.late_releases), (Err(StaleTicket), 1));
    }

    #[test]
    fn what_cannot_start_before_its_deadline_is_shed_at_once_with_the_estimate() {
        let mut house = House::of(1, QueueConfig::default());
        let first = house.granted(Ask::PLAIN);
        house.now = house.now.plus_micros(1000);
        house.release(first);
        house.granted(Ask::PLAIN);
        house.queued(Ask::PLAIN);
        let soon = house.now.plus_micros(1200);
        let estimate = house.now.plus_micros(1500);
        assert_eq!(
            house.ask(Ask {
                deadline: soon,
                ..Ask::PLAIN
            }),
            Admission::Refused(Refusal::Shed { estimate })
        );
        house.queued(Ask {
            deadline: estimate,
            ..Ask::PLAIN
        });
    }

    #[test]
    fn closing_finishes_the_queue_and_its_grace_revokes_what_is_left() {
        let mut house = House::of(1, QueueConfig::default());
        let running = house.granted(Ask::PLAIN);
        let waiting = house.queued(Ask::PLAIN);
        house
            .permits
            .close(house.now, false, 100, &mut OpenGate, &mut house.wakes);
        assert_eq!(house.ask(Ask::PLAIN), Admission::Refused(Refusal::Closed));
        house.release(running);
        assert_eq!(house.wakes(), [(waiting, Why::Granted)]);
        house.pass(99);
        assert_eq!(house.wakes(), []);
        house.pass(1);
        assert_eq!(house.wakes(), [(waiting, Why::Revoked)]);
        assert_eq!(house.permits.abandoned(), 1);
        assert_eq!(house.permits.next_deadline(), None);
    }

    #[test]
    fn a_cool_down_holds_the_whole_queue_until_its_moment() {
        let mut house = House::of(2, QueueConfig::default());
        house.permits.cool_down(house.now.plus_micros(10));
        let waiting = house.queued(Ask::PLAIN);
        house.pass(9);
        assert_eq!(house.wakes(), []);
        assert_eq!(house.permits.next_deadline(), Some(T0.plus_micros(10)));
        house.pass(1);
        assert_eq!(house.wakes(), [(waiting, Why::Granted)]);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Ask {
            weight: u32,
            priority: i32,
            key: u32,
            patience: u64,
            run_for: u64,
            at_end: AtEnd,
        },
        Release(usize),
        Cancel(usize),
        Resize(u32),
        Tick(u64),
        StepBack(u64),
        Pause,
        Resume,
    }

    fn op() -> impl Strategy<Value = Op> {
        let at_end = prop_oneof![Just(AtEnd::Abandon), Just(AtEnd::Hold), Just(AtEnd::Revoke)];
        prop_oneof![
            6 => (1u32..4, -2i32..3, 0u32..3, 0u64..40, 1u64..40, at_end).prop_map(
                |(weight, priority, key, patience, run_for, at_end)| Op::Ask { weight, priority, key, patience, run_for, at_end }
            ),
            4 => any::<usize>().prop_map(Op::Release),
            3 => any::<usize>().prop_map(Op::Cancel),
            1 => (1u32..6).prop_map(Op::Resize),
            2 => (0u64..30).prop_map(Op::Tick),
            1 => (0u64..10).prop_map(Op::StepBack),
            1 => Just(Op::Pause),
            1 => Just(Op::Resume),
        ]
    }

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum State {
        Waiting,
        Running { weight: u32, at_end: AtEnd },
        Abandoned,
    }

    proptest! {
        /// Whatever happens in whatever order: the bound holds, everybody is answered exactly once, and when all is
        /// over nothing is held, queued or timed.
        #[test]
        fn bounds_hold_and_nobody_is_lost(
            ops in prop::collection::vec(op(), 1..120),
            capacity in 1u32..4,
            room in prop::option::of(0u32..4),
            overflow in prop_oneof![Just(Overflow::Wait), Just(Overflow::DropNewest), Just(Overflow::DropOldest), Just(Overflow::Error)],
        ) {
            let config = QueueConfig { capacity: room, overflow, max_waiters: Some(3), aging: 4 };
            let mut house = House::of(capacity, config);
            let mut capacity = capacity;
            let mut known: HashMap<Ticket, State> = HashMap::new();
            let mut weights: HashMap<Ticket, (u32, AtEnd)> = HashMap::new();
            let apply = |house: &mut House, known: &mut HashMap<Ticket, State>, weights: &HashMap<Ticket, (u32, AtEnd)>| {
                for (ticket, why) in house.wakes() {
                    let before = known.get(&ticket).copied();
                    match why {
                        Why::Granted => {
                            assert_eq!(before, Some(State::Waiting));
                            let (weight, at_end) = weights[&ticket];
                            known.insert(ticket, State::Running { weight, at_end });
                        }
                        Why::Accepted => assert_eq!(before, Some(State::Waiting)),
                        Why::Refused(_) => { assert_eq!(before, Some(State::Waiting)); known.remove(&ticket); }
                        Why::Expired | Why::Revoked => match before {
                            Some(State::Running { at_end: AtEnd::Revoke, .. }) => { known.remove(&ticket); }
                            Some(State::Running { at_end: AtEnd::Abandon, .. }) => { known.insert(ticket, State::Abandoned); }
                            Some(State::Running { at_end: AtEnd::Hold, .. }) => {}
                            other => panic!("{other:?} cannot expire"),
                        },
                    }
                }
            };
            for op in ops {
                let pick = |n: usize| {
                    let mut tickets: Vec<_> = known.keys().copied().collect();
                    tickets.sort_unstable();
                    (!tickets.is_empty()).then(|| tickets[n % tickets.len()])
                };
                let asked = matches!(op, Op::Ask { .. });
                match op {
                    Op::Ask { weight, priority, key, patience, run_for, at_end } => {
                        let patience = match patience { 0 => Patience::None, 39 => Patience::Forever, n => Patience::Micros(n) };
                        let answer = house.ask(Ask { weight, priority, key, patience, run_for, at_end, ..Ask::PLAIN });
                        match answer {
                            Admission::Granted(t) => {
                                known.insert(t, State::Running { weight, at_end });
                            }
                            Admission::Queued(t) | Admission::Outside(t) => {
                                known.insert(t, State::Waiting);
                                weights.insert(t, (weight, at_end));
                            }
                            Admission::Refused(_) => {}
                        }
                    }
                    Op::Release(n) => if let Some(ticket) = pick(n) {
                        known.remove(&ticket);
                        house.release(ticket);
                    },
                    Op::Cancel(n) => if let Some(ticket) = pick(n) {
                        match known[&ticket] {
                            State::Waiting => { known.remove(&ticket); }
                            State::Running { .. } | State::Abandoned => { known.insert(ticket, State::Abandoned); }
                        }
                        house.cancel(ticket);
                    },
                    Op::Resize(n) => {
                        capacity = n;
                        house.permits.resize(house.now, n, &mut OpenGate, &mut house.wakes);
                    }
                    Op::Tick(n) => house.pass(n),
                    Op::StepBack(n) => house.now = Instant::from_micros(house.now.as_micros() - n),
                    Op::Pause => house.permits.pause(),
                    Op::Resume => house.permits.resume(house.now, &mut OpenGate, &mut house.wakes),
                }
                let granted = house.wakes.len();
                apply(&mut house, &mut known, &weights);
                let running: u32 = known.values().map(|s| match s { State::Running { weight, .. } => *weight, _ => 0 }).sum();
                let active = known.values().filter(|s| matches!(s, State::Running { .. })).count();
                let waiting = known.values().filter(|s| **s == State::Waiting).count();
                let abandoned = known.values().filter(|s| **s == State::Abandoned).count();
                prop_assert_eq!(running, house.permits.in_use());
                prop_assert_eq!(active as u32, house.permits.active());
                prop_assert_eq!(waiting as u32, house.permits.queued() + house.permits.waiting_for_room());
                prop_assert_eq!(abandoned as u32, house.permits.abandoned());
                // A shrunk pool may be over its bound until what ran finishes, but then it grants nothing.
                let over_its_bound = running > capacity && granted > 0;
                prop_assert!(!over_its_bound || !asked);
                if let Some(room) = room { prop_assert!(house.permits.queued() <= room); }
            }
            house.permits.resume(house.now, &mut OpenGate, &mut house.wakes);
            apply(&mut house, &mut known, &weights);
            while let Some(ticket) = known.keys().min().copied() {
                if known[&ticket] == State::Waiting {
                    let holder = known.iter().find(|(_, s)| matches!(s, State::Running { .. })).map(|(t, _)| *t);
                    let ticket = holder.unwrap_or(ticket);
                    prop_assert!(holder.is_some(), "somebody waits and nobody runs");
                    known.remove(&ticket);
                    house.release(ticket);
                } else {
                    known.remove(&ticket);
                    house.release(ticket);
                }
                apply(&mut house, &mut known, &weights);
            }
            prop_assert!(house.permits.is_idle());
            prop_assert_eq!(house.permits.next_deadline(), None);
            prop_assert_eq!(house.permits.entries.len(), 0);
            prop_assert_eq!((house.permits.queued_weight, house.permits.queued_cost, house.permits.timed), (0, 0, 0));
        }
    }
}

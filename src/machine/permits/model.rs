//! What permits do, written down a second time as plainly as possible: lists that are searched, sums that are added up
//! anew, nothing that is remembered to be quick. The machine must agree with it in every answer, wake and number.

use super::*;
use crate::machine::gate::{OpenGate, Pass};
use crate::machine::queue::Overflow;
use proptest::prelude::*;
use std::collections::HashMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Tokens that come one by one, and a door that can be shut.
#[derive(Clone, Debug, PartialEq)]
struct Turnstile {
    tokens: u32,
    most: u32,
    next: Instant,
    shut_until: Instant,
    passes: u32,
    settled: Vec<(Pass, u32, Outcome, u64)>,
}

const EVERY: u64 = 7;

impl Turnstile {
    fn of(most: u32) -> Self {
        Self {
            tokens: most,
            most,
            next: START.plus_micros(EVERY),
            shut_until: Instant::ZERO,
            passes: 0,
            settled: Vec::new(),
        }
    }

    fn refill(&mut self, now: Instant) {
        while self.next <= now {
            self.tokens = self.most.min(self.tokens + 1);
            self.next = self.next.plus_micros(EVERY);
        }
    }

    fn when(&self, now: Instant, wanted: u64) -> Instant {
        match wanted.checked_sub(u64::from(self.tokens)) {
            None | Some(0) => now,
            Some(missing) => self.next.plus_micros((missing - 1) * EVERY),
        }
    }
}

impl Gate for Turnstile {
    fn refusal(&mut self, now: Instant) -> Option<Refusal> {
        let retry_at = Some(self.shut_until);
        (now < self.shut_until).then_some(Refusal::BrokenCircuit { retry_at })
    }
    fn admit(&mut self, now: Instant, cost: u32) -> Verdict {
        if let Some(refusal) = self.refusal(now) {
            return Verdict::Refuse(refusal);
        }
        self.refill(now);
        if cost > self.tokens {
            return Verdict::NotBefore(self.when(now, u64::from(cost)));
        }
        self.tokens -= cost;
        self.passes += 1;
        Verdict::Pass(Pass(self.passes))
    }
    fn ready_at(&mut self, now: Instant, ahead: u64, cost: u32) -> Result<Instant, u32> {
        self.refill(now);
        if cost > self.most {
            return Err(self.most);
        }
        Ok(self.when(now, ahead + u64::from(cost)))
    }
    fn settle(&mut self, _: Instant, pass: Pass, cost: u32, outcome: Outcome, took: u64) {
        self.settled.push((pass, cost, outcome, took));
        if outcome == Outcome::NeverStarted {
            self.tokens = self.most.min(self.tokens + cost);
        }
    }
}

const START: Instant = Instant::from_micros(1_000);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    Outside,
    Queued,
    Running,
    Abandoned,
    Gone,
}

/// One that asked, known by its number.
#[derive(Clone, Debug)]
struct One {
    place: Place,
    ask: Ask,
    rank: i64,
    /// When it came to its place, among all that ever came to one.
    came: usize,
    arrived: Instant,
    started: Instant,
    ends: Instant,
    /// When its present end was fixed, among all that were.
    fixed: usize,
    cost: u32,
    pass: Pass,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Answer {
    Granted,
    Queued,
    Outside,
    Refused(Refusal),
}

struct Plain {
    capacity: u32,
    elastic_to: u32,
    queue: QueueConfig,
    all: Vec<One>,
    tickets: Vec<Ticket>,
    gate: Turnstile,
    blocked_until: Instant,
    cool_until: Instant,
    paused: bool,
    grace_until: Option<Instant>,
    typical: u64,
    counts: Counts,
    waits: Vec<u64>,
    runs: Vec<u64>,
    served: i64,
    last_round: i64,
    rounds: HashMap<u32, i64>,
    events: usize,
    wakes: Vec<(usize, Why)>,
}

impl Plain {
    fn of(capacity: u32, queue: QueueConfig, tokens: u32) -> Self {
        Self {
            capacity,
            elastic_to: 0,
            queue,
            all: Vec::new(),
            tickets: Vec::new(),
            gate: Turnstile::of(tokens),
            blocked_until: Instant::ZERO,
            cool_until: Instant::ZERO,
            paused: false,
            grace_until: None,
            typical: 0,
            counts: Counts::default(),
            waits: Vec::new(),
            runs: Vec::new(),
            served: 0,
            last_round: 0,
            rounds: HashMap::new(),
            events: 0,
            wakes: Vec::new(),
        }
    }

    fn at(&self, place: Place) -> impl Iterator<Item = usize> + '_ {
        (0..self.all.len()).filter(move |one| self.all[*one].place == place)
    }

    fn waiting(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.all.len()).filter(|one| self.waits(*one))
    }

    fn waits(&self, one: usize) -> bool {
        matches!(self.all[one].place, Place::Queued | Place::Outside)
    }

    fn number(&self, place: Place) -> u32 {
        self.at(place).count() as u32
    }

    fn in_use(&self) -> u32 {
        self.at(Place::Running).map(|one| self.all[one].ask.weight).sum()
    }

    fn is_idle(&self) -> bool {
        self.number(Place::Running) == 0 && self.waiting().count() == 0
    }

    fn ceiling(&self) -> u32 {
        self.capacity.max(self.elastic_to)
    }

    fn event(&mut self) -> usize {
        self.events += 1;
        self.events
    }

    fn may_grant(&self, now: Instant) -> bool {
        !self.paused && self.blocked_until <= now && self.cool_until <= now
    }

    fn fits(&self, weight: u32) -> bool {
        let in_use = self.in_use();
        in_use + weight <= self.capacity || (weight > self.capacity && in_use == 0)
    }

    fn head(&self) -> Option<usize> {
        let first = |place| {
            self.at(place)
                .min_by_key(|one| (self.all[*one].rank, self.all[*one].came))
        };
        first(Place::Queued).or_else(|| first(Place::Outside))
    }

    fn has_room(&self) -> bool {
        self.queue
            .capacity
            .is_none_or(|most| self.number(Place::Queued) < most)
    }

    fn request(&mut self, now: Instant, mut ask: Ask) -> Answer {
        ask.weight = ask.weight.max(1);
        self.expire(now);
        if let Some(refusal) = self.turned_away(now, &ask) {
            self.count(refusal);
            return Answer::Refused(refusal);
        }
        if self.waiting().count() == 0 {
            self.blocked_until = Instant::ZERO;
            if self.fits(ask.weight) && self.may_grant(now) {
                match self.gate.admit(now, ask.cost) {
                    Verdict::Pass(pass) => {
                        self.enter(now, ask, Place::Queued);
                        self.start(now, self.all.len() - 1, pass);
                        return Answer::Granted;
                    }
                    Verdict::NotBefore(at) => self.blocked_until = at,
                    Verdict::Refuse(refusal) => {
                        self.count(refusal);
                        return Answer::Refused(refusal);
                    }
                }
            }
        }
        if ask.patience == Patience::None {
            return Answer::Refused(Refusal::NotNow);
        }
        let queued = self.number(Place::Queued);
        let most_outside = self.queue.max_waiters.unwrap_or(u32::MAX);
        if !self.has_room() {
            let victim = self
                .at(Place::Queued)
                .min_by_key(|one| (self.all[*one].ask.priority, self.all[*one].came));
            match (self.queue.overflow, victim) {
                (Overflow::Wait, _) if self.number(Place::Outside) < most_outside => {
                    let rank = self.rank(&ask);
                    self.enter(now, ask, Place::Outside);
                    self.all.last_mut().unwrap().rank = rank;
                    return Answer::Outside;
                }
                (Overflow::Wait | Overflow::Error, _) => {
                    self.counts.rejected += 1;
                    return Answer::Refused(Refusal::QueueFull { queued });
                }
                (Overflow::DropOldest, Some(victim)) => {
                    self.leave(victim, Place::Gone);
                    self.counts.dropped += 1;
                    self.wakes
                        .push((victim, Why::Refused(Refusal::Dropped { queued })));
                }
                _ => {
                    self.counts.dropped += 1;
                    return Answer::Refused(Refusal::Dropped { queued });
                }
            }
        }
        let rank = self.rank(&ask);
        self.enter(now, ask, Place::Queued);
        self.all.last_mut().unwrap().rank = rank;
        self.advance(now);
        Answer::Queued
    }

    fn turned_away(&mut self, now: Instant, ask: &Ask) -> Option<Refusal> {
        if self.grace_until.is_some() {
            return Some(Refusal::Closed);
        }
        let limit = self.ceiling();
        if ask.weight > limit {
            return Some(Refusal::NeverPossible { limit });
        }
        if let Some(refusal) = self.gate.refusal(now) {
            return Some(refusal);
        }
        let ahead = self.waiting().map(|one| u64::from(self.all[one].ask.cost)).sum();
        let tokens_at = match self.gate.ready_at(now, ahead, ask.cost) {
            Ok(at) => at.max(self.cool_until),
            Err(limit) => return Some(Refusal::NeverPossible { limit }),
        };
        if ask.deadline <= now {
            return Some(Refusal::Shed { estimate: now });
        }
        let patient_until = match ask.patience {
            Patience::Micros(micros) => now.plus_micros(micros).min(ask.deadline),
            _ => ask.deadline,
        };
        if tokens_at > now && tokens_at > patient_until {
            return Some(Refusal::RateLimited { retry_at: tokens_at });
        }
        // Of those that run each is half done, and all run as long as they typically do.
        let weight: u64 = self
            .waiting()
            .map(|one| u64::from(self.all[one].ask.weight))
            .sum();
        let wanted = weight + u64::from(self.in_use()) + u64::from(ask.weight);
        let estimate = match wanted.checked_sub(u64::from(self.capacity)) {
            None | Some(0) => now,
            Some(over) => now.plus_micros((2 * over - 1) * self.typical / (2 * u64::from(self.capacity))),
        };
        (estimate > ask.deadline).then_some(Refusal::Shed { estimate })
    }

    fn rank(&mut self, ask: &Ask) -> i64 {
        let last = match ask.key {
            0 => self.last_round,
            key => self.rounds.get(&key).copied().unwrap_or(0),
        };
        let round = last.max(self.served) + 1;
        match ask.key {
            0 => self.last_round = round,
            key => drop(self.rounds.insert(key, round)),
        }
        round - i64::from(ask.priority) * i64::from(self.queue.aging)
    }

    fn enter(&mut self, now: Instant, ask: Ask, place: Place) {
        let patience = match ask.patience {
            Patience::Micros(micros) => now.plus_micros(micros),
            _ => Instant::FAR_FUTURE,
        };
        let (came, fixed) = (self.event(), self.event());
        self.counts.accepted += 1;
        self.all.push(One {
            place,
            ask,
            rank: 0,
            came,
            arrived: now,
            started: Instant::ZERO,
            ends: patience.min(ask.deadline),
            fixed,
            cost: ask.cost,
            pass: Pass::default(),
        });
    }

    fn fix(&mut self, one: usize, ends: Instant) {
        let fixed = self.event();
        let one = &mut self.all[one];
        // The same end as before is no later one.
        if one.ends != ends {
            (one.ends, one.fixed) = (ends, fixed);
        }
    }

    fn start(&mut self, now: Instant, one: usize, pass: Pass) {
        let ask = self.all[one].ask;
        let ends = match ask.run_for {
            u64::MAX => Instant::FAR_FUTURE,
            micros => now.plus_micros(micros),
        };
        self.leave(one, Place::Running);
        self.fix(one, ends.min(ask.deadline));
        (self.all[one].started, self.all[one].pass) = (now, pass);
        self.counts.started += 1;
        self.counts.peak_active = self.counts.peak_active.max(self.number(Place::Running));
        self.waits.push(now.micros_since(self.all[one].arrived));
    }

    /// Out of its line.
    fn leave(&mut self, one: usize, to: Place) {
        self.all[one].place = to;
        let key = self.all[one].ask.key;
        if !self.waiting().any(|other| self.all[other].ask.key == key) {
            self.rounds.remove(&key);
        }
    }

    fn advance(&mut self, now: Instant) {
        self.blocked_until = Instant::ZERO;
        if self.cool_until <= now {
            self.cool_until = Instant::ZERO;
        }
        while self.may_grant(now)
            && self.in_use() < self.capacity
            && let Some(head) = self.head()
            && self.fits(self.all[head].ask.weight)
        {
            match self.gate.admit(now, self.all[head].ask.cost) {
                Verdict::Pass(pass) => {
                    self.served = self.served.max(self.all[head].rank);
                    self.start(now, head, pass);
                    self.wakes.push((head, Why::Granted));
                }
                Verdict::NotBefore(at) => self.blocked_until = at,
                Verdict::Refuse(refusal) => self.refuse(head, refusal),
            }
        }
        self.let_in();
    }

    fn let_in(&mut self) {
        while self.has_room()
            && let Some(next) = self
                .at(Place::Outside)
                .min_by_key(|one| (self.all[*one].rank, self.all[*one].came))
        {
            let came = self.event();
            self.all[next].place = Place::Queued;
            self.all[next].came = came;
            self.wakes.push((next, Why::Accepted));
        }
    }

    fn refuse(&mut self, one: usize, refusal: Refusal) {
        self.leave(one, Place::Gone);
        self.count(refusal);
        self.wakes.push((one, Why::Refused(refusal)));
    }

    fn refuse_heavier(&mut self, weight: u32, refusal: Refusal) {
        let mut heavier: Vec<usize> = self
            .waiting()
            .filter(|one| self.all[*one].ask.weight > weight)
            .collect();
        heavier.sort_by_key(|one| (self.all[*one].rank, self.tickets[*one].index()));
        if self.waiting().count() == 0 {
            return;
        }
        for one in heavier {
            self.refuse(one, refusal);
        }
        self.let_in();
    }

    /// The slots of one that runs are free.
    fn vacate(&mut self, now: Instant, one: usize, outcome: Outcome, to: Place) {
        let One {
            pass, cost, started, ..
        } = self.all[one];
        self.all[one].place = to;
        self.gate
            .settle(now, pass, cost, outcome, now.micros_since(started));
    }

    fn release(&mut self, now: Instant, one: usize, outcome: Outcome) -> bool {
        match self.all[one].place {
            Place::Running => {}
            Place::Abandoned => {
                self.all[one].place = Place::Gone;
                return true;
            }
            Place::Queued | Place::Outside => return self.cancel(now, one),
            Place::Gone => {
                self.counts.late_releases += 1;
                return false;
            }
        }
        match outcome {
            Outcome::Success => self.counts.completed += 1,
            Outcome::Failure => self.counts.failed += 1,
            _ => self.counts.cancelled += 1,
        }
        if matches!(outcome, Outcome::Success | Outcome::Failure) {
            let took = now.micros_since(self.all[one].started);
            self.runs.push(took);
            self.typical = match self.typical {
                0 => took,
                typical => typical - typical / 8 + took / 8,
            };
        }
        self.vacate(now, one, outcome, Place::Gone);
        self.advance(now);
        true
    }

    /// One comes, runs and ends, without the gate and within the moment.
    fn pass(&mut self) {
        self.counts.accepted += 1;
        self.counts.started += 1;
        self.counts.completed += 1;
        self.counts.peak_active = self.counts.peak_active.max(self.number(Place::Running) + 1);
        self.waits.push(0);
        self.runs.push(0);
        self.typical -= self.typical / 8;
    }

    fn cancel(&mut self, now: Instant, one: usize) -> bool {
        match self.all[one].place {
            Place::Running => {
                self.vacate(now, one, Outcome::Ignored, Place::Abandoned);
                self.counts.cancelled += 1;
                self.advance(now);
            }
            Place::Queued | Place::Outside => {
                let moves = self.head() == Some(one) || self.number(Place::Outside) > 0;
                let outside_only = self.all[one].place == Place::Outside && self.number(Place::Outside) == 1;
                let was_head = self.head() == Some(one);
                self.leave(one, Place::Gone);
                self.counts.cancelled += 1;
                if moves && (was_head || !outside_only) {
                    self.advance(now);
                }
            }
            Place::Abandoned => {}
            Place::Gone => return false,
        }
        true
    }

    fn renew(&mut self, now: Instant, one: usize, run_for: u64) -> Option<Instant> {
        let ends = now.plus_micros(run_for);
        (self.all[one].place == Place::Running).then(|| {
            self.fix(one, ends);
            ends
        })
    }

    fn resize(&mut self, now: Instant, capacity: u32) {
        self.capacity = capacity.max(1);
        let limit = self.ceiling();
        self.refuse_heavier(limit, Refusal::NeverPossible { limit });
        self.advance(now);
    }

    fn close(&mut self, now: Instant, refuses: bool, grace: u64) {
        let until = now.plus_micros(grace);
        self.grace_until = Some(self.grace_until.map_or(until, |before| before.min(until)));
        self.paused = false;
        if refuses {
            self.refuse_heavier(0, Refusal::Closed);
        }
        self.advance(now);
        self.expire(now);
    }

    fn adopt(&mut self, now: Instant, ask: Ask) {
        self.enter(
            now,
            Ask {
                weight: ask.weight.max(1),
                ..ask
            },
            Place::Queued,
        );
        let (counts, waits) = (self.counts.clone(), self.waits.len());
        let one = self.all.len() - 1;
        self.start(now, one, Pass::default());
        self.all[one].cost = 0;
        // It was counted where it began.
        self.counts = Counts {
            accepted: counts.accepted - 1,
            ..counts
        };
        self.waits.truncate(waits);
    }

    fn expire(&mut self, now: Instant) {
        let mut freed = false;
        loop {
            let timed = |one: &usize| self.waits(*one) || self.all[*one].place == Place::Running;
            let due = (0..self.all.len())
                .filter(timed)
                .filter(|one| self.all[*one].ends <= now);
            let Some(one) = due.min_by_key(|one| (self.all[*one].ends, self.all[*one].fixed)) else {
                break;
            };
            freed = true;
            if self.waits(one) {
                self.refuse(one, Refusal::QueueTimeout);
                continue;
            }
            self.counts.task_timeouts += 1;
            match self.all[one].ask.at_end {
                AtEnd::Abandon => self.vacate(now, one, Outcome::Failure, Place::Abandoned),
                AtEnd::Revoke => self.vacate(now, one, Outcome::Ignored, Place::Gone),
                AtEnd::Hold => self.all[one].ends = Instant::FAR_FUTURE,
            }
            self.wakes.push((one, Why::Expired));
        }
        if self.grace_until.is_some_and(|until| until <= now) && !self.is_idle() {
            self.refuse_heavier(0, Refusal::Closed);
            let mut running: Vec<usize> = self.at(Place::Running).collect();
            running.sort_by_key(|one| self.tickets[*one].index());
            for one in running {
                let to = match self.all[one].ask.at_end {
                    AtEnd::Revoke => Place::Gone,
                    _ => Place::Abandoned,
                };
                self.vacate(now, one, Outcome::Ignored, to);
                self.wakes.push((one, Why::Revoked));
            }
        }
        if freed {
            self.advance(now);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let timed =
            (0..self.all.len()).filter(|one| self.waits(*one) || self.all[*one].place == Place::Running);
        let ends = timed.map(|one| self.all[one].ends).min();
        let held = self.blocked_until.max(self.cool_until);
        let waits = self.waiting().count() > 0 && !self.paused && held != Instant::ZERO;
        let grace = self.grace_until.filter(|_| !self.is_idle());
        let all = [ends, waits.then_some(held), grace];
        all.into_iter()
            .flatten()
            .min()
            .filter(|at| *at != Instant::FAR_FUTURE)
    }

    fn count(&mut self, refusal: Refusal) {
        let counts = &mut self.counts;
        *match refusal {
            Refusal::QueueFull { .. } | Refusal::Closed | Refusal::NeverPossible { .. } => {
                &mut counts.rejected
            }
            Refusal::BrokenCircuit { .. } | Refusal::RateLimited { .. } => &mut counts.blocked,
            Refusal::Shed { .. } => &mut counts.shed,
            Refusal::QueueTimeout => &mut counts.queue_timeouts,
            _ => return,
        } += 1;
    }
}

#[derive(Clone, Debug)]
enum Op {
    Ask(Ask),
    Adopt(Ask),
    Release(usize, Outcome),
    Pass(u64),
    Cancel(usize),
    Renew(usize, u64),
    Resize(u32),
    Elastic(u32),
    Tick(u64),
    StepBack(u64),
    Pause,
    Resume,
    CoolDown(u64),
    Shut(u64),
    RefuseAll,
    Close(bool, u64),
}

fn some_ask() -> impl Strategy<Value = Ask> {
    let at_end = prop_oneof![Just(AtEnd::Abandon), Just(AtEnd::Hold), Just(AtEnd::Revoke)];
    let patience = prop_oneof![
        1 => Just(Patience::None),
        3 => Just(Patience::Forever),
        4 => (0u64..40).prop_map(Patience::Micros),
    ];
    let deadline = prop_oneof![3 => Just(u64::MAX), 1 => 0u64..120];
    let run_for = prop_oneof![1 => Just(u64::MAX), 1 => 1u64..40];
    let who = (-2i32..3, 0u32..3);
    (0u32..4, 0u32..4, who, patience, deadline, run_for, at_end).prop_map(
        |(weight, cost, (priority, key), patience, deadline, run_for, at_end)| Ask {
            weight,
            cost,
            priority,
            key,
            patience,
            // From now on: made absolute where it is asked.
            deadline: Instant::from_micros(deadline),
            run_for,
            at_end,
        },
    )
}

fn some_op() -> impl Strategy<Value = Op> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success),
        1 => Just(Outcome::Failure),
        1 => Just(Outcome::Ignored),
        1 => Just(Outcome::NeverStarted),
    ];
    prop_oneof![
        16 => some_ask().prop_map(Op::Ask),
        1 => some_ask().prop_map(Op::Adopt),
        9 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Op::Release(which, outcome)),
        2 => (1u64..40).prop_map(Op::Pass),
        5 => any::<usize>().prop_map(Op::Cancel),
        1 => (any::<usize>(), 1u64..60).prop_map(|(which, run_for)| Op::Renew(which, run_for)),
        1 => (0u32..6).prop_map(Op::Resize),
        1 => (0u32..6).prop_map(Op::Elastic),
        8 => (0u64..30).prop_map(Op::Tick),
        1 => (0u64..10).prop_map(Op::StepBack),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        1 => (0u64..20).prop_map(Op::CoolDown),
        1 => (1u64..20).prop_map(Op::Shut),
        1 => Just(Op::RefuseAll),
    ]
}

/// The machine and its model, side by side.
struct Pair {
    permits: Permits,
    gate: Turnstile,
    plain: Plain,
    now: Instant,
}

impl Pair {
    /// One that lived lately: a stale ticket is as good a question as any other.
    fn some(&self, which: usize) -> Option<usize> {
        let lately = self.plain.all.len().min(10);
        (lately > 0).then(|| self.plain.all.len() - 1 - which % lately)
    }

    fn take(&mut self, op: Op) {
        let now = self.now;
        let mut wakes = Wakes::new();
        let mut woken = Vec::new();
        let absolute = |ask: Ask| Ask {
            deadline: match ask.deadline.as_micros() {
                u64::MAX => Instant::FAR_FUTURE,
                micros => now.plus_micros(micros),
            },
            ..ask
        };
        let (permits, gate, plain) = (&mut self.permits, &mut self.gate, &mut self.plain);
        match op {
            Op::Ask(ask) => {
                let ask = absolute(ask);
                let admission = permits.request(now, ask, gate, &mut wakes);
                let given = match admission {
                    Admission::Granted(ticket) | Admission::Queued(ticket) | Admission::Outside(ticket) => {
                        Some(ticket)
                    }
                    Admission::Refused(_) => None,
                };
                plain.tickets.extend(given);
                let answer = match admission {
                    Admission::Granted(_) => Answer::Granted,
                    Admission::Queued(_) => Answer::Queued,
                    Admission::Outside(_) => Answer::Outside,
                    Admission::Refused(refusal) => Answer::Refused(refusal),
                };
                assert_eq!(plain.request(now, ask), answer, "{ask:?}");
            }
            Op::Adopt(ask) => {
                let ask = absolute(ask);
                plain.tickets.extend(permits.adopt(now, ask));
                plain.adopt(now, ask);
            }
            Op::Release(which, outcome) => {
                let Some(one) = self.some(which) else { return };
                let (permits, gate, plain) = (&mut self.permits, &mut self.gate, &mut self.plain);
                let done = permits.release(now, plain.tickets[one], outcome, gate, &mut wakes);
                assert_eq!(done.is_ok(), plain.release(now, one, outcome));
            }
            Op::Pass(tasks) => {
                if permits.lets_pass() {
                    permits.passed(tasks);
                    (0..tasks).for_each(|_| plain.pass());
                }
            }
            Op::Cancel(which) => {
                let Some(one) = self.some(which) else { return };
                let (permits, gate, plain) = (&mut self.permits, &mut self.gate, &mut self.plain);
                let done = permits.cancel(now, plain.tickets[one], gate, &mut wakes);
                assert_eq!(done.is_ok(), plain.cancel(now, one));
            }
            Op::Renew(which, run_for) => {
                let Some(one) = self.some(which) else { return };
                let (permits, plain) = (&mut self.permits, &mut self.plain);
                let ends = permits.renew(now, plain.tickets[one], run_for);
                assert_eq!(ends.ok(), plain.renew(now, one, run_for));
            }
            Op::Resize(capacity) => {
                permits.resize(now, capacity, gate, &mut wakes);
                plain.resize(now, capacity);
            }
            Op::Elastic(most) => {
                permits.set_elastic(most);
                plain.elastic_to = most;
            }
            Op::Tick(micros) => {
                self.now = now.plus_micros(micros);
                permits.on_deadline(self.now, gate, &mut wakes);
                plain.expire(self.now);
                plain.advance(self.now);
            }
            Op::StepBack(micros) => self.now = Instant::from_micros(now.as_micros().saturating_sub(micros)),
            Op::Pause => {
                permits.pause();
                plain.paused = plain.grace_until.is_none();
            }
            Op::Resume => {
                permits.resume(now, gate, &mut wakes);
                plain.paused = false;
                plain.advance(now);
            }
            Op::CoolDown(micros) => {
                permits.cool_down(now.plus_micros(micros));
                plain.cool_until = plain.cool_until.max(now.plus_micros(micros));
            }
            Op::Shut(micros) => {
                gate.shut_until = now.plus_micros(micros);
                plain.gate.shut_until = gate.shut_until;
            }
            Op::RefuseAll => {
                let refusal = Refusal::BrokenCircuit { retry_at: None };
                permits.refuse_queue(refusal, &mut wakes);
                plain.refuse_heavier(0, refusal);
            }
            Op::Close(refuses, grace) => {
                permits.close(now, refuses, grace, gate, &mut wakes);
                plain.close(now, refuses, grace);
            }
        }
        while let Some(wake) = wakes.pop() {
            let one = self
                .plain
                .tickets
                .iter()
                .rposition(|ticket| *ticket == wake.ticket);
            woken.push((one.unwrap(), wake.why));
        }
        assert_eq!(std::mem::take(&mut self.plain.wakes), woken);
        self.compare();
    }

    fn compare(&self) {
        let (permits, plain, now) = (&self.permits, &self.plain, self.now);
        assert_eq!(self.gate, plain.gate);
        assert_eq!(permits.capacity(), plain.capacity);
        assert_eq!(permits.in_use(), plain.in_use());
        assert_eq!(permits.active(), plain.number(Place::Running));
        assert_eq!(permits.queued(), plain.number(Place::Queued));
        assert_eq!(permits.waiting_for_room(), plain.number(Place::Outside));
        assert_eq!(permits.abandoned(), plain.number(Place::Abandoned));
        assert_eq!(permits.queue_capacity(), plain.queue.capacity);
        assert_eq!(permits.is_closed(), plain.grace_until.is_some());
        assert_eq!(permits.is_idle(), plain.is_idle());
        // It may be called too early, for one that is gone; never too late, and not at all where there is nothing to come.
        let (next, expected) = (permits.next_deadline(), plain.next_deadline());
        assert!(
            next.is_some() == expected.is_some() && next <= expected,
            "{next:?}, not {expected:?}"
        );
        if permits.lets_pass() {
            assert_eq!(expected, None);
            // Whenever it asks: the clock may step back.
            for at in [Instant::ZERO, now, now.plus_micros(1_000_000)] {
                let asked = permits
                    .clone()
                    .request(at, Ask::PLAIN, &mut OpenGate, &mut Wakes::new());
                assert!(matches!(asked, Admission::Granted(_)), "{asked:?} at {at:?}");
            }
        }
        assert_eq!(
            permits.turnover(),
            plain.typical / (2 * u64::from(plain.capacity))
        );
        assert_eq!(format!("{:?}", permits.counts), format!("{:?}", plain.counts));
        let started = [Place::Running, Place::Abandoned];
        let ages = plain.all.iter().filter(|one| started.contains(&one.place));
        let oldest = ages.map(|one| now.micros_since(one.started)).max();
        assert_eq!(permits.oldest_run(now), oldest.unwrap_or(0));
        for (measured, values) in [(&permits.waited, &plain.waits), (&permits.ran, &plain.runs)] {
            assert_eq!(
                (measured.count(), measured.sum()),
                (values.len() as u64, values.iter().sum())
            );
        }
        for (one, ticket) in plain.all.iter().zip(&plain.tickets) {
            let times = match one.place {
                Place::Gone => None,
                Place::Queued | Place::Outside => Some((one.arrived, None)),
                Place::Running | Place::Abandoned => Some((one.arrived, Some(one.started))),
            };
            assert_eq!(permits.times(*ticket), times);
            let slots = if one.place == Place::Running {
                one.ask.weight
            } else {
                0
            };
            assert_eq!(permits.slots_of(*ticket), slots);
        }
    }
}

proptest! {
    /// In every answer, every wake and every number.
    #[test]
    fn permits_do_what_their_plain_model_does(
        ops in prop::collection::vec(some_op(), 1..100),
        closing in (any::<bool>(), prop_oneof![Just(0u64), 1u64..60]),
        after in prop::collection::vec(some_op(), 0..20),
        capacity in 1u32..4,
        tokens in 1u32..12,
        room in prop::option::of(0u32..4),
        most_outside in prop::option::of(0u32..4),
        overflow in prop_oneof![
            Just(Overflow::Wait),
            Just(Overflow::DropNewest),
            Just(Overflow::DropOldest),
            Just(Overflow::Error)
        ],
    ) {
        let queue = QueueConfig { capacity: room, overflow, max_waiters: most_outside, aging: 4 };
        let mut pair = Pair {
            permits: Permits::new(capacity, queue),
            gate: Turnstile::of(tokens),
            plain: Plain::of(capacity, queue, tokens),
            now: START,
        };
        for op in ops {
            pair.take(op);
        }
        pair.take(Op::Close(closing.0, closing.1));
        for op in after {
            pair.take(op);
        }
        pair.take(Op::Tick(100));
        assert!(pair.permits.is_idle());
    }
}

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

pub(super) fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

pub(super) fn config(min: u32, max: u32) -> DispatchConfig {
    DispatchConfig::new(min, max).unwrap()
}

/// A host whose workers do nothing by themselves.
pub(super) struct Bench {
    pub(super) dispatch: Dispatch,
    pub(super) now: u64,
    pub(super) workers: Vec<Ticket>,
    pub(super) sent: BTreeMap<Ticket, VecDeque<Ticket>>,
    pub(super) messages: Vec<(Ticket, usize)>,
    pub(super) rejected: Vec<(Ticket, Fault)>,
    pub(super) here: Vec<Ticket>,
    pub(super) gone: Vec<Ticket>,
}

impl Bench {
    pub(super) fn new(config: DispatchConfig) -> Self {
        let mut bench = Self {
            dispatch: Dispatch::new(config),
            now: 0,
            workers: Vec::new(),
            sent: BTreeMap::new(),
            messages: Vec::new(),
            rejected: Vec::new(),
            here: Vec::new(),
            gone: Vec::new(),
        };
        bench.dispatch.open(at(0));
        bench.obey();
        bench
    }

    /// With `min` workers that have started.
    pub(super) fn started(config: DispatchConfig) -> Self {
        let mut bench = Self::new(config);
        bench.start_all();
        bench
    }

    pub(super) fn start_all(&mut self) {
        for worker in self.workers.clone() {
            self.dispatch.ready(at(self.now), worker).unwrap();
        }
        self.obey();
    }

    pub(super) fn obey(&mut self) {
        while let Some(order) = self.dispatch.pop_order() {
            match order {
                Order::Spawn(worker) => self.workers.push(worker),
                Order::Send { worker, tasks } => {
                    assert!(self.workers.contains(&worker) && !tasks.is_empty());
                    self.messages.push((worker, tasks.len()));
                    self.sent.entry(worker).or_default().extend(tasks);
                }
                Order::Retire(worker) => {
                    assert!(self.sent.get(&worker).is_none_or(VecDeque::is_empty));
                    self.workers.retain(|other| *other != worker);
                    self.gone.push(worker);
                }
                Order::Terminate(worker) => {
                    self.workers.retain(|other| *other != worker);
                    self.gone.push(worker);
                }
                Order::Reject { task, fault } => self.rejected.push((task, fault)),
                Order::RunHere(task) => self.here.push(task),
            }
        }
    }

    pub(super) fn submit(&mut self, job: Job) -> Ticket {
        let task = self.dispatch.submit(at(self.now), job).unwrap();
        self.obey();
        task
    }

    pub(super) fn flush(&mut self) {
        self.dispatch.flush(at(self.now));
        self.obey();
    }

    pub(super) fn advance(&mut self, micros: u64) {
        self.now += micros;
        self.dispatch.on_deadline(at(self.now));
        self.obey();
    }

    /// The worker answers the oldest task it has.
    pub(super) fn answer(&mut self, worker: Ticket, ran: u64) -> Ticket {
        let task = self.sent.get_mut(&worker).and_then(VecDeque::pop_front).unwrap();
        let ran = Some(Duration::from_micros(ran));
        self.dispatch.done(at(self.now), worker, task, ran).unwrap();
        self.obey();
        task
    }

    pub(super) fn crash(&mut self, worker: Ticket) {
        self.workers.retain(|other| *other != worker);
        self.dispatch.crashed(at(self.now), worker).unwrap();
        self.obey();
    }

    pub(super) fn at_worker(&self, n: usize) -> usize {
        self.sent.get(&self.workers[n]).map_or(0, VecDeque::len)
    }
}

pub(super) fn idempotent(kind: u32) -> Job {
    Job {
        idempotent: true,
        ..Job::of(kind)
    }
}

pub(super) fn keyed(key: u32) -> Job {
    Job {
        key: Some(key),
        ..Job::of(0)
    }
}

#[test]
fn odd_sizes_are_refused_with_a_sentence() {
    let error = DispatchConfig::new(0, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Expected `size.max` to be an integer ≥ 1, got `0`"
    );
    let error = DispatchConfig::new(3, 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Expected `size.min` to be at most `size.max`, got `3`"
    );
    assert!(config(1, 1).with_recycle_after(0).is_err());
}

#[test]
fn an_idle_worker_is_sent_a_task_at_once_and_each_gets_one() {
    let mut b = Bench::started(config(2, 2));
    b.submit(Job::of(1));
    b.submit(Job::of(1));
    assert_eq!((b.at_worker(0), b.at_worker(1)), (1, 1));
    // Of unknown cost: the next ones wait where they can still be moved.
    b.submit(Job::of(1));
    b.flush();
    assert_eq!(b.dispatch.queued(), 1);
}

#[test]
fn small_tasks_for_a_busy_worker_travel_together() {
    let mut b = Bench::started(config(1, 1));
    b.submit(Job::of(1));
    b.answer(b.workers[0], 10);
    b.messages.clear();
    for _ in 0..1000 {
        b.submit(Job::of(1));
    }
    // The first went at once, the others wait for the end of the turn.
    assert_eq!(b.messages, [(b.workers[0], 1)]);
    b.flush();
    assert_eq!(b.messages, [(b.workers[0], 1), (b.workers[0], 199)]);
    // More is sent when the worker has half a batch left, not with each answer.
    (0..100).for_each(|_| {
        b.answer(b.workers[0], 10);
    });
    assert_eq!(b.messages.len(), 2);
    b.answer(b.workers[0], 10);
    assert_eq!(b.messages.len(), 3);
}

#[test]
fn long_tasks_never_pile_up_in_a_worker() {
    let mut b = Bench::started(config(1, 1));
    b.submit(Job::of(1));
    b.answer(b.workers[0], 50_000);
    (0..5).for_each(|_| {
        b.submit(Job::of(1));
    });
    b.flush();
    assert_eq!((b.at_worker(0), b.dispatch.queued()), (1, 4));
}

#[test]
fn higher_priority_goes_first_but_never_for_ever() {
    let mut b = Bench::started(config(1, 1));
    let running = b.submit(Job::of(1));
    let low = b.submit(Job::of(1));
    let high: Vec<Ticket> = (0..20)
        .map(|_| {
            b.submit(Job {
                priority: 1,
                ..Job::of(1)
            })
        })
        .collect();
    let mut order = Vec::new();
    for _ in 0..22 {
        order.push(b.answer(b.workers[0], 5_000));
    }
    assert_eq!(order[0], running);
    let place = order.iter().position(|task| *task == low).unwrap();
    assert_eq!(order[1..place], high[..place - 1]);
    assert_eq!(
        place - 1,
        15,
        "one step of priority overtakes 16 arrivals, its own included"
    );
}

#[test]
fn a_pool_grows_for_work_of_unknown_cost_and_for_long_waits_up_to_its_maximum() {
    let mut b = Bench::started(config(1, 3));
    (0..10).for_each(|_| {
        b.submit(Job::of(1));
    });
    assert_eq!(b.workers.len(), 3);
    assert_eq!(b.dispatch.counts.spawned, 3);
}

#[test]
fn a_pool_does_not_grow_for_what_is_done_before_a_worker_could_start() {
    let mut b = Bench::started(config(1, 3));
    b.submit(Job::of(1));
    b.answer(b.workers[0], 100);
    (0..20).for_each(|_| {
        b.submit(Job::of(1));
    });
    b.flush();
    assert_eq!(b.workers.len(), 1);
    // If it is not done by then after all, it does.
    (0..20).for_each(|_| {
        b.submit(Job::of(1));
    });
    assert_eq!(b.dispatch.next_deadline(), Some(at(10_000)));
    b.advance(9_999);
    assert_eq!(b.workers.len(), 1);
    b.advance(1);
    assert_eq!(b.workers.len(), 2);
}

#[test]
fn idle_workers_above_the_minimum_exit_at_t_and_not_before() {
    let mut b = Bench::started(config(1, 2).with_idle(Duration::from_micros(500)));
    (0..2).for_each(|_| {
        b.submit(Job::of(1));
    });
    b.dispatch.ready(at(0), b.workers[1]).unwrap();
    b.obey();
    b.answer(b.workers[0], 1);
    b.answer(b.workers[1], 1);
    b.advance(499);
    assert_eq!(b.workers.len(), 2);
    b.advance(1);
    assert_eq!((b.workers.len(), b.gone.len()), (1, 1));
    assert_eq!(b.dispatch.next_deadline(), None);
}

#[test]
fn round_robin_gives_each_worker_its_turn_whoever_is_busy() {
    let mut b = Bench::started(config(3, 3).with_turn(Turn::RoundRobin));
    (0..3).for_each(|_| {
        b.submit(Job::of(1));
    });
    b.flush();
    assert_eq!((b.at_worker(0), b.at_worker(1), b.at_worker(2)), (1, 1, 1));
}

#[test]
fn round_robin_gives_each_worker_its_turn_when_all_are_idle() {
    let mut b = Bench::started(config(2, 2).with_turn(Turn::RoundRobin));
    let mut turns = Vec::new();
    for _ in 0..4 {
        b.submit(Job::of(1));
        let turn = usize::from(b.at_worker(1) == 1);
        turns.push(turn);
        b.answer(b.workers[turn], 10);
    }
    assert_eq!(turns, [turns[0], 1 - turns[0], turns[0], 1 - turns[0]]);
    assert_eq!(b.dispatch.counts.moved, 0);
}

#[test]
fn work_moves_from_a_busy_workers_line_to_an_idle_worker() {
    let mut b = Bench::started(config(2, 2).with_turn(Turn::RoundRobin));
    (0..6).for_each(|_| {
        b.submit(Job::of(1));
    });
    let idle = b.workers[1];
    for _ in 0..5 {
        b.answer(idle, 50_000);
    }
    assert_eq!((b.at_worker(0), b.dispatch.queued()), (1, 0));
    assert!(b.dispatch.counts.moved >= 2);
}

#[test]
fn tasks_of_one_key_go_to_one_worker_while_it_keeps_up() {
    let mut b = Bench::started(config(4, 4));
    for key in 0..50 {
        let mut homes = BTreeSet::new();
        for _ in 0..3 {
            b.submit(keyed(key));
            let worker = *b
                .workers
                .iter()
                .find(|w| b.sent.get(w).is_some_and(|sent| !sent.is_empty()))
                .unwrap();
            homes.insert(worker);
            b.answer(worker, 5_000);
        }
        assert_eq!(homes.len(), 1);
    }
    // When it does not, an idle one helps; the last one waits for its home.
    (0..6).for_each(|_| {
        b.submit(keyed(7));
    });
    b.flush();
    assert_eq!(b.dispatch.busy(), 4);
    assert!(b.dispatch.queued() >= 1);
}

#[test]
fn what_may_have_run_is_retried_if_idempotent_and_rejected_if_not() {
    let mut b = Bench::started(config(1, 1));
    b.submit(Job::of(1));
    b.answer(b.workers[0], 10);
    let (first, second) = (b.submit(Job::of(1)), b.submit(idempotent(1)));
    b.flush();
    let dead = b.workers[0];
    b.crash(dead);
    assert_eq!(b.rejected, [(first, Fault::Crashed)]);
    b.start_all();
    assert_eq!(b.sent[&b.workers[0]], [second]);
    // What the dead one still says is nobody's.
    let late = b.dispatch.done(at(0), dead, second, None);
    assert_eq!(late, Err(StaleTicket));
    assert_eq!(b.answer(b.workers[0], 10), second);
}

#[test]
fn with_start_reports_a_crash_touches_only_what_had_begun() {
    let mut b = Bench::started(config(1, 1).with_start_reports());
    b.submit(Job::of(1));
    b.answer(b.workers[0], 10);
    let (first, second) = (b.submit(Job::of(1)), b.submit(Job::of(1)));
    b.flush();
    let worker = b.workers[0];
    b.dispatch.began(at(0), worker, first).unwrap();
    b.crash(worker);
    assert_eq!(b.rejected, [(first, Fault::Crashed)]);
    b.start_all();
    assert_eq!(b.sent[&b.workers[0]], [second]);
}

#[test]
fn a_task_that_kills_every_worker_is_given_up() {
    let mut b = Bench::started(config(1, 1).with_retries(2));
    let poison = b.submit(idempotent(1));
    for _ in 0..3 {
        assert!(b.rejected.is_empty());
        b.crash(b.workers[0]);
        b.advance(10_000_000);
        b.start_all();
    }
    assert_eq!(b.rejected, [(poison, Fault::Crashed)]);
    assert_eq!(b.dispatch.counts.retried, 2);
}

#[test]
fn a_task_that_runs_too_long_ends_its_worker_at_t_and_only_itself_is_timed_out() {
    let mut b = Bench::started(config(1, 1).with_task_timeout(Duration::from_micros(100)));
    b.submit(idempotent(1));
    b.answer(b.workers[0], 10);
    let slow = b.submit(idempotent(1));
    let behind = b.submit(idempotent(1));
    b.flush();
    assert_eq!(b.dispatch.next_deadline(), Some(at(100)));
    b.advance(99);
    assert!(b.rejected.is_empty());
    b.advance(1);
    assert_eq!(b.rejected, [(slow, Fault::TimedOut)]);
    assert_eq!(b.gone.len(), 1);
    b.start_all();
    assert_eq!(b.sent[&b.workers[0]], [behind]);
    // Its own time runs from its own start.
    assert_eq!(b.dispatch.next_deadline(), Some(at(200)));
}

#[test]
fn workers_that_die_in_a_row_are_replaced_with_backoff_until_a_task_completes() {
    let mut b = Bench::started(config(1, 1));
    b.crash(b.workers[0]);
    assert_eq!(b.workers.len(), 1, "the first at once");
    b.crash(b.workers[0]);
    assert_eq!(b.dispatch.next_deadline(), Some(at(100_000)));
    b.advance(99_999);
    assert!(b.workers.is_empty());
    b.advance(1);
    b.crash(b.workers[0]);
    assert_eq!(b.dispatch.next_deadline(), Some(at(300_000)));
    b.advance(200_000);
    b.start_all();
    b.submit(Job::of(1));
    b.answer(b.workers[0], 10);
    b.crash(b.workers[0]);
    assert_eq!(b.workers.len(), 1);
}

#[test]
fn where_no_worker_ever_starts_the_host_runs_the_tasks() {
    let mut b = Bench::new(config(1, 2));
    let early = b.submit(Job::of(1));
    while !b.workers.is_empty() {
        b.crash(b.workers[0]);
        b.advance(10_000_000);
        assert!(b.dispatch.counts.deaths < 10);
    }
    assert!(b.dispatch.runs_here());
    let later = b.submit(keyed(3));
    assert_eq!(b.here, [early, later]);
    assert_eq!(b.dispatch.next_deadline(), None);
}

#[test]
fn a_worker_is_replaced_after_enough_tasks_and_when_its_memory_is_full() {
    let mut b = Bench::started(config(1, 2).with_recycle_after(2).unwrap().with_high_water(1000));
    for _ in 0..2 {
        b.submit(Job::of(1));
        b.answer(b.workers[0], 10);
    }
    assert_eq!((b.gone.len(), b.workers.len()), (1, 1));
    b.start_all();
    b.submit(Job::of(1));
    let worker = b.workers[0];
    b.dispatch.memory(at(0), worker, 999).unwrap();
    b.obey();
    assert_eq!(b.gone.len(), 1);
    // It finishes what it has, and gets nothing more.
    b.dispatch.memory(at(0), worker, 1000).unwrap();
    b.obey();
    let next = b.submit(Job::of(1));
    b.answer(worker, 10);
    assert_eq!(b.gone.len(), 2);
    b.start_all();
    assert!(
        b.sent
            .iter()
            .any(|(at, tasks)| *at != worker && tasks.contains(&next))
    );
}

#[test]
fn a_cancelled_task_is_taken_back_or_told_to_its_worker_which_has_the_time_of_grace() {
    let mut b = Bench::started(config(1, 1));
    let running = b.submit(Job::of(1));
    let queued = b.submit(Job::of(1));
    assert_eq!(b.dispatch.cancel(at(0), queued, 50), Ok(Cancelled::Unsent));
    let worker = b.workers[0];
    assert_eq!(b.dispatch.cancel(at(0), running, 50), Ok(Cancelled::Tell(worker)));
    assert_eq!(b.dispatch.cancel(at(0), running, 50), Err(StaleTicket));
    b.advance(49);
    assert!(b.gone.is_empty());
    b.advance(1);
    assert_eq!(b.gone, [worker]);
    assert!(b.rejected.is_empty(), "it was settled when it was cancelled");
}

#[test]
fn closing_finishes_what_was_taken_in_and_then_asks_the_workers_to_exit() {
    let mut b = Bench::started(config(1, 1));
    b.submit(Job::of(1));
    b.submit(Job::of(1));
    b.dispatch.close(at(0), false);
    b.obey();
    assert_eq!(b.dispatch.submit(at(0), Job::of(1)), Err(Refusal::Closed));
    b.answer(b.workers[0], 10);
    assert_eq!(b.workers.len(), 1);
    b.answer(b.workers[0], 10);
    assert!(b.workers.is_empty());
}

#[test]
fn closing_may_reject_what_waits_and_killing_rejects_the_rest() {
    let mut b = Bench::started(config(1, 1));
    let (running, queued) = (b.submit(Job::of(1)), b.submit(Job::of(1)));
    b.dispatch.close(at(0), true);
    b.obey();
    assert_eq!(b.rejected, [(queued, Fault::Closed)]);
    b.dispatch.kill();
    b.obey();
    assert_eq!(b.rejected, [(queued, Fault::Closed), (running, Fault::Closed)]);
    assert!(b.workers.is_empty() && b.dispatch.queued() == 0);
}

#[test]
fn a_full_queue_refuses_or_drops_and_idle_workers_are_room() {
    let with = |overflow| Bench::started(config(1, 1).with_capacity(1, overflow));
    let submit = |bench: &mut Bench, priority| {
        let job = Job {
            priority,
            ..Job::of(1)
        };
        let answer = bench.dispatch.submit(at(bench.now), job);
        bench.obey();
        answer
    };
    let mut refuses = with(Overflow::Error);
    assert!(submit(&mut refuses, 0).is_ok() && submit(&mut refuses, 0).is_ok());
    assert_eq!(submit(&mut refuses, 0), Err(Refusal::QueueFull { queued: 1 }));
    let mut newest = with(Overflow::DropNewest);
    assert!(submit(&mut newest, 0).is_ok() && submit(&mut newest, 0).is_ok());
    assert_eq!(submit(&mut newest, 9), Err(Refusal::Dropped { queued: 1 }));
    let mut oldest = with(Overflow::DropOldest);
    submit(&mut oldest, 0).unwrap();
    let waiting = submit(&mut oldest, 1).unwrap();
    assert_eq!(submit(&mut oldest, 0), Err(Refusal::Dropped { queued: 1 }));
    let newcomer = submit(&mut oldest, 1).unwrap();
    assert_eq!(oldest.rejected, [(waiting, Fault::Dropped)]);
    assert_ne!(newcomer.index(), waiting.index());
    assert_eq!(oldest.dispatch.queued(), 1);
}

#[test]
fn a_task_that_breaks_its_worker_takes_no_other_down() {
    let mut bench = Bench::started(config(1, 1));
    let first = bench.submit(Job::of(1));
    let worker = bench.workers[0];
    bench.answer(worker, 1);
    let _ = first;
    let guilty = bench.submit(Job::of(1));
    let others: Vec<Ticket> = (0..3).map(|_| bench.submit(Job::of(1))).collect();
    bench.flush();
    assert_eq!(bench.at_worker(0), 4);
    bench.workers.clear();
    bench.sent.clear();
    bench.dispatch.trapped(at(bench.now), worker, guilty).unwrap();
    bench.obey();
    assert_eq!(bench.rejected, [(guilty, Fault::Crashed)]);
    bench.start_all();
    let again = bench.sent.get(&bench.workers[0]).unwrap();
    assert_eq!(Vec::from_iter(again.iter().copied()), others);
}

#[test]
fn a_host_that_has_no_workers_runs_what_there_is_and_what_comes() {
    let mut bench = Bench::new(config(0, 2));
    let before = bench.submit(Job::of(1));
    bench.dispatch.give_up();
    bench.obey();
    let after = bench.submit(Job::of(1));
    assert_eq!(bench.here, [before, after]);
    assert!(bench.dispatch.runs_here());
    assert_eq!(bench.dispatch.queued(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn whatever_dies_each_task_settles_once_and_runs_twice_only_if_idempotent(
        max in 1u32..4,
        flags in 0u8..8,
        ops in prop::collection::vec((0u8..16, 0u64..64), 1..250),
    ) {
        let min = u32::from(flags & 1).min(max);
        let mut config = config(min, max).with_idle(Duration::from_micros(300)).with_task_timeout(Duration::from_millis(2));
        if flags & 2 > 0 { config = config.with_start_reports(); }
        if flags & 4 > 0 { config = config.with_turn(Turn::RoundRobin).with_recycle_after(5).unwrap(); }
        let mut b = Bench::new(config);
        let mut open: BTreeMap<Ticket, Job> = BTreeMap::new();
        let mut cancelled: BTreeSet<Ticket> = BTreeSet::new();
        let mut ran: BTreeMap<Ticket, u32> = BTreeMap::new();
        let mut running: BTreeSet<Ticket> = BTreeSet::new();
        let mut started: BTreeSet<Ticket> = BTreeSet::new();
        let mut jobs: BTreeMap<Ticket, Job> = BTreeMap::new();
        let ending = std::iter::repeat_n((16u8, 0u64), 600);
        for (op, pick) in ops.into_iter().chain(ending) {
            let worker = b.workers.get(pick as usize % b.workers.len().max(1)).copied();
            let is_started = worker.is_some_and(|w| started.contains(&w));
            match (op, worker) {
                (0..=4, _) => {
                    let job = Job {
                        kind: (pick % 3) as u32,
                        priority: (pick % 5) as i32 - 2,
                        key: (pick % 4 == 0).then_some((pick / 4) as u32 % 3),
                        idempotent: pick % 2 == 0,
                        timeout: None,
                    };
                    let task = b.submit(job);
                    open.insert(task, job);
                    jobs.insert(task, job);
                }
                (5, _) => b.flush(),
                (6 | 7, Some(worker)) if !is_started => {
                    started.insert(worker);
                    b.dispatch.ready(at(b.now), worker).unwrap();
                    b.obey();
                }
                // A worker begins with its oldest task, and answers it later.
                (8..=12, Some(worker)) if is_started => if let Some(task) = b.sent.get(&worker).and_then(|s| s.front()).copied() {
                    if running.insert(worker) {
                        if !cancelled.contains(&task) { *ran.entry(task).or_default() += 1; }
                        b.dispatch.began(at(b.now), worker, task).unwrap();
                    } else {
                        running.remove(&worker);
                        let task = b.answer(worker, pick * pick);
                        if !cancelled.remove(&task) { prop_assert!(open.remove(&task).is_some(), "settled twice"); }
                    }
                },
                (13, Some(worker)) => b.crash(worker),
                (14, _) => if let Some(task) = open.keys().nth(pick as usize % open.len().max(1)).copied() {
                    open.remove(&task);
                    if b.dispatch.cancel(at(b.now), task, 100).unwrap() != Cancelled::Unsent { cancelled.insert(task); }
                },
                (15, _) => b.advance(pick * 20),
                // The end: everything that starts starts, and everything that runs answers.
                (16.., _) => {
                    for worker in b.workers.clone() {
                        if started.insert(worker) { b.dispatch.ready(at(b.now), worker).unwrap(); b.obey(); }
                        if let Some(task) = b.sent.get(&worker).and_then(|s| s.front()).copied() {
                            if running.insert(worker) && !cancelled.contains(&task) { *ran.entry(task).or_default() += 1; }
                            running.remove(&worker);
                            let task = b.answer(worker, 1);
                            if !cancelled.remove(&task) { prop_assert!(open.remove(&task).is_some(), "settled twice"); }
                        }
                    }
                    b.advance(if b.workers.is_empty() { 200_000 } else { 1 });
                }
                _ => {}
            }
            for (task, _) in std::mem::take(&mut b.rejected) { prop_assert!(open.remove(&task).is_some(), "settled twice"); }
            for task in std::mem::take(&mut b.here) { prop_assert!(open.remove(&task).is_some(), "settled twice"); }
            running.retain(|worker| b.workers.contains(worker));
            b.sent.retain(|worker, _| b.workers.contains(worker));
            prop_assert!(b.workers.len() <= max as usize);
            prop_assert_eq!(b.workers.len(), b.dispatch.workers());
            prop_assert_eq!(b.dispatch.unsent.values().sum::<u64>() as usize, b.dispatch.unsent());
            let waiting = |place: &Place| matches!(place, Place::Queue | Place::Backlog(_));
            prop_assert_eq!(b.dispatch.tasks.iter().filter(|(_, task)| waiting(&task.place)).count(), b.dispatch.unsent());
            for (ticket, worker) in b.dispatch.workers.iter() {
                let work: u64 = worker.sent.iter().map(|task| match b.dispatch.tasks.get(*task).unwrap().place {
                    Place::Sent { worker, cost, .. } | Place::Dropped { worker, cost, .. } if worker == ticket => cost,
                    place => panic!("{place:?}"),
                }).sum();
                prop_assert_eq!(work, worker.work);
            }
            for (task, times) in &ran { prop_assert!(*times <= 1 || jobs[task].idempotent, "run twice"); }
            prop_assert!(ran.values().all(|n| *n <= 3));
        }
        prop_assert!(open.is_empty(), "{} lost", open.len());
        prop_assert!(b.workers.len() >= min as usize || b.dispatch.runs_here());
    }
}

//! The rules of dispatch one by one, each at its very bound.

use super::tests::{Bench, at, config, idempotent, keyed};
use super::waiting::affinity;
use super::*;
use std::collections::{BTreeMap, VecDeque};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const KIND: u32 = 1;

/// With `min` workers that have started, which know what a task of kind 1 costs.
fn knowing(config: DispatchConfig, cost: u64) -> Bench {
    let mut bench = Bench::started(config);
    let task = bench.submit(Job::of(KIND));
    let worker = bench.holder(task);
    bench.answer(worker, cost);
    assert_eq!(bench.dispatch.expected(KIND), Some(cost));
    bench.messages.clear();
    bench
}

fn submit(bench: &mut Bench, times: usize) -> Vec<Ticket> {
    (0..times).map(|_| bench.submit(Job::of(KIND))).collect()
}

impl Bench {
    fn holder(&self, task: Ticket) -> Ticket {
        let holder = self.sent.iter().find(|(_, tasks)| tasks.contains(&task));
        *holder.unwrap().0
    }
}

#[test]
fn the_cost_of_a_kind_follows_what_it_took_by_an_eighth() {
    let mut b = knowing(config(1, 1), 1000);
    submit(&mut b, 1);
    b.answer(b.workers[0], 1800);
    assert_eq!(b.dispatch.expected(KIND), Some(1100));
    submit(&mut b, 1);
    b.answer(b.workers[0], 100);
    assert_eq!(b.dispatch.expected(KIND), Some(1100 - 137 + 12));
    assert_eq!(b.dispatch.expected(7), None);
    let mut quick = knowing(config(1, 1), 1);
    submit(&mut quick, 1);
    quick.answer(quick.workers[0], 0);
    assert_eq!(quick.dispatch.expected(KIND), Some(1), "nothing costs nothing");
}

#[test]
fn what_was_cancelled_teaches_nothing_about_its_kind() {
    let mut b = knowing(config(1, 1), 1000);
    let [task] = submit(&mut b, 1)[..] else { panic!() };
    b.dispatch.cancel(at(0), task, 50).unwrap();
    let worker = b.workers[0];
    let answer = b.dispatch.done(at(0), worker, task, Some(Duration::from_secs(1)));
    assert_eq!(answer, Ok(Answer::Discard));
    assert_eq!(b.dispatch.expected(KIND), Some(1000));
    assert_eq!((b.dispatch.counts.completed, b.dispatch.counts.cancelled), (1, 1));
}

#[test]
fn one_worker_is_joined_by_another_when_what_waits_takes_longer_than_ten_milliseconds() {
    let mut b = knowing(config(1, 2), 1000);
    // One runs and nine wait: ten milliseconds, and not more.
    submit(&mut b, 10);
    assert_eq!(b.workers.len(), 1);
    submit(&mut b, 1);
    assert_eq!(b.workers.len(), 2);
}

#[test]
fn two_workers_are_joined_by_a_third_when_what_waits_takes_twice_as_long() {
    let mut b = knowing(config(2, 3), 1000);
    submit(&mut b, 20);
    assert_eq!(b.workers.len(), 2);
    submit(&mut b, 1);
    assert_eq!(b.workers.len(), 3);
}

#[test]
fn no_more_start_than_there_are_tasks_for() {
    let mut b = Bench::started(config(1, 8));
    b.submit(Job::of(KIND));
    b.submit(Job::of(KIND));
    assert_eq!(b.workers.len(), 2, "one runs, one waits: one more");
    b.submit(Job::of(KIND));
    assert_eq!(b.workers.len(), 3);
    b.flush();
    assert_eq!(b.workers.len(), 3);
    let mut none = Bench::new(config(0, 4));
    assert_eq!((none.workers.len(), none.dispatch.next_deadline()), (0, None));
    none.submit(Job::of(KIND));
    assert_eq!(none.workers.len(), 1);
}

#[test]
fn growth_that_waits_for_its_moment_is_called_off_with_its_reason() {
    let mut b = knowing(config(1, 2), 1000);
    let waiting = submit(&mut b, 3);
    b.flush();
    let last = b.submit(Job::of(KIND));
    assert_eq!(b.dispatch.next_deadline(), Some(at(10_000)));
    b.now = 4000;
    b.flush();
    assert_eq!(b.dispatch.next_deadline(), Some(at(10_000)), "it is not put off");
    for task in waiting.into_iter().skip(1).chain([last]) {
        b.dispatch.cancel(at(b.now), task, 0).unwrap();
    }
    b.flush();
    assert_eq!((b.dispatch.queued(), b.dispatch.next_deadline()), (0, None));
}

#[test]
fn a_busy_worker_is_fed_below_a_half_batch_up_to_a_whole_one() {
    let mut b = knowing(config(1, 1), 500);
    submit(&mut b, 9);
    b.flush();
    // The first at once; then up to 2 ms.
    assert_eq!(b.messages, [(b.workers[0], 1), (b.workers[0], 3)]);
    b.answer(b.workers[0], 500);
    b.answer(b.workers[0], 500);
    assert_eq!(b.messages.len(), 2, "half a batch is left");
    b.answer(b.workers[0], 500);
    assert_eq!(b.messages.len(), 3);
    assert_eq!(b.messages[2].1, 3);
    assert_eq!(b.dispatch.counts.messages, 4);
}

/// One worker at its first task of this cost, and how many tasks it is sent behind it while so many wait.
fn first_parcel(config: DispatchConfig, cost: u64, waiting: usize) -> (Bench, usize) {
    let mut b = knowing(config, cost);
    submit(&mut b, 1 + waiting);
    b.flush();
    let parcel = b.at_worker(0) - 1;
    (b, parcel)
}

#[test]
fn while_much_waits_several_tasks_travel_together_and_as_many_lie_behind_them() {
    let (mut b, parcel) = first_parcel(config(1, 1), 2000, 60);
    assert_eq!(parcel, 4, "as many as half of those that may lie there");
    b.answer(b.workers[0], 2000);
    assert_eq!(b.at_worker(0), 8);
    // Four that are answered in one message make room for four.
    for _ in 0..4 {
        let task = b
            .sent
            .get_mut(&b.workers[0])
            .and_then(VecDeque::pop_front)
            .unwrap();
        let ran = Some(Duration::from_micros(2000));
        b.dispatch.answered(at(0), b.workers[0], task, ran).unwrap();
    }
    b.flush();
    assert_eq!(b.at_worker(0), 8);
    let sizes: Vec<usize> = b.messages.iter().map(|(_, tasks)| *tasks).collect();
    assert_eq!(sizes, [1, 4, 4, 4]);
}

#[test]
fn as_many_travel_together_as_take_sixteen_milliseconds_and_four_at_most() {
    let parcel = |cost| first_parcel(config(1, 1), cost, 60).1;
    assert_eq!([1000, 3000, 6000, 8000, AHEAD].map(parcel), [4, 4, 3, 2, 1]);
    // What is quicker goes by two milliseconds of it.
    assert_eq!([500, 100].map(parcel), [4, 19]);
}

#[test]
fn no_more_work_lies_at_a_worker_than_is_its_share_of_what_waits() {
    let parcel = |waiting| first_parcel(config(1, 1), 2000, waiting).1;
    assert_eq!([1, 2, 4, 6, 8, 20].map(parcel), [0, 1, 2, 3, 4, 4]);
    let (mut b, _) = first_parcel(config(1, 1), 2000, 20);
    let mut deepest = Vec::new();
    while b.at_worker(0) > 1 {
        b.answer(b.workers[0], 2000);
        deepest.push(b.at_worker(0));
    }
    assert!(deepest.is_sorted_by(|one, next| one >= next), "{deepest:?}");
    assert_eq!(deepest.last(), Some(&1));
}

#[test]
fn once_a_worker_has_died_tasks_travel_alone() {
    let mut b = knowing(config(1, 1), 2000);
    b.crash(b.workers[0]);
    b.advance(1_000_000);
    b.start_all();
    submit(&mut b, 61);
    b.flush();
    assert_eq!(b.at_worker(0), 2);
}

#[test]
fn tasks_whose_time_is_watched_travel_alone() {
    let timed = config(1, 1).with_task_timeout(Duration::from_secs(1));
    assert_eq!(first_parcel(timed, 2000, 60).1, 1);
    let mut b = knowing(config(1, 1), 2000);
    b.submit(Job {
        timeout: Some(1_000_000),
        ..Job::of(KIND)
    });
    submit(&mut b, 60);
    b.flush();
    assert_eq!(b.at_worker(0), 2);
}

#[test]
fn a_worker_has_one_task_at_hand_while_more_wait_than_there_are_workers() {
    let mut b = knowing(config(2, 2), AHEAD);
    submit(&mut b, 6);
    b.flush();
    // Of four that waited two are as many as there are workers.
    assert_eq!((b.at_worker(0), b.at_worker(1), b.dispatch.queued()), (2, 2, 2));
    b.answer(b.workers[0], AHEAD);
    assert_eq!((b.at_worker(0), b.dispatch.queued()), (1, 2));
    b.answer(b.workers[0], AHEAD);
    assert_eq!((b.at_worker(0), b.dispatch.queued()), (1, 1));
}

#[test]
fn nothing_is_sent_ahead_that_is_long_or_unknown_or_behind_what_is() {
    let mut long = knowing(config(1, 1), AHEAD + 1);
    submit(&mut long, 5);
    long.flush();
    assert_eq!((long.at_worker(0), long.dispatch.queued()), (1, 4));
    let mut b = knowing(config(1, 1), AHEAD);
    submit(&mut b, 5);
    b.submit(Job::of(2));
    b.flush();
    assert_eq!(b.at_worker(0), 1, "one that waits is unknown");
    let mut b = knowing(config(1, 1), AHEAD);
    b.submit(Job::of(2));
    submit(&mut b, 5);
    b.flush();
    assert_eq!(b.at_worker(0), 1, "the one that runs is unknown");
}

#[test]
fn no_worker_has_more_than_its_most_tasks_however_little_they_cost() {
    let mut b = knowing(config(1, 1), 1);
    submit(&mut b, MOST + 10);
    b.flush();
    assert_eq!((b.at_worker(0), b.dispatch.queued()), (MOST, 10));
    assert_eq!((b.dispatch.busy(), b.dispatch.idle()), (1, 0));
    assert_eq!(b.dispatch.running(), MOST);
}

#[test]
fn tasks_go_to_the_worker_with_the_least_work() {
    let mut b = knowing(config(2, 2), 300);
    let of = |kind: u32| Job { kind, ..Job::of(0) };
    // A second kind, three times as dear.
    let dear = b.submit(of(2));
    b.answer(b.holder(dear), 900);
    b.submit(of(2));
    let cheap = b.submit(of(KIND));
    let light = b.holder(cheap);
    let next = b.submit(of(KIND));
    b.flush();
    assert_eq!(b.holder(next), light);
    let even = b.submit(of(2));
    b.flush();
    assert_eq!(b.holder(even), light, "600 is less than 900");
}

#[test]
fn an_answer_is_heard_only_from_the_worker_that_has_the_task() {
    let mut b = Bench::started(config(2, 2).with_start_reports());
    let task = b.submit(Job::of(KIND));
    let holder = b.holder(task);
    let other = *b.workers.iter().find(|worker| **worker != holder).unwrap();
    assert_eq!(b.dispatch.done(at(0), other, task, None), Err(StaleTicket));
    assert_eq!(b.dispatch.began(at(0), other, task), Err(StaleTicket));
    assert_eq!(b.dispatch.began(at(5), holder, task), Ok(()));
    b.dispatch.cancel(at(6), task, 100).unwrap();
    assert_eq!(b.dispatch.done(at(7), other, task, None), Err(StaleTicket));
    assert_eq!(b.dispatch.began(at(7), other, task), Err(StaleTicket));
    assert_eq!(b.dispatch.began(at(7), holder, task), Ok(()));
    assert_eq!(b.dispatch.next_deadline(), Some(at(106)));
    assert_eq!(b.dispatch.done(at(8), holder, task, None), Ok(Answer::Discard));
    assert_eq!(b.dispatch.done(at(8), holder, task, None), Err(StaleTicket));
    assert_eq!(b.dispatch.counts.completed, 0);
}

#[test]
fn a_worker_is_ready_once_and_only_if_there_is_one() {
    let mut b = Bench::new(config(1, 1));
    b.submit(Job::of(KIND));
    assert_eq!((b.dispatch.idle(), b.dispatch.busy()), (0, 0));
    let worker = b.workers[0];
    b.start_all();
    assert_eq!(b.at_worker(0), 1);
    b.crash(worker);
    assert_eq!(b.dispatch.ready(at(0), worker), Err(StaleTicket));
    assert_eq!(b.dispatch.crashed(at(0), worker), Err(StaleTicket));
    assert_eq!(b.dispatch.memory(at(0), worker, u64::MAX), Err(StaleTicket));
}

#[test]
fn the_last_of_a_key_waits_for_its_home_although_others_are_idle() {
    let mut b = Bench::started(config(2, 2));
    let first = b.submit(keyed(7));
    let home = b.holder(first);
    b.submit(keyed(7));
    b.flush();
    assert_eq!((b.dispatch.queued(), b.dispatch.idle()), (1, 1));
    b.submit(keyed(7));
    b.flush();
    assert_eq!(
        (b.dispatch.queued(), b.dispatch.idle(), b.dispatch.counts.moved),
        (1, 0, 1)
    );
    b.answer(home, 5000);
    assert_eq!(b.dispatch.queued(), 0);
}

#[test]
fn a_thief_takes_tasks_without_a_key_first_and_leaves_the_others_in_their_order() {
    let mut b = Bench::started(config(2, 2).with_turn(Turn::RoundRobin));
    // Both are busy, and one has a line of its own in which a keyed task comes first.
    submit(&mut b, 2);
    let key = (0..)
        .find(|key| affinity(*key, b.workers[0]) > affinity(*key, b.workers[1]))
        .unwrap();
    let first_keyed = b.submit(keyed(key));
    let mut plain = Vec::new();
    while b.dispatch.workers.get(b.workers[0]).unwrap().backlog.len < 4 {
        plain.push(b.submit(Job::of(KIND)));
    }
    let thief = b.workers[1];
    while b.dispatch.counts.moved == 0 {
        b.answer(thief, 5000);
    }
    let stolen = *b.sent[&thief].front().unwrap();
    assert!(plain.contains(&stolen));
    b.answer(b.workers[0], 5000);
    assert_eq!(b.sent[&b.workers[0]], [first_keyed]);
}

#[test]
fn a_worker_more_takes_keys_from_others_and_moves_none_between_them() {
    let homes = |bench: &mut Bench| -> BTreeMap<u32, Ticket> {
        (0..200)
            .map(|key| (key, bench.dispatch.worker_for(&keyed(key)).unwrap()))
            .collect()
    };
    let mut b = Bench::started(config(3, 3));
    let three = homes(&mut b);
    let mut c = Bench::started(config(4, 4));
    let four = homes(&mut c);
    let newest = c.workers[3];
    let moved: Vec<_> = three.iter().filter(|(key, home)| four[*key] != **home).collect();
    assert!(moved.iter().all(|(key, _)| four[*key] == newest));
    assert!((25..75).contains(&moved.len()), "{} of 200", moved.len());
    for worker in &b.workers {
        let share = three.values().filter(|home| *home == worker).count();
        assert!((40..95).contains(&share), "{share} of 200");
    }
}

#[test]
fn those_that_start_and_those_that_are_busy_leave_room_in_the_queue() {
    let with = |min| Bench::new(config(min, 3).with_capacity(1, Overflow::Error));
    let fill = |bench: &mut Bench| {
        (0..10)
            .filter(|_| {
                let taken = bench.dispatch.submit(at(0), Job::of(KIND)).is_ok();
                bench.obey();
                taken
            })
            .count()
    };
    assert_eq!(fill(&mut with(0)), 4, "three could be taken by workers to come");
    let mut busy = with(3);
    busy.start_all();
    assert_eq!(fill(&mut busy), 4);
    assert_eq!((busy.dispatch.busy(), busy.dispatch.queued()), (3, 1));
}

#[test]
fn of_the_lowest_priority_the_longest_queued_gives_way_wherever_it_waits() {
    let mut b = Bench::started(config(1, 1).with_capacity(3, Overflow::DropOldest));
    let of = |priority| Job {
        priority,
        ..Job::of(KIND)
    };
    b.submit(of(5));
    b.submit(of(0));
    let first_low = b.submit(of(-1));
    let second_low = b.submit(Job {
        key: Some(3),
        ..of(-1)
    });
    assert_eq!(
        b.dispatch.submit(at(0), of(-2)),
        Err(Refusal::Dropped { queued: 3 })
    );
    b.submit(of(-1));
    assert_eq!(b.rejected, [(first_low, Fault::Dropped)]);
    b.submit(of(1));
    assert_eq!(b.rejected[1..], [(second_low, Fault::Dropped)]);
    assert_eq!(b.dispatch.queued(), 3);
    assert_eq!(b.dispatch.counts.submitted, 6);
}

#[test]
fn starts_are_put_off_twice_as_long_with_each_death_and_ten_seconds_at_most() {
    let mut b = Bench::started(config(1, 1).without_fallback());
    let mut waits = Vec::new();
    for _ in 0..11 {
        b.crash(b.workers[0]);
        let until = b.dispatch.next_deadline().map_or(b.now, Instant::as_micros);
        waits.push((until - b.now) / 1000);
        b.advance(until - b.now);
    }
    assert_eq!(
        waits,
        [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]
    );
    assert_eq!(b.dispatch.counts.deaths, 11);
}

#[test]
fn only_if_none_ever_starts_does_the_host_run_the_tasks() {
    let dies = |mut b: Bench, times: usize| {
        for _ in 0..times {
            b.crash(b.workers[0]);
            b.advance(10_000_000);
        }
        b.dispatch.runs_here()
    };
    assert!(!dies(Bench::new(config(1, 1)), 2));
    assert!(dies(Bench::new(config(1, 1)), 3));
    assert!(!dies(Bench::started(config(1, 1)), 5), "one was ready once");
    assert!(!dies(Bench::new(config(1, 1).without_fallback()), 5));
    // While one still starts there is hope.
    let mut b = Bench::new(config(4, 4));
    for _ in 0..3 {
        b.crash(b.workers[0]);
    }
    assert!(!b.dispatch.runs_here() && !b.workers.is_empty());
}

#[test]
fn with_start_reports_every_task_has_its_own_limit_from_its_own_start() {
    let mut b = knowing(
        config(1, 1)
            .with_start_reports()
            .with_task_timeout(Duration::from_micros(100)),
        10,
    );
    let of = |timeout| Job {
        timeout,
        ..Job::of(KIND)
    };
    let (usual, own) = (b.submit(of(None)), b.submit(of(Some(30))));
    b.flush();
    let worker = b.workers[0];
    assert_eq!(b.dispatch.next_deadline(), None, "neither has begun");
    b.dispatch.began(at(10), worker, usual).unwrap();
    assert_eq!(b.dispatch.next_deadline(), Some(at(110)));
    b.dispatch.began(at(50), worker, own).unwrap();
    b.dispatch.began(at(70), worker, own).unwrap();
    assert_eq!(b.dispatch.next_deadline(), Some(at(80)), "it began once");
    b.advance(80);
    assert_eq!(
        b.rejected,
        [(own, Fault::TimedOut), (usual, Fault::Crashed)]
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
    assert_eq!((b.dispatch.counts.timed_out, b.dispatch.counts.crashed), (1, 1));
}

#[test]
fn the_grace_of_a_cancelled_task_runs_from_its_start_and_ends_with_its_limit() {
    let mut b = knowing(config(1, 1).with_start_reports(), 10);
    let limited = Job {
        timeout: Some(60),
        ..Job::of(KIND)
    };
    let worker = b.workers[0];
    // Told before it began: its grace begins with it.
    let [late] = submit(&mut b, 1)[..] else { panic!() };
    b.dispatch.cancel(at(0), late, 50).unwrap();
    assert_eq!(b.dispatch.next_deadline(), None);
    b.dispatch.began(at(20), worker, late).unwrap();
    assert_eq!(b.dispatch.next_deadline(), Some(at(70)));
    b.dispatch.done(at(20), worker, late, None).unwrap();
    b.sent.clear();
    // Told in the middle of it.
    let [running] = submit(&mut b, 1)[..] else {
        panic!()
    };
    b.dispatch.began(at(20), worker, running).unwrap();
    b.dispatch.cancel(at(40), running, 50).unwrap();
    assert_eq!(b.dispatch.next_deadline(), Some(at(90)));
    b.dispatch.done(at(40), worker, running, None).unwrap();
    // Its own limit comes first.
    let task = b.submit(limited);
    b.dispatch.began(at(20), worker, task).unwrap();
    b.dispatch.cancel(at(40), task, 50).unwrap();
    assert_eq!(b.dispatch.next_deadline(), Some(at(80)));
    b.advance(80);
    assert_eq!((b.rejected.len(), b.gone.len()), (0, 1));
    assert_eq!(b.dispatch.counts.timed_out, 0);
}

#[test]
fn idle_workers_stay_while_they_have_a_line_or_are_needed() {
    let idle = Duration::from_micros(500);
    let mut b = Bench::started(config(2, 2).with_idle(idle));
    assert_eq!(
        b.dispatch.next_deadline(),
        None,
        "there are no more than the least"
    );
    b.advance(10_000);
    assert_eq!(b.workers.len(), 2);
    let mut b = Bench::new(config(0, 2).with_idle(idle));
    let task = b.submit(Job::of(KIND));
    b.now = 100;
    b.start_all();
    assert_eq!(b.dispatch.next_deadline(), None, "it is busy");
    b.now = 200;
    b.answer(b.holder(task), 10);
    assert_eq!(b.dispatch.next_deadline(), Some(at(700)));
    b.advance(499);
    assert_eq!(b.workers.len(), 1);
    b.advance(1);
    assert_eq!(b.workers.len(), 0);
}

#[test]
fn only_a_worker_that_is_ready_is_recycled_and_that_once() {
    let mut b = Bench::new(config(1, 1).with_high_water(10));
    let starting = b.workers[0];
    b.dispatch.memory(at(0), starting, 99).unwrap();
    b.obey();
    assert_eq!((b.gone.len(), b.dispatch.counts.recycled), (0, 0));
    b.start_all();
    b.submit(Job::of(KIND));
    for _ in 0..2 {
        b.dispatch.memory(at(0), starting, 99).unwrap();
        b.obey();
    }
    assert_eq!((b.gone.len(), b.dispatch.counts.recycled), (0, 1));
    b.answer(starting, 1);
    assert_eq!((b.gone.len(), b.workers.len()), (1, 1));
}

#[test]
fn what_waited_for_a_worker_that_is_recycled_goes_to_others() {
    let mut b = Bench::started(config(2, 2).with_turn(Turn::RoundRobin).with_high_water(10));
    submit(&mut b, 6);
    let worn = b.workers[0];
    b.dispatch.memory(at(0), worn, 10).unwrap();
    b.obey();
    assert_eq!(b.dispatch.workers.get(worn).unwrap().backlog.len, 0);
    assert_eq!(b.dispatch.queued(), 4);
    assert_eq!(b.dispatch.workers.get(b.workers[1]).unwrap().backlog.len, 4);
}

#[test]
fn a_task_is_tried_again_as_often_as_allowed_and_no_more() {
    for (retries, tries) in [(0, 1), (1, 2), (3, 4)] {
        let mut b = Bench::started(config(1, 1).with_retries(retries));
        let poison = b.submit(idempotent(KIND));
        let mut deaths = 0;
        while b.rejected.is_empty() {
            deaths += 1;
            b.crash(b.workers[0]);
            b.advance(10_000_000);
            b.start_all();
        }
        assert_eq!((deaths, b.rejected[0]), (tries, (poison, Fault::Crashed)));
        assert_eq!(b.dispatch.counts.retried, u64::from(retries));
        assert_eq!(b.dispatch.counts.crashed, 1);
    }
}

#[test]
fn closing_rejects_what_waits_in_its_order_and_lets_nobody_start() {
    let mut b = Bench::started(config(1, 2));
    b.submit(Job::of(KIND));
    let low = b.submit(Job::of(KIND));
    let high = b.submit(Job {
        priority: 3,
        ..Job::of(KIND)
    });
    b.dispatch.close(at(0), true);
    b.obey();
    assert_eq!(b.rejected, [(high, Fault::Closed), (low, Fault::Closed)]);
    assert_eq!(b.workers.len(), 1, "the one that started has nothing to do");
    b.answer(b.workers[0], 1);
    assert!(b.workers.is_empty() && !b.dispatch.has_orders());
    assert_eq!(b.dispatch.next_deadline(), None);
    // What is taken in is finished, by a worker that starts for it if need be.
    let mut b = Bench::new(config(0, 1));
    b.submit(Job::of(KIND));
    b.crash(b.workers[0]);
    b.dispatch.close(at(0), false);
    b.obey();
    assert_eq!(b.workers.len(), 1);
}

#[test]
fn without_workers_what_is_put_off_is_forgotten() {
    let mut b = knowing(config(1, 2), 1000);
    submit(&mut b, 4);
    assert!(b.dispatch.next_deadline().is_some());
    b.dispatch.give_up();
    b.obey();
    assert_eq!((b.dispatch.next_deadline(), b.here.len()), (None, 3));
    assert_eq!((b.dispatch.queued(), b.dispatch.running()), (0, 1));
}

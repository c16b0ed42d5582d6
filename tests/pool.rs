//! The pool as its users see it, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::{FutureExt, StreamExt, stream};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    AcquireError, CloseOptions, Host, Instant, OnTimeout, Overflow, Pool, PoolOptions, QueueConfig, Queued,
    RunError, RunOptions, Runtime, TaskState, VirtualRuntime, gather,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Fails = RunError<&'static str>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn at(n: u64) -> Instant {
    Instant::from_micros(n * 1000)
}

fn plain() -> RunOptions {
    RunOptions::new()
}

fn pool(options: PoolOptions) -> (VirtualRuntime, Pool<VirtualRuntime>) {
    let runtime = VirtualRuntime::new();
    let pool = Pool::new(&Host::new(runtime.clone()), options).unwrap();
    (runtime, pool)
}

/// A task that takes its time and then gives `value`.
fn nap<T: 'static>(
    runtime: &VirtualRuntime,
    millis: u64,
    value: T,
) -> impl FnOnce(tidegate::TaskContext) -> std::pin::Pin<Box<dyn Future<Output = Result<T, &'static str>>>> + 'static
{
    let runtime = runtime.clone();
    move |_| {
        Box::pin(async move {
            runtime.sleep(ms(millis)).await;
            Ok(value)
        })
    }
}

#[test]
fn zero_slots_are_refused_in_one_sentence() {
    let host = Host::new(VirtualRuntime::new());
    let error = Pool::new(&host, PoolOptions::new(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Expected `concurrency` to be an integer ≥ 1, got `0`"
    );
}

#[test]
fn never_more_than_its_slots_run_and_every_slot_is_used() {
    let (runtime, pool) = pool(PoolOptions::new(3));
    let (active, peak) = (Cell::new(0), Cell::new(0));
    let tasks = (0..12).map(|_| {
        pool.run(plain(), async |_| {
            active.set(active.get() + 1);
            peak.set(peak.get().max(active.get()));
            runtime.sleep(ms(10)).await;
            active.set(active.get() - 1);
            Ok::<_, Infallible>(())
        })
    });
    runtime.block_on(gather(tasks).concurrency(12));
    assert_eq!((peak.get(), runtime.now()), (3, at(40)));
    assert_eq!((pool.active(), pool.queued()), (0, 0));
}

#[test]
fn a_failing_task_fails_alone() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let failed = runtime.block_on(pool.run(plain(), |_| async { Err::<(), _>("no") }));
    assert_eq!(failed, Err(RunError::Task("no")));
    assert_eq!(
        runtime.block_on(pool.run(plain(), |_| async { Ok::<_, &str>(1) })),
        Ok(1)
    );
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn on_the_host_a_panicking_task_is_that_task_s_error() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let in_the_future = runtime.block_on(pool.run(plain(), |_| async {
        if true {
            panic!("boom {}", 1)
        }
        Ok::<(), &str>(())
    }));
    let in_the_function = runtime.block_on(pool.run(plain(), |_| -> std::future::Ready<Result<(), &str>> {
        panic!("bang")
    }));
    std::panic::set_hook(silent);
    assert_eq!(in_the_future, Err(RunError::Panicked("boom 1".into())));
    assert_eq!(in_the_function, Err(RunError::Panicked("bang".into())));
    assert_eq!(
        runtime.block_on(pool.run(plain(), |_| async { Ok::<_, &str>(2) })),
        Ok(2)
    );
}

#[test]
fn a_task_out_of_time_is_dropped_and_its_slot_is_free() {
    let (runtime, pool) = pool(PoolOptions::new(1).timeout(ms(2000)));
    let result = runtime.block_on(pool.run(plain().name("probe"), nap(&runtime, 60_000, ())));
    assert_eq!(
        result.unwrap_err().to_string(),
        r#"Operation "probe" timed out after 2 s"#
    );
    assert_eq!(runtime.now(), at(2000));
    runtime.settle();
    assert_eq!(
        (pool.active(), pool.abandoned(), runtime.pending_timers()),
        (0, 0, 0)
    );
}

#[test]
fn what_ends_in_time_leaves_no_timer() {
    let (runtime, pool) = pool(PoolOptions::new(1).timeout(ms(2000)).wait_timeout(ms(500)));
    assert_eq!(runtime.block_on(pool.run(plain(), nap(&runtime, 5, 1))), Ok(1));
    runtime.settle();
    assert_eq!(runtime.pending_timers(), 0);
}

#[test]
fn dropping_a_run_frees_its_slot_or_its_place_at_once() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let mut running = Box::pin(pool.run(plain(), nap(&runtime, 100, ())));
    assert!((&mut running).now_or_never().is_none());
    let mut queued = Box::pin(pool.run(plain(), nap(&runtime, 100, ())));
    assert!((&mut queued).now_or_never().is_none());
    assert_eq!((pool.active(), pool.queued()), (1, 1));
    drop(queued);
    assert_eq!((pool.active(), pool.queued()), (1, 0));
    drop(running);
    assert_eq!((pool.active(), pool.queued()), (0, 0));
    assert_eq!(runtime.pending_timers(), 0);
}

#[test]
fn a_deadline_covers_waiting_and_running() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let slow = pool.submit(plain(), nap(&runtime, 80, ()));
    let late = runtime.block_on(pool.run(plain().name("late").deadline(at(100)), nap(&runtime, 50, ())));
    assert!(matches!(late, Err(RunError::Timeout(_))), "{late:?}");
    assert_eq!(runtime.now(), at(100));
    drop(slow);
}

#[test]
fn what_cannot_start_before_its_deadline_is_shed_at_once() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    runtime
        .block_on(pool.run(plain(), nap(&runtime, 100, ())))
        .unwrap();
    let busy: Vec<_> = (0..5)
        .map(|_| pool.submit(plain(), nap(&runtime, 100, ())))
        .collect();
    let now = runtime.now();
    let shed = runtime.block_on(pool.run(plain().deadline(now + ms(50)), nap(&runtime, 1, ())));
    assert!(
        matches!(shed, Err(RunError::Refused(AcquireError::Shed { estimate })) if estimate > ms(50)),
        "{shed:?}"
    );
    assert_eq!(runtime.now(), now);
    drop(busy);
}

#[test]
fn try_run_takes_the_slot_at_once_or_not_at_all() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let first = pool.try_run(plain(), nap(&runtime, 10, 7)).unwrap();
    assert_eq!(pool.active(), 1);
    assert!(pool.try_run(plain(), nap(&runtime, 10, 8)).unwrap().is_none());
    assert_eq!(runtime.block_on(first.unwrap()), Ok(7));
    assert!(pool.try_run(plain().weight(2), nap(&runtime, 10, 8)).is_err());
}

#[test]
fn higher_priority_first_then_age() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let order = Rc::new(RefCell::new(Vec::new()));
    let hold = pool.submit(plain(), nap(&runtime, 10, ()));
    for (n, priority) in [(0, 0), (1, 0), (2, 10), (3, -10)] {
        let order = Rc::clone(&order);
        drop(pool.submit(plain().priority(priority), move |_| async move {
            order.borrow_mut().push(n);
            Ok::<_, Infallible>(())
        }));
    }
    runtime.block_on(pool.on_idle());
    assert_eq!(*order.borrow(), [2, 0, 1, 3]);
    drop(hold);
}

#[test]
fn keys_take_turns_however_much_one_of_them_queues() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let order = Rc::new(RefCell::new(String::new()));
    let hold = pool.submit(plain(), nap(&runtime, 10, ()));
    for key in "aaaabb".chars() {
        let order = Rc::clone(&order);
        drop(pool.submit(plain().key(key.to_string()), move |_| async move {
            order.borrow_mut().push(key);
            Ok::<_, Infallible>(())
        }));
    }
    runtime.block_on(pool.on_idle());
    assert_eq!(*order.borrow(), "ababaa");
    drop(hold);
}

#[test]
fn accepted_and_done_are_two_things_to_wait_for() {
    let queue = QueueConfig {
        capacity: Some(1),
        ..QueueConfig::default()
    };
    let (runtime, pool) = pool(PoolOptions::new(1).queue(queue));
    let tasks: Vec<_> = (0..3u64)
        .map(|n| pool.submit(plain(), nap(&runtime, 10, n)))
        .collect();
    assert_eq!(tasks[1].accepted().now_or_never(), Some(Ok(())));
    assert_eq!(
        tasks[2].accepted().now_or_never(),
        None,
        "no room in the queue yet"
    );
    runtime.block_on(tasks[2].accepted()).unwrap();
    assert_eq!(runtime.now(), at(10));
    assert_eq!(runtime.block_on(gather(tasks)), [Ok(0), Ok(1), Ok(2)]);
    assert_eq!(runtime.now(), at(30));
}

#[test]
fn a_refused_submission_says_so_on_both_sides() {
    let queue = QueueConfig {
        capacity: Some(0),
        overflow: Overflow::Error,
        ..QueueConfig::default()
    };
    let (runtime, pool) = pool(PoolOptions::new(1).queue(queue));
    let running = pool.submit(plain(), nap(&runtime, 10, ()));
    let refused = pool.submit(plain(), nap(&runtime, 10, ()));
    let full = AcquireError::QueueFull { queued: 0 };
    assert_eq!(runtime.block_on(refused.accepted()), Err(full));
    assert_eq!(runtime.block_on(refused), Err(Fails::Refused(full)));
    drop(running);
}

#[test]
fn a_dropped_submission_goes_on_and_a_cancelled_one_ends_in_that_call() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let done = Rc::new(Cell::new(0));
    let count = Rc::clone(&done);
    drop(pool.submit(plain(), move |_| async move {
        count.set(count.get() + 1);
        Ok::<_, Infallible>(())
    }));
    runtime.settle();
    assert_eq!(done.get(), 1);
    let running = pool.submit(plain(), nap(&runtime, 100, ()));
    let queued = pool.submit(plain(), nap(&runtime, 100, ()));
    runtime.settle();
    assert!(queued.cancel());
    assert_eq!((pool.active(), pool.queued()), (1, 0));
    assert!(running.cancel() && !running.cancel());
    assert_eq!((pool.active(), runtime.pending_timers()), (0, 0));
    assert_eq!(runtime.block_on(running), Err(Fails::Cancelled));
    runtime.settle();
    assert_eq!(runtime.pending_tasks(), 0);
}

#[test]
fn a_held_slot_outlives_its_task_s_time_and_the_caller_hears_at_once() {
    let (runtime, pool) = pool(PoolOptions::new(1).timeout(ms(10)).on_timeout(OnTimeout::Hold));
    let result = runtime.block_on(pool.submit(plain(), nap(&runtime, 50, ())));
    assert!(matches!(result, Err(Fails::Timeout(_))));
    assert_eq!((runtime.now(), pool.active()), (at(10), 1));
    runtime.block_on(pool.on_idle());
    assert_eq!((runtime.now(), pool.active()), (at(50), 0));
}

#[test]
fn closing_finishes_what_is_queued_and_refuses_what_comes() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let tasks: Vec<_> = (0..3)
        .map(|n| pool.submit(plain(), nap(&runtime, 10, n)))
        .collect();
    let abandoned = runtime.block_on(async {
        let mut closing = Box::pin(pool.close(CloseOptions::default()));
        assert!(futures::poll!(&mut closing).is_pending());
        let late = pool.run(plain(), nap(&runtime, 1, ())).await;
        assert_eq!(late, Err(RunError::Refused(AcquireError::Closed)));
        closing.await
    });
    assert_eq!((abandoned.len(), runtime.now()), (0, at(30)));
    assert_eq!(runtime.block_on(gather(tasks)), [Ok(0), Ok(1), Ok(2)]);
}

#[test]
fn after_the_grace_the_queue_is_refused_and_running_work_dropped_and_named() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let running = pool.submit(plain().name("slow"), nap(&runtime, 1000, ()));
    let queued = pool.submit(plain(), nap(&runtime, 1000, ()));
    let grace = CloseOptions {
        grace: ms(100),
        queued: Queued::Finish,
    };
    let abandoned = runtime.block_on(pool.close(grace));
    assert_eq!(runtime.now(), at(100));
    assert_eq!(
        abandoned
            .iter()
            .map(|task| task.name.as_deref())
            .collect::<Vec<_>>(),
        [Some("slow")]
    );
    assert_eq!(abandoned[0].state, TaskState::Abandoned);
    assert_eq!(runtime.block_on(running), Err(Fails::Closed));
    assert_eq!(
        runtime.block_on(queued),
        Err(Fails::Refused(AcquireError::Closed))
    );
    runtime.settle();
    assert_eq!(
        (
            pool.abandoned(),
            runtime.pending_timers(),
            runtime.pending_tasks()
        ),
        (0, 0, 0)
    );
}

#[test]
fn closing_may_refuse_the_queue_at_once() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let running = pool.submit(plain(), nap(&runtime, 10, 1));
    let queued = pool.submit(plain(), nap(&runtime, 10, 2));
    let reject = CloseOptions {
        queued: Queued::Reject,
        ..CloseOptions::default()
    };
    runtime.block_on(pool.close(reject));
    assert_eq!(runtime.now(), at(10));
    assert_eq!(runtime.block_on(running), Ok(1));
    assert_eq!(
        runtime.block_on(queued),
        Err(Fails::Refused(AcquireError::Closed))
    );
}

#[test]
fn a_paused_pool_starts_nothing_until_it_is_resumed() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    pool.pause();
    let task = pool.submit(plain(), nap(&runtime, 10, 1));
    runtime.advance(ms(1000));
    assert_eq!((pool.active(), pool.queued()), (0, 1));
    pool.resume();
    assert_eq!(runtime.block_on(task), Ok(1));
}

#[test]
fn a_cooling_pool_starts_nothing_before_its_time_and_all_at_it() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    pool.cool_down(ms(100));
    let mut starts = Vec::new();
    for _ in 0..2 {
        let clock = runtime.clone();
        let start = runtime.block_on(pool.run(plain(), |_| async move { Ok::<_, Infallible>(clock.now()) }));
        starts.push(start.unwrap());
    }
    assert_eq!(starts, [at(100), at(100)]);
}

#[test]
fn the_list_of_tasks_names_who_runs_and_who_waits() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let tasks = ["a", "b"].map(|name| pool.submit(plain().name(name), nap(&runtime, 10, ())));
    let list: Vec<_> = pool
        .tasks()
        .into_iter()
        .map(|task| (task.name.unwrap().to_string(), task.state))
        .collect();
    assert_eq!(
        list,
        [
            ("a".to_owned(), TaskState::Running),
            ("b".to_owned(), TaskState::Queued)
        ]
    );
    runtime.block_on(pool.on_idle());
    assert!(pool.tasks().is_empty());
    drop(tasks);
}

#[test]
fn map_keeps_the_order_and_pulls_only_as_there_is_room() {
    let (runtime, pool) = pool(PoolOptions::new(2));
    let pulled = Rc::new(Cell::new(0u64));
    let source = {
        let pulled = Rc::clone(&pulled);
        stream::repeat_with(move || {
            pulled.set(pulled.get() + 1);
            pulled.get()
        })
    };
    let clock = runtime.clone();
    let mapped = pool.map(source, move |n, _| {
        let sleep = clock.sleep(ms(30 - n.min(20)));
        async move {
            sleep.await;
            Ok::<_, Infallible>(n)
        }
    });
    let first: Vec<_> = runtime.block_on(mapped.take(5).collect());
    assert_eq!(first, [Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
    assert!(pulled.get() <= 8, "pulled {}", pulled.get());
    assert_eq!(pool.active(), 0, "what was dropped gave its slots back");
}

#[test]
fn map_holds_no_more_unread_results_than_it_may() {
    let (runtime, pool) = pool(PoolOptions::new(10));
    let started = Rc::new(Cell::new(0));
    let count = Rc::clone(&started);
    let clock = runtime.clone();
    let mut mapped = pool
        .map(stream::iter(0..100), move |n, _| {
            count.set(count.get() + 1);
            // The first takes long, so that nothing behind it can be read.
            let sleep = clock.sleep(ms(if n == 0 { 1000 } else { 1 }));
            async move {
                sleep.await;
                Ok::<_, Infallible>(n)
            }
        })
        .result_buffer(20);
    assert_eq!(runtime.block_on(mapped.next()), Some(Ok(0)));
    assert_eq!(started.get(), 20);
    assert_eq!(runtime.block_on(mapped.count()), 99);
}

#[test]
fn map_over_a_queue_that_is_too_small_still_runs_everything() {
    let (runtime, pool) = pool(PoolOptions::new(3));
    let sum: u32 = runtime.block_on(
        pool.map(
            stream::iter(1..=100u32),
            |n, _| async move { Ok::<_, Infallible>(n) },
        )
        .unordered()
        .map(|result| result.unwrap())
        .fold(0, |sum, n| async move { sum + n }),
    );
    assert_eq!(sum, 5050);
}

#[test]
fn a_task_may_use_its_own_pool_and_its_handles_may_all_be_gone() {
    let runtime = VirtualRuntime::new();
    let done = Rc::new(Cell::new(0));
    {
        let pool = Pool::new(&Host::new(runtime.clone()), PoolOptions::new(2)).unwrap();
        let (inner, count) = (pool.clone(), Rc::clone(&done));
        drop(pool.submit(plain(), move |_| async move {
            for _ in 0..3 {
                let count = Rc::clone(&count);
                drop(inner.submit(RunOptions::new(), move |_| async move {
                    count.set(count.get() + 1);
                    Ok::<_, Infallible>(())
                }));
            }
            Ok::<_, Infallible>(())
        }));
    }
    runtime.settle();
    assert_eq!((done.get(), runtime.pending_tasks()), (3, 0));
}

#[test]
fn a_task_can_cancel_itself() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let own: Rc<RefCell<Option<tidegate::Submission<_, (), &str>>>> = Rc::default();
    let handle = Rc::clone(&own);
    let clock = runtime.clone();
    let submission = pool.submit(plain(), move |_| async move {
        clock.sleep(ms(1)).await;
        if let Some(submission) = &*handle.borrow() {
            submission.cancel();
        }
        clock.sleep(ms(1000)).await;
        Ok::<(), &str>(())
    });
    *own.borrow_mut() = Some(submission);
    runtime.advance(ms(5));
    assert_eq!(
        (pool.active(), runtime.pending_tasks(), runtime.pending_timers()),
        (0, 0, 0)
    );
}

#[test]
fn a_permit_granted_and_not_seen_is_handed_on_when_its_waiter_is_dropped() {
    let (_runtime, pool) = pool(PoolOptions::new(1));
    let held = pool.try_acquire(plain()).unwrap().unwrap();
    let mut first = Box::pin(pool.acquire_owned(plain()));
    let mut second = Box::pin(pool.acquire_owned(plain()));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    drop(held);
    drop(first);
    assert!(second.now_or_never().is_some());
}

#[test]
fn a_run_dropped_after_its_grant_never_calls_its_task() {
    let (_runtime, pool) = pool(PoolOptions::new(1));
    let held = pool.try_acquire(plain()).unwrap().unwrap();
    let called = Rc::new(Cell::new(false));
    let flag = Rc::clone(&called);
    let mut run = Box::pin(pool.run(plain(), move |_| {
        flag.set(true);
        std::future::ready(Ok::<_, Infallible>(()))
    }));
    assert!((&mut run).now_or_never().is_none());
    drop(held);
    assert_eq!(pool.active(), 1);
    drop(run);
    assert_eq!((pool.active(), called.get()), (0, false));
}

#[test]
fn a_lease_that_nobody_renews_frees_its_slot_and_its_late_release_is_counted() {
    let (runtime, pool) = pool(PoolOptions::new(1).lease_timeout(ms(100)));
    let lease = pool.try_acquire(plain()).unwrap().unwrap();
    runtime.advance(ms(99));
    assert!(pool.try_acquire(plain()).unwrap().is_none());
    runtime.advance(ms(1));
    let next = pool.try_acquire(plain()).unwrap();
    drop(lease);
    assert!(next.is_some_and(|next| next.is_held()));
    let metrics = tidegate::Metrics::new(pool.host()).snapshot();
    assert_eq!(metrics.pools[0].tasks.late_releases, 1);
}

#[test]
fn those_who_wait_for_idleness_or_for_the_end_may_leave() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let task = pool.submit(plain(), nap(&runtime, 10, ()));
    let mut idle = Box::pin(pool.on_idle());
    assert!((&mut idle).now_or_never().is_none());
    drop(idle);
    let mut closing = Box::pin(pool.close(CloseOptions::default()));
    assert!((&mut closing).now_or_never().is_none());
    drop(closing);
    assert!(pool.is_closed(), "the closing goes on");
    assert_eq!(runtime.block_on(task), Ok(()));
    runtime.settle();
    assert_eq!((runtime.pending_timers(), runtime.pending_tasks()), (0, 0));
}

#[test]
fn who_waits_for_acceptance_may_leave_and_a_cancelled_one_is_told() {
    let queue = QueueConfig {
        capacity: Some(0),
        ..QueueConfig::default()
    };
    let (runtime, pool) = pool(PoolOptions::new(1).queue(queue));
    let _running = pool.submit(plain(), nap(&runtime, 10, ()));
    let parked = pool.submit(plain(), nap(&runtime, 10, ()));
    assert_eq!(pool.waiting_for_room(), 1);
    assert_eq!(parked.accepted().now_or_never(), None);
    assert!(parked.cancel());
    assert_eq!(pool.waiting_for_room(), 0);
    assert_eq!(parked.accepted().now_or_never(), Some(Err(AcquireError::Closed)));
}

#[test]
fn a_run_whose_time_is_over_before_anybody_polls_it_is_timed_out_and_never_called() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    let held = pool.try_acquire(plain()).unwrap().unwrap();
    let called = Cell::new(false);
    let mut run = Box::pin(pool.run(plain().timeout(ms(5)), |_| {
        called.set(true);
        std::future::ready(Ok::<_, Infallible>(()))
    }));
    assert!((&mut run).now_or_never().is_none());
    drop(held);
    runtime.advance(ms(5));
    assert!(matches!(run.now_or_never(), Some(Err(RunError::Timeout(_)))));
    assert_eq!((pool.active(), pool.abandoned(), called.get()), (0, 0, false));
}

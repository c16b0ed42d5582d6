//! Rates, alone and before pools, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;
use proptest::prelude::*;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    AcquireError, Host, Pool, PoolOptions, RateConfig, RateLimiter, RunError, RunOptions, Runtime,
    VirtualRuntime, gather,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn bucket(limit: u32, per: u64) -> RateConfig {
    RateConfig::token_bucket(limit, ms(per), None).unwrap()
}

fn limiter<const N: usize>(rules: [RateConfig; N]) -> (VirtualRuntime, RateLimiter<VirtualRuntime>) {
    let runtime = VirtualRuntime::new();
    let limiter = RateLimiter::new(&Host::new(runtime.clone()), rules).unwrap();
    (runtime, limiter)
}

#[test]
fn denied_before_its_time_and_allowed_at_it() {
    let (runtime, limiter) = limiter([bucket(1, 100)]);
    assert!(limiter.try_acquire(1));
    runtime.advance(ms(99));
    assert!(!limiter.try_acquire(1));
    runtime.advance(ms(1));
    assert!(limiter.try_acquire(1));
    let counts = limiter.counts();
    assert_eq!((counts.requests, counts.allowed, counts.denied), (3, 2, 1));
}

#[test]
fn those_who_wait_are_served_in_their_order_each_at_its_time() {
    let (runtime, limiter) = limiter([bucket(1, 100)]);
    let served = Rc::new(RefCell::new(Vec::new()));
    for n in 0..4 {
        let (clock, limiter, served) = (runtime.clone(), limiter.clone(), Rc::clone(&served));
        runtime.spawn(async move {
            limiter.acquire(1).await.unwrap();
            served.borrow_mut().push((n, clock.now().as_micros() / 1000));
        });
    }
    runtime.advance(ms(1000));
    assert_eq!(*served.borrow(), [(0, 0), (1, 100), (2, 200), (3, 300)]);
    assert_eq!((runtime.pending_timers(), runtime.pending_tasks()), (0, 0));
}

#[test]
fn who_cannot_be_served_in_time_is_refused_at_once_and_told_when() {
    let (runtime, limiter) = limiter([bucket(1, 100)]);
    assert!(limiter.try_acquire(1));
    let refused = runtime.block_on(limiter.acquire_within(1, ms(99)));
    assert_eq!(refused, Err(AcquireError::RateLimited { retry_after: ms(100) }));
    assert_eq!(runtime.now().as_micros(), 0);
    assert_eq!(runtime.block_on(limiter.acquire_within(1, ms(100))), Ok(()));
}

#[test]
fn more_than_there_can_ever_be_is_refused_for_good() {
    let (runtime, limiter) = limiter([bucket(2, 100)]);
    assert_eq!(
        runtime.block_on(limiter.acquire(3)),
        Err(AcquireError::NeverPossible { limit: 2 })
    );
}

#[test]
fn polled_once_and_dropped_leaves_the_line() {
    let (runtime, limiter) = limiter([bucket(1, 100)]);
    assert!(limiter.try_acquire(1));
    let mut waiting = Box::pin(limiter.acquire(1));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(limiter.waiting(), 1);
    drop(waiting);
    assert_eq!(limiter.waiting(), 0);
    runtime.settle();
    assert_eq!(runtime.pending_timers(), 0);
}

#[test]
fn dropped_after_the_wake_gives_its_tokens_back() {
    let (runtime, limiter) = limiter([bucket(1, 100)]);
    assert!(limiter.try_acquire(1));
    let mut waiting = Box::pin(limiter.acquire(1));
    assert!((&mut waiting).now_or_never().is_none());
    runtime.advance(ms(100));
    assert!(!limiter.try_acquire(1), "it is granted to the one who waits");
    drop(waiting);
    assert!(limiter.try_acquire(1));
}

#[test]
fn aborted_while_queued_lets_the_next_one_pass_at_its_time() {
    let (runtime, limiter) = limiter([bucket(1, 100)]);
    assert!(limiter.try_acquire(1));
    let mut first = Box::pin(limiter.acquire(1));
    let mut second = Box::pin(limiter.acquire(1));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    drop(first);
    runtime.block_on(second).unwrap();
    assert_eq!(runtime.now().as_micros(), 100_000);
}

#[test]
fn a_cool_down_holds_everybody_back_and_closing_refuses_them() {
    let (runtime, limiter) = limiter([bucket(5, 100)]);
    limiter.cool_down(ms(500));
    assert!(!limiter.try_acquire(1));
    runtime.block_on(limiter.acquire(1)).unwrap();
    assert_eq!(runtime.now().as_micros(), 500_000);
    limiter.cool_down(ms(500));
    let mut waiting = Box::pin(limiter.acquire(1));
    assert!((&mut waiting).now_or_never().is_none());
    limiter.close();
    assert_eq!(runtime.block_on(waiting), Err(AcquireError::Closed));
}

#[test]
fn a_pool_takes_slot_and_token_together() {
    let runtime = VirtualRuntime::new();
    let pool = Pool::new(
        &Host::new(runtime.clone()),
        PoolOptions::new(2).rate(bucket(1, 100)),
    )
    .unwrap();
    let starts = (0..4).map(|_| {
        pool.run(RunOptions::new(), async |_| {
            Ok::<_, Infallible>(runtime.now().as_micros() / 1000)
        })
    });
    let starts: Vec<_> = runtime
        .block_on(gather(starts))
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(starts, [0, 100, 200, 300]);
}

#[test]
fn a_pool_s_task_that_never_started_gives_its_token_back() {
    let runtime = VirtualRuntime::new();
    let pool = Pool::new(
        &Host::new(runtime.clone()),
        PoolOptions::new(1).rate(bucket(2, 1000)),
    )
    .unwrap();
    let hold = pool.submit(RunOptions::new(), |_| std::future::pending::<Result<(), &str>>());
    let mut waiting = Box::pin(pool.run(RunOptions::new(), |_| std::future::ready(Ok::<_, &str>(()))));
    assert!((&mut waiting).now_or_never().is_none());
    assert!(hold.cancel());
    drop(waiting);
    let again = runtime.block_on(pool.run(RunOptions::new(), async |_| Ok::<_, &str>(runtime.now())));
    assert_eq!(again.unwrap().as_micros(), 0);
}

#[test]
fn a_pool_refuses_what_its_rate_cannot_start_in_time() {
    let runtime = VirtualRuntime::new();
    let pool = Pool::new(
        &Host::new(runtime.clone()),
        PoolOptions::new(5).rate(bucket(1, 1000)),
    )
    .unwrap();
    let run = |options: RunOptions| pool.run(options, |_| std::future::ready(Ok::<_, &str>(())));
    runtime.block_on(run(RunOptions::new())).unwrap();
    let refused = runtime.block_on(run(RunOptions::new().wait_timeout(ms(500))));
    let retry_after = ms(1000);
    assert_eq!(
        refused,
        Err(RunError::Refused(AcquireError::RateLimited { retry_after }))
    );
    assert_eq!(runtime.now().as_micros(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_window_ever_holds_more_than_its_limit_and_everybody_is_served(
        limit in 1..6u32,
        asks in prop::collection::vec((0..200u64, 1..4u32), 1..60),
    ) {
        let runtime = VirtualRuntime::new();
        let rule = RateConfig::sliding_window(limit, ms(100)).unwrap();
        let limiter = RateLimiter::new(&Host::new(runtime.clone()), [rule]).unwrap();
        let passed = Rc::new(RefCell::new(Vec::new()));
        let mut possible = 0;
        for (at, cost) in asks {
            possible += usize::from(cost <= limit);
            let (clock, limiter, passed) = (runtime.clone(), limiter.clone(), Rc::clone(&passed));
            runtime.spawn(async move {
                clock.sleep(ms(at)).await;
                if limiter.acquire(cost).await.is_ok() {
                    passed.borrow_mut().push((clock.now().as_micros(), cost));
                }
            });
        }
        runtime.advance(Duration::from_secs(60));
        let passed = passed.borrow();
        prop_assert_eq!(passed.len(), possible);
        for (start, _) in passed.iter() {
            let window: u32 = passed
                .iter()
                .filter(|(at, _)| (*start..*start + 100_000).contains(at))
                .map(|(_, cost)| cost)
                .sum();
            prop_assert!(window <= limit, "{} in one window of {}", window, limit);
        }
    }
}

//! Breakers, alone and before pools, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    AcquireError, BreakerConfig, BreakerGroup, BreakerState, CircuitBreaker, Host, Outcome, Pool, PoolGroup,
    PoolOptions, RunError, RunOptions, Runtime, VirtualRuntime, gather,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Ran = Result<(), RunError<&'static str>>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn plain() -> RunOptions {
    RunOptions::new()
}

fn opens_after(failures: u32) -> BreakerConfig {
    BreakerConfig::default().consecutive(failures).unwrap()
}

fn breaker(config: BreakerConfig) -> (VirtualRuntime, CircuitBreaker<VirtualRuntime>) {
    let runtime = VirtualRuntime::new();
    let breaker = CircuitBreaker::new(&Host::new(runtime.clone()), config).unwrap();
    (runtime, breaker)
}

async fn fail() -> Result<(), &'static str> {
    Err("down")
}

async fn succeed() -> Result<(), &'static str> {
    Ok(())
}

fn is_refused(ran: &Ran) -> bool {
    matches!(ran, Err(RunError::Refused(AcquireError::BrokenCircuit { .. })))
}

#[test]
fn failures_in_a_row_open_it_and_any_success_resets_the_count() {
    let (runtime, breaker) = breaker(opens_after(2));
    runtime.block_on(async {
        let _ = breaker.run(fail).await;
        breaker.run(succeed).await.unwrap();
        let _ = breaker.run(fail).await;
        assert_eq!(breaker.state(), BreakerState::Closed);
        let _ = breaker.run(fail).await;
        assert_eq!(breaker.state(), BreakerState::Open);
    });
}

#[test]
fn a_refusal_says_when_to_come_back_and_the_probe_passes_then_and_not_before() {
    let (runtime, breaker) = breaker(opens_after(1));
    let _ = runtime.block_on(breaker.run(fail));
    runtime.advance(ms(20_000));
    let refused = runtime.block_on(breaker.run(succeed));
    let retry_after = Some(ms(40_000));
    assert_eq!(
        refused,
        Err(RunError::Refused(AcquireError::BrokenCircuit { retry_after }))
    );
    runtime.advance(ms(39_999));
    assert!(is_refused(&runtime.block_on(breaker.run(succeed))));
    runtime.advance(ms(1));
    assert_eq!(runtime.block_on(breaker.run(succeed)), Ok(()));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn half_open_lets_one_probe_through_and_no_stampede() {
    let (runtime, breaker) = breaker(opens_after(1));
    let _ = runtime.block_on(breaker.run(fail));
    runtime.advance(ms(60_000));
    let reached = Rc::new(Cell::new(0));
    let calls = (0..20).map(|_| {
        let (clock, reached) = (&runtime, &reached);
        breaker.run(async move || {
            reached.set(reached.get() + 1);
            clock.sleep(ms(10)).await;
            Ok::<_, &str>(())
        })
    });
    let refused = runtime
        .block_on(gather(calls).concurrency(20))
        .iter()
        .filter(|ran| is_refused(ran))
        .count();
    assert_eq!((reached.get(), refused), (1, 19));
}

#[test]
fn a_dropped_probe_returns_its_permit_unjudged() {
    let (runtime, breaker) = breaker(opens_after(1));
    let _ = runtime.block_on(breaker.run(fail));
    runtime.advance(ms(60_000));
    let mut probe = Box::pin(breaker.run(std::future::pending::<Result<(), &str>>));
    assert!((&mut probe).now_or_never().is_none());
    assert!(is_refused(&runtime.block_on(breaker.run(succeed))));
    drop(probe);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(runtime.block_on(breaker.run(succeed)), Ok(()));
}

#[test]
fn the_caller_may_judge_what_counts_as_a_failure() {
    let (runtime, breaker) = breaker(opens_after(1));
    let our_own_fault = |_: &Result<(), &str>| Outcome::Ignored;
    let _ = runtime.block_on(breaker.run_judged(fail, our_own_fault));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn isolation_lasts_as_long_as_its_guards() {
    let (runtime, breaker) = breaker(opens_after(1));
    let (first, second) = (breaker.isolate(), breaker.isolate());
    drop(first);
    let refused = runtime.block_on(breaker.run(succeed));
    assert_eq!(
        refused,
        Err(RunError::Refused(AcquireError::BrokenCircuit {
            retry_after: None
        }))
    );
    drop(second);
    assert_eq!(runtime.block_on(breaker.run(succeed)), Ok(()));
}

#[test]
fn listeners_hear_of_each_change_and_may_come_back_in() {
    let (runtime, breaker) = breaker(opens_after(1));
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (log, own) = (Rc::clone(&heard), breaker.clone());
    let subscription = breaker.on_change(move |change| {
        log.borrow_mut().push((change.from, change.to));
        own.counts();
    });
    let _ = runtime.block_on(breaker.run(fail));
    runtime.advance(ms(60_000));
    let _ = runtime.block_on(breaker.run(succeed));
    use BreakerState::{Closed, HalfOpen, Open};
    assert_eq!(
        *heard.borrow(),
        [(Closed, Open), (Open, HalfOpen), (HalfOpen, Closed)]
    );
    drop(subscription);
    let _ = runtime.block_on(breaker.run(fail));
    assert_eq!(heard.borrow().len(), 3);
}

#[test]
fn a_snapshot_opens_another_breaker_for_as_long() {
    let (runtime, broken) = breaker(opens_after(1));
    let _ = runtime.block_on(broken.run(fail));
    runtime.advance(ms(50_000));
    let (elsewhere, _) = breaker(opens_after(1));
    let restored =
        CircuitBreaker::restore(&Host::new(elsewhere.clone()), opens_after(1), broken.snapshot()).unwrap();
    assert!(is_refused(&elsewhere.block_on(restored.run(succeed))));
    elsewhere.advance(ms(10_000));
    assert_eq!(elsewhere.block_on(restored.run(succeed)), Ok(()));
}

#[test]
fn a_breaker_that_opens_refuses_the_queues_of_all_pools_behind_it() {
    let (runtime, shared) = breaker(opens_after(1));
    let pools = [1, 1].map(|slots| Pool::with_breaker(PoolOptions::new(slots), &shared).unwrap());
    let clock = runtime.clone();
    let failing = pools[0].submit(plain(), move |_| async move {
        clock.sleep(ms(10)).await;
        Err::<(), _>("down")
    });
    let clock = runtime.clone();
    let running = pools[1].submit(plain(), move |_| async move {
        clock.sleep(ms(50)).await;
        Ok::<_, &str>(())
    });
    let queued = [0, 1].map(|pool: usize| pools[pool].submit(plain(), |_| succeed()));
    assert_eq!(runtime.block_on(failing), Err(RunError::Task("down")));
    for refused in queued {
        assert!(is_refused(&runtime.block_on(refused)));
    }
    assert_eq!(runtime.now().as_micros(), 10_000);
    assert_eq!(runtime.block_on(running), Ok(()), "what runs goes on");
    assert_eq!(
        shared.state(),
        BreakerState::Open,
        "an outcome from before it opened says nothing"
    );
}

#[test]
fn what_the_pool_itself_refuses_or_cuts_short_is_no_failure_of_the_target() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let pool = Pool::new(&host, PoolOptions::new(1).breaker(opens_after(1))).unwrap();
    let mut running = Box::pin(pool.run(plain(), |_| std::future::pending::<Result<(), &str>>()));
    assert!((&mut running).now_or_never().is_none());
    let impatient = runtime.block_on(pool.run(plain().wait_timeout(ms(5)), |_| succeed()));
    assert_eq!(impatient, Err(RunError::Refused(AcquireError::QueueTimeout)));
    drop(running);
    assert_eq!(pool.breaker().unwrap().state(), BreakerState::Closed);
    let slow = plain().timeout(ms(5));
    let timed_out = runtime.block_on(pool.run(slow, |_| std::future::pending::<Result<(), &str>>()));
    assert!(matches!(timed_out, Err(RunError::Timeout(_))));
    assert_eq!(
        pool.breaker().unwrap().state(),
        BreakerState::Open,
        "a time-out is"
    );
}

#[test]
fn groups_keep_keys_apart_and_forget_only_the_idle() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let breakers = BreakerGroup::new(&host, opens_after(1)).max_keys(2);
    let broken = breakers.get("a").unwrap();
    let _ = runtime.block_on(broken.run(fail));
    assert_eq!(breakers.get("b").unwrap().state(), BreakerState::Closed);
    breakers.get("c").unwrap();
    assert_eq!(breakers.len(), 2);
    assert_eq!(breakers.get("a").unwrap().state(), BreakerState::Open);

    let pools = PoolGroup::new(&host, PoolOptions::new(1)).max_keys(1);
    let busy = pools.get("busy").unwrap();
    let mut task = Box::pin(busy.run(plain(), |_| std::future::pending::<Result<(), &str>>()));
    assert!((&mut task).now_or_never().is_none());
    pools.get("other").unwrap();
    assert_eq!(pools.get("busy").unwrap().active(), 1);
    drop(task);
    pools.get("third").unwrap();
    // Outgrown while a key was at work, it comes back to its bound.
    assert_eq!(pools.len(), 1, "both of the idle ones are forgotten");
}

#[test]
fn one_dead_key_takes_no_other_down() {
    let runtime = VirtualRuntime::new();
    let pools = PoolGroup::new(&Host::new(runtime.clone()), PoolOptions::new(2));
    let dead: Vec<_> = (0..50)
        .map(|_| {
            pools
                .get("dead")
                .unwrap()
                .submit(plain(), |_| std::future::pending::<Result<(), &str>>())
        })
        .collect();
    assert_eq!(
        runtime.block_on(pools.get("alive").unwrap().run(plain(), |_| succeed())),
        Ok(())
    );
    drop(dead);
}

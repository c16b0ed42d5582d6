//! Trying again, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;
use std::cell::Cell;
use std::time::Duration;
use tidegate::{
    AcquireError, Advice, Backoff, Host, Jitter, Metrics, Pool, PoolOptions, Retry, RetryBudget, RetryConfig,
    RetryCounts, RunError, RunOptions, Runtime, Transient, VirtualRuntime, retry,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Clone, PartialEq, Debug)]
struct Says(Advice);

impl Transient for Says {
    fn advice(&self) -> Advice {
        self.0
    }
}

const BUSY: Says = Says(Advice::Again);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn without_jitter() -> RetryConfig {
    RetryConfig::default().backoff(Backoff::new(ms(100), ms(10_000), 2.0, Jitter::None).unwrap())
}

#[test]
fn attempts_are_numbered_and_delays_double() {
    let runtime = VirtualRuntime::new();
    let times = std::cell::RefCell::new(Vec::new());
    let result = runtime.block_on(retry(&runtime, without_jitter(), async |attempt| {
        times
            .borrow_mut()
            .push((attempt, runtime.now().as_micros() / 1000));
        Err::<(), _>(BUSY)
    }));
    assert_eq!(result, Err(BUSY));
    assert_eq!(times.into_inner(), [(1, 0), (2, 100), (3, 300)]);
}

#[test]
fn an_error_that_time_does_not_heal_is_not_tried_again() {
    let runtime = VirtualRuntime::new();
    let calls = Cell::new(0);
    let result = runtime.block_on(retry(&runtime, without_jitter(), async |_| {
        calls.set(calls.get() + 1);
        Err::<(), _>(Says(Advice::Never))
    }));
    assert!(result.is_err());
    assert_eq!((calls.get(), runtime.now().as_micros()), (1, 0));
}

#[test]
fn what_the_server_asks_for_is_waited() {
    let runtime = VirtualRuntime::new();
    let task = async |attempt| {
        if attempt == 1 {
            Err(Says(Advice::After(ms(7000))))
        } else {
            Ok(())
        }
    };
    runtime.block_on(retry(&runtime, without_jitter(), task)).unwrap();
    assert_eq!(runtime.now().as_micros(), 7_000_000);
}

#[test]
fn jitter_stays_within_the_delay_and_differs_by_seed() {
    let delay_of = |seed| {
        let runtime = VirtualRuntime::seeded(seed);
        let config = RetryConfig::default();
        let task = async |attempt| if attempt == 1 { Err(BUSY) } else { Ok(()) };
        runtime.block_on(retry(&runtime, config, task)).unwrap();
        runtime.now().as_micros()
    };
    let delays: Vec<_> = (0..20).map(delay_of).collect();
    assert!(delays.iter().all(|delay| *delay <= 100_000));
    assert!(delays.iter().any(|delay| *delay != delays[0]));
    assert_eq!(delay_of(3), delays[3]);
}

#[test]
fn the_budget_is_shared_and_ends_retries_when_everything_fails() {
    let runtime = VirtualRuntime::new();
    let rule = Retry::new(&runtime, without_jitter()).budget(RetryBudget::new(0.1, 0).unwrap());
    let calls = Cell::new(0);
    runtime.block_on(async {
        for _ in 0..100 {
            let task = async |_| {
                calls.set(calls.get() + 1);
                Err::<(), _>(BUSY)
            };
            let _ = rule.clone().run(task).await;
        }
    });
    assert!((100..=110).contains(&calls.get()), "{} calls", calls.get());
}

#[test]
fn a_dropped_retry_leaves_no_timer() {
    let runtime = VirtualRuntime::new();
    let mut waiting = Box::pin(retry(&runtime, without_jitter(), async |_| Err::<(), _>(BUSY)));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(runtime.pending_timers(), 1);
    drop(waiting);
    assert_eq!(runtime.pending_timers(), 0);
}

#[test]
fn around_a_pool_each_attempt_is_admitted_anew_and_holds_no_slot_between() {
    let runtime = VirtualRuntime::new();
    let pool = Pool::new(&Host::new(runtime.clone()), PoolOptions::new(1)).unwrap();
    let between = Cell::new(None);
    let (seen, own, clock) = (&between, &pool, &runtime);
    let watch = async move {
        clock.sleep(ms(50)).await;
        seen.set(Some(own.active()));
    };
    let work = retry(&runtime, without_jitter(), |attempt| {
        pool.run(RunOptions::new(), async move |_| {
            if attempt == 1 { Err(BUSY) } else { Ok(attempt) }
        })
    });
    let (result, ()) = runtime.block_on(futures::future::join(work, watch));
    assert_eq!((result, between.get()), (Ok(2), Some(0)));
}

#[test]
fn refusals_say_whether_and_when_to_come_back() {
    let after = AcquireError::RateLimited { retry_after: ms(5) };
    assert_eq!(RunError::<Says>::Refused(after).advice(), Advice::After(ms(5)));
    assert_eq!(AcquireError::Closed.advice(), Advice::Never);
    assert_eq!(AcquireError::NeverPossible { limit: 1 }.advice(), Advice::Never);
    assert_eq!(RunError::<Says>::Cancelled.advice(), Advice::Never);
}

#[test]
fn calls_attempts_after_the_first_and_calls_that_nothing_was_left_for_are_counted_also_for_a_host() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let rule = Retry::new(&runtime, without_jitter())
        .without_budget()
        .known_as(&host, "upstream")
        .unwrap();
    let third = async |attempt| if attempt < 3 { Err(BUSY) } else { Ok(attempt) };
    assert_eq!(runtime.block_on(rule.clone().run(third)), Ok(3));
    assert!(runtime.block_on(rule.run(async |_| Err::<(), _>(BUSY))).is_err());
    let never = async |_| Err::<(), _>(Says(Advice::Never));
    assert!(runtime.block_on(rule.run(never)).is_err());
    let counts = RetryCounts {
        calls: 3,
        retries: 4,
        exhausted: 1,
    };
    assert_eq!(rule.counts(), counts);
    let text = Metrics::new(&host).to_openmetrics();
    assert!(
        text.contains(r#"tidegate_retry_attempts_total{retry="upstream"} 4"#),
        "{text}"
    );
}

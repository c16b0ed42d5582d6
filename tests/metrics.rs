//! What can be observed, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    AdaptiveConfig, AlertChange, Algorithm, Barrier, BreakerConfig, Cache, CacheConfig, Channel,
    CircuitBreaker, Event, Host, LockOptions, LockSet, Metrics, ObjectOptions, ObjectPool, Pool, PoolGroup,
    PoolOptions, RateConfig, RateLimiter, RunOptions, Runtime, VersionedState, VirtualRuntime, gather,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn every_task_is_counted_once_with_its_wait_and_its_run() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let pool = Pool::new(&host, PoolOptions::new(1).name("p")).unwrap();
    let tasks = (0..4u32).map(|n| {
        let clock = &runtime;
        pool.run(RunOptions::new(), async move |_| {
            clock.sleep(ms(10)).await;
            if n == 3 { Err("no") } else { Ok(()) }
        })
    });
    runtime.block_on(gather(tasks));
    let snapshot = Metrics::new(&host).snapshot();
    let metrics = &snapshot.pools[0];
    assert_eq!(
        (
            metrics.tasks.started,
            metrics.tasks.completed,
            metrics.tasks.failed
        ),
        (4, 3, 1)
    );
    assert_eq!((metrics.wait.count(), metrics.run.count()), (4, 4));
    assert_eq!((metrics.run.sum(), metrics.wait.max()), (40_000, Some(30_000)));
}

#[test]
fn the_text_is_openmetrics_and_ends_with_eof() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let pool = Pool::new(&host, PoolOptions::new(2).name("a \"quoted\" name")).unwrap();
    let breaker = CircuitBreaker::new(&host, BreakerConfig::default())
        .unwrap()
        .named("b");
    let rate = RateConfig::token_bucket(1, ms(1000), None).unwrap();
    let limiter = RateLimiter::new(&host, [rate]).unwrap().named("r");
    assert!(limiter.try_acquire(1) && !limiter.try_acquire(1));
    let metrics = Metrics::new(&host);
    metrics.counter("crawled").add(7);
    runtime
        .block_on(pool.run(RunOptions::new(), |_| async { Ok::<_, ()>(()) }))
        .unwrap();
    let text = metrics.to_openmetrics();
    for line in [
        r#"tidegate_pool_tasks_total{pool="a \"quoted\" name",outcome="completed"} 1"#,
        r#"tidegate_pool_concurrency{pool="a \"quoted\" name"} 2"#,
        r#"tidegate_pool_run_seconds_count{pool="a \"quoted\" name"} 1"#,
        r#"tidegate_breaker_state{breaker="b",tidegate_breaker_state="closed"} 1"#,
        r#"tidegate_rate_requests_total{rate="r",outcome="denied"} 1"#,
        r#"tidegate_user_total{counter="crawled"} 7"#,
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
    let mut families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let all = families.len();
    families.dedup();
    assert_eq!(families.len(), all, "a family comes once");
    drop((pool, breaker));
    assert!(metrics.snapshot().pools.is_empty(), "what is gone is not shown");
}

#[test]
fn an_alert_is_raised_after_its_time_once_and_cleared() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let pool = Pool::new(&host, PoolOptions::new(1)).unwrap();
    let metrics = Metrics::new(&host);
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (log, clock) = (Rc::clone(&heard), runtime.clone());
    let busy = metrics.alert(
        ms(20),
        |snapshot| snapshot.pools.iter().any(|pool| pool.active > 0),
        move |change| log.borrow_mut().push((clock.now().as_micros() / 1000, change)),
    );
    let seen = Rc::new(Cell::new(0));
    let count = Rc::clone(&seen);
    let looking = metrics.subscribe(ms(10), move |_| count.set(count.get() + 1));
    let clock = runtime.clone();
    let task = pool.submit(RunOptions::new(), move |_| async move {
        clock.sleep(ms(45)).await;
        Ok::<_, ()>(())
    });
    runtime.advance(ms(100));
    assert_eq!(
        *heard.borrow(),
        [(30, AlertChange::Raised), (50, AlertChange::Cleared)]
    );
    assert_eq!(seen.get(), 10);
    drop((busy, looking, task));
    runtime.settle();
    assert_eq!((runtime.pending_timers(), runtime.pending_tasks()), (0, 0));
}

#[test]
fn an_adaptive_pool_finds_a_size_within_its_bounds() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let config = AdaptiveConfig::new(Algorithm::Aimd, 1, 8).unwrap();
    let pool = Pool::new(&host, PoolOptions::adaptive(config)).unwrap();
    assert_eq!(pool.concurrency(), 1);
    let tasks = (0..500).map(|_| {
        let clock = &runtime;
        pool.run(RunOptions::new(), async move |_| {
            clock.sleep(ms(10)).await;
            Ok::<_, ()>(())
        })
    });
    runtime.block_on(gather(tasks).concurrency(500));
    assert_eq!(pool.concurrency(), 8);
    pool.hold_at(Some(2));
    assert_eq!(pool.concurrency(), 2);
}

#[test]
fn a_logger_hears_what_happens_and_silence_is_the_default() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let opens_at_once = BreakerConfig::default().consecutive(1).unwrap();
    let options = PoolOptions::new(1)
        .name("p")
        .breaker(opens_at_once)
        .timeout(ms(5));
    let pool = Pool::new(&host, options).unwrap();
    let hang = || {
        pool.run(RunOptions::new().name("probe"), |_| {
            std::future::pending::<Result<(), &str>>()
        })
    };
    let heard = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&heard);
    host.set_logger(Some(Rc::new(move |event| {
        log.borrow_mut().push((event.kind(), event.to_string()))
    })));
    runtime.block_on(hang()).unwrap_err();
    runtime.block_on(hang()).unwrap_err();
    host.set_logger(None);
    runtime.block_on(hang()).unwrap_err();
    let heard = heard.borrow();
    let kinds: Vec<_> = heard.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["breaker", "timeout", "overflow"]);
    assert!(heard[1].1.contains(r#"task "probe" of pool "p""#), "{heard:?}");
}

#[test]
fn pools_by_key_measure_no_times_unless_asked_and_what_that_takes_is_bounded() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let metrics = Metrics::new(&host);
    let plain = PoolGroup::new(&host, PoolOptions::new(1));
    let asked = PoolGroup::new(&host, PoolOptions::new(1).histograms(true))
        .per_key(|key, options| options.name(format!("asked {key}")));
    for key in 0..50 {
        for group in [&plain, &asked] {
            let pool = group.get(&format!("{key}")).unwrap();
            for length in [1, 3, 10, 40, 150, 600, 2_000] {
                let task = pool.run(RunOptions::new(), |_| async {
                    runtime.sleep_until(runtime.now() + ms(length)).await;
                    Ok::<_, ()>(())
                });
                runtime.block_on(task).unwrap();
            }
        }
    }
    let snapshot = metrics.snapshot();
    let (mut measured, mut bytes) = (0, 0);
    for pool in &snapshot.pools {
        assert_eq!(pool.tasks.completed, 7);
        let takes = pool.wait.allocated() + pool.run.allocated();
        if pool.name.starts_with("asked") {
            measured += 1;
            bytes += takes;
            assert_eq!(pool.run.count(), 7);
        } else {
            assert_eq!((takes, pool.run.count()), (0, 0));
        }
    }
    assert_eq!(measured, 50);
    let each = bytes / measured;
    assert!((1_000..=60_000).contains(&each), "{each} bytes a key");
    assert!(
        !metrics
            .to_openmetrics()
            .contains("tidegate_pool_run_seconds_count{pool=\"7\"}")
    );
    assert!(
        metrics
            .to_openmetrics()
            .contains("tidegate_pool_run_seconds_count{pool=\"asked 7\"} 7")
    );
}

#[test]
fn every_policy_stands_in_one_registry_and_leaves_it_with_its_last_handle() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let metrics = Metrics::new(&host);
    let cache = Cache::new(&host, CacheConfig::default()).unwrap().named("pages");
    cache.set("a", 1);
    assert_eq!((cache.get(&"a"), cache.get(&"b")), (Some(1), None));
    let channel = Channel::new(&host, 2).unwrap().named("jobs");
    channel.try_send(1).unwrap();
    let event = Event::new(&host).unwrap().named("ready");
    event.set();
    let barrier = Barrier::new(&host, 2).unwrap().named("start");
    let locks = LockSet::new(&host).unwrap().named("files");
    let held = runtime
        .block_on(locks.acquire(["a"], LockOptions::new()))
        .unwrap();
    let objects = ObjectPool::new(&host, ObjectOptions::new(), async || Ok::<_, ()>(7))
        .unwrap()
        .named("buffers");
    for _ in 0..2 {
        drop(runtime.block_on(objects.acquire()).unwrap());
    }
    let state = VersionedState::new(&host).unwrap().named("progress");
    state.set("done", 1);

    let snapshot = metrics.snapshot();
    let value = |name: &str, number: &str, label: Option<&str>| {
        let of = snapshot.others.iter().find(|readings| &*readings.name == name);
        of.and_then(|readings| readings.value(number, label))
    };
    assert_eq!(value("pages", "lookups", Some("hit")), Some(1));
    assert_eq!(value("pages", "lookups", Some("miss")), Some(1));
    assert_eq!(value("jobs", "values", Some("sent")), Some(1));
    assert_eq!(value("ready", "is_set", None), Some(1));
    assert_eq!(value("start", "parties", None), Some(2));
    assert_eq!(value("files", "taken", None), Some(1));
    assert_eq!(value("files", "most_waiting", None), Some(0));
    assert_eq!(value("buffers", "requests", Some("hit")), Some(1));
    assert_eq!(value("progress", "writes", None), Some(1));

    let text = metrics.to_openmetrics();
    let mut families = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(family.to_owned()), "twice: {family}");
        }
    }
    for line in [
        "# TYPE tidegate_cache_lookups counter",
        "tidegate_cache_lookups_total{cache=\"pages\",outcome=\"hit\"} 1",
        "tidegate_channel_waiting{channel=\"jobs\",side=\"send\"} 0",
        "tidegate_objects_count{objects=\"buffers\",state=\"idle\"} 1",
        "tidegate_state_entries{state=\"progress\"} 1",
    ] {
        assert!(
            text.lines().any(|other| other == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));

    drop((cache, channel, event, barrier, held, locks, objects, state));
    assert_eq!(metrics.snapshot().others.len(), 0);
}

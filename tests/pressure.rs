//! How hard a host is pressed, and who heeds it, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::StreamExt;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    AdaptiveConfig, AdaptiveLimit, Algorithm, BatchOptions, Host, Instant, Metrics, Pool, PoolOptions,
    PressureConfig, PressureLevel, PressureMonitor, PressureReading, Runtime, Strategy, VirtualRuntime,
    batch,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Monitor = PressureMonitor<VirtualRuntime>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A monitor of a heap that the test fills; how often it was asked.
fn monitor(runtime: &VirtualRuntime) -> (Monitor, Rc<Cell<f64>>, Rc<Cell<u32>>) {
    let (heap, asked) = (Rc::new(Cell::new(0.5)), Rc::new(Cell::new(0)));
    let (share, count) = (Rc::clone(&heap), Rc::clone(&asked));
    let read = move || {
        count.set(count.get() + 1);
        PressureReading {
            heap: Some(share.get()),
            ..PressureReading::default()
        }
    };
    let monitor = PressureMonitor::new(runtime, PressureConfig::default()).source(read);
    (monitor, heap, asked)
}

#[test]
fn a_sample_that_is_due_is_taken_when_somebody_asks_and_none_before() {
    let runtime = VirtualRuntime::new();
    let (monitor, heap, asked) = monitor(&runtime);
    assert_eq!(asked.get(), 0);
    assert_eq!(monitor.level(), PressureLevel::Nominal);
    heap.set(0.95);
    runtime.advance(ms(999));
    assert_eq!((monitor.level(), asked.get()), (PressureLevel::Nominal, 1));
    runtime.advance(ms(1));
    assert_eq!((monitor.level(), asked.get()), (PressureLevel::Critical, 2));
    assert!(monitor.should_throttle());
    assert_eq!((monitor.history().len(), monitor.alerts().len()), (2, 1));
}

#[test]
fn without_a_source_that_knows_anything_it_throttles_nobody() {
    let runtime = VirtualRuntime::new();
    let monitor = PressureMonitor::new(&runtime, PressureConfig::default()).source(PressureReading::default);
    monitor.sample();
    // In wasm the memory is known.
    assert!(monitor.level() <= PressureLevel::Nominal);
    assert!(!monitor.should_throttle());
    assert_eq!(monitor.concurrency(Strategy::Balanced, None), 4);
}

#[test]
fn a_source_may_ask_the_monitor_and_hears_what_held_before() {
    let runtime = VirtualRuntime::new();
    let own: Rc<RefCell<Option<Monitor>>> = Rc::default();
    let inner = Rc::clone(&own);
    let monitor = PressureMonitor::new(&runtime, PressureConfig::default()).source(move || {
        let level = inner.borrow().as_ref().map(Monitor::level);
        PressureReading {
            external: level.filter(|level| *level == PressureLevel::Unknown),
            ..PressureReading::default()
        }
    });
    own.replace(Some(monitor.clone()));
    assert!(monitor.sample().level <= PressureLevel::Nominal);
    own.replace(None);
}

#[test]
fn while_somebody_listens_samples_come_by_themselves_and_then_no_more() {
    let runtime = VirtualRuntime::new();
    let (monitor, _, _) = monitor(&runtime);
    let samples = Rc::new(Cell::new(0));
    let count = Rc::clone(&samples);
    let listening = monitor.on_sample(move |sample, _| {
        assert_eq!(sample.heap, Some(0.5));
        count.set(count.get() + 1);
    });
    runtime.block_on(runtime.sleep(ms(5_050)));
    assert_eq!(samples.get(), 5, "soon at first, then one a second");
    drop(listening);
    runtime.block_on(runtime.sleep(ms(5_000)));
    assert_eq!(samples.get(), 5);
}

/// A host whose thread is blocked now and then: time passes, and no timer comes round.
#[derive(Clone)]
struct Blocked {
    inner: VirtualRuntime,
    lost: Rc<Cell<u64>>,
}

impl Runtime for Blocked {
    type Sleep = <VirtualRuntime as Runtime>::Sleep;
    type Yield = <VirtualRuntime as Runtime>::Yield;
    type Parker = <VirtualRuntime as Runtime>::Parker;

    fn now(&self) -> Instant {
        Instant::from_micros(self.inner.now().as_micros() + self.lost.get())
    }
    fn sleep_until(&self, deadline: Instant) -> Self::Sleep {
        let left = deadline.as_micros().saturating_sub(self.lost.get());
        self.inner.sleep_until(Instant::from_micros(left))
    }
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.inner.spawn(task);
    }
    fn yield_now(&self) -> Self::Yield {
        self.inner.yield_now()
    }
    fn park(&self) -> Self::Parker {
        self.inner.park()
    }
    fn seed(&self) -> u64 {
        self.inner.seed()
    }
}

#[test]
fn timers_that_come_late_are_pressure() {
    let inner = VirtualRuntime::new();
    let lost: Rc<Cell<u64>> = Rc::default();
    let runtime = Blocked {
        inner: inner.clone(),
        lost: Rc::clone(&lost),
    };
    let monitor = PressureMonitor::new(&runtime, PressureConfig::default());
    let _listening = monitor.on_sample(|_, _| {});
    inner.block_on(inner.sleep(ms(1_100)));
    assert!(!monitor.should_throttle());
    inner.block_on(async {
        for _ in 0..20 {
            inner.sleep(ms(130)).await;
            lost.set(lost.get() + 500_000);
        }
    });
    let busy = monitor.history().last().and_then(|sample| sample.busy);
    assert!(busy.is_some_and(|busy| busy > 0.8), "{busy:?}");
    assert!(monitor.should_throttle());
}

#[test]
fn batches_wait_while_it_throttles() {
    let runtime = VirtualRuntime::new();
    let (monitor, heap, _) = monitor(&runtime);
    heap.set(0.85);
    let options = BatchOptions {
        pressure_wait: ms(60_000),
        ..BatchOptions::default()
    };
    let clock = runtime.clone();
    let items = batch(
        &runtime,
        [1, 2],
        move |n| {
            let at = clock.now();
            async move { Ok::<_, ()>((n, at)) }
        },
        options,
    );
    let mut batches = items.heeds(&monitor);
    let calm = Rc::clone(&heap);
    let later = runtime.clone();
    runtime.spawn(async move {
        later.sleep(ms(3_500)).await;
        calm.set(0.5);
    });
    let first = runtime.block_on(batches.next()).unwrap();
    let (_, began) = first.results[0].as_ref().unwrap();
    // Two samples that are clearly below.
    assert!(began.as_micros() >= 4_500_000, "{began:?}");
}

#[test]
fn adaptive_pools_and_limits_are_held_down_and_let_go() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let (monitor, heap, _) = monitor(&runtime);
    let config = AdaptiveConfig::new(Algorithm::Aimd, 1, 50)
        .unwrap()
        .initial(20)
        .unwrap();
    let pool = Pool::new(&host, PoolOptions::adaptive(config)).unwrap();
    let limit = AdaptiveLimit::new(&runtime, config);
    let heeding = (
        monitor.pool_heeds(&pool, Some(6)),
        monitor.limit_heeds(&limit, Some(6)),
    );
    assert_eq!((pool.concurrency(), limit.limit()), (20, 20));
    heap.set(0.85);
    runtime.block_on(runtime.sleep(ms(1_100)));
    assert_eq!((pool.concurrency(), limit.limit()), (3, 3));
    heap.set(0.5);
    runtime.block_on(runtime.sleep(ms(4_000)));
    assert_eq!((pool.concurrency(), limit.limit()), (20, 20));
    drop(heeding);
    heap.set(0.85);
    runtime.block_on(runtime.sleep(ms(4_000)));
    assert_eq!((pool.concurrency(), limit.limit()), (20, 20));
}

#[test]
fn strategies_are_conservative_above_eighty_percent() {
    let runtime = VirtualRuntime::new();
    let (monitor, heap, _) = monitor(&runtime);
    assert_eq!(monitor.concurrency(Strategy::Aggressive, Some(3)), 6);
    heap.set(0.81);
    monitor.sample();
    assert_eq!(monitor.concurrency(Strategy::Aggressive, Some(3)), 1);
}

#[test]
fn it_is_among_the_metrics_of_its_host() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let (monitor, heap, _) = monitor(&runtime);
    let monitor = monitor.known_as(&host, "host").unwrap();
    heap.set(0.95);
    monitor.sample();
    let text = Metrics::new(&host).to_openmetrics();
    for line in [
        r#"tidegate_pressure_level{pressure="host",level="critical"} 1"#,
        r#"tidegate_pressure_samples_total{pressure="host"} 1"#,
        r#"tidegate_pressure_changes_total{pressure="host"} 1"#,
        r#"tidegate_pressure_alerts_total{pressure="host"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    drop(monitor);
    assert!(!Metrics::new(&host).to_openmetrics().contains("tidegate_pressure"));
}

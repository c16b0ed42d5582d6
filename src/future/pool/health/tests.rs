use super::*;
use crate::future::host::Host;
use crate::future::pool_options::{CloseOptions, PoolOptions};
use crate::future::run_options::RunOptions;
use crate::future::virtual_runtime::VirtualRuntime;
use crate::machine::breaker::BreakerConfig;
use crate::machine::queue::QueueConfig;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn pool(options: PoolOptions) -> (VirtualRuntime, Pool<VirtualRuntime>) {
    let runtime = VirtualRuntime::new();
    let pool = Pool::new(&Host::new(runtime.clone()), options).unwrap();
    (runtime, pool)
}

type Checked = (
    VirtualRuntime,
    Pool<VirtualRuntime>,
    Rc<Cell<bool>>,
    Rc<Cell<u64>>,
    Rc<Cell<u32>>,
);

/// A pool with a check every second that passes while the first cell is set, takes as many milliseconds as the second says, and is counted
/// in the third.
fn checked() -> Checked {
    let runtime = VirtualRuntime::new();
    let (up, takes, looks) = (
        Rc::new(Cell::new(true)),
        Rc::new(Cell::new(0)),
        Rc::new(Cell::new(0)),
    );
    let (is_up, span, count, time) = (
        Rc::clone(&up),
        Rc::clone(&takes),
        Rc::clone(&looks),
        runtime.clone(),
    );
    let options = PoolOptions::new(1).health_check(seconds(1), move || {
        count.set(count.get() + 1);
        let (is_up, nap) = (Rc::clone(&is_up), time.sleep(Duration::from_millis(span.get())));
        async move {
            nap.await;
            if is_up.get() { Ok(()) } else { Err(()) }
        }
    });
    let pool = Pool::new(&Host::new(runtime.clone()), options).unwrap();
    (runtime, pool, up, takes, looks)
}

#[test]
fn without_a_check_it_is_ready_and_healthy_at_once() {
    let (runtime, pool) = pool(PoolOptions::new(1));
    assert_eq!(runtime.block_on(pool.ready()), Ok(()));
    assert_eq!(pool.health(), Health::Healthy);
}

#[test]
fn nothing_is_checked_before_the_first_use_and_then_once_an_interval() {
    let (runtime, pool, _, takes, looks) = checked();
    runtime.advance(seconds(5));
    assert_eq!(looks.get(), 0);
    runtime
        .block_on(pool.run(RunOptions::new(), async |_| Ok::<_, ()>(())))
        .unwrap();
    runtime.advance(Duration::from_millis(2_500));
    assert_eq!(looks.get(), 3);
    // One that takes longer is not joined by another.
    takes.set(1_700);
    runtime.advance(seconds(3));
    assert_eq!(looks.get(), 5);
}

#[test]
fn ready_waits_for_a_check_that_passes_and_one_that_fails_degrades_and_heals() {
    let (runtime, pool, up, _, looks) = checked();
    up.set(false);
    assert!(Box::pin(pool.ready()).now_or_never().is_none());
    runtime.advance(seconds(2));
    assert_eq!((looks.get() >= 2, pool.health()), (true, Health::Degraded));
    up.set(true);
    assert_eq!(runtime.block_on(pool.ready()), Ok(()));
    assert_eq!(pool.health(), Health::Healthy);
    up.set(false);
    runtime.advance(seconds(1));
    assert_eq!(pool.health(), Health::Degraded);
    up.set(true);
    runtime.advance(seconds(1));
    assert_eq!(pool.health(), Health::Healthy);
}

#[test]
fn a_check_that_does_not_come_back_within_its_interval_is_a_stall_and_is_given_up_after_ten() {
    let (runtime, pool, _, takes, looks) = checked();
    takes.set(1_000_000);
    assert_eq!(pool.health(), Health::Degraded);
    runtime.advance(seconds(1));
    assert_eq!(pool.health(), Health::Degraded);
    runtime.advance(Duration::from_millis(1));
    assert_eq!(pool.health(), Health::Stalled);
    takes.set(0);
    runtime.advance(seconds(9));
    assert_eq!((looks.get(), pool.health()), (1, Health::Stalled));
    runtime.advance(seconds(2));
    assert_eq!((looks.get() > 1, pool.health()), (true, Health::Healthy));
}

#[test]
fn closing_ends_the_checks_and_whoever_waits_for_one() {
    let (runtime, pool, up, _, looks) = checked();
    up.set(false);
    let mut ready = Box::pin(pool.ready());
    assert!(ready.as_mut().now_or_never().is_none());
    runtime.block_on(pool.close(CloseOptions::default()));
    assert_eq!(ready.now_or_never(), Some(Err(AcquireError::Closed)));
    let seen = looks.get();
    runtime.advance(seconds(10));
    assert_eq!((looks.get(), pool.health()), (seen, Health::Stalled));
}

#[test]
fn a_paused_pool_and_an_open_breaker_stall_and_a_full_queue_degrades() {
    let queue = QueueConfig {
        capacity: Some(1),
        ..QueueConfig::default()
    };
    let breaker = BreakerConfig::default().consecutive(1).unwrap();
    let (runtime, pool) = pool(PoolOptions::new(1).queue(queue).breaker(breaker));
    pool.pause();
    assert_eq!(pool.health(), Health::Stalled);
    pool.resume();
    assert_eq!(pool.health(), Health::Healthy);
    let nap = |result: Result<(), ()>| {
        let time = runtime.clone();
        pool.submit(RunOptions::new(), async move |_| {
            time.sleep(seconds(40)).await;
            result
        })
    };
    let (first, second) = (nap(Ok(())), nap(Err(())));
    runtime.advance(seconds(1));
    assert_eq!(pool.health(), Health::Degraded, "its queue is full");
    runtime.advance(seconds(30));
    assert_eq!(pool.health(), Health::Stalled, "nothing has started for long");
    runtime.advance(seconds(10));
    assert_eq!(pool.health(), Health::Healthy);
    runtime.advance(seconds(40));
    assert_eq!(pool.health(), Health::Stalled, "its breaker is open");
    drop((first, second));
}

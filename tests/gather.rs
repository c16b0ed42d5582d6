//! Many futures at once, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::{FutureExt, StreamExt};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tidegate::{Runtime, VirtualRuntime, as_completed, gather, partition, try_gather};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn results_come_in_the_order_of_the_tasks_however_they_finish() {
    let runtime = VirtualRuntime::new();
    let naps = [30, 10, 20].map(|n| runtime.sleep(ms(n)).map(move |()| n));
    assert_eq!(runtime.block_on(gather(naps)), [30, 10, 20]);
    assert_eq!(runtime.now().as_micros(), 30_000);
}

#[test]
fn never_more_than_the_bound_run_at_once_and_the_bound_is_used() {
    let runtime = VirtualRuntime::new();
    let (active, peak) = (Cell::new(0), Cell::new(0));
    let tasks = (0..20).map(|_| {
        let (runtime, active, peak) = (&runtime, &active, &peak);
        async move {
            active.set(active.get() + 1);
            peak.set(peak.get().max(active.get()));
            runtime.sleep(ms(10)).await;
            active.set(active.get() - 1);
        }
    });
    runtime.block_on(gather(tasks).concurrency(4));
    assert_eq!(peak.get(), 4);
    assert_eq!(runtime.now().as_micros(), 50_000);
}

#[test]
fn tasks_are_drawn_only_as_there_is_room() {
    let runtime = VirtualRuntime::new();
    let drawn = Rc::new(Cell::new(0));
    let tasks = {
        let (drawn, runtime) = (Rc::clone(&drawn), runtime.clone());
        std::iter::repeat_with(move || {
            drawn.set(drawn.get() + 1);
            runtime.sleep(ms(1))
        })
    };
    let mut endless = as_completed(tasks).concurrency(3);
    runtime.block_on(async {
        endless.next().await;
        endless.next().await;
    });
    assert!(drawn.get() <= 5, "drew {}", drawn.get());
}

#[test]
fn an_error_in_gather_stops_nobody_and_partition_sorts_it_out() {
    let runtime = VirtualRuntime::new();
    let results = runtime.block_on(gather(
        (0..4).map(|n| async move { if n == 1 { Err(n) } else { Ok(n) } }),
    ));
    let sorted = partition(results);
    assert_eq!((sorted.values, sorted.errors), (vec![0, 2, 3], vec![1]));
}

#[test]
fn the_first_error_ends_try_gather_and_drops_the_rest() {
    let runtime = VirtualRuntime::new();
    let tasks = (0..5u64).map(|n| {
        let nap = runtime.sleep(ms(10 * (n + 1)));
        async move {
            nap.await;
            if n == 1 { Err("no") } else { Ok(n) }
        }
    });
    assert_eq!(runtime.block_on(try_gather(tasks).concurrency(3)), Err("no"));
    assert_eq!(runtime.now().as_micros(), 20_000);
    assert_eq!(runtime.pending_timers(), 0);
}

#[test]
fn progress_is_reported_with_the_total_where_it_is_known() {
    let runtime = VirtualRuntime::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let tasks = [1, 2].map(|n| async move { n });
    runtime.block_on(gather(tasks).on_progress(move |done, total| log.borrow_mut().push((done, total))));
    assert_eq!(*seen.borrow(), [(1, Some(2)), (2, Some(2))]);
}

#[test]
fn a_dropped_gather_leaves_no_timer() {
    let runtime = VirtualRuntime::new();
    let mut all = gather((0..50).map(|_| runtime.sleep(ms(10))));
    assert!((&mut all).now_or_never().is_none());
    assert_eq!(runtime.pending_timers(), 10);
    drop(all);
    assert_eq!(runtime.pending_timers(), 0);
}

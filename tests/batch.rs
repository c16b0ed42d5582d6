//! Items in batches, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::StreamExt;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tidegate::{AdaptiveSize, BatchError, BatchOptions, BatchResult, Runtime, VirtualRuntime, batch};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn all<T: 'static, E: 'static>(
    runtime: &VirtualRuntime,
    batches: tidegate::Batches<T, E>,
) -> Vec<BatchResult<T, E>> {
    runtime.block_on(batches.collect())
}

#[test]
fn the_last_batch_holds_the_rest_and_every_item_has_one_result() {
    let runtime = VirtualRuntime::new();
    let options = BatchOptions {
        batch_size: 4,
        ..BatchOptions::default()
    };
    let mut batches = all(
        &runtime,
        batch(&runtime, 0..10, |n| async move { Ok::<_, ()>(n) }, options),
    );
    batches.sort_by_key(|batch| batch.index);
    let sizes: Vec<_> = batches.iter().map(|batch| batch.results.len()).collect();
    assert_eq!(sizes, [4, 4, 2]);
    let values: Vec<_> = batches.iter().flat_map(|batch| batch.values().copied()).collect();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
}

#[test]
fn items_and_batches_each_keep_to_their_own_bound() {
    let runtime = VirtualRuntime::new();
    let (active, peak) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let process = {
        let (runtime, active, peak) = (runtime.clone(), Rc::clone(&active), Rc::clone(&peak));
        move |_| {
            let (runtime, active, peak) = (runtime.clone(), Rc::clone(&active), Rc::clone(&peak));
            async move {
                active.set(active.get() + 1);
                peak.set(peak.get().max(active.get()));
                runtime.sleep(ms(10)).await;
                active.set(active.get() - 1);
                Ok::<_, ()>(())
            }
        }
    };
    let options = BatchOptions {
        batch_size: 10,
        concurrency: 2,
        batch_concurrency: 3,
        ..BatchOptions::default()
    };
    all(&runtime, batch(&runtime, 0..60, process, options));
    assert_eq!(peak.get(), 6);
    assert_eq!(runtime.now().as_micros(), 100_000);
}

#[test]
fn a_failing_item_is_one_error_with_its_place_and_the_handler_hears_of_it() {
    let runtime = VirtualRuntime::new();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&heard);
    let options = BatchOptions {
        batch_size: 3,
        ..BatchOptions::default()
    };
    let process = |n: u32| async move { if n == 4 { Err("four") } else { Ok(n) } };
    let batches = batch(&runtime, 0..6, process, options)
        .on_error(move |index, error: &&str| log.borrow_mut().push((index, *error)));
    let batches = all(&runtime, batches);
    let errors: Vec<_> = batches
        .iter()
        .flat_map(|batch| batch.errors().map(|(at, _)| (batch.index, at)))
        .collect();
    assert_eq!(errors, [(1, 1)]);
    assert_eq!(*heard.borrow(), [(4, "four")]);
    assert_eq!(batches.iter().flat_map(BatchResult::values).count(), 5);
}

#[test]
fn a_batch_out_of_time_keeps_what_is_done_and_delays_no_other() {
    let runtime = VirtualRuntime::new();
    let clock = runtime.clone();
    let process = move |n: u64| {
        let nap = clock.sleep(ms(if n == 1 { 10_000 } else { 5 }));
        async move {
            nap.await;
            Ok::<_, ()>(n)
        }
    };
    let options = BatchOptions {
        batch_size: 2,
        batch_timeout: Some(ms(100)),
        ..BatchOptions::default()
    };
    let batches = all(&runtime, batch(&runtime, 0..4, process, options));
    assert_eq!(
        batches.iter().map(|batch| batch.index).collect::<Vec<_>>(),
        [1, 0]
    );
    assert_eq!(batches[1].results[0], Ok(0));
    let Err(BatchError::Timeout(error)) = &batches[1].results[1] else {
        panic!("{batches:?}")
    };
    assert_eq!(error.to_string(), r#"Operation "batch 0" timed out after 100 ms"#);
    assert_eq!(runtime.pending_timers(), 0);
}

#[test]
fn progress_counts_items_up_to_the_total() {
    let runtime = VirtualRuntime::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let options = BatchOptions {
        batch_size: 2,
        ..BatchOptions::default()
    };
    let batches = batch(&runtime, 0..3, |n| async move { Ok::<_, ()>(n) }, options)
        .on_progress(move |done, total| log.borrow_mut().push((done, total)));
    all(&runtime, batches);
    assert_eq!(*seen.borrow(), [(1, Some(3)), (2, Some(3)), (3, Some(3))]);
}

#[test]
fn a_size_that_adapts_finds_what_takes_the_target_time() {
    let runtime = VirtualRuntime::new();
    let clock = runtime.clone();
    let process = move |n: u32| {
        let nap = clock.sleep(ms(50));
        async move {
            nap.await;
            Ok::<_, ()>(n)
        }
    };
    let options = BatchOptions {
        adaptive: Some(AdaptiveSize::default()),
        concurrency: 1,
        batch_concurrency: 1,
        ..BatchOptions::default()
    };
    let batches = all(&runtime, batch(&runtime, 0..1_000, process, options));
    let sizes: Vec<_> = batches.iter().map(|batch| batch.results.len()).collect();
    assert_eq!(sizes[0], 100);
    assert!(
        sizes[7..sizes.len() - 1]
            .iter()
            .all(|size| (19..=25).contains(size)),
        "{sizes:?}"
    );
    assert_eq!(sizes.iter().sum::<usize>(), 1_000);
}

#[test]
fn under_pressure_drawing_waits_and_goes_on_when_it_is_over_or_was_waited_for_long_enough() {
    let runtime = VirtualRuntime::new();
    let pressed = Rc::new(Cell::new(true));
    let (look, clock) = (Rc::clone(&pressed), runtime.clone());
    let process = move |n: u64| {
        let now = clock.now();
        async move { Ok::<_, ()>((n, now.as_micros() / 1_000_000)) }
    };
    let options = BatchOptions {
        batch_size: 1,
        ..BatchOptions::default()
    };
    let batches = batch(&runtime, 0..3, process, options).throttle(move || look.get());
    let clock = runtime.clone();
    runtime.spawn(async move {
        clock.sleep(ms(6_500)).await;
        pressed.set(false);
    });
    let batches = all(&runtime, batches);
    let started: Vec<_> = batches.iter().flat_map(BatchResult::values).copied().collect();
    assert_eq!(started, [(0, 5), (1, 7), (2, 7)]);
    assert_eq!(runtime.pending_timers(), 0);
}

#[test]
fn unread_results_stop_the_intake() {
    let runtime = VirtualRuntime::new();
    let begun = Rc::new(Cell::new(0));
    let count = Rc::clone(&begun);
    let process = move |_| {
        count.set(count.get() + 1);
        async { Ok::<_, ()>(()) }
    };
    let options = BatchOptions {
        batch_size: 1,
        result_buffer: 5,
        ..BatchOptions::default()
    };
    let mut batches = batch(&runtime, 0.., process, options);
    runtime.block_on(async {
        batches.next().await.unwrap();
        assert!(begun.get() <= 10, "{}", begun.get());
        for _ in 0..100 {
            batches.next().await.unwrap();
        }
    });
    assert!(begun.get() <= 110, "{}", begun.get());
}

//! Versioned state as its users see it, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;
use futures::future::{join, join_all};
use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    AcquireError, Host, Runtime, StateConfig, VersionConflict, Versioned, VersionedState, VirtualRuntime,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn state() -> (VirtualRuntime, VersionedState<VirtualRuntime, u32>) {
    let runtime = VirtualRuntime::new();
    let state = VersionedState::new(&Host::new(runtime.clone())).unwrap();
    (runtime, state)
}

#[test]
fn a_plain_cell_loses_updates_across_awaits_and_this_loses_none() {
    let (runtime, state) = state();
    let plain = Rc::new(Cell::new(0));
    let slowly = |value: u32| {
        let runtime = runtime.clone();
        async move {
            runtime.sleep(ms(1)).await;
            value + 1
        }
    };
    runtime.block_on(join_all((0..100).map(|_| {
        let plain = Rc::clone(&plain);
        let slowly = &slowly;
        async move { plain.set(slowly(plain.get()).await) }
    })));
    assert!(plain.get() < 100);
    let updates = (0..100).map(|_| state.update("n", |seen| slowly(seen.unwrap_or(0))));
    let written = runtime.block_on(join_all(updates));
    assert_eq!(state.get("n").unwrap().value, 100);
    let mut written: Vec<u32> = written.into_iter().map(Result::unwrap).collect();
    written.sort_unstable();
    assert_eq!(written, (1..=100).collect::<Vec<_>>());
    assert!(state.stats().conflicts < 110, "{:?}", state.stats());
}

#[test]
fn a_write_over_what_was_not_seen_is_refused_with_the_version_there_is() {
    let (_, state) = state();
    let first = state.compare_and_set("a", 0, 1).unwrap();
    assert_eq!(
        state.get("a"),
        Some(Versioned {
            value: 1,
            version: first
        })
    );
    let second = state.set("a", 2);
    assert!(second > first);
    assert_eq!(
        state.compare_and_set("a", first, 3),
        Err(VersionConflict { current: second })
    );
    assert_eq!(state.get("a").unwrap().value, 2);
    assert!(state.delete("a") && !state.delete("a"));
    assert_eq!(
        state.compare_and_set("a", second, 3),
        Err(VersionConflict { current: 0 })
    );
    assert!(state.is_empty());
}

#[test]
fn an_update_that_never_finds_the_value_unchanged_is_refused_in_the_end() {
    let runtime = VirtualRuntime::new();
    let config = StateConfig {
        attempts: NonZeroU32::new(5).unwrap(),
    };
    let state = VersionedState::with(&Host::new(runtime.clone()), config).unwrap();
    let inner = state.clone();
    let calls = Cell::new(0);
    let outcome = runtime.block_on(state.update("a", |_| {
        calls.set(calls.get() + 1);
        inner.set("a", 0);
        async { 1 }
    }));
    assert_eq!((outcome, calls.get()), (Err(AcquireError::Conflict), 5));
}

#[test]
fn an_update_that_is_dropped_changes_nothing_and_lets_the_next_one_try() {
    let (runtime, state) = state();
    let never = |_| std::future::pending::<u32>();
    let mut dropped = Box::pin(state.update("a", never));
    assert!((&mut dropped).now_or_never().is_none());
    drop(dropped);
    assert_eq!(state.get("a"), None);
    assert_eq!(runtime.block_on(state.update("a", async |_| 1)), Ok(1));
}

#[test]
fn subscribers_hear_of_a_name_or_of_all_that_begin_alike_in_order_until_they_leave() {
    let (_, state) = state();
    let log = Rc::new(RefCell::new(Vec::new()));
    let listen = |who: &'static str| {
        let log = Rc::clone(&log);
        move |change: tidegate::StateChange<u32>| {
            log.borrow_mut()
                .push(format!("{who} {} {:?}", change.key, change.value));
        }
    };
    state.set("user:ann", 0);
    let one = state.subscribe("user:bob", listen("one"));
    let all = state.subscribe_prefix("user:", listen("all"));
    state.set("user:ann", 1);
    state.set("user:bob", 2);
    state.set("other", 3);
    state.delete("user:ann");
    drop(all);
    state.set("user:bob", 4);
    drop(one);
    state.set("user:bob", 5);
    let expected = [
        "all user:ann Some(1)",
        "one user:bob Some(2)",
        "all user:bob Some(2)",
        "all user:ann None",
        "one user:bob Some(4)",
    ];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn a_listener_may_write_and_everybody_still_hears_the_writes_in_their_order() {
    let (_, state) = state();
    let log = Rc::new(RefCell::new(Vec::new()));
    let inner = state.clone();
    let _first = state.subscribe("a", move |change| {
        if change.version == 1 {
            inner.set("a", 2);
        }
    });
    let seen = Rc::clone(&log);
    let _second = state.subscribe("a", move |change| seen.borrow_mut().push(change.version));
    state.set("a", 1);
    assert_eq!(*log.borrow(), [1, 2]);
}

#[test]
fn a_wait_ends_when_the_value_is_as_wanted_and_not_before() {
    let (runtime, state) = state();
    let (writer, time) = (state.clone(), runtime.clone());
    runtime.spawn(async move {
        for value in 1..=5 {
            time.sleep(ms(10)).await;
            writer.set("a", value);
        }
    });
    let three = state.wait_for("a", |value| *value == 3, None);
    let early = state.wait_for("a", |value| *value == 5, Some(ms(49)));
    let outcome = runtime.block_on(async {
        let outcome = join(three, early).await;
        (outcome, runtime.now().as_micros())
    });
    assert_eq!(outcome, ((Ok(3), Err(AcquireError::QueueTimeout)), 49_000));
    runtime.block_on(runtime.sleep(ms(1)));
    assert_eq!(
        runtime.block_on(state.wait_for("a", |value| *value == 5, None)),
        Ok(5)
    );
}

#[test]
fn a_snapshot_holds_what_there_was_when_it_was_taken() {
    let (_, state) = state();
    state.set("b", 2);
    state.set("a", 1);
    let snapshot = state.snapshot();
    state.set("a", 9);
    let values: Vec<(&str, u32)> = snapshot
        .iter()
        .map(|(key, entry)| (&**key, entry.value))
        .collect();
    assert_eq!(values, [("a", 1), ("b", 2)]);
}

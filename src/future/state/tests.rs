use super::*;
use crate::future::locks::{LockOptions, LockSet};
use crate::future::owner::Owner;
use crate::future::pool::Pool;
use crate::future::pool_options::PoolOptions;
use crate::future::run_options::RunOptions;
use crate::future::virtual_runtime::VirtualRuntime;
use futures::FutureExt;
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Flags = VersionedState<VirtualRuntime, bool>;

fn house() -> (VirtualRuntime, Host<VirtualRuntime>, Flags) {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let state = VersionedState::new(&host).unwrap().named("flags");
    (runtime, host, state)
}

fn told(owner: Owner, writers: &[Owner]) -> WaitOptions {
    WaitOptions::new().owner(owner).writers(writers)
}

fn is_set(value: &bool) -> bool {
    *value
}

#[test]
fn two_who_wait_for_what_the_other_would_write_are_told_and_the_younger_gives_way() {
    let (runtime, host, state) = house();
    let (one, two) = (Owner::new(&host), Owner::new(&host));
    let mut first = Box::pin(state.wait_for_with("a", is_set, told(one, &[two])));
    assert!(first.as_mut().now_or_never().is_none());
    let second = state.wait_for_with("b", is_set, told(two, &[one])).now_or_never();
    assert_eq!(second, Some(Err(AcquireError::Deadlock)));
    let chain: Vec<String> = host
        .take_deadlock()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        chain,
        [
            r#"2 waits for "b" of state "flags""#,
            r#"1 waits for "a" of state "flags""#
        ]
    );
    state.set("a", true);
    assert_eq!(runtime.block_on(first), Ok(true));
}

#[test]
fn one_writer_who_is_free_is_enough_and_where_none_is_named_nothing_is_guessed() {
    let (runtime, host, state) = house();
    let (one, two, free) = (Owner::new(&host), Owner::new(&host), Owner::new(&host));
    let mut first = Box::pin(state.wait_for_with("a", is_set, told(one, &[two])));
    let mut second = Box::pin(state.wait_for_with("b", is_set, told(two, &[one, free])));
    let mut third = Box::pin(state.wait_for_with("c", is_set, WaitOptions::new().owner(one)));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    assert!(third.as_mut().now_or_never().is_none());
    for key in ["a", "b", "c"] {
        state.set(key, true);
    }
    assert_eq!(
        runtime.block_on(async { futures::join!(first, second, third) }),
        (Ok(true), Ok(true), Ok(true))
    );
}

#[test]
fn a_lock_and_a_slot_stand_in_one_graph_with_a_wait() {
    let (runtime, host, state) = house();
    let locks = LockSet::new(&host).unwrap();
    let pool = Pool::new(&host, PoolOptions::new(1).name("narrow")).unwrap();
    let reader = Owner::new(&host);
    let held = locks.try_acquire(["log"], LockOptions::new().owner(reader));
    // The pool's one task waits for the lock; only a second one would write what the lock's owner waits for.
    let mut task = Box::pin(pool.run(RunOptions::new(), async |context| {
        locks
            .acquire(["log"], LockOptions::new().owner(&context))
            .await
            .map(drop)
    }));
    assert!(task.as_mut().now_or_never().is_none());
    let writer = Owner::new(&host);
    let mut write = Box::pin(pool.run(RunOptions::new().owned_by(writer), async |_| {
        state.set("ready", true);
        Ok::<_, ()>(())
    }));
    assert!(write.as_mut().now_or_never().is_none());
    let read = state
        .wait_for_with("ready", is_set, told(reader, &[writer]))
        .now_or_never();
    assert_eq!(read, Some(Err(AcquireError::Deadlock)));
    assert_eq!(host.take_deadlock().unwrap().len(), 4);
    drop(held);
    assert!(runtime.block_on(async { futures::join!(task, write) }).1.is_ok());
}

#[test]
fn a_wait_is_given_up_when_its_last_free_writer_has_ended_and_what_is_written_before_that_is_seen_changes_nothing()
 {
    let (runtime, host, state) = house();
    let (locks, pool) = (
        LockSet::new(&host).unwrap(),
        Pool::new(&host, PoolOptions::new(1)).unwrap(),
    );
    let (one, two) = (Owner::new(&host), Owner::new(&host));
    let held = locks.try_acquire(["log"], LockOptions::new().owner(one));
    let mut writer = Box::pin(locks.acquire(["log"], LockOptions::new().owner(two)));
    assert!(writer.as_mut().now_or_never().is_none());
    let seen = Rc::new(RefCell::new(None));
    let done = pool.submit(RunOptions::new().owned_by(Owner::new(&host)), {
        let (seen, runtime) = (Rc::clone(&seen), runtime.clone());
        async move |context| {
            seen.replace(Some(Owner::from(&context)));
            runtime.sleep(Duration::from_secs(1)).await;
            Ok::<_, ()>(())
        }
    });
    runtime.advance(Duration::ZERO);
    let task = seen.take().unwrap();
    let mut wait = Box::pin(state.wait_for_with("a", is_set, told(one, &[two, task])));
    assert!(wait.as_mut().now_or_never().is_none());
    runtime.advance(Duration::from_secs(1));
    state.set("a", false);
    assert_eq!(wait.as_mut().now_or_never(), Some(Err(AcquireError::Deadlock)));
    assert_eq!(host.take_deadlock().unwrap().len(), 2);
    drop((wait, held, done));
    assert!(writer.now_or_never().is_some_and(|end| end.is_ok()));
}

#[test]
fn a_wait_that_ends_in_whatever_way_leaves_nothing_in_the_graph() {
    let (runtime, host, state) = house();
    let (one, two) = (Owner::new(&host), Owner::new(&host));
    let timely = told(one, &[two]).timeout(Duration::from_secs(1));
    assert_eq!(
        runtime.block_on(state.wait_for_with("a", is_set, timely)),
        Err(AcquireError::QueueTimeout)
    );
    let mut dropped = Box::pin(state.wait_for_with("a", is_set, told(one, &[two])));
    assert!(dropped.as_mut().now_or_never().is_none());
    drop(dropped);
    // The other way round there is no circle any more.
    let mut wait = Box::pin(state.wait_for_with("b", is_set, told(two, &[one])));
    assert!(wait.as_mut().now_or_never().is_none());
    drop(wait);
    assert!(host.call(|world, _| world.wait_for().is_empty()));
}

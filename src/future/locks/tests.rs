use super::names::NAMES;
use super::*;
use crate::future::pool::Pool;
use crate::future::pool_options::PoolOptions;
use crate::future::run_options::RunOptions;
use crate::future::task::RunError;
use crate::future::virtual_runtime::VirtualRuntime;
use crate::future::{AcquireError, TaskContext};
use futures::FutureExt;
use std::cell::{Cell, RefCell};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Locks = LockSet<VirtualRuntime>;

fn house() -> (VirtualRuntime, Host<VirtualRuntime>, Locks) {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let locks = LockSet::new(&host).unwrap();
    (runtime, host, locks)
}

fn plain() -> LockOptions {
    LockOptions::new()
}

fn names(list: &[Rc<str>]) -> Vec<&str> {
    list.iter().map(AsRef::as_ref).collect()
}

#[test]
fn a_critical_section_excludes_and_is_served_in_order() {
    let (runtime, _, locks) = house();
    let order = Rc::new(RefCell::new(Vec::new()));
    for n in 0..5 {
        let (runtime, locks, order) = (runtime.clone(), locks.clone(), Rc::clone(&order));
        runtime.clone().spawn(async move {
            let _guard = locks.acquire(["a"], plain()).await.unwrap();
            order.borrow_mut().push(n);
            runtime.sleep(Duration::from_secs(1)).await;
            order.borrow_mut().push(n);
        });
    }
    runtime.advance(Duration::from_secs(5));
    assert_eq!(*order.borrow(), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    assert!(!locks.is_held("a"));
}

#[test]
fn several_are_taken_in_the_declared_order_and_then_by_name() {
    let (runtime, host, _) = house();
    let locks = LockSet::with_order(&host, ["cache", "stats", "connection", "resource"]).unwrap();
    let guard = runtime
        .block_on(locks.acquire(["b", "resource", "a", "cache"], plain()))
        .unwrap();
    assert_eq!(
        names(&guard.names().collect::<Vec<_>>()),
        ["cache", "resource", "a", "b"]
    );
    guard.release();
    assert!(!locks.is_held("cache"));
}

#[test]
fn acquiring_gives_up_after_ten_seconds_and_says_what_was_wanted_and_what_was_held() {
    let (runtime, _, locks) = house();
    let _b = locks.try_acquire(["b"], plain()).unwrap();
    let error = runtime.block_on(locks.acquire(["a", "b"], plain())).unwrap_err();
    assert_eq!(runtime.now().as_micros(), 10_000_000);
    assert_eq!(
        error.to_string(),
        r#"Waited 10 s for locks "a", "b" (held: "a"; taken by others: "b")"#
    );
    assert_eq!(error.code(), "TIMEOUT");
    assert!(!locks.is_held("a"));
}

#[test]
fn reserving_gives_up_after_thirty_seconds_holds_nothing_before_and_conflicts_at_once_if_told_not_to_wait() {
    let (runtime, _, locks) = house();
    let _b = locks.try_acquire(["b"], plain()).unwrap();
    let conflict = locks
        .reserve(["a", "b"], plain().timeout(Duration::ZERO))
        .now_or_never()
        .unwrap();
    let Err(LockError::Conflict { taken, .. }) = conflict else {
        panic!()
    };
    assert_eq!(names(&taken), ["b"]);
    let mut waits = Box::pin(locks.reserve(["a", "b"], plain()));
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(!locks.is_held("a"));
    let error = runtime.block_on(waits).unwrap_err();
    assert_eq!((error.code(), runtime.now().as_micros()), ("TIMEOUT", 30_000_000));
}

#[test]
fn closing_turns_away_who_waits_and_whoever_would_have_to_and_leaves_guards_alone() {
    let (runtime, _, locks) = house();
    let held = locks.try_acquire(["b"], plain()).unwrap();
    let mut waits = Box::pin(locks.acquire(["a", "b"], plain()));
    let mut behind = Box::pin(locks.acquire(["a"], plain()));
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(behind.as_mut().now_or_never().is_none());
    locks.close();
    assert_eq!(waits.now_or_never().unwrap().unwrap_err(), LockError::Closed);
    // What the first gave back was not for the second.
    assert_eq!(behind.now_or_never().unwrap().unwrap_err(), LockError::Closed);
    for timeout in [Duration::ZERO, Duration::from_secs(1)] {
        let options = plain().timeout(timeout);
        assert_eq!(
            runtime
                .block_on(locks.acquire(["b"], options))
                .unwrap_err()
                .code(),
            "CLOSED"
        );
        assert_eq!(
            runtime
                .block_on(locks.reserve(["b"], options))
                .unwrap_err()
                .code(),
            "CLOSED"
        );
    }
    assert!(locks.try_acquire(["b"], plain()).is_none());
    assert_eq!(runtime.now().as_micros(), 0, "at once");
    assert!(held.is_held());
    drop(held);
    let free = runtime.block_on(locks.acquire(["a", "b"], plain())).unwrap();
    assert_eq!(free.names().count(), 2);
}

#[test]
fn an_owner_passes_what_it_holds() {
    let (runtime, host, locks) = house();
    let owner = Owner::new(&host);
    runtime.block_on(async {
        let outer = locks.acquire(["a"], plain().owner(owner)).await.unwrap();
        let inner = locks.acquire(["a"], plain().owner(owner)).await.unwrap();
        drop(outer);
        assert_eq!(locks.holder("a"), Some(owner.id()));
        drop(inner);
        assert!(!locks.is_held("a"));
    });
}

#[test]
fn a_deadlock_of_owners_is_told_to_the_one_who_would_close_it_with_the_chain() {
    let (runtime, host, locks) = house();
    let (first, second) = (Owner::new(&host), Owner::new(&host));
    let _a = locks.try_acquire(["a"], plain().owner(first)).unwrap();
    let b = locks.try_acquire(["b"], plain().owner(second)).unwrap();
    let mut waits = Box::pin(locks.acquire(["b"], plain().owner(first)));
    assert!(waits.as_mut().now_or_never().is_none());
    let error = runtime
        .block_on(locks.acquire(["a"], plain().owner(second)))
        .unwrap_err();
    let (one, two) = (first.id(), second.id());
    assert_eq!(
        error.to_string(),
        format!(
            r#"Waiting for locks "a" would never end: {two} waits for lock "a", {one} waits for lock "b""#
        )
    );
    assert_eq!(runtime.now().as_micros(), 0, "at once");
    let inversion = locks.take_inversion().unwrap();
    assert_eq!(
        (&*inversion.held, &*inversion.wanted, inversion.declared),
        ("b", "a", false)
    );
    drop(b);
    assert!(runtime.block_on(waits).is_ok());
}

#[test]
fn without_owners_the_same_is_not_guessed_at_and_ends_with_the_timeout() {
    let (runtime, _, locks) = house();
    let _a = locks.try_acquire(["a"], plain()).unwrap();
    let error = runtime
        .block_on(locks.acquire(["a"], plain().timeout(Duration::from_secs(2))))
        .unwrap_err();
    assert_eq!((error.code(), runtime.now().as_micros()), ("TIMEOUT", 2_000_000));
}

#[test]
fn one_who_is_dropped_while_it_waits_or_after_its_wake_leaves_nothing() {
    let (_, _, locks) = house();
    let b = locks.try_acquire(["b"], plain()).unwrap();
    let half = locks.acquire(["a", "b"], plain()).now_or_never();
    assert!(half.is_none() && !locks.is_held("a"));
    let mut woken = Box::pin(locks.acquire(["b"], plain()));
    assert!(woken.as_mut().now_or_never().is_none());
    drop(b);
    assert!(locks.is_held("b"));
    drop(woken);
    assert!(!locks.is_held("b"));
}

#[test]
fn names_made_of_data_are_forgotten_and_declared_ones_are_not() {
    let (_, host, _) = house();
    let locks = LockSet::with_order(&host, ["z", "y"]).unwrap();
    for n in 0..10_000 {
        drop(locks.try_acquire([format!("user {n}")], plain()).unwrap());
    }
    assert!(locks.0.names.names.borrow().len() <= NAMES + 1);
    assert_eq!(locks.0.names.known("y"), Some(1));
}

fn options(parent: &TaskContext) -> RunOptions {
    RunOptions::new().parent(parent)
}

#[test]
fn a_task_that_awaits_its_own_full_pool_is_told_at_once() {
    let (runtime, host, _) = house();
    let pool = Pool::new(&host, PoolOptions::new(1).name("crawl")).unwrap();
    let inner = pool.clone();
    let outcome = runtime.block_on(pool.run(RunOptions::new(), async |context| {
        inner.run(options(&context), async |_| Ok::<_, ()>(1)).await
    }));
    let deadlock = RunError::Task(RunError::Refused(AcquireError::Deadlock));
    assert_eq!(outcome, Err(deadlock));
    let chain: Vec<String> = host
        .take_deadlock()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        chain,
        [
            r#"2 waits for a slot of pool "crawl""#,
            "1 waits for the end of 2"
        ]
    );
    assert_eq!(runtime.now().as_micros(), 0);
}

#[test]
fn a_crawler_that_feeds_its_own_pool_is_a_correct_program() {
    let (runtime, host, _) = house();
    let pool = Pool::new(&host, PoolOptions::new(2)).unwrap();
    let seen = Rc::new(Cell::new(0));
    fn crawl(pool: Pool<VirtualRuntime>, runtime: VirtualRuntime, seen: Rc<Cell<u32>>, depth: u32) {
        let within = pool.clone();
        let page = pool.submit(RunOptions::new(), async move |_| {
            runtime.sleep(Duration::from_millis(1)).await;
            seen.set(seen.get() + 1);
            for _ in 0..if depth > 0 { 3 } else { 0 } {
                crawl(within.clone(), runtime.clone(), Rc::clone(&seen), depth - 1);
            }
            Ok::<_, ()>(())
        });
        drop(page);
    }
    crawl(pool.clone(), runtime.clone(), Rc::clone(&seen), 4);
    runtime.advance(Duration::from_secs(10));
    assert_eq!(seen.get(), 1 + 3 + 9 + 27 + 81);
}

#[test]
fn a_parent_with_room_for_its_children_waits_for_them_as_usual() {
    let (runtime, host, _) = house();
    let pool = Pool::new(&host, PoolOptions::new(2)).unwrap();
    let inner = pool.clone();
    let outcome = runtime.block_on(pool.run(RunOptions::new(), async |context| {
        let child = || inner.run(options(&context), async |_| Ok::<_, ()>(1));
        let (a, b, c) = futures::join!(child(), child(), child());
        Ok::<_, RunError<()>>(a? + b? + c?)
    }));
    assert_eq!(outcome, Ok(3));
}

#[test]
fn a_cycle_through_a_lock_and_a_pool_is_one_cycle() {
    let (runtime, host, locks) = house();
    let pool = Pool::new(&host, PoolOptions::new(1)).unwrap();
    let owner = Owner::new(&host);
    let guard = locks.try_acquire(["a"], plain().owner(owner)).unwrap();
    // The pool's only task waits for the lock; the lock's owner then waits for a task in the pool.
    let mut task = Box::pin(pool.run(RunOptions::new(), async |context| {
        locks.acquire(["a"], plain().owner(&context)).await.map(drop)
    }));
    assert!(task.as_mut().now_or_never().is_none());
    let refused = runtime.block_on(pool.run(RunOptions::new().owned_by(owner), async |_| Ok::<_, ()>(())));
    assert_eq!(refused, Err(RunError::Refused(AcquireError::Deadlock)));
    assert_eq!(host.take_deadlock().unwrap().len(), 3);
    drop(guard);
    assert_eq!(runtime.block_on(task), Ok(()));
}

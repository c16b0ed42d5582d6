//! The semaphore as its users see it: polls, drops and virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;
use futures::task::noop_waker_ref;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;
use tidegate::{
    AcquireError, Host, Overflow, OwnedPermit, QueueConfig, RunOptions, Runtime, Semaphore, VirtualRuntime,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Acquiring = Pin<Box<dyn Future<Output = Result<OwnedPermit<VirtualRuntime>, AcquireError>>>>;

fn semaphore(permits: u32) -> (VirtualRuntime, Semaphore<VirtualRuntime>) {
    let runtime = VirtualRuntime::new();
    let semaphore = Semaphore::new(&Host::new(runtime.clone()), permits).unwrap();
    (runtime, semaphore)
}

fn acquiring(semaphore: &Semaphore<VirtualRuntime>, options: RunOptions) -> Acquiring {
    let semaphore = semaphore.clone();
    Box::pin(async move { semaphore.acquire_owned(options).await })
}

fn plain() -> RunOptions {
    RunOptions::new()
}

fn polled(future: &mut Acquiring) -> Option<Result<OwnedPermit<VirtualRuntime>, AcquireError>> {
    match future.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_released_permit_goes_to_the_oldest_waiter_and_nobody_barges() {
    let (_runtime, semaphore) = semaphore(1);
    let held = semaphore.try_acquire(plain()).unwrap().unwrap();
    let mut first = acquiring(&semaphore, plain());
    let mut second = acquiring(&semaphore, plain());
    assert!(polled(&mut first).is_none() && polled(&mut second).is_none());
    drop(held);
    assert!(
        semaphore.try_acquire(plain()).unwrap().is_none(),
        "it belongs to the first waiter already"
    );
    assert!(polled(&mut second).is_none());
    assert!(polled(&mut first).is_some());
}

#[test]
fn polled_once_and_dropped_leaves_no_trace() {
    let (runtime, semaphore) = semaphore(1);
    let held = semaphore.try_acquire(plain()).unwrap().unwrap();
    let mut waiter = acquiring(&semaphore, plain().wait_timeout(ms(50)));
    assert!(polled(&mut waiter).is_none());
    assert_eq!(semaphore.queued(), 1);
    drop(waiter);
    assert_eq!(semaphore.queued(), 0);
    runtime.settle();
    assert_eq!(runtime.pending_timers(), 0);
    drop(held);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn dropped_after_the_wake_hands_the_permit_on() {
    let (_runtime, semaphore) = semaphore(1);
    let held = semaphore.try_acquire(plain()).unwrap().unwrap();
    let mut first = acquiring(&semaphore, plain());
    let mut second = acquiring(&semaphore, plain());
    assert!(polled(&mut first).is_none() && polled(&mut second).is_none());
    drop(held);
    drop(first);
    assert!(polled(&mut second).is_some());
}

#[test]
fn aborted_while_queued_lets_the_next_one_through() {
    let (runtime, semaphore) = semaphore(2);
    let held = semaphore.try_acquire(plain().weight(2)).unwrap().unwrap();
    let mut heavy = acquiring(&semaphore, plain().weight(2));
    let mut light = acquiring(&semaphore, plain());
    assert!(polled(&mut heavy).is_none() && polled(&mut light).is_none());
    drop(held);
    drop(heavy);
    let permit = runtime.block_on(light).unwrap();
    assert!(permit.is_held());
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_future_that_was_never_polled_asks_for_nothing() {
    let (_runtime, semaphore) = semaphore(1);
    let waiter = acquiring(&semaphore, plain());
    assert_eq!(semaphore.available(), 1);
    drop(waiter);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_wait_is_over_at_its_time_and_not_before() {
    let (runtime, semaphore) = semaphore(1);
    let _held = semaphore.try_acquire(plain()).unwrap().unwrap();
    let mut waiter = acquiring(&semaphore, plain().wait_timeout(ms(50)));
    assert!(polled(&mut waiter).is_none());
    runtime.advance(ms(49));
    assert!(polled(&mut waiter).is_none());
    runtime.advance(ms(1));
    assert_eq!(
        polled(&mut waiter).unwrap().unwrap_err(),
        AcquireError::QueueTimeout
    );
    runtime.settle();
    assert_eq!(runtime.pending_timers(), 0);
}

#[test]
fn a_heavy_request_is_not_starved_by_light_ones() {
    let (_runtime, semaphore) = semaphore(3);
    let one = semaphore.try_acquire_owned(plain()).unwrap().unwrap();
    let mut heavy = acquiring(&semaphore, plain().weight(3));
    assert!(polled(&mut heavy).is_none());
    let mut light = acquiring(&semaphore, plain());
    assert!(
        polled(&mut light).is_none(),
        "two permits are free, but the heavy one was first"
    );
    drop(one);
    let all = polled(&mut heavy).unwrap().unwrap();
    assert!(polled(&mut light).is_none());
    drop(all);
    assert!(polled(&mut light).is_some());
}

#[test]
fn more_than_there_can_ever_be_is_refused_at_once() {
    let (runtime, semaphore) = semaphore(2);
    let error = runtime
        .block_on(acquiring(&semaphore, plain().weight(3)))
        .unwrap_err();
    assert_eq!(error, AcquireError::NeverPossible { limit: 2 });
    assert!(!error.heals());
    assert_eq!(
        semaphore.try_acquire(plain().weight(3)).map(|_| ()).unwrap_err(),
        AcquireError::NeverPossible { limit: 2 }
    );
}

#[test]
fn a_bounded_line_refuses_or_drops_as_its_rule_says() {
    let host = Host::new(VirtualRuntime::new());
    let line = |overflow| QueueConfig {
        capacity: Some(1),
        overflow,
        ..QueueConfig::default()
    };
    for (overflow, newcomer, waiter) in [
        (Overflow::Error, Some(AcquireError::QueueFull { queued: 1 }), None),
        (
            Overflow::DropNewest,
            Some(AcquireError::Dropped { queued: 1 }),
            None,
        ),
        (
            Overflow::DropOldest,
            None,
            Some(AcquireError::Dropped { queued: 1 }),
        ),
        (Overflow::Wait, None, None),
    ] {
        let semaphore = Semaphore::with_queue(&host, 1, line(overflow)).unwrap();
        let _held = semaphore.try_acquire(plain()).unwrap().unwrap();
        let mut first = acquiring(&semaphore, plain());
        assert!(polled(&mut first).is_none());
        let mut second = acquiring(&semaphore, plain());
        let error = |future: &mut Acquiring| polled(future).map(|result| result.unwrap_err());
        assert_eq!(error(&mut second), newcomer, "{overflow:?}");
        assert_eq!(error(&mut first), waiter, "{overflow:?}");
    }
}

#[test]
fn one_that_waits_outside_enters_when_there_is_room() {
    let host = Host::new(VirtualRuntime::new());
    let queue = QueueConfig {
        capacity: Some(1),
        ..QueueConfig::default()
    };
    let semaphore = Semaphore::with_queue(&host, 1, queue).unwrap();
    let held = semaphore.try_acquire(plain()).unwrap().unwrap();
    let mut waiters: Vec<_> = (0..3).map(|_| acquiring(&semaphore, plain())).collect();
    assert!(waiters.iter_mut().all(|waiter| polled(waiter).is_none()));
    assert_eq!((semaphore.queued(), semaphore.waiting_for_room()), (1, 2));
    drop(held);
    assert_eq!((semaphore.queued(), semaphore.waiting_for_room()), (1, 1));
}

#[test]
fn growing_grants_at_once_and_shrinking_takes_nothing_away() {
    let (_runtime, semaphore) = semaphore(1);
    let first = semaphore.try_acquire_owned(plain()).unwrap().unwrap();
    let mut waiter = acquiring(&semaphore, plain());
    assert!(polled(&mut waiter).is_none());
    semaphore.resize(2);
    let second = polled(&mut waiter).unwrap().unwrap();
    semaphore.resize(1);
    assert!(first.is_held() && second.is_held());
    drop(first);
    assert!(semaphore.try_acquire(plain()).unwrap().is_none());
    drop(second);
    assert!(semaphore.try_acquire(plain()).unwrap().is_some());
}

#[test]
fn closing_turns_the_line_away_and_takes_nothing_from_holders() {
    let (_runtime, semaphore) = semaphore(1);
    let held = semaphore.try_acquire_owned(plain()).unwrap().unwrap();
    let mut waiter = acquiring(&semaphore, plain());
    assert!(polled(&mut waiter).is_none());
    semaphore.close();
    assert_eq!(polled(&mut waiter).unwrap().unwrap_err(), AcquireError::Closed);
    assert!(held.is_held());
    assert_eq!(
        semaphore.try_acquire(plain()).map(|_| ()).unwrap_err(),
        AcquireError::Closed
    );
}

#[test]
fn a_lease_ends_unless_it_is_renewed() {
    let (runtime, semaphore) = semaphore(1);
    let lease = semaphore
        .try_acquire_owned(plain().timeout(ms(100)))
        .unwrap()
        .unwrap();
    let mut waiter = acquiring(&semaphore, plain());
    assert!(polled(&mut waiter).is_none());
    runtime.advance(ms(90));
    assert!(lease.renew(ms(100)));
    runtime.advance(ms(99));
    assert!(lease.is_held());
    runtime.advance(ms(1));
    assert!(!lease.is_held() && !lease.renew(ms(100)));
    let next = polled(&mut waiter).unwrap().unwrap();
    drop(lease);
    assert!(
        next.is_held(),
        "a late release takes nothing from the next holder"
    );
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn a_waker_that_releases_in_turn_loses_nobody() {
    // Each waiter drops its permit the moment it has it: every release wakes the next within the same step.
    let (runtime, semaphore) = semaphore(1);
    let order = Rc::new(RefCell::new(Vec::new()));
    let held = semaphore.try_acquire_owned(plain()).unwrap().unwrap();
    for n in 0..50 {
        let (semaphore, order) = (semaphore.clone(), Rc::clone(&order));
        runtime.spawn(async move {
            let permit = semaphore.acquire(RunOptions::new()).await.unwrap();
            order.borrow_mut().push(n);
            drop(permit);
        });
    }
    runtime.settle();
    drop(held);
    runtime.settle();
    assert_eq!(*order.borrow(), (0..50).collect::<Vec<_>>());
    assert_eq!(runtime.pending_tasks(), 0);
}

#[test]
fn a_clock_that_steps_back_grants_nothing_twice_and_hangs_nobody() {
    let (runtime, semaphore) = semaphore(1);
    runtime.advance(ms(1000));
    let held = semaphore
        .try_acquire_owned(plain().timeout(ms(50)))
        .unwrap()
        .unwrap();
    runtime.set_clock(tidegate::Instant::ZERO);
    let mut waiter = acquiring(&semaphore, plain());
    assert!(polled(&mut waiter).is_none());
    drop(held);
    assert!(waiter.now_or_never().is_some());
}

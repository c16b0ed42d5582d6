use super::*;
use crate::future::virtual_runtime::VirtualRuntime;
use futures::FutureExt;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Connections = ConnectionPool<VirtualRuntime, &'static str, String, &'static str>;

struct House {
    runtime: VirtualRuntime,
    pool: Connections,
    destroyed: Rc<RefCell<Vec<String>>>,
    made: Rc<Cell<u32>>,
}

/// A connection to `key` is called `key 1`, `key 2`, …; it takes a second to make, and to `down` it fails.
fn house(options: ObjectOptions<String>) -> House {
    let runtime = VirtualRuntime::new();
    let destroyed = Rc::new(RefCell::new(Vec::new()));
    let made = Rc::new(Cell::new(0));
    let (graves, counter, clock) = (Rc::clone(&destroyed), Rc::clone(&made), runtime.clone());
    let options = options.destroy(move |name| graves.borrow_mut().push(name));
    let pool = ConnectionPool::new(&Host::new(runtime.clone()), options, move |key: &&'static str| {
        let (key, clock, counter) = (*key, clock.clone(), Rc::clone(&counter));
        async move {
            clock.sleep(Duration::from_secs(1)).await;
            if key == "down" {
                return Err("refused");
            }
            counter.set(counter.get() + 1);
            Ok(format!("{key} {}", counter.get()))
        }
    });
    House {
        runtime,
        pool: pool.unwrap(),
        destroyed,
        made,
    }
}

fn plain() -> ObjectOptions<String> {
    ObjectOptions::new()
}

#[test]
fn a_connection_is_used_again_by_those_of_its_key() {
    let h = house(plain());
    h.runtime.block_on(async {
        let first = h.pool.acquire("a").await.unwrap();
        assert_eq!((&**first, first.about().uses), ("a 1", 1));
        first.release();
        let again = h.pool.acquire("a").await.unwrap();
        assert_eq!((&**again, again.about().uses), ("a 1", 2));
        let other = h.pool.acquire("b").await.unwrap();
        assert_eq!(&**other, "b 2");
        assert!(again.about().id != other.about().id);
    });
    let counts = h.pool.counts();
    assert_eq!(
        (
            counts.requests,
            counts.hits,
            counts.misses,
            counts.created,
            counts.returned
        ),
        (3, 1, 2, 2, 3)
    );
}

#[test]
fn ten_connections_of_a_key_are_enough_and_the_eleventh_waits_its_turn() {
    let h = house(plain());
    h.runtime.block_on(async {
        let mut ten = Vec::new();
        for _ in 0..10 {
            ten.push(h.pool.acquire("a").await.unwrap());
        }
        let mut waits = Box::pin(h.pool.acquire("a"));
        assert!(waits.as_mut().now_or_never().is_none());
        let timeout = h
            .pool
            .acquire_within("a", Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(timeout, ObjectError::Refused(AcquireError::QueueTimeout));
        drop(ten.pop());
        assert_eq!(&**waits.await.unwrap(), "a 10");
    });
}

#[test]
fn a_failure_to_make_one_is_the_callers_error_and_costs_no_place() {
    let h = house(plain().max(1));
    for _ in 0..3 {
        let error = h.runtime.block_on(h.pool.acquire("down")).unwrap_err();
        assert_eq!(error, ObjectError::Create("refused"));
    }
    assert!(h.pool.is_empty());
    assert_eq!(h.pool.counts().failed, 3);
}

#[test]
fn one_who_is_dropped_while_making_waiting_or_after_its_wake_leaves_nothing() {
    let h = house(plain().max(1));
    assert!(h.pool.acquire("a").now_or_never().is_none());
    assert!(h.pool.is_empty(), "the place is free again");
    let held = h.runtime.block_on(h.pool.acquire("a")).unwrap();
    assert!(h.pool.acquire("a").now_or_never().is_none());
    assert_eq!(h.pool.waiting(), 0);
    let mut woken = Box::pin(h.pool.acquire("a"));
    assert!(woken.as_mut().now_or_never().is_none());
    drop(held);
    assert_eq!(h.pool.idle(), 0, "in the hands of the waiter");
    drop(woken);
    assert_eq!((h.pool.idle(), h.made.get()), (1, 1));
}

#[test]
fn idle_connections_leave_at_t_by_themselves() {
    let h = house(plain().idle(Duration::from_secs(60)));
    drop(h.runtime.block_on(h.pool.acquire("a")).unwrap());
    h.runtime.advance(Duration::from_millis(59_999));
    assert!(h.destroyed.borrow().is_empty());
    h.runtime.advance(Duration::from_millis(1));
    assert_eq!(*h.destroyed.borrow(), ["a 1"]);
    assert!(h.pool.is_empty());
}

#[test]
fn what_is_too_old_invalid_not_resettable_or_marked_is_destroyed() {
    let options = plain()
        .max_age(Duration::from_secs(100))
        .validate(|name| !name.ends_with("stale"))
        .reset(|name| !name.ends_with("broken"));
    let h = house(options);
    h.runtime.block_on(async {
        let mut first = h.pool.acquire("a").await.unwrap();
        first.push_str(" stale");
        drop(first);
        let mut second = h.pool.acquire("a").await.unwrap();
        assert_eq!(*h.destroyed.borrow(), ["a 1 stale"]);
        second.push_str(" broken");
        drop(second);
        assert_eq!(h.destroyed.borrow().last().unwrap(), "a 2 broken");
        let mut third = h.pool.acquire("a").await.unwrap();
        third.mark_non_reusable();
        drop(third);
        assert_eq!(h.destroyed.borrow().last().unwrap(), "a 3");
        let fourth = h.pool.acquire("a").await.unwrap();
        h.runtime.sleep(Duration::from_secs(100)).await;
        drop(fourth);
        assert_eq!(h.destroyed.borrow().last().unwrap(), "a 4");
    });
    assert_eq!((h.pool.counts().invalid, h.pool.counts().destroyed), (1, 4));
}

#[test]
fn room_for_one_key_is_made_by_the_longest_idle_of_another() {
    let h = house(plain().max_total(2));
    h.runtime.block_on(async {
        drop(h.pool.acquire("a").await.unwrap());
        drop(h.pool.acquire("b").await.unwrap());
        drop(h.pool.acquire("c").await.unwrap());
    });
    assert_eq!(*h.destroyed.borrow(), ["a 1"]);
    h.pool.drop_idle();
    assert_eq!(*h.destroyed.borrow(), ["a 1", "b 2", "c 3"]);
}

#[test]
fn closing_turns_away_those_who_wait_and_destroys_what_comes_back() {
    let h = house(plain().max(1));
    let held = h.runtime.block_on(h.pool.acquire("a")).unwrap();
    let mut waits = Box::pin(h.pool.acquire("a"));
    assert!(waits.as_mut().now_or_never().is_none());
    h.pool.close();
    let refused = ObjectError::Refused(AcquireError::Closed);
    assert_eq!(h.runtime.block_on(waits).unwrap_err(), refused);
    drop(held);
    assert_eq!(*h.destroyed.borrow(), ["a 1"]);
    assert_eq!(h.runtime.block_on(h.pool.acquire("b")).unwrap_err(), refused);
}

#[test]
fn no_objects_at_all_is_refused_with_a_sentence() {
    let host = Host::new(VirtualRuntime::new());
    let options = ObjectOptions::<u8>::new().max(0);
    let error = ObjectPool::new(&host, options, || async { Ok::<_, ()>(1) }).unwrap_err();
    assert_eq!(error.to_string(), "Expected `max` to be an integer ≥ 1, got `0`");
}

#[test]
fn the_times_to_get_an_object_and_to_make_it_fit_and_the_memory_saved_are_counted() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let (making, clearing) = (runtime.clone(), runtime.clone());
    let options = ObjectOptions::new().bytes(4_096).max(1).reset(move |_: &mut u8| {
        clearing.advance(Duration::from_millis(5));
        true
    });
    let create = move || {
        let making = making.clone();
        async move {
            making.sleep(Duration::from_secs(1)).await;
            Ok::<_, ()>(0)
        }
    };
    let pool = ObjectPool::new(&host, options, create).unwrap().named("buffers");
    let first = runtime.block_on(pool.acquire()).unwrap();
    let mut waits = Box::pin(pool.acquire());
    assert!(waits.as_mut().now_or_never().is_none());
    runtime.advance(Duration::from_secs(2));
    drop(first);
    drop(runtime.block_on(waits).unwrap());
    let ObjectTimes { acquire, reset } = pool.times();
    let took = |count, total, max| Durations {
        count,
        total: Duration::from_millis(total),
        max: Duration::from_millis(max),
    };
    assert_eq!((acquire, reset), (took(2, 3_005, 2_005), took(2, 10, 5)));
    assert_eq!(pool.bytes_saved(), 4_096);
    let snapshot = crate::future::metrics::Metrics::new(&host).snapshot();
    assert_eq!(snapshot.others.len(), 1);
    let value = |name, label| snapshot.others[0].value(name, label);
    assert_eq!(
        (value("saved_bytes", None), value("requests", Some("hit"))),
        (Some(4_096), Some(1))
    );
}

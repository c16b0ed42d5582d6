//! The cache as its users see it, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;
use futures::future::join_all;
use std::cell::{Cell, RefCell};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{Cache, CacheConfig, EntryOptions, Host, LoadError, Runtime, VirtualRuntime};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Values = Cache<VirtualRuntime, &'static str, u32>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn cache(config: CacheConfig) -> (VirtualRuntime, Values) {
    let runtime = VirtualRuntime::new();
    let cache = Cache::new(&Host::new(runtime.clone()), config).unwrap();
    (runtime, cache)
}

fn for_ten_ms() -> CacheConfig {
    CacheConfig {
        ttl: ms(10),
        ..CacheConfig::default()
    }
}

fn computed_from(name: &'static str) -> EntryOptions<&'static str> {
    EntryOptions {
        depends_on: vec![name],
        ..EntryOptions::default()
    }
}

/// Loads in 5 ms and counts how often it is called.
fn slowly(
    runtime: &VirtualRuntime,
    calls: &Rc<Cell<u32>>,
    result: Result<u32, &'static str>,
) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = Result<u32, &'static str>>>> + use<> {
    let (runtime, calls) = (runtime.clone(), Rc::clone(calls));
    move || {
        calls.set(calls.get() + 1);
        Box::pin(async move {
            runtime.sleep(ms(5)).await;
            result
        })
    }
}

#[test]
fn a_value_is_there_until_its_time_is_over_and_is_dropped_then_although_nobody_reads_it() {
    let runtime = VirtualRuntime::new();
    let cache: Cache<_, &str, Rc<()>> = Cache::new(&Host::new(runtime.clone()), for_ten_ms()).unwrap();
    let value = Rc::new(());
    cache.set("a", Rc::clone(&value));
    runtime.block_on(runtime.sleep(Duration::from_micros(9_999)));
    assert!(cache.get(&"a").is_some());
    assert_eq!(Rc::strong_count(&value), 2);
    runtime.block_on(runtime.sleep(ms(1)));
    assert_eq!(Rc::strong_count(&value), 1);
    assert!(cache.get(&"a").is_none());
}

#[test]
fn a_bound_by_weight_holds() {
    let config = CacheConfig {
        max: NonZeroU64::new(100),
        ..CacheConfig::default()
    };
    let host = Host::new(VirtualRuntime::new());
    let cache = Cache::weighing(&host, config, |_: &u32, value: &Vec<u8>| value.len() as u32).unwrap();
    for n in 0..50 {
        cache.set(n, vec![0; 7]);
        assert!(cache.weight() <= 100);
    }
    assert_eq!(cache.len(), 14);
    cache.set(99, vec![0; 101]);
    assert!(cache.get(&99).is_none());
    assert_eq!(cache.len(), 14);
}

#[test]
fn fifty_who_ask_at_once_are_one_load() {
    let (runtime, cache) = cache(CacheConfig::default());
    let calls = Rc::new(Cell::new(0));
    let all = join_all((0..50).map(|_| cache.load("a", slowly(&runtime, &calls, Ok(7)))));
    let all = runtime.block_on(all);
    assert!(all.into_iter().all(|result| result.unwrap() == 7));
    assert_eq!(
        (calls.get(), cache.stats().loads, cache.stats().coalesced),
        (1, 1, 49)
    );
    assert_eq!(runtime.now().as_micros(), 5_000);
    assert_eq!(cache.get(&"a"), Some(7));
}

#[test]
fn a_failure_is_shared_by_all_who_waited_and_then_forgotten() {
    let (runtime, cache) = cache(CacheConfig::default());
    let calls = Rc::new(Cell::new(0));
    let all = join_all((0..3).map(|_| cache.load("a", slowly(&runtime, &calls, Err("no")))));
    let all: Vec<LoadError> = runtime
        .block_on(all)
        .into_iter()
        .map(|r| r.unwrap_err())
        .collect();
    assert!(all.iter().all(|error| error.to_string() == "no"));
    assert_eq!(calls.get(), 1);
    assert!(cache.is_empty());
    assert_eq!(
        runtime
            .block_on(cache.load("a", slowly(&runtime, &calls, Ok(1))))
            .unwrap(),
        1
    );
}

#[test]
fn a_failure_is_remembered_for_as_long_as_configured() {
    let (runtime, cache) = cache(CacheConfig {
        negative_ttl: ms(20),
        ..CacheConfig::default()
    });
    let calls = Rc::new(Cell::new(0));
    let load = || runtime.block_on(cache.load("a", slowly(&runtime, &calls, Err("no"))));
    assert_eq!(load().unwrap_err().to_string(), "no");
    assert_eq!(load().unwrap_err().to_string(), "no");
    assert_eq!(calls.get(), 1);
    assert_eq!(cache.get(&"a"), None);
    runtime.block_on(runtime.sleep(ms(20)));
    load().unwrap_err();
    assert_eq!(calls.get(), 2);
}

#[test]
fn when_the_one_who_loads_gives_up_the_next_one_loads() {
    let (runtime, cache) = cache(CacheConfig::default());
    let calls = Rc::new(Cell::new(0));
    let mut first = Box::pin(cache.load("a", slowly(&runtime, &calls, Ok(1))));
    let mut gives_up = Box::pin(cache.load("a", slowly(&runtime, &calls, Ok(2))));
    let mut third = Box::pin(cache.load("a", slowly(&runtime, &calls, Ok(3))));
    let mut fourth = Box::pin(cache.load("a", slowly(&runtime, &calls, Ok(4))));
    for future in [&mut first, &mut gives_up, &mut third, &mut fourth] {
        assert!(future.now_or_never().is_none());
    }
    drop(gives_up);
    drop(first);
    let (third, fourth) = runtime.block_on(futures::future::join(third, fourth));
    assert_eq!((third.unwrap(), fourth.unwrap(), calls.get()), (3, 3, 2));
}

#[test]
fn when_everybody_gives_up_nothing_is_left_and_the_next_one_loads() {
    let (runtime, cache) = cache(CacheConfig::default());
    let calls = Rc::new(Cell::new(0));
    {
        let mut first = Box::pin(cache.load("a", slowly(&runtime, &calls, Ok(1))));
        let mut second = Box::pin(cache.load("a", slowly(&runtime, &calls, Ok(2))));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(second);
        drop(first);
    }
    let loaded = runtime.block_on(cache.load("a", slowly(&runtime, &calls, Ok(3))));
    assert_eq!((loaded.unwrap(), calls.get()), (3, 2));
}

#[test]
fn a_stale_value_is_served_at_once_and_loaded_anew_once() {
    let (runtime, cache) = cache(CacheConfig {
        stale_for: ms(100),
        ..for_ten_ms()
    });
    let calls = Rc::new(Cell::new(0));
    cache.set("a", 1);
    runtime.block_on(runtime.sleep(ms(10)));
    let stale = join_all((0..5).map(|_| cache.load("a", slowly(&runtime, &calls, Ok(2)))));
    let stale = runtime.block_on(stale);
    assert!(stale.into_iter().all(|result| result.unwrap() == 1));
    assert_eq!(runtime.now().as_micros(), 10_000);
    runtime.block_on(runtime.sleep(ms(5)));
    assert_eq!((cache.get(&"a"), calls.get()), (Some(2), 1));
}

#[test]
fn an_invalidation_takes_what_was_computed_from_it_and_what_is_being_loaded() {
    let (runtime, cache) = cache(CacheConfig::default());
    cache.set_with("page", 1, computed_from("user"));
    cache.set_with("site", 2, computed_from("page"));
    cache.set("other", 3);
    assert_eq!(cache.invalidate_by(&"user"), 2);
    assert_eq!((cache.get(&"site"), cache.get(&"other")), (None, Some(3)));
    let calls = Rc::new(Cell::new(0));
    let loader = slowly(&runtime, &calls, Ok(4));
    let mut load = Box::pin(cache.load_with("page", computed_from("user"), loader));
    assert!((&mut load).now_or_never().is_none());
    cache.invalidate_by(&"user");
    assert_eq!(runtime.block_on(load).unwrap(), 4);
    assert_eq!(cache.get(&"page"), None);
}

#[test]
fn a_value_may_use_the_cache_while_it_is_dropped() {
    type Place = Rc<RefCell<Option<Cache<VirtualRuntime, u32, Rc<Nosy>>>>>;
    struct Nosy(Place);
    impl Drop for Nosy {
        fn drop(&mut self) {
            if let Some(cache) = &*self.0.borrow() {
                cache.get(&1);
                cache.delete(&2);
            }
        }
    }
    let place = Place::default();
    let cache = Cache::new(&Host::new(VirtualRuntime::new()), CacheConfig::default()).unwrap();
    *Rc::clone(&place).borrow_mut() = Some(cache.clone());
    cache.set(1, Rc::new(Nosy(Rc::clone(&place))));
    cache.set(1, Rc::new(Nosy(Rc::clone(&place))));
    cache.set(2, Rc::new(Nosy(Rc::clone(&place))));
    cache.invalidate(&1);
    assert!(cache.is_empty());
    let cycle = place.borrow_mut().take();
    drop(cycle);
}

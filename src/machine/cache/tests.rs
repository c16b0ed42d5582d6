use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn key(id: u32) -> Key {
    Key {
        id,
        hash: id.wrapping_mul(0x9E37_79B9),
    }
}

fn cache(config: CacheConfig) -> Cache {
    Cache::new(config, Random::new(1))
}

fn bounded(max: u64) -> Cache {
    cache(CacheConfig {
        max: NonZeroU64::new(max),
        ..CacheConfig::default()
    })
}

fn short_lived() -> CacheConfig {
    CacheConfig {
        ttl: 10 * SECOND,
        ..CacheConfig::default()
    }
}

fn from(depends_on: &[u32]) -> Store<'_> {
    Store {
        depends_on,
        ..Store::default()
    }
}

fn gone(cache: &mut Cache) -> Vec<(u32, Gone)> {
    std::iter::from_fn(|| cache.pop_gone()).collect()
}

fn run(load: Load) -> Ticket {
    match load {
        Load::Run(ticket) => ticket,
        other => panic!("expected to be the one who loads, got {other:?}"),
    }
}

fn wait(load: Load) -> Ticket {
    match load {
        Load::Wait(ticket) => ticket,
        other => panic!("expected to wait, got {other:?}"),
    }
}

fn woken(wakes: &mut Wakes) -> Vec<(Ticket, Why)> {
    std::iter::from_fn(|| wakes.pop())
        .map(|wake| (wake.ticket, wake.why))
        .collect()
}

#[test]
fn however_many_come_and_go_before_it_one_that_stays_is_gone_when_its_time_is_over() {
    let mut cache = cache(short_lived());
    cache.set(at(0), key(0), Store::default());
    for id in 1..200 {
        cache.set(at(1), key(id), Store::default());
        assert!(cache.delete(key(id).id));
    }
    let mut wakes = Wakes::new();
    cache.on_deadline(at(9), &mut wakes);
    assert_eq!((cache.len(), cache.next_deadline()), (1, Some(at(10))));
    cache.on_deadline(at(10), &mut wakes);
    assert_eq!((cache.len(), cache.next_deadline()), (0, None));
}

#[test]
fn a_value_lives_an_hour_unless_told_otherwise() {
    let mut cache = cache(CacheConfig::default());
    cache.set(at(0), key(1), Store::default());
    assert_eq!(cache.get(at(3599), key(1)), Lookup::Fresh);
    assert_eq!(cache.get(at(3600), key(1)), Lookup::Missing);
}

#[test]
fn an_unread_value_goes_at_its_deadline_and_not_before() {
    let mut cache = cache(short_lived());
    let mut wakes = Wakes::new();
    cache.set(at(0), key(1), Store::default());
    assert_eq!(cache.next_deadline(), Some(at(10)));
    cache.on_deadline(Instant::from_micros(9_999_999), &mut wakes);
    assert_eq!(cache.len(), 1);
    cache.on_deadline(at(10), &mut wakes);
    assert_eq!(gone(&mut cache), [(1, Gone::Expired), (1, Gone::Forgotten)]);
    assert_eq!((cache.len(), cache.next_deadline()), (0, None));
    assert_eq!(cache.stats().expirations, 1);
}

#[test]
fn a_value_with_a_time_of_its_own_and_one_written_again_go_when_their_own_time_is_over() {
    let mut cache = cache(short_lived());
    let own = Store {
        ttl: Some(SECOND),
        ..Store::default()
    };
    cache.set(at(0), key(1), own);
    cache.set(at(0), key(2), own);
    cache.set(at(0), key(2), Store::default());
    assert_eq!(cache.get(at(1), key(1)), Lookup::Missing);
    assert_eq!(cache.get(at(9), key(2)), Lookup::Fresh);
    assert_eq!(cache.get(at(10), key(2)), Lookup::Missing);
}

#[test]
fn the_bound_holds_by_count_and_by_weight() {
    let mut cache = bounded(10);
    for id in 0..100 {
        cache.set(at(0), key(id), Store::default());
        assert!(cache.weight() <= 10);
    }
    assert_eq!(cache.len(), 10);
    let heavy = Store {
        weight: 8,
        ..Store::default()
    };
    cache.set(at(0), key(200), heavy);
    assert!(cache.weight() <= 10);
    let too_heavy = Store {
        weight: 11,
        ..Store::default()
    };
    assert_eq!(cache.set(at(0), key(200), too_heavy), Stored::TooHeavy);
    assert_eq!(cache.peek(at(0), 200), Lookup::Missing);
}

#[test]
fn every_value_that_had_to_make_room_is_reported_once_and_its_id_is_free() {
    let mut cache = bounded(5);
    let mut reported = BTreeMap::new();
    for id in 0..50 {
        cache.set(at(0), key(id), Store::default());
        for (id, gone) in gone(&mut cache) {
            *reported.entry((id, gone == Gone::Evicted)).or_insert(0) += 1;
        }
    }
    assert_eq!(reported.len(), 90);
    assert!(reported.values().all(|times| *times == 1));
    assert_eq!(cache.stats().evictions, 45);
}

#[test]
fn an_invalidated_tag_takes_a_diamond_with_it_once() {
    let mut cache = cache(CacheConfig::default());
    cache.set(at(0), key(2), from(&[1]));
    cache.set(at(0), key(3), from(&[1]));
    cache.set(at(0), key(4), from(&[2, 3]));
    cache.set(at(0), key(5), Store::default());
    assert_eq!(cache.invalidate_by(1), 3);
    assert_eq!((cache.len(), cache.stats().invalidations), (1, 3));
    let gone: BTreeSet<u32> = gone(&mut cache)
        .into_iter()
        .filter(|(_, gone)| *gone == Gone::Forgotten)
        .map(|(id, _)| id)
        .collect();
    assert_eq!(gone, BTreeSet::from([1, 2, 3, 4]));
}

#[test]
fn a_cycle_of_dependencies_falls_together() {
    let mut cache = cache(CacheConfig::default());
    cache.set(at(0), key(1), from(&[3]));
    cache.set(at(0), key(2), from(&[1]));
    cache.set(at(0), key(3), from(&[2]));
    assert_eq!(cache.invalidate(2), 3);
    assert!(cache.is_empty());
}

#[test]
fn invalidate_by_spares_the_key_itself_and_delete_spares_its_dependents() {
    let mut cache = cache(CacheConfig::default());
    cache.set(at(0), key(1), Store::default());
    cache.set(at(0), key(2), from(&[1]));
    assert_eq!(cache.invalidate_by(1), 1);
    assert_eq!(cache.peek(at(0), 1), Lookup::Fresh);
    cache.set(at(0), key(2), from(&[1]));
    assert!(cache.delete(1));
    assert_eq!(cache.peek(at(0), 2), Lookup::Fresh);
    assert_eq!(cache.invalidate_by(1), 1);
}

#[test]
fn an_invalidation_passes_through_an_entry_that_has_expired() {
    let mut cache = cache(short_lived());
    cache.set(at(0), key(2), from(&[1]));
    let long = Store {
        ttl: Some(60 * SECOND),
        depends_on: &[2],
        ..Store::default()
    };
    cache.set(at(0), key(3), long);
    assert_eq!(cache.get(at(20), key(2)), Lookup::Missing);
    assert_eq!(cache.invalidate_by(1), 1);
    assert_eq!(cache.peek(at(20), 3), Lookup::Missing);
}

#[test]
fn one_loads_and_the_others_wait_for_it() {
    let mut cache = cache(CacheConfig::default());
    let mut wakes = Wakes::new();
    let loader = run(cache.load(at(0), key(1)));
    let waiters = [0, 1].map(|_| wait(cache.load(at(0), key(1))));
    assert_eq!(
        cache.loaded(at(1), loader, Store::default(), &mut wakes),
        Ok(Stored::Kept)
    );
    assert_eq!(woken(&mut wakes), waiters.map(|ticket| (ticket, Why::Ready)));
    assert_eq!(cache.load(at(1), key(1)), Load::Fresh);
    assert_eq!(
        cache.loaded(at(1), loader, Store::default(), &mut wakes),
        Err(StaleTicket)
    );
    let stats = cache.stats();
    assert_eq!(
        (stats.loads, stats.coalesced, stats.hits, stats.misses),
        (1, 2, 1, 3)
    );
}

#[test]
fn a_failed_load_fails_for_all_who_wait_and_the_next_one_tries_again() {
    let mut cache = cache(CacheConfig::default());
    let mut wakes = Wakes::new();
    let loader = run(cache.load(at(0), key(1)));
    let waiter = wait(cache.load(at(0), key(1)));
    assert_eq!(cache.failed(at(1), loader, &mut wakes), Ok(false));
    assert_eq!(woken(&mut wakes), [(waiter, Why::Failed)]);
    run(cache.load(at(1), key(1)));
}

#[test]
fn a_failure_is_remembered_for_the_negative_ttl() {
    let mut cache = cache(CacheConfig {
        negative_ttl: 5 * SECOND,
        ..CacheConfig::default()
    });
    let mut wakes = Wakes::new();
    let loader = run(cache.load(at(0), key(1)));
    assert_eq!(cache.failed(at(1), loader, &mut wakes), Ok(true));
    assert_eq!(cache.load(at(5), key(1)), Load::Negative);
    assert_eq!(cache.stats().negative_hits, 1);
    run(cache.load(at(6), key(1)));
}

#[test]
fn when_the_loader_gives_up_the_oldest_waiter_loads() {
    let mut cache = cache(CacheConfig::default());
    let mut wakes = Wakes::new();
    let loader = run(cache.load(at(0), key(1)));
    let [first, second, third] = [0, 1, 2].map(|_| wait(cache.load(at(0), key(1))));
    cache.abandon(at(1), first, &mut wakes).unwrap();
    cache.abandon(at(1), loader, &mut wakes).unwrap();
    assert_eq!(woken(&mut wakes), [(second, Why::Granted)]);
    cache.loaded(at(2), second, Store::default(), &mut wakes).unwrap();
    assert_eq!(woken(&mut wakes), [(third, Why::Ready)]);
    assert_eq!(cache.abandon(at(2), third, &mut wakes), Err(StaleTicket));
}

#[test]
fn when_all_give_up_the_next_caller_loads_anew_and_nothing_is_left_behind() {
    let mut cache = cache(CacheConfig::default());
    let mut wakes = Wakes::new();
    let loader = run(cache.load(at(0), key(1)));
    let waiter = wait(cache.load(at(0), key(1)));
    cache.abandon(at(0), waiter, &mut wakes).unwrap();
    cache.abandon(at(0), loader, &mut wakes).unwrap();
    assert_eq!(gone(&mut cache), [(1, Gone::Forgotten)]);
    run(cache.load(at(0), key(1)));
}

#[test]
fn a_loader_that_takes_too_long_is_relieved_by_a_waiter() {
    let mut cache = cache(CacheConfig {
        load_timeout: Some(5 * SECOND),
        ..CacheConfig::default()
    });
    let mut wakes = Wakes::new();
    let loader = run(cache.load(at(0), key(1)));
    let waiter = wait(cache.load(at(1), key(1)));
    assert_eq!(cache.next_deadline(), Some(at(5)));
    cache.on_deadline(Instant::from_micros(4_999_999), &mut wakes);
    assert!(wakes.is_empty());
    cache.on_deadline(at(5), &mut wakes);
    assert_eq!(
        woken(&mut wakes),
        [(loader, Why::Expired), (waiter, Why::Granted)]
    );
    assert_eq!(
        cache.loaded(at(6), loader, Store::default(), &mut wakes),
        Err(StaleTicket)
    );
    assert_eq!(cache.next_deadline(), Some(at(10)));
    cache.on_deadline(at(10), &mut wakes);
    assert_eq!(woken(&mut wakes), [(waiter, Why::Expired)]);
    assert_eq!(cache.next_deadline(), None);
}

#[test]
fn a_stale_value_is_served_while_one_caller_loads_it_anew() {
    let mut cache = cache(CacheConfig {
        stale_for: 5 * SECOND,
        ..short_lived()
    });
    let mut wakes = Wakes::new();
    cache.set(at(0), key(1), Store::default());
    assert_eq!(cache.load(at(9), key(1)), Load::Fresh);
    let Load::Stale(Some(refresh)) = cache.load(at(10), key(1)) else {
        panic!("the first to see a stale value loads it anew");
    };
    assert_eq!(cache.load(at(11), key(1)), Load::Stale(None));
    cache.failed(at(12), refresh, &mut wakes).unwrap();
    assert!(matches!(cache.load(at(12), key(1)), Load::Stale(Some(_))));
    let waiter = wait(cache.load(at(15), key(1)));
    cache.abandon(at(15), waiter, &mut wakes).unwrap();
    assert_eq!(cache.stats().stale_hits, 3);
}

#[test]
fn a_value_loaded_before_an_invalidation_reaches_its_waiters_but_is_not_kept() {
    let mut cache = cache(CacheConfig::default());
    let mut wakes = Wakes::new();
    let old = run(cache.load(at(0), key(1)));
    let early = wait(cache.load(at(0), key(1)));
    cache.invalidate(1);
    let new = run(cache.load(at(1), key(1)));
    assert_eq!(
        cache.loaded(at(2), old, Store::default(), &mut wakes),
        Ok(Stored::Outdated)
    );
    assert_eq!(woken(&mut wakes), [(early, Why::Ready)]);
    assert_eq!(cache.peek(at(2), 1), Lookup::Missing);
    assert_eq!(
        cache.loaded(at(3), new, Store::default(), &mut wakes),
        Ok(Stored::Kept)
    );
}

#[test]
fn a_value_whose_tag_was_invalidated_while_it_was_loaded_is_not_kept() {
    let mut cache = cache(CacheConfig::default());
    let mut wakes = Wakes::new();
    let loader = run(cache.load(at(0), key(1)));
    assert_eq!(cache.invalidate_by(9), 0);
    assert_eq!(gone(&mut cache), []);
    assert_eq!(
        cache.loaded(at(1), loader, from(&[9]), &mut wakes),
        Ok(Stored::Outdated)
    );
    assert_eq!(gone(&mut cache), [(9, Gone::Forgotten), (1, Gone::Forgotten)]);
    let loader = run(cache.load(at(2), key(1)));
    assert_eq!(
        cache.loaded(at(3), loader, from(&[9]), &mut wakes),
        Ok(Stored::Kept)
    );
}

#[test]
fn a_write_during_a_load_wins_over_it() {
    let mut cache = cache(CacheConfig::default());
    let mut wakes = Wakes::new();
    let loader = run(cache.load(at(0), key(1)));
    cache.set(at(1), key(1), Store::default());
    assert_eq!(
        cache.loaded(at(2), loader, Store::default(), &mut wakes),
        Ok(Stored::Outdated)
    );
    assert_eq!(cache.peek(at(2), 1), Lookup::Fresh);
    let loader = run(cache.load(at(2), key(2)));
    cache.clear();
    assert_eq!(
        cache.loaded(at(2), loader, Store::default(), &mut wakes),
        Ok(Stored::Outdated)
    );
    assert!(cache.is_empty());
}

#[test]
fn peeking_neither_counts_nor_keeps_a_value_any_longer() {
    let mut cache = cache(short_lived());
    cache.set(at(0), key(1), Store::default());
    assert_eq!(cache.peek(at(9), 1), Lookup::Fresh);
    assert_eq!(cache.peek(at(10), 1), Lookup::Missing);
    assert_eq!(cache.stats(), CacheStats::default());
}

#[test]
fn a_clock_that_steps_back_brings_nothing_back() {
    let mut cache = cache(short_lived());
    cache.set(at(5), key(1), Store::default());
    assert_eq!(cache.get(at(15), key(1)), Lookup::Missing);
    assert_eq!(cache.get(at(0), key(1)), Lookup::Missing);
}

fn host_drops(
    cache: &mut Cache,
    values: &mut BTreeMap<u32, u64>,
    edges: &mut BTreeMap<u32, Vec<u32>>,
) -> Result<(), TestCaseError> {
    while let Some((id, gone)) = cache.pop_gone() {
        if gone == Gone::Forgotten {
            prop_assert!(!values.contains_key(&id), "{id} is forgotten with its value");
            continue;
        }
        values.remove(&id);
    }
    // What is gone stands between others only as long as something present was computed from it.
    while let Some(idle) = edges
        .keys()
        .copied()
        .find(|id| !values.contains_key(id) && !edges.values().any(|from| from.contains(id)))
    {
        edges.remove(&idle);
    }
    Ok(())
}

proptest! {
    // The model: a map of what must be there if nothing was evicted, with its deadlines and edges.
    #[test]
    fn what_is_found_was_stored_is_in_time_and_was_not_invalidated(
        max in prop::option::of(1u64..8),
        ops in prop::collection::vec((0u8..9, 0u32..8, 0u32..8, 0u64..4), 1..200),
    ) {
        let mut cache = cache(CacheConfig {
            max: max.and_then(NonZeroU64::new),
            ttl: 10 * SECOND,
            stale_for: 3 * SECOND,
            negative_ttl: 2 * SECOND,
            load_timeout: Some(20 * SECOND),
        });
        let mut wakes = Wakes::new();
        let mut now = 0;
        // What the host holds: values by id, and whether the id is in use.
        let mut values: BTreeMap<u32, u64> = BTreeMap::new();
        let mut edges: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut loads: Vec<Ticket> = Vec::new();
        for (op, id, other, wait) in ops {
            now += wait;
            cache.on_deadline(at(now), &mut wakes);
            host_drops(&mut cache, &mut values, &mut edges)?;
            match op {
                0 | 1 => {
                    let deps = [other];
                    let store = if other == id { Store::default() } else { from(&deps) };
                    if cache.set(at(now), key(id), store) == Stored::Kept {
                        values.insert(id, now);
                        edges.insert(id, if other == id { vec![] } else { vec![other] });
                    }
                }
                2 => { cache.get(at(now), key(id)); }
                3 => match cache.load(at(now), key(id)) {
                    Load::Run(t) | Load::Wait(t) | Load::Stale(Some(t)) => loads.push(t),
                    _ => {}
                },
                4 if !loads.is_empty() => {
                    let ticket = loads.swap_remove(other as usize % loads.len());
                    let _ = cache.abandon(at(now), ticket, &mut wakes);
                }
                5 if !loads.is_empty() => {
                    let ticket = loads.swap_remove(other as usize % loads.len());
                    // One who waits cannot fail for the loader, and goes on waiting.
                    if cache.failed(at(now), ticket, &mut wakes).is_err() { loads.push(ticket); }
                }
                6 => {
                    let count = cache.invalidate(id);
                    let mut fallen = vec![id];
                    let mut next = 0;
                    while let Some(root) = fallen.get(next).copied() {
                        next += 1;
                        for (dependent, from) in &edges {
                            if from.contains(&root) && !fallen.contains(dependent) { fallen.push(*dependent); }
                        }
                    }
                    prop_assert!(count as usize <= fallen.len());
                    for id in fallen {
                        prop_assert_eq!(cache.peek(at(now), id), Lookup::Missing);
                        edges.remove(&id);
                    }
                }
                7 => { cache.delete(id); }
                _ => cache.on_deadline(at(now), &mut wakes),
            }
            host_drops(&mut cache, &mut values, &mut edges)?;
            while let Some(wake) = wakes.pop() {
                if wake.why != Why::Granted { loads.retain(|ticket| *ticket != wake.ticket); }
            }
            if let Some(max) = max { prop_assert!(cache.weight() <= max); }
            for id in 0..8 {
                match cache.peek(at(now), id) {
                    Lookup::Fresh => prop_assert!(now < values[&id] + 10),
                    Lookup::Stale => prop_assert!(now < values[&id] + 13 && now >= values[&id] + 10),
                    _ => {}
                }
            }
            if max.is_none() {
                for (id, written) in &values {
                    if now < written + 10 { prop_assert_eq!(cache.peek(at(now), *id), Lookup::Fresh); }
                }
            }
        }
        // In the end everything goes, and so does every id.
        for ticket in loads { let _ = cache.abandon(at(now), ticket, &mut wakes); }
        cache.clear();
        cache.on_deadline(at(now + 1000), &mut wakes);
        while cache.pop_gone().is_some() {}
        for id in 0..8 { prop_assert!(!cache.knows(id)); }
        prop_assert_eq!((cache.len(), cache.weight(), cache.next_deadline()), (0, 0, None));
    }
}

//! Caches across the wasm boundary. A key crosses as the id under which the host interned it and a hash of its name.

use super::{LOOK, duration_of, number_of, refused, take_ids};
use crate::bindings::{
    DETAIL, LIST, OUTSIDE, PASSED, WAITING, at_world, instant_of, micros_of, tagged, ticket_of,
};
use crate::machine::cache::{Cache, CacheConfig, Gone, Key, Load, Lookup, Store, Stored};
use crate::machine::ticket::StaleTicket;
use crate::machine::wakes::{MachineId, Wakes};
use core::num::NonZeroU64;
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a cache; infinity is no bound and no limit. −1 when there can be no more.
#[wasm_bindgen]
pub fn cache_open(max: f64, ttl_ms: f64, stale_ms: f64, negative_ms: f64, load_ms: f64) -> f64 {
    let config = CacheConfig {
        max: if max == f64::INFINITY {
            None
        } else {
            NonZeroU64::new(max as u64)
        },
        ttl: duration_of(ttl_ms),
        stale_for: duration_of(stale_ms),
        negative_ttl: duration_of(negative_ms),
        load_timeout: (load_ms != f64::INFINITY).then(|| duration_of(load_ms)),
    };
    at_world(|world, _| world.open_cache(config).map_or(-1.0, number_of))
}

/// Forgets a cache.
#[wasm_bindgen]
pub fn cache_drop(cache: u32) {
    at_world(|world, _| world.drop_cache(MachineId(cache)));
}

/// Looks for a value: 0 missing, 1 fresh, 2 stale, 3 a remembered failure.
#[wasm_bindgen]
pub fn cache_get(cache: u32, now_ms: f64, id: u32, hash: u32) -> u32 {
    at_cache(cache, |cache, _, _| {
        lookup(cache.get(instant_of(now_ms), Key { id, hash }))
    })
    .unwrap_or(0)
}

/// Counts a look for a name that has no id.
#[wasm_bindgen]
pub fn cache_missed(cache: u32, now_ms: f64, hash: u32) {
    at_cache(cache, |cache, _, _| cache.missed(instant_of(now_ms), hash));
}

/// Looks without counting; answers as [`cache_get`].
#[wasm_bindgen]
pub fn cache_peek(cache: u32, now_ms: f64, id: u32) -> u32 {
    at_cache(cache, |cache, _, _| lookup(cache.peek(instant_of(now_ms), id))).unwrap_or(0)
}

/// Stores a value that depends on the pushed ids; a negative time to live is the cache's. 1 when it is kept.
#[wasm_bindgen]
pub fn cache_set(cache: u32, now_ms: f64, id: u32, hash: u32, weight: u32, ttl_ms: f64) -> u32 {
    let depends_on = take_ids();
    at_cache(cache, |cache, _, _| {
        let stored = cache.set(
            instant_of(now_ms),
            Key { id, hash },
            store(weight, ttl_ms, &depends_on),
        );
        u32::from(stored == Stored::Kept)
    })
    .unwrap_or(0)
}

/// Asks for a value that somebody is to load. Tags: 0 with 0 fresh, 1 a remembered failure or 2 stale; 1 waits for the
/// ticket's wake; 2 loads with the ticket, where the detail 1 says that the stale value may be served meanwhile; 3 refused.
#[wasm_bindgen]
pub fn cache_load(cache: u32, now_ms: f64, id: u32, hash: u32) -> f64 {
    at_cache(cache, |cache, _, detail| {
        let load = cache.load(instant_of(now_ms), Key { id, hash });
        *detail = f64::from(u8::from(matches!(load, Load::Stale(Some(_)))));
        match load {
            Load::Fresh => tagged(PASSED, 0),
            Load::Negative => tagged(PASSED, 1),
            Load::Stale(None) => tagged(PASSED, 2),
            Load::Wait(ticket) => tagged(WAITING, ticket.to_bits()),
            Load::Run(ticket) | Load::Stale(Some(ticket)) => tagged(OUTSIDE, ticket.to_bits()),
            Load::Refused(refusal) => refused(refusal, detail),
        }
    })
    .unwrap_or(-1.0)
}

/// The loader has a value that depends on the pushed ids. 1 when it is kept.
#[wasm_bindgen]
pub fn cache_loaded(cache: u32, now_ms: f64, ticket: f64, weight: u32, ttl_ms: f64) -> u32 {
    let depends_on = take_ids();
    at_machine(cache, |cache, wakes| {
        cache.loaded(
            instant_of(now_ms),
            ticket_of(ticket),
            store(weight, ttl_ms, &depends_on),
            wakes,
        )
    })
    .map_or(0, |stored| u32::from(stored == Ok(Stored::Kept)))
}

/// The loader failed. 1 when the failure is remembered.
#[wasm_bindgen]
pub fn cache_failed(cache: u32, now_ms: f64, ticket: f64) -> u32 {
    at_machine(cache, |cache, wakes| {
        cache.failed(instant_of(now_ms), ticket_of(ticket), wakes)
    })
    .map_or(0, |remembered: Result<bool, StaleTicket>| {
        u32::from(remembered == Ok(true))
    })
}

/// Somebody who loads or waits gives up. 0 when the ticket is stale.
#[wasm_bindgen]
pub fn cache_abandon(cache: u32, now_ms: f64, ticket: f64) -> u32 {
    at_machine(cache, |cache, wakes| {
        cache.abandon(instant_of(now_ms), ticket_of(ticket), wakes)
    })
    .map_or(0, |left| u32::from(left.is_ok()))
}

/// Drops a value and all computed from it. How many it was.
#[wasm_bindgen]
pub fn cache_invalidate(cache: u32, id: u32) -> u32 {
    at_machine(cache, |cache, _| cache.invalidate(id)).unwrap_or(0)
}

/// Drops all computed from an id, but not its own value. How many it was.
#[wasm_bindgen]
pub fn cache_invalidate_by(cache: u32, id: u32) -> u32 {
    at_machine(cache, |cache, _| cache.invalidate_by(id)).unwrap_or(0)
}

/// Drops one value alone. 1 when there was one.
#[wasm_bindgen]
pub fn cache_delete(cache: u32, id: u32) -> u32 {
    at_machine(cache, |cache, _| u32::from(cache.delete(id))).unwrap_or(0)
}

/// Drops everything.
#[wasm_bindgen]
pub fn cache_clear(cache: u32) {
    at_machine(cache, |cache, _| cache.clear());
}

/// The next id whose value is to be dropped, −1 when there is none. The detail says why: 0 evicted, 1 expired,
/// 2 invalidated, 3 forgotten, after which the id may be another name's.
#[wasm_bindgen]
pub fn cache_gone(cache: u32) -> f64 {
    at_cache(cache, |cache, _, detail| {
        let Some((id, gone)) = cache.pop_gone() else {
            return -1.0;
        };
        *detail = match gone {
            Gone::Evicted => 0.0,
            Gone::Expired => 1.0,
            Gone::Invalidated => 2.0,
            Gone::Forgotten => 3.0,
        };
        f64::from(id)
    })
    .unwrap_or(-1.0)
}

/// How many values there are.
#[wasm_bindgen]
pub fn cache_len(cache: u32) -> f64 {
    at_machine(cache, |cache, _| cache.len() as f64).unwrap_or(0.0)
}

/// Into the list: values, weight, hits, misses, stale hits, negative hits, evictions, expirations, invalidations, loads,
/// load failures, coalesced. 0 when there is no such cache.
#[wasm_bindgen]
pub fn cache_stats(cache: u32) -> u32 {
    at_world(|world, cells| {
        let stats = world.at_cache(MachineId(cache), |cache, _| {
            (cache.len(), cache.weight(), cache.stats())
        });
        let Some((len, weight, stats)) = stats else {
            return 0;
        };
        let numbers = [
            len as u64,
            weight,
            stats.hits,
            stats.misses,
            stats.stale_hits,
            stats.negative_hits,
            stats.evictions,
            stats.expirations,
            stats.invalidations,
            stats.loads,
            stats.load_failures,
            stats.coalesced,
        ];
        for (cell, number) in cells[LIST..].iter_mut().zip(numbers) {
            *cell = number as f64;
        }
        1
    })
}

fn at_cache<T>(id: u32, call: impl FnOnce(&mut Cache, &mut Wakes, &mut f64) -> T) -> Option<T> {
    at_world(|world, cells| {
        let detail = &mut cells[DETAIL];
        let answer = world.at_cache(MachineId(id), |cache, wakes| {
            let answer = call(cache, wakes, detail);
            (answer, cache.has_gone())
        });
        let (answer, gone) = answer?;
        cells[LOOK] = f64::from(u8::from(gone));
        Some(answer)
    })
}

fn at_machine<T>(id: u32, call: impl FnOnce(&mut Cache, &mut Wakes) -> T) -> Option<T> {
    at_cache(id, |cache, wakes, _| call(cache, wakes))
}

fn lookup(found: Lookup) -> u32 {
    match found {
        Lookup::Missing => 0,
        Lookup::Fresh => 1,
        Lookup::Stale => 2,
        Lookup::Negative => 3,
    }
}

fn store(weight: u32, ttl_ms: f64, depends_on: &[u32]) -> Store<'_> {
    Store {
        weight,
        ttl: (ttl_ms >= 0.0).then(|| core::time::Duration::from_micros(micros_of(ttl_ms))),
        depends_on,
    }
}

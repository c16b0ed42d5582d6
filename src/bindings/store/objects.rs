//! Pools of objects across the wasm boundary. Objects cross as tickets, the keys they belong to as the numbers that the
//! host gave them.

use super::{duration_of, number_of, patience_of, refused};
use crate::bindings::{DETAIL, LIST, OUTSIDE, PASSED, WAITING, at_world, instant_of, tagged, ticket_of};
use crate::machine::objects::{Acquire, Grant, Objects, ObjectsConfig, Returned};
use crate::machine::wakes::{MachineId, Refusal, Wakes};
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a pool of at most so many of each key; infinity is no limit. −1 when there can be no more, or for none.
#[wasm_bindgen]
pub fn objects_open(max: u32, max_age_ms: f64, idle_ms: f64) -> f64 {
    let Ok(mut config) = ObjectsConfig::new(max) else {
        return -1.0;
    };
    if max_age_ms != f64::INFINITY {
        config = config.with_max_age(duration_of(max_age_ms));
    }
    if idle_ms != f64::INFINITY {
        config = config.with_idle(duration_of(idle_ms));
    }
    at_world(|world, _| world.open_objects(config).map_or(-1.0, number_of))
}

/// Forgets a pool and whatever is in it.
#[wasm_bindgen]
pub fn objects_drop(pool: u32) {
    at_world(|world, _| world.drop_objects(MachineId(pool)));
}

/// Wants an object: tag 0 one to use again, 2 a place for a new one, 1 waits, each with a ticket; 3 refused.
#[wasm_bindgen]
pub fn objects_acquire(pool: u32, now_ms: f64, key: u32, patience_ms: f64) -> f64 {
    at_world(|world, cells| {
        let answer = at(world, pool, |objects, wakes| {
            objects.acquire(instant_of(now_ms), key, patience_of(patience_ms), wakes)
        });
        match answer.unwrap_or(Acquire::Refused(Refusal::Closed)) {
            Acquire::Now(grant) => granted(grant),
            Acquire::Waiting(ticket) => tagged(WAITING, ticket.to_bits()),
            Acquire::Refused(refusal) => refused(refusal, &mut cells[DETAIL]),
        }
    })
}

/// What a woken waiter got: tags 0 and 2 as for [`objects_acquire`]; −1 when its ticket is stale.
#[wasm_bindgen]
pub fn objects_claim(pool: u32, waiter: f64) -> f64 {
    at_world(|world, _| {
        let claimed = at(world, pool, |objects, _| objects.claim(ticket_of(waiter)));
        claimed.and_then(Result::ok).map_or(-1.0, granted)
    })
}

/// An object was made. 0 when its place is gone.
#[wasm_bindgen]
pub fn objects_made(pool: u32, now_ms: f64, object: f64) -> u32 {
    at_world(|world, _| {
        let made = at(world, pool, |objects, _| {
            objects.made(instant_of(now_ms), ticket_of(object))
        });
        u32::from(made.is_some_and(|made| made.is_ok()))
    })
}

/// An object could not be made: its place is free.
#[wasm_bindgen]
pub fn objects_failed(pool: u32, now_ms: f64, object: f64) {
    at_world(|world, _| {
        at(world, pool, |objects, wakes| {
            objects
                .failed(instant_of(now_ms), ticket_of(object), wakes)
                .is_ok()
        });
    });
}

/// An object comes back, to be used again unless that is 0. 1 when it is kept; otherwise it is to be destroyed.
#[wasm_bindgen]
pub fn objects_give_back(pool: u32, now_ms: f64, object: f64, reusable: u32) -> u32 {
    at_world(|world, _| {
        let returned = at(world, pool, |objects, wakes| {
            objects.give_back(instant_of(now_ms), ticket_of(object), reusable != 0, wakes)
        });
        u32::from(matches!(returned, Some(Ok(Returned::Kept))))
    })
}

/// An object that was to be used again is not valid: its place is for a new one. Tag 2, −1 when the ticket is stale.
#[wasm_bindgen]
pub fn objects_replace(pool: u32, object: f64) -> f64 {
    at_world(|world, _| {
        let replaced = at(world, pool, |objects, _| objects.replace(ticket_of(object)));
        replaced.and_then(Result::ok).map_or(-1.0, granted)
    })
}

/// Leaves without waiting any longer.
#[wasm_bindgen]
pub fn objects_cancel(pool: u32, now_ms: f64, waiter: f64) {
    at_world(|world, _| {
        at(world, pool, |objects, wakes| {
            objects
                .cancel(instant_of(now_ms), ticket_of(waiter), wakes)
                .is_ok()
        });
    });
}

/// Closes a pool: nobody gets an object any more, and the idle ones are to be destroyed.
#[wasm_bindgen]
pub fn objects_close(pool: u32, now_ms: f64) {
    at_world(|world, _| {
        at(world, pool, |objects, wakes| {
            objects.close(instant_of(now_ms), wakes)
        });
    });
}

/// The next object to be destroyed; −1 when there is none.
#[wasm_bindgen]
pub fn objects_doomed(pool: u32) -> f64 {
    at_world(|world, _| {
        let doomed = at(world, pool, |objects, _| objects.pop_doomed());
        doomed.flatten().map_or(-1.0, |object| object.to_bits() as f64)
    })
}

/// Into the list: requests, hits, misses, created, failed, returned, invalid, destroyed, timeouts. 0 when there is no such pool.
#[wasm_bindgen]
pub fn objects_stats(pool: u32) -> u32 {
    at_world(|world, cells| {
        let Some(objects) = world.objects(MachineId(pool)) else {
            return 0;
        };
        let counts = objects.counts;
        let numbers = [
            counts.requests,
            counts.hits,
            counts.misses,
            counts.created,
            counts.failed,
            counts.returned,
            counts.invalid,
            counts.destroyed,
            counts.timeouts,
        ];
        for (cell, number) in cells[LIST..].iter_mut().zip(numbers) {
            *cell = number as f64;
        }
        1
    })
}

fn at<T>(
    world: &mut crate::machine::world::World,
    pool: u32,
    call: impl FnOnce(&mut Objects, &mut Wakes) -> T,
) -> Option<T> {
    world.at_objects(MachineId(pool), call)
}

fn granted(grant: Grant) -> f64 {
    match grant {
        Grant::Reuse(object) => tagged(PASSED, object.to_bits()),
        Grant::Create(object) => tagged(OUTSIDE, object.to_bits()),
    }
}

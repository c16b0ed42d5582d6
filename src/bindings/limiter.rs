//! Rate limiters across the wasm boundary.

use super::rate_rules::rules_of;
use super::{DETAIL, LIST, PASSED, REFUSED, WAITING, at_world, instant_of, refusal_code, tagged, ticket_of};
use crate::machine::limiter::Limited;
use crate::machine::wakes::MachineId;
use core::time::Duration;
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a limiter of so many rules in the list. −1 when they are wrong or there can be no more.
#[wasm_bindgen]
pub fn limiter_open(rules: u32) -> f64 {
    at_world(|world, cells| {
        rules_of(&cells[LIST..], rules)
            .and_then(|rules| world.open_limiter(rules))
            .map_or(-1.0, |id| f64::from(id.0))
    })
}

/// Forgets a limiter.
#[wasm_bindgen]
pub fn limiter_drop(limiter: u32) {
    at_world(|world, _| world.drop_limiter(MachineId(limiter)));
}

/// Asks for tokens within so many milliseconds: infinity waits as long as it takes, 0 not at all. Tags as for a pool.
#[wasm_bindgen]
pub fn limiter_request(limiter: u32, now_ms: f64, cost: u32, patience_ms: f64) -> f64 {
    let patience =
        (patience_ms != f64::INFINITY).then(|| Duration::from_micros(super::micros_of(patience_ms)));
    at_world(|world, cells| {
        match world.limiter_request(instant_of(now_ms), MachineId(limiter), cost, patience) {
            Limited::Passed => tagged(PASSED, 0),
            Limited::Waiting(ticket) => tagged(WAITING, ticket.to_bits()),
            Limited::Refused(refusal) => {
                tagged(REFUSED, u64::from(refusal_code(refusal, &mut cells[DETAIL])))
            }
        }
    })
}

/// Leaves the line. 0 when the ticket is stale.
#[wasm_bindgen]
pub fn limiter_cancel(limiter: u32, now_ms: f64, ticket: f64) -> u32 {
    at_world(|world, _| {
        let left = world.limiter_cancel(instant_of(now_ms), MachineId(limiter), ticket_of(ticket));
        u32::from(left.is_ok())
    })
}

/// Lets nothing pass before that moment.
#[wasm_bindgen]
pub fn limiter_cool_down(limiter: u32, now_ms: f64, until_ms: f64) {
    at_world(|world, _| {
        world.limiter_cool_down(instant_of(now_ms), MachineId(limiter), instant_of(until_ms));
    });
}

/// Counts everything as taken just now.
#[wasm_bindgen]
pub fn limiter_start_empty(limiter: u32, now_ms: f64) {
    at_world(|world, _| world.limiter_start_empty(instant_of(now_ms), MachineId(limiter)));
}

/// Refuses everybody from here on.
#[wasm_bindgen]
pub fn limiter_close(limiter: u32) {
    at_world(|world, _| world.limiter_close(MachineId(limiter)));
}

/// Into the list: waiting, requests, allowed, denied, cancelled, waited. 0 when there is no such limiter.
#[wasm_bindgen]
pub fn limiter_stats(limiter: u32) -> u32 {
    at_world(|world, cells| {
        let Some(limiter) = world.limiter(MachineId(limiter)) else {
            return 0;
        };
        let counts = limiter.counts();
        let numbers = [
            limiter.waiting() as f64,
            counts.requests as f64,
            counts.allowed as f64,
            counts.denied as f64,
            counts.cancelled as f64,
            counts.waited as f64,
        ];
        cells[LIST..LIST + numbers.len()].copy_from_slice(&numbers);
        1
    })
}

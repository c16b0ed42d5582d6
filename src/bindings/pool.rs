//! Pools across the wasm boundary.

use super::rate_rules::rules_of;
use super::{
    DETAIL, LIST, OUTSIDE, PASSED, REFUSED, WAITING, at_world, instant_of, micros_of, outcome_of,
    refusal_code, tagged, ticket_of,
};
use crate::machine::histogram::Histogram;
use crate::machine::permits::{Admission, Ask, AtEnd, Patience};
use crate::machine::queue::{Overflow, QueueConfig};
use crate::machine::wakes::MachineId;
use crate::machine::world::PoolConfig;
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a pool that may be resized to `most` slots, so that what only these can hold may wait; 0 for one whose size is
/// what it is. −1 when there can be no more. Infinity is unbounded.
#[wasm_bindgen]
pub fn pool_open(
    concurrency: u32,
    most: u32,
    capacity: f64,
    overflow: u32,
    max_waiters: f64,
    aging: u32,
) -> f64 {
    let queue = QueueConfig {
        capacity: bound(capacity),
        overflow: match overflow {
            1 => Overflow::DropNewest,
            2 => Overflow::DropOldest,
            3 => Overflow::Error,
            _ => Overflow::Wait,
        },
        max_waiters: bound(max_waiters),
        aging,
    };
    let config = PoolConfig { concurrency, queue };
    at_world(|world, _| {
        let id = world.open_pool(config);
        id.map_or(-1.0, |id| {
            world.stretch_pool(id, most);
            f64::from(id.0)
        })
    })
}

/// Puts rates and a breaker (−1 for none) before a pool. 0 when the rules are wrong or something is not there.
#[wasm_bindgen]
pub fn pool_gate(pool: u32, rules: u32, breaker: f64) -> u32 {
    let breaker = (breaker >= 0.0).then_some(MachineId(breaker as u32));
    at_world(|world, cells| {
        let Some(rules) = rules_of(&cells[LIST..], rules) else {
            return 0;
        };
        u32::from(world.gate_pool(MachineId(pool), rules, breaker).is_ok())
    })
}

/// Counts every token of a pool as taken just now.
#[wasm_bindgen]
pub fn pool_start_empty(pool: u32, now_ms: f64) {
    at_world(|world, _| world.pool_start_empty(instant_of(now_ms), MachineId(pool)));
}

/// Lets a pool measure how long tasks wait and run, or not.
#[wasm_bindgen]
pub fn pool_measure(pool: u32, measured: bool) {
    at_world(|world, _| world.measure_pool(MachineId(pool), measured));
}

/// Forgets a pool.
#[wasm_bindgen]
pub fn pool_drop(pool: u32) {
    at_world(|world, _| world.drop_pool(MachineId(pool)));
}

/// Asks for a start. Two bits of tag above the 51 of a ticket; for a refusal, its code in their place.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)] // Numbers are what is cheap to pass: see the module's documentation.
pub fn pool_request(
    pool: u32,
    now_ms: f64,
    weight: u32,
    cost: u32,
    priority: i32,
    key: u32,
    patience_ms: f64,
    deadline_ms: f64,
    run_for_ms: f64,
    at_end: u32,
) -> f64 {
    let patience = match patience_ms {
        ms if ms < 0.0 => Patience::None,
        f64::INFINITY => Patience::Forever,
        ms => Patience::Micros(micros_of(ms)),
    };
    let ask = Ask {
        weight,
        cost,
        priority,
        key,
        patience,
        deadline: instant_of(deadline_ms),
        run_for: micros_of(run_for_ms),
        at_end: at_end_of(at_end),
    };
    at_world(|world, cells| {
        let answer = world.pool_request(instant_of(now_ms), MachineId(pool), ask);
        match answer {
            Admission::Granted(ticket) => tagged(PASSED, ticket.to_bits()),
            Admission::Queued(ticket) => tagged(WAITING, ticket.to_bits()),
            Admission::Outside(ticket) => tagged(OUTSIDE, ticket.to_bits()),
            Admission::Refused(refusal) => {
                tagged(REFUSED, u64::from(refusal_code(refusal, &mut cells[DETAIL])))
            }
        }
    })
}

/// Gives slots back: 0 success, 1 failure, 2 says nothing about the target, 3 never started. Answers 0 when the ticket is stale,
/// else 1, or 2 when the next plain task may pass without asking, until the pool is called again.
#[wasm_bindgen]
pub fn pool_release(pool: u32, now_ms: f64, ticket: f64, outcome: u32) -> u32 {
    at_world(|world, _| {
        let id = MachineId(pool);
        let released = world.pool_release(instant_of(now_ms), id, ticket_of(ticket), outcome_of(outcome));
        released.map_or(0, |()| 1 + u32::from(world.pool_lets_pass(id)))
    })
}

/// Counts so many plain tasks that have passed without asking, since the pool said that they may.
#[wasm_bindgen]
pub fn pool_passed(pool: u32, tasks: f64) {
    at_world(|world, _| world.pool_passed(MachineId(pool), tasks as u64));
}

/// Leaves the queue or the slots. 0 when the ticket is stale.
#[wasm_bindgen]
pub fn pool_cancel(pool: u32, now_ms: f64, ticket: f64) -> u32 {
    at_world(|world, _| {
        u32::from(
            world
                .pool_cancel(instant_of(now_ms), MachineId(pool), ticket_of(ticket))
                .is_ok(),
        )
    })
}

/// Moves the end of a lease; answers with it, or −1 when the ticket is stale.
#[wasm_bindgen]
pub fn pool_renew(pool: u32, now_ms: f64, ticket: f64, run_for_ms: f64) -> f64 {
    at_world(|world, _| {
        world
            .pool_renew(
                instant_of(now_ms),
                MachineId(pool),
                ticket_of(ticket),
                micros_of(run_for_ms),
            )
            .map_or(-1.0, |ends| ends.as_millis_f64())
    })
}

/// Changes the number of slots.
#[wasm_bindgen]
pub fn pool_resize(pool: u32, now_ms: f64, concurrency: u32) {
    at_world(|world, _| world.pool_resize(instant_of(now_ms), MachineId(pool), concurrency));
}

/// Grants nothing until resumed.
#[wasm_bindgen]
pub fn pool_pause(pool: u32) {
    at_world(|world, _| world.pool_pause(MachineId(pool)));
}

/// Grants again.
#[wasm_bindgen]
pub fn pool_resume(pool: u32, now_ms: f64) {
    at_world(|world, _| world.pool_resume(instant_of(now_ms), MachineId(pool)));
}

/// Grants nothing before that moment.
#[wasm_bindgen]
pub fn pool_cool_down(pool: u32, until_ms: f64) {
    at_world(|world, _| world.pool_cool_down(MachineId(pool), instant_of(until_ms)));
}

/// Stops the intake.
#[wasm_bindgen]
pub fn pool_close(pool: u32, now_ms: f64, refuse_queue: bool, grace_ms: f64) {
    at_world(|world, _| {
        world.pool_close(
            instant_of(now_ms),
            MachineId(pool),
            refuse_queue,
            micros_of(grace_ms),
        );
    });
}

/// Counts a lease of the past as active; its ticket, or −1.
#[wasm_bindgen]
pub fn pool_adopt(pool: u32, now_ms: f64, weight: u32, run_for_ms: f64, at_end: u32) -> f64 {
    at_world(|world, _| {
        world
            .pool_adopt(
                instant_of(now_ms),
                MachineId(pool),
                Ask {
                    weight,
                    run_for: micros_of(run_for_ms),
                    at_end: at_end_of(at_end),
                    ..Ask::PLAIN
                },
            )
            .map_or(-1.0, |ticket| ticket.to_bits() as f64)
    })
}

/// When a task arrived and when it started (−1 if it has not), into the list of the reply area; 0 when it is stale.
#[wasm_bindgen]
pub fn pool_times(pool: u32, ticket: f64) -> u32 {
    at_world(|world, cells| {
        let times = world
            .pool(MachineId(pool))
            .and_then(|permits| permits.times(ticket_of(ticket)));
        let Some((arrived, started)) = times else { return 0 };
        cells[LIST] = arrived.as_millis_f64();
        cells[LIST + 1] = started.map_or(-1.0, |at| at.as_millis_f64());
        1
    })
}

/// How many: 0 active, 1 queued, 2 waiting for room, 3 abandoned, 4 slots, 5 slots in use, 6 milliseconds until a slot
/// becomes free by its own estimate.
#[wasm_bindgen]
pub fn pool_count(pool: u32, which: u32) -> f64 {
    at_world(|world, _| {
        let Some(permits) = world.pool(MachineId(pool)) else {
            return 0.0;
        };
        let number = match which {
            0 => permits.active(),
            1 => permits.queued(),
            2 => permits.waiting_for_room(),
            3 => permits.abandoned(),
            4 => permits.capacity(),
            6 => u32::try_from(permits.turnover() / 1000).unwrap_or(u32::MAX),
            _ => permits.in_use(),
        };
        f64::from(number)
    })
}

/// Everything a pool counts, into the list of the reply area, in the order of `js/pool-metrics.ts`.
#[wasm_bindgen]
pub fn pool_stats(pool: u32, now_ms: f64) -> u32 {
    at_world(|world, cells| {
        let Some(permits) = world.pool(MachineId(pool)) else {
            return 0;
        };
        let counts = &permits.counts;
        let numbers = [
            f64::from(permits.active()),
            f64::from(permits.queued()),
            f64::from(permits.waiting_for_room()),
            f64::from(permits.abandoned()),
            f64::from(permits.capacity()),
            f64::from(permits.in_use()),
            f64::from(counts.peak_active),
            permits.oldest_run(instant_of(now_ms)) as f64 / 1000.0,
            counts.accepted as f64,
            counts.started as f64,
            counts.completed as f64,
            counts.failed as f64,
            counts.cancelled as f64,
            counts.dropped as f64,
            counts.rejected as f64,
            counts.blocked as f64,
            counts.shed as f64,
            counts.queue_timeouts as f64,
            counts.task_timeouts as f64,
            counts.late_releases as f64,
        ];
        let list = &mut cells[LIST..];
        let (head, tail) = list.split_at_mut(numbers.len());
        head.copy_from_slice(&numbers);
        describe(&permits.waited, &mut tail[..HISTOGRAM_CELLS]);
        describe(&permits.ran, &mut tail[HISTOGRAM_CELLS..2 * HISTOGRAM_CELLS]);
        (numbers.len() + 2 * HISTOGRAM_CELLS) as u32
    })
}

const HISTOGRAM_CELLS: usize = 9;

/// Count, sum, least, most and the quantiles of a histogram, in milliseconds.
fn describe(histogram: &Histogram, cells: &mut [f64]) {
    let at = |q: f64| histogram.quantile(q).unwrap_or(0) as f64 / 1000.0;
    cells.copy_from_slice(&[
        histogram.count() as f64,
        histogram.sum() as f64 / 1000.0,
        histogram.min().unwrap_or(0) as f64 / 1000.0,
        histogram.max().unwrap_or(0) as f64 / 1000.0,
        at(0.5),
        at(0.9),
        at(0.95),
        at(0.99),
        at(0.999),
    ]);
}

fn at_end_of(number: u32) -> AtEnd {
    match number {
        1 => AtEnd::Hold,
        2 => AtEnd::Revoke,
        _ => AtEnd::Abandon,
    }
}

fn bound(number: f64) -> Option<u32> {
    (number < f64::from(u32::MAX)).then_some(number as u32)
}

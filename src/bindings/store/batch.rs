//! Batches across the wasm boundary: how many items the next one takes, when it may run, which of its items run at once.

use super::{duration_of, number_of};
use crate::bindings::{DETAIL, LIST, at_world, instant_of, ticket_of};
use crate::machine::batch::{AdaptiveSize, BatchConfig, BatchSize, ItemEnd, Next};
use crate::machine::wakes::MachineId;
use core::num::NonZeroU32;
use wasm_bindgen::prelude::wasm_bindgen;

/// Begins a run over one source. A size of 0 finds itself. −1 when there can be no more.
#[wasm_bindgen]
pub fn batches_open(
    size: u32,
    concurrency: u32,
    batches: u32,
    result_buffer: u32,
    timeout_ms: f64,
    pressure_ms: f64,
) -> f64 {
    let least = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let config = BatchConfig {
        size: match NonZeroU32::new(size) {
            Some(size) => BatchSize::Fixed(size),
            None => BatchSize::Adaptive(AdaptiveSize::default()),
        },
        concurrency: least(concurrency),
        batches: least(batches),
        result_buffer: least(result_buffer),
        timeout: (timeout_ms != f64::INFINITY).then(|| duration_of(timeout_ms)),
        pressure_wait: duration_of(pressure_ms),
        ..BatchConfig::default()
    };
    at_world(|world, _| world.open_batches(config).map_or(-1.0, number_of))
}

/// Forgets a run.
#[wasm_bindgen]
pub fn batches_drop(run: u32) {
    at_world(|world, _| world.drop_batches(MachineId(run)));
}

/// What to submit next: so many items, 0 to ask again after the next event, −1 nothing more, −2 to ask again no later than
/// the moment in the detail.
#[wasm_bindgen]
pub fn batches_next(run: u32, now_ms: f64, pressed: u32) -> f64 {
    at_world(|world, cells| {
        let next = world.at_batches(MachineId(run), |batches, _| {
            batches.next(instant_of(now_ms), pressed != 0)
        });
        match next.unwrap_or(Next::Drained) {
            Next::Draw { items } => f64::from(items.get()),
            Next::Wait => 0.0,
            Next::Drained => -1.0,
            Next::WaitUntil(until) => {
                cells[DETAIL] = until.as_millis_f64();
                -2.0
            }
        }
    })
}

/// Submits a batch of so many items, the last one unless that is 0: its ticket, or −1 where there are no items.
#[wasm_bindgen]
pub fn batches_begin(run: u32, now_ms: f64, items: u32, last: u32) -> f64 {
    at_world(|world, _| {
        let opened = world.at_batches(MachineId(run), |batches, wakes| {
            batches.open(instant_of(now_ms), items, last != 0, wakes)
        });
        opened.flatten().map_or(-1.0, |ticket| ticket.to_bits() as f64)
    })
}

/// The next item of a running batch that may start; −1 when there is none.
#[wasm_bindgen]
pub fn batches_item(run: u32, ticket: f64) -> f64 {
    at_world(|world, _| {
        let item = world.at_batches(MachineId(run), |batches, _| batches.next_item(ticket_of(ticket)));
        item.flatten().map_or(-1.0, f64::from)
    })
}

/// An item has ended, badly unless that is 0.
#[wasm_bindgen]
pub fn batches_end_item(run: u32, now_ms: f64, ticket: f64, failed: u32) {
    let end = if failed == 0 {
        ItemEnd::Done
    } else {
        ItemEnd::Failed
    };
    at_world(|world, _| {
        world.at_batches(MachineId(run), |batches, wakes| {
            batches
                .end_item(instant_of(now_ms), ticket_of(ticket), end, wakes)
                .is_ok()
        });
    });
}

/// Reads the result of a batch that is over: its index and how many milliseconds it took, into the list. 0 when it is not.
#[wasm_bindgen]
pub fn batches_read(run: u32, now_ms: f64, ticket: f64) -> u32 {
    at_world(|world, cells| {
        let view = world.at_batches(MachineId(run), |batches, wakes| {
            batches.read(instant_of(now_ms), ticket_of(ticket), wakes)
        });
        let Some(Ok(view)) = view else { return 0 };
        cells[LIST] = f64::from(view.index);
        cells[LIST + 1] = view.duration.as_micros() as f64 / 1000.0;
        1
    })
}

/// Whether the source is empty, every batch over and every result read.
#[wasm_bindgen]
pub fn batches_over(run: u32) -> u32 {
    at_world(|world, _| {
        let over = world.at_batches(MachineId(run), |batches, _| batches.is_over());
        u32::from(over.unwrap_or(true))
    })
}

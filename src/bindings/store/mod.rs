//! The policies of the store module across the wasm boundary: caches, states, channels, events, barriers, locks, objects, batches, task graphs, adaptive limits, pressure.
//!
//! A list of ids that goes with a call is pushed before it, one id at a time, and a list that comes of one is read after it:
//! nothing of variable length crosses.

use super::tagged;
use crate::machine::permits::Patience;
use crate::machine::wakes::MachineId;
use core::time::Duration;
use shelf::Shelf;
use std::cell::UnsafeCell;
use wasm_bindgen::prelude::wasm_bindgen;

mod adaptive;
mod batch;
mod between;
mod cache;
mod dispatch;
mod graph;
mod kin;
mod locks;
mod objects;
mod orchestrator;
mod pressure;
mod shelf;
mod state;

/// What the host of a machine is to look at after a call, because there may be something to drop or to tell.
const LOOK: usize = 7;

struct Ids(UnsafeCell<Vec<u32>>);

// SAFETY: as for `Area`: one thread, and no export calls another or user code.
unsafe impl Sync for Ids {}

static IDS: Ids = Ids(UnsafeCell::new(Vec::new()));

/// Adds an id to the list of the next call that takes one.
#[wasm_bindgen]
pub fn push_id(id: u32) {
    // SAFETY: see the `Sync` implementation above.
    unsafe { (*IDS.0.get()).push(id) }
}

struct Told(UnsafeCell<Vec<f64>>);

// SAFETY: as for `Area`.
unsafe impl Sync for Told {}

static TOLD: Told = Told(UnsafeCell::new(Vec::new()));

/// One number of the list that the last call came with.
#[wasm_bindgen]
pub fn told(index: u32) -> f64 {
    // SAFETY: see the `Sync` implementation above.
    unsafe { (&*TOLD.0.get()).get(index as usize).copied().unwrap_or(-1.0) }
}

/// Leaves a list to be read; how long it is.
fn tell(numbers: Vec<f64>) -> u32 {
    let length = numbers.len() as u32;
    // SAFETY: see the `Sync` implementation above.
    unsafe { *TOLD.0.get() = numbers };
    length
}

/// The ids that were pushed for this call; none are left.
fn take_ids() -> Vec<u32> {
    // SAFETY: see the `Sync` implementation above.
    unsafe { std::mem::take(&mut *IDS.0.get()) }
}

/// The next machine that has something for its host to drop since time came to it; −1 when there is none.
#[wasm_bindgen]
pub fn errand() -> f64 {
    super::at_world(|world, _| world.errand().map_or(-1.0, number_of))
}

fn number_of(id: MachineId) -> f64 {
    f64::from(id.0)
}

/// Milliseconds; infinity is for ever.
fn duration_of(millis: f64) -> Duration {
    Duration::from_micros(super::micros_of(millis))
}

/// Milliseconds to wait: infinity as long as it takes, 0 not at all.
fn patience_of(millis: f64) -> Patience {
    if millis == f64::INFINITY {
        Patience::Forever
    } else if millis <= 0.0 {
        Patience::None
    } else {
        Patience::Micros(super::micros_of(millis))
    }
}

/// The answer to somebody who would wait.
fn refused(refusal: crate::machine::wakes::Refusal, detail: &mut f64) -> f64 {
    tagged(super::REFUSED, u64::from(super::refusal_code(refusal, detail)))
}

//! The wasm boundary: the only `#[wasm_bindgen]` exports of the policy modules. Numbers in, numbers out, no logic.
//!
//! An export takes ids and milliseconds and answers with one number; what does not fit lies in a fixed reply area that
//! JavaScript reads through one `Float64Array`. No string, closure or user value ever crosses, so no user code ever
//! runs inside a wasm frame.
//!
//! There are three modules with a world each: `bindings` has what shares an admission with pools, `bindings-rate` the limiters that
//! stand alone, `bindings-store` the rest.

#![allow(unreachable_pub)] // wasm-bindgen exports what is `pub`, whatever the crate's own paths say.

#[cfg(feature = "bindings")]
use crate::machine::gate::Outcome;
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Refusal, Why};
use crate::machine::world::World;
#[cfg(any(feature = "bindings", feature = "bindings-rate"))]
use core::time::Duration;
use std::cell::UnsafeCell;
use wasm_bindgen::prelude::wasm_bindgen;

#[cfg(feature = "bindings")]
mod breaker;
#[cfg(feature = "bindings-rate")]
mod limiter;
#[cfg(feature = "bindings")]
mod pool;
#[cfg(any(feature = "bindings", feature = "bindings-rate"))]
mod rate_rules;
#[cfg(feature = "bindings")]
mod retry;
#[cfg(feature = "bindings-store")]
mod store;
#[cfg(feature = "test-trap")]
mod trap;

/// Where answers lie that do not fit one number. The first cells are brought up to date after every call.
#[repr(C)]
struct Area {
    cells: UnsafeCell<[f64; AREA_CELLS]>,
    world: UnsafeCell<World>,
}

const AREA_CELLS: usize = LIST + 56;
/// How many wakes lie in the tray; the host puts a 0 here when it has taken them all.
const WAKES: usize = 0;
const NEXT_DEADLINE: usize = 1;
const DETAIL: usize = 2;
/// How many more wakes there are than the tray could take.
const MORE: usize = 3;
const CHANGES: usize = 6;
/// Where wakes lie for the host to take: machine, ticket, why, detail. Nearly every release grants somebody, and reading a few
/// cells costs the host a fraction of what one more call does.
const TRAY: usize = 8;
const TRAY_WAKES: usize = 32;
const WAKE_CELLS: usize = 4;
/// Where a list of numbers begins.
const LIST: usize = TRAY + TRAY_WAKES * WAKE_CELLS;

// SAFETY: wasm32-unknown-unknown without atomics has one thread, and no export calls another or user code, so there
// is never more than one reference to either cell.
unsafe impl Sync for Area {}

static AREA: Area = Area {
    cells: UnsafeCell::new([0.0; AREA_CELLS]),
    world: UnsafeCell::new(World::new(0)),
};

/// Runs one call on the instance's world, and brings the head of the reply area up to date.
fn at_world<T>(call: impl FnOnce(&mut World, &mut [f64; AREA_CELLS]) -> T) -> T {
    // SAFETY: see the `Sync` implementation above; `call` is ours and never comes back in.
    let (world, cells) = unsafe { (&mut *AREA.world.get(), &mut *AREA.cells.get()) };
    let answer = call(world, cells);
    publish(world, cells);
    answer
}

#[inline(never)]
fn publish(world: &mut World, cells: &mut [f64; AREA_CELLS]) {
    if !world.wakes.is_empty() {
        lay_out(world, cells);
    }
    cells[CHANGES] = world.breaker_changes() as f64;
    cells[NEXT_DEADLINE] = world
        .next_deadline()
        .map_or(f64::INFINITY, Instant::as_millis_f64);
}

/// Moves wakes into the tray, oldest first, as far as there is room behind those that the host has not taken yet.
fn lay_out(world: &mut World, cells: &mut [f64; AREA_CELLS]) {
    let mut laid = cells[WAKES] as usize;
    while laid < TRAY_WAKES
        && let Some(wake) = world.wake()
        && let Some([machine, ticket, why, detail]) =
            cells[TRAY..LIST].as_chunks_mut::<WAKE_CELLS>().0.get_mut(laid)
    {
        *machine = f64::from(wake.machine.0);
        *ticket = wake.ticket.to_bits() as f64;
        *why = f64::from(match wake.why {
            Why::Granted => 1,
            Why::Accepted => 2,
            Why::Expired => 3,
            Why::Revoked => 4,
            Why::Ready => 5,
            Why::Failed => 6,
            Why::Refused(refusal) => 16 + refusal_code(refusal, detail),
        });
        laid += 1;
    }
    cells[WAKES] = laid as f64;
    cells[MORE] = world.wakes.len() as f64;
}

/// Where the reply area lies in linear memory.
#[wasm_bindgen]
pub fn area() -> usize {
    AREA.cells.get() as usize
}

/// Starts a world whose jitter and probes follow from `seed`.
#[wasm_bindgen]
pub fn world_seed(seed: f64) {
    at_world(|world, _| world.reseed(seed.to_bits()));
}

/// Fills the tray anew: for a host that has taken all that lay there, where there was more.
#[wasm_bindgen]
pub fn world_wake() {
    at_world(|_, _| ());
}

/// Carries out what time has brought.
#[wasm_bindgen]
pub fn world_on_deadline(now_ms: f64) {
    at_world(|world, _| world.on_deadline(Instant::from_millis_f64(now_ms)));
}

/// The number of a refusal; what else it says goes into `detail`.
fn refusal_code(refusal: Refusal, detail: &mut f64) -> u32 {
    let (code, number) = match refusal {
        Refusal::NotNow => (0, 0.0),
        Refusal::QueueFull { queued } => (1, f64::from(queued)),
        Refusal::Dropped { queued } => (2, f64::from(queued)),
        Refusal::QueueTimeout => (3, 0.0),
        Refusal::Shed { estimate } => (4, estimate.as_millis_f64()),
        Refusal::BrokenCircuit { retry_at } => (5, retry_at.map_or(f64::INFINITY, Instant::as_millis_f64)),
        Refusal::RateLimited { retry_at } => (6, retry_at.as_millis_f64()),
        Refusal::Closed => (7, 0.0),
        Refusal::NeverPossible { limit } => (8, f64::from(limit)),
        Refusal::Deadlock => (9, 0.0),
        Refusal::Conflict => (10, 0.0),
    };
    *detail = number;
    code
}

/// A duration in milliseconds as microseconds; infinity is for ever.
fn micros_of(millis: f64) -> u64 {
    // `as` saturates, so infinity is u64::MAX, which is what machines call for ever.
    (millis * 1000.0) as u64
}

/// A duration in milliseconds; infinity is for ever.
#[cfg(any(feature = "bindings", feature = "bindings-rate"))]
fn millis(ms: f64) -> Duration {
    Duration::from_micros(micros_of(ms))
}

/// A deadline in milliseconds of the host's clock; infinity is never.
fn instant_of(millis: f64) -> Instant {
    Instant::from_millis_f64(millis)
}

fn ticket_of(number: f64) -> Ticket {
    Ticket::from_bits(number as u64)
}

#[cfg(feature = "bindings")]
fn outcome_of(number: u32) -> Outcome {
    match number {
        0 => Outcome::Success,
        1 => Outcome::Failure,
        2 => Outcome::Ignored,
        _ => Outcome::NeverStarted,
    }
}

// Two bits above the 51 of a ticket say what an answer is.
const PASSED: u64 = 0;
const WAITING: u64 = 1;
#[cfg(any(feature = "bindings", feature = "bindings-store"))]
const OUTSIDE: u64 = 2;
const REFUSED: u64 = 3;

fn tagged(tag: u64, rest: u64) -> f64 {
    ((tag << Ticket::BITS) | rest) as f64
}

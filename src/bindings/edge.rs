//! The exports of the edge module: who of those who wait is still there, for hosts where a waiter may vanish without a
//! word. A module of its own, so that nobody else downloads it. Numbers in, one number out, no logic.

#![allow(unreachable_pub)] // wasm-bindgen exports what is `pub`, whatever the crate's own paths say.

use crate::machine::presence::{Lost, Presence, Reach};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use wasm_bindgen::prelude::wasm_bindgen;

struct House(UnsafeCell<Option<ManuallyDrop<Presence>>>);

// SAFETY: wasm32-unknown-unknown without atomics has one thread, and no export calls another or user code, so there
// is never more than one reference to the cell.
unsafe impl Sync for House {}

static HOUSE: House = House(UnsafeCell::new(None));

fn at_house<T>(call: impl FnOnce(&mut ManuallyDrop<Presence>) -> T) -> T {
    // SAFETY: see the `Sync` implementation above; `call` is ours and never comes back in.
    let slot = unsafe { &mut *HOUSE.0.get() };
    call(slot.get_or_insert_with(|| ManuallyDrop::new(Presence::new(Reach::Looks))))
}

/// Whoever waits can be told at once, whichever request is running: before anything else.
#[wasm_bindgen]
pub fn presence_tells() {
    at_house(|house| *house = ManuallyDrop::new(Presence::new(Reach::Told)));
}

/// Milliseconds until the first beat of a seat.
#[wasm_bindgen]
pub fn presence_first_beat() -> f64 {
    at_house(|house| house.first_beat() as f64 / 1000.0)
}

/// Somebody waits from now on; its seat, or −1 when there is no number left.
#[wasm_bindgen]
pub fn presence_sit(now_ms: f64, line: u32) -> f64 {
    at_house(|house| house.sit(at(now_ms), line).map_or(-1.0, number))
}

/// A timer of a seat has gone off; milliseconds until the next must, or −1 when the seat is over.
#[wasm_bindgen]
pub fn presence_beat(now_ms: f64, seat: f64) -> f64 {
    at_house(|house| {
        house
            .beat(at(now_ms), ticket(seat))
            .map_or(-1.0, |micros| micros as f64 / 1000.0)
    })
}

/// Hands a seat what it waited for; 0 when it is past hoping for that it takes it.
#[wasm_bindgen]
pub fn presence_hand(now_ms: f64, seat: f64) -> u32 {
    at_house(|house| u32::from(house.hand(at(now_ms), ticket(seat))))
}

/// Somebody takes what it was handed; 0 when it was given up before.
#[wasm_bindgen]
pub fn presence_claim(now_ms: f64, seat: f64) -> u32 {
    at_house(|house| u32::from(house.claim(at(now_ms), ticket(seat))))
}

/// Somebody leaves its seat.
#[wasm_bindgen]
pub fn presence_rise(seat: f64) {
    at_house(|house| house.rise(ticket(seat)));
}

/// Nobody will stand in this line any more.
#[wasm_bindgen]
pub fn presence_forget_line(line: u32) {
    at_house(|house| house.forget_line(line));
}

/// Somebody holds something for at most so long; the lease, or −1 when there is no number left.
#[wasm_bindgen]
pub fn presence_lease(now_ms: f64, ms: f64) -> f64 {
    at_house(|house| house.lease(at(now_ms), (ms * 1000.0) as u64).map_or(-1.0, number))
}

/// Moves the end of a lease; 0 when it is over.
#[wasm_bindgen]
pub fn presence_renew(now_ms: f64, lease: f64, ms: f64) -> u32 {
    at_house(|house| u32::from(house.renew(at(now_ms), ticket(lease), (ms * 1000.0) as u64)))
}

/// A lease was given back.
#[wasm_bindgen]
pub fn presence_end_lease(lease: f64) {
    at_house(|house| house.end_lease(ticket(lease)));
}

/// The next seat that is lost, or, 2^51 above, lease that is over; −1 when there is none.
#[wasm_bindgen]
pub fn presence_lost(now_ms: f64) -> f64 {
    at_house(|house| match house.next_lost(at(now_ms)) {
        Some(Lost::Seat(seat)) => number(seat),
        Some(Lost::Lease(lease)) => number(lease) + (1u64 << Ticket::BITS) as f64,
        None => -1.0,
    })
}

fn at(millis: f64) -> Instant {
    Instant::from_millis_f64(millis)
}

fn ticket(number: f64) -> Ticket {
    Ticket::from_bits(number as u64)
}

fn number(ticket: Ticket) -> f64 {
    ticket.to_bits() as f64
}

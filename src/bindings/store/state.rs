//! Versioned states and counters across the wasm boundary. Names cross as the ids under which the host interned them.

use super::{LOOK, number_of, refused};
use crate::bindings::{DETAIL, LIST, PASSED, WAITING, at_world, instant_of, tagged, ticket_of};
use crate::machine::state::{State, StateConfig, Update};
use crate::machine::ticket::Ticket;
use crate::machine::wakes::{MachineId, Refusal, Wakes};
use core::num::NonZeroU32;
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a state whose updates are tried so often. −1 when there can be no more.
#[wasm_bindgen]
pub fn state_open(attempts: u32) -> f64 {
    let mut config = StateConfig::default();
    if let Some(attempts) = NonZeroU32::new(attempts) {
        config.attempts = attempts;
    }
    at_world(|world, _| world.open_state(config).map_or(-1.0, number_of))
}

/// Forgets a state.
#[wasm_bindgen]
pub fn state_drop(state: u32) {
    at_world(|world, _| world.drop_state(MachineId(state)));
}

/// The version of an entry; 0 when there is none.
#[wasm_bindgen]
pub fn state_version(state: u32, id: u32) -> f64 {
    at_state(state, |state, _| state.version(id) as f64).unwrap_or(0.0)
}

/// Writes, and gives the new version.
#[wasm_bindgen]
pub fn state_set(state: u32, id: u32) -> f64 {
    at_state(state, |state, wakes| state.set(id, wakes) as f64).unwrap_or(0.0)
}

/// Writes if the version is that one, and gives the new one; −1 less the version it is otherwise.
#[wasm_bindgen]
pub fn state_compare_and_set(state: u32, id: u32, version: f64) -> f64 {
    at_state(state, |state, wakes| {
        match state.compare_and_set(id, version as u64, wakes) {
            Ok(version) => version as f64,
            Err(conflict) => -1.0 - conflict.current as f64,
        }
    })
    .unwrap_or(-1.0)
}

/// Deletes. 1 when there was an entry.
#[wasm_bindgen]
pub fn state_delete(state: u32, id: u32) -> u32 {
    at_state(state, |state, wakes| u32::from(state.delete(id, wakes))).unwrap_or(0)
}

/// Begins an update: tag 1 with its ticket, or 3 with a refusal.
#[wasm_bindgen]
pub fn state_begin_update(state: u32, id: u32) -> f64 {
    ticket(state, |state| state.begin_update(id))
}

/// Writes what an update computed: the version that it has from then on, 0 to compute again, −1 to wait for the turn,
/// −2 when it was tried too often, −3 when the ticket is stale.
#[wasm_bindgen]
pub fn state_commit(state: u32, ticket: f64) -> f64 {
    at_state(state, |state, wakes| {
        match state.commit(ticket_of(ticket), wakes) {
            Ok(Update::Written(version)) => version as f64,
            Ok(Update::Again) => 0.0,
            Ok(Update::Wait) => -1.0,
            Ok(Update::Refused(_)) => -2.0,
            Err(_) => -3.0,
        }
    })
    .unwrap_or(-3.0)
}

/// Tells about every change of a key or prefix: tag 1 with a ticket, or 3 with a refusal.
#[wasm_bindgen]
pub fn state_subscribe(state: u32, id: u32) -> f64 {
    ticket(state, |state| state.subscribe(id))
}

/// The name of a key begins with a prefix.
#[wasm_bindgen]
pub fn state_join(state: u32, id: u32, prefix: u32) {
    at_state(state, |state, _| state.join(id, prefix));
}

/// Waits for changes until that moment, infinity for ever: tag 1 with a ticket, or 3 with a refusal.
#[wasm_bindgen]
pub fn state_wait(state: u32, id: u32, until_ms: f64) -> f64 {
    ticket(state, |state| state.wait(id, instant_of(until_ms)))
}

/// Ends a subscription, a wait or an update. 0 when the ticket is stale.
#[wasm_bindgen]
pub fn state_leave(state: u32, ticket: f64) -> u32 {
    at_state(state, |state, wakes| {
        u32::from(state.leave(ticket_of(ticket), wakes).is_ok())
    })
    .unwrap_or(0)
}

/// The next change to be told: its subscriber's ticket, or −1; the key and the version (0: deleted) go into the list.
#[wasm_bindgen]
pub fn state_change(state: u32) -> f64 {
    at_world(|world, cells| {
        let change = world.at_state(MachineId(state), |state, _| state.pop_change());
        let Some(change) = change.flatten() else {
            return -1.0;
        };
        cells[LIST] = f64::from(change.key);
        cells[LIST + 1] = change.version as f64;
        change.subscriber.to_bits() as f64
    })
}

/// Gives an id up if nothing is known under it. 1 when the host may give it to another name.
#[wasm_bindgen]
pub fn state_forget(state: u32, id: u32) -> u32 {
    at_state(state, |state, _| {
        let idle = !state.knows(id);
        if idle {
            state.forget(id);
        }
        u32::from(idle)
    })
    .unwrap_or(0)
}

/// Into the list: writes, conflicts, updates, timeouts. 0 when there is no such state.
#[wasm_bindgen]
pub fn state_stats(state: u32) -> u32 {
    at_world(|world, cells| {
        let Some(stats) = world.at_state(MachineId(state), |state, _| state.stats()) else {
            return 0;
        };
        let numbers = [stats.writes, stats.conflicts, stats.updates, stats.timeouts];
        for (cell, number) in cells[LIST..].iter_mut().zip(numbers) {
            *cell = number as f64;
        }
        1
    })
}

fn at_state<T>(id: u32, call: impl FnOnce(&mut State, &mut Wakes) -> T) -> Option<T> {
    at_world(|world, cells| {
        // Whether there are changes to tell is not worth a look before it is known that somebody listens.
        cells[LOOK] = 0.0;
        world.at_state(MachineId(id), call)
    })
}

fn ticket(id: u32, call: impl FnOnce(&mut State) -> Result<Ticket, Refusal>) -> f64 {
    at_world(
        |world, cells| match world.at_state(MachineId(id), |state, _| call(state)) {
            Some(Ok(ticket)) => tagged(WAITING, ticket.to_bits()),
            Some(Err(refusal)) => refused(refusal, &mut cells[DETAIL]),
            None => tagged(PASSED, 0),
        },
    )
}

//! Channels, selects, events and barriers across the wasm boundary. Values stay with the host: a channel carries the
//! numbers that it chose for them.

use super::{number_of, patience_of, refused};
use crate::bindings::{DETAIL, LIST, PASSED, WAITING, at_world, instant_of, tagged, ticket_of};
use crate::machine::barrier::{Arrival, Barrier};
use crate::machine::channel::{Left, Receive, Send};
use crate::machine::event::Wait;
use crate::machine::ticket::Ticket;
use crate::machine::wakes::{MachineId, Refusal};
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a channel. −1 when there can be no more.
#[wasm_bindgen]
pub fn channel_open(capacity: u32) -> f64 {
    at_world(|world, _| world.open_channel(capacity).map_or(-1.0, number_of))
}

/// Forgets a channel.
#[wasm_bindgen]
pub fn channel_drop(channel: u32) {
    at_world(|world, _| world.drop_channel(MachineId(channel)));
}

/// Sends a value, as part of a select unless that is negative: tag 0 sent, 1 waits with a ticket, 3 refused.
#[wasm_bindgen]
pub fn channel_send(channel: u32, now_ms: f64, value: f64, patience_ms: f64, select: f64) -> f64 {
    at_world(|world, cells| {
        let answer = world.at_channel(MachineId(channel), |channel, selects, wakes| {
            let (now, patience) = (instant_of(now_ms), patience_of(patience_ms));
            channel.send(now, value as u64, patience, select_of(select), selects, wakes)
        });
        match answer.unwrap_or(Send::Refused(Refusal::Closed)) {
            Send::Sent => tagged(PASSED, 0),
            Send::Waiting(ticket) => tagged(WAITING, ticket.to_bits()),
            Send::Refused(refusal) => refused(refusal, &mut cells[DETAIL]),
        }
    })
}

/// Receives a value, as part of a select unless that is negative: tag 0 with the value, 1 waits with a ticket, 3 refused.
#[wasm_bindgen]
pub fn channel_receive(channel: u32, now_ms: f64, patience_ms: f64, select: f64) -> f64 {
    at_world(|world, cells| {
        let answer = world.at_channel(MachineId(channel), |channel, selects, wakes| {
            let (now, patience) = (instant_of(now_ms), patience_of(patience_ms));
            channel.receive(now, patience, select_of(select), selects, wakes)
        });
        match answer.unwrap_or(Receive::Refused(Refusal::Closed)) {
            Receive::Received(value) => tagged(PASSED, value),
            Receive::Waiting(ticket) => tagged(WAITING, ticket.to_bits()),
            Receive::Refused(refusal) => refused(refusal, &mut cells[DETAIL]),
        }
    })
}

/// The value that a woken receiver was handed; −1 when the ticket is stale.
#[wasm_bindgen]
pub fn channel_claim(channel: u32, ticket: f64) -> f64 {
    at_world(|world, _| {
        let claimed = world.at_channel(MachineId(channel), |channel, _, _| {
            channel.claim(ticket_of(ticket))
        });
        match claimed {
            Some(Ok(value)) => value as f64,
            _ => -1.0,
        }
    })
}

/// Leaves: the value that was not sent, −1 for a receiver, −2 when the ticket is stale.
#[wasm_bindgen]
pub fn channel_cancel(channel: u32, now_ms: f64, ticket: f64) -> f64 {
    at_world(|world, _| {
        let left = world.at_channel(MachineId(channel), |channel, selects, wakes| {
            channel.cancel(instant_of(now_ms), ticket_of(ticket), selects, wakes)
        });
        match left {
            Some(Ok(Left::Unsent(value))) => value as f64,
            Some(Ok(Left::Empty)) => -1.0,
            _ => -2.0,
        }
    })
}

/// Closes a channel.
#[wasm_bindgen]
pub fn channel_close(channel: u32, now_ms: f64) {
    at_world(|world, _| {
        world.at_channel(MachineId(channel), |channel, selects, wakes| {
            channel.close(instant_of(now_ms), selects, wakes)
        });
    });
}

/// Into the list: values buffered, waiting to send, waiting to receive, sent, received. 0 when there is no such channel.
#[wasm_bindgen]
pub fn channel_stats(channel: u32) -> u32 {
    at_world(|world, cells| {
        let Some((channel, selects)) = world.channel(MachineId(channel)) else {
            return 0;
        };
        let numbers = [
            channel.len() as f64,
            channel.waiting_to_send(selects) as f64,
            channel.waiting_to_receive(selects) as f64,
            channel.sent() as f64,
            channel.received as f64,
        ];
        cells[LIST..LIST + numbers.len()].copy_from_slice(&numbers);
        1
    })
}

/// Begins a select. −1 when there can be no more.
#[wasm_bindgen]
pub fn select_open() -> f64 {
    at_world(|world, _| world.open_select().map_or(-1.0, |select| select.to_bits() as f64))
}

/// Gives a select up. 0 when it was decided before.
#[wasm_bindgen]
pub fn select_close(select: f64) -> u32 {
    at_world(|world, _| u32::from(world.close_select(ticket_of(select))))
}

/// Makes an event. −1 when there can be no more.
#[wasm_bindgen]
pub fn event_open() -> f64 {
    at_world(|world, _| world.open_event().map_or(-1.0, number_of))
}

/// Forgets an event.
#[wasm_bindgen]
pub fn event_drop(event: u32) {
    at_world(|world, _| world.drop_event(MachineId(event)));
}

/// Waits until it is set: tag 0 it is, 1 waits with a ticket, 3 refused.
#[wasm_bindgen]
pub fn event_wait(event: u32, now_ms: f64, patience_ms: f64) -> f64 {
    at_world(|world, cells| {
        let answer = world.at_event(MachineId(event), |event, wakes| {
            event.wait(instant_of(now_ms), patience_of(patience_ms), wakes)
        });
        match answer.unwrap_or(Wait::Refused(Refusal::Closed)) {
            Wait::Passed => tagged(PASSED, 0),
            Wait::Waiting(ticket) => tagged(WAITING, ticket.to_bits()),
            Wait::Refused(refusal) => refused(refusal, &mut cells[DETAIL]),
        }
    })
}

/// Sets an event.
#[wasm_bindgen]
pub fn event_set(event: u32, now_ms: f64) {
    at_world(|world, _| {
        world.at_event(MachineId(event), |event, wakes| {
            event.set(instant_of(now_ms), wakes)
        });
    });
}

/// Clears an event.
#[wasm_bindgen]
pub fn event_clear(event: u32) {
    at_world(|world, _| {
        world.at_event(MachineId(event), |event, _| event.clear());
    });
}

/// Closes an event.
#[wasm_bindgen]
pub fn event_close(event: u32, now_ms: f64) {
    at_world(|world, _| {
        world.at_event(MachineId(event), |event, wakes| {
            event.close(instant_of(now_ms), wakes)
        });
    });
}

/// Leaves without waiting any longer.
#[wasm_bindgen]
pub fn event_cancel(event: u32, ticket: f64) {
    at_world(|world, _| {
        world.at_event(MachineId(event), |event, _| {
            event.cancel(ticket_of(ticket)).is_ok()
        });
    });
}

/// Makes a barrier for so many parties. −1 when there can be no more, or for none.
#[wasm_bindgen]
pub fn barrier_open(parties: u32) -> f64 {
    at_world(|world, _| {
        Barrier::new(parties)
            .ok()
            .and_then(|barrier| world.open_barrier(barrier))
            .map_or(-1.0, number_of)
    })
}

/// Forgets a barrier.
#[wasm_bindgen]
pub fn barrier_drop(barrier: u32) {
    at_world(|world, _| world.drop_barrier(MachineId(barrier)));
}

/// Arrives: tag 0 as the last one, 1 waits with a ticket, 3 refused.
#[wasm_bindgen]
pub fn barrier_arrive(barrier: u32, now_ms: f64, patience_ms: f64) -> f64 {
    at_world(|world, cells| {
        let answer = world.at_barrier(MachineId(barrier), |barrier, wakes| {
            barrier.arrive(instant_of(now_ms), patience_of(patience_ms), wakes)
        });
        match answer.unwrap_or(Arrival::Refused(Refusal::Closed)) {
            Arrival::Last { .. } => tagged(PASSED, 0),
            Arrival::Waiting(ticket) => tagged(WAITING, ticket.to_bits()),
            Arrival::Refused(refusal) => refused(refusal, &mut cells[DETAIL]),
        }
    })
}

/// Closes a barrier.
#[wasm_bindgen]
pub fn barrier_close(barrier: u32, now_ms: f64) {
    at_world(|world, _| {
        world.at_barrier(MachineId(barrier), |barrier, wakes| {
            barrier.close(instant_of(now_ms), wakes)
        });
    });
}

/// Leaves before the others have come.
#[wasm_bindgen]
pub fn barrier_cancel(barrier: u32, ticket: f64) {
    at_world(|world, _| {
        world.at_barrier(MachineId(barrier), |barrier, _| {
            barrier.cancel(ticket_of(ticket)).is_ok()
        });
    });
}

fn select_of(number: f64) -> Option<Ticket> {
    (number >= 0.0).then(|| ticket_of(number))
}

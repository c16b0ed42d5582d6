//! Named locks across the wasm boundary. Names and owners cross as the numbers that the host gave them.

use super::{kin, number_of, patience_of, refused, take_ids, tell};
use crate::bindings::{DETAIL, LIST, PASSED, WAITING, at_world, instant_of, tagged, ticket_of};
use crate::machine::locks::{Answer, Claim, LockSet, Mode};
use crate::machine::wakes::{MachineId, Refusal};
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a lock set in which the pushed ids are taken first, in their order. −1 when there can be no more.
#[wasm_bindgen]
pub fn locks_open() -> f64 {
    let declared = take_ids();
    at_world(|world, _| {
        world
            .open_locks(LockSet::new().with_order(&declared))
            .map_or(-1.0, number_of)
    })
}

/// Forgets a lock set.
#[wasm_bindgen]
pub fn locks_drop(set: u32) {
    at_world(|world, _| world.drop_locks(MachineId(set)));
}

/// Asks for the pushed ids, as a unit unless that is 0, for an owner unless that is negative. Tags: 0 granted, 1 waiting,
/// both with a ticket; 3 refused.
#[wasm_bindgen]
pub fn locks_claim(set: u32, now_ms: f64, unit: u32, owner: f64, patience_ms: f64) -> f64 {
    let ids = take_ids();
    at_world(|world, cells| {
        let (id, now) = (MachineId(set), instant_of(now_ms));
        let claim = Claim {
            locks: &ids,
            mode: if unit == 0 { Mode::Ordered } else { Mode::Unit },
            owner: (owner >= 0.0).then_some(owner as u64),
            patience: patience_of(patience_ms),
        };
        let answer = world.at_locks(now, id, |locks, graph, wakes| {
            locks.claim(now, claim, graph, wakes)
        });
        match answer.unwrap_or(Answer::Refused(Refusal::Closed)) {
            Answer::Granted(ticket) => tagged(PASSED, ticket.to_bits()),
            Answer::Waiting(ticket) => tagged(WAITING, ticket.to_bits()),
            Answer::Refused(refusal) => refused(refusal, &mut cells[DETAIL]),
        }
    })
}

/// Closes a lock set.
#[wasm_bindgen]
pub fn locks_close(set: u32, now_ms: f64) {
    at_world(|world, _| {
        let now = instant_of(now_ms);
        world.at_locks(now, MachineId(set), |locks, graph, wakes| {
            locks.close(now, graph, wakes)
        });
    });
}

/// Leaves: gives back what is held, and the place in line. 0 when the ticket is stale.
#[wasm_bindgen]
pub fn locks_leave(set: u32, now_ms: f64, ticket: f64) -> u32 {
    at_world(|world, _| {
        let now = instant_of(now_ms);
        let left = world.at_locks(now, MachineId(set), |locks, graph, wakes| {
            locks.cancel(now, ticket_of(ticket), graph, wakes)
        });
        u32::from(left.is_some_and(|left| left.is_ok()))
    })
}

/// Why a claim was refused, by its ticket, or the last one that was refused at once where that is negative. To be read by
/// `told`: the wanted, the held and the taken locks, each after its count, then the steps of the chain, three numbers each: the
/// owner (−1 nobody), the set (−1 where the end of the next owner is awaited) and the lock. The answer is how many numbers.
#[wasm_bindgen]
pub fn locks_report(set: u32, now_ms: f64, ticket: f64) -> u32 {
    at_world(|world, _| {
        let of = (ticket >= 0.0).then(|| ticket_of(ticket));
        let report = world.at_locks(instant_of(now_ms), MachineId(set), |locks, _, _| {
            locks.take_report(of)
        });
        let report = report.flatten().unwrap_or_default();
        let mut numbers = Vec::new();
        for ids in [&report.wanted, &report.held, &report.taken] {
            numbers.push(ids.len() as f64);
            numbers.extend(ids.iter().map(|id| f64::from(*id)));
        }
        for link in &report.chain {
            numbers.extend(kin::step(link));
        }
        tell(numbers)
    })
}

/// The oldest order against another that nobody has been warned about, into the list: held, wanted, whether it was
/// declared. 0 when there is none.
#[wasm_bindgen]
pub fn locks_inversion(set: u32, now_ms: f64) -> u32 {
    at_world(|world, cells| {
        let found = world.at_locks(instant_of(now_ms), MachineId(set), |locks, _, _| {
            locks.take_inversion()
        });
        let Some(found) = found.flatten() else { return 0 };
        cells[LIST] = f64::from(found.held);
        cells[LIST + 1] = f64::from(found.wanted);
        cells[LIST + 2] = f64::from(u8::from(found.declared));
        1
    })
}

/// How many wait for a lock, −1 when it is neither held nor waited for.
#[wasm_bindgen]
pub fn locks_waiting(set: u32, lock: u32) -> f64 {
    at_world(|world, _| match world.locks(MachineId(set)) {
        Some(locks) if !locks.is_idle(lock) => locks.waiting(lock) as f64,
        _ => -1.0,
    })
}

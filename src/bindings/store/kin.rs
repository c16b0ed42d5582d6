//! The wait-for graph across the wasm boundary: who waits for whom, as the host was told.
//!
//! Owners and resources cross as the numbers that the host gave them. The pools are in another module and the locks in this
//! one, and yet they stand in one graph, because the host says what the pools do; it says so a little later than they do
//! it, so nothing is judged before it asks ([`kin_judge`]).

use super::{number_of, take_ids, tell};
use crate::bindings::{at_world, instant_of, ticket_of};
use crate::machine::ticket::Ticket;
use crate::machine::wait_for::{Awaits, Link, Need, Owner, Resource, WaitFor, Waiter};
use crate::machine::wakes::MachineId;
use wasm_bindgen::prelude::wasm_bindgen;

/// The machine that stands for all whose slots and signals the host numbers itself: no kind of machine has this number.
const TOLD: MachineId = MachineId(0);

/// A parent does not end before its child.
#[wasm_bindgen]
pub fn kin_child(child: f64, parent: f64) {
    at_graph(|graph| graph.child(owner(child), owner(parent)));
}

/// An owner holds slots of a resource, or is one of those who will give its signal.
#[wasm_bindgen]
pub fn kin_hold(name: f64, resource: u32, slots: u32) {
    at_graph(|graph| graph.hold(owner(name), resource_of(resource), slots));
}

/// An owner gave slots back.
#[wasm_bindgen]
pub fn kin_let_go(name: f64, resource: u32, slots: u32) {
    at_graph(|graph| graph.let_go(owner(name), resource_of(resource), slots));
}

/// An owner waits for slots of a resource that has `capacity` of them, or, for 0 slots, for its signal; and for the ends of all
/// owners whose numbers were pushed. `wait` is what a victim will be called. The answer names the wait.
#[wasm_bindgen]
pub fn kin_wait(name: f64, wait: f64, resource: u32, slots: u32, capacity: u32) -> f64 {
    let resource = resource_of(resource);
    let need = if slots == 0 {
        Need::Signal(resource)
    } else {
        Need::Slots {
            resource,
            slots,
            capacity,
        }
    };
    let waiter = Waiter {
        machine: TOLD,
        ticket: ticket_of(wait),
    };
    let ends = take_ids().into_iter().map(|id| Need::End(owner(f64::from(id))));
    let needs: Vec<Need> = ends.chain([need]).collect();
    at_graph(|graph| {
        graph
            .wait(owner(name), waiter, &needs)
            .map_or(-1.0, |edge| edge.to_bits() as f64)
    })
}

/// A wait is over.
#[wasm_bindgen]
pub fn kin_over(wait: f64) {
    at_graph(|graph| graph.wait_over(Ticket::from_bits(wait as u64)));
}

/// A resource has another capacity.
#[wasm_bindgen]
pub fn kin_resize(resource: u32, capacity: u32) {
    at_graph(|graph| graph.resize(resource_of(resource), capacity));
}

/// An owner ended.
#[wasm_bindgen]
pub fn kin_ended(name: f64) {
    at_graph(|graph| graph.ended(owner(name)));
}

/// Finds a deadlock, now that everything is told. The answer is how many numbers are to be read by `told`, 0 when there is
/// none: its wait, then three a step of the chain: the owner (−1 nobody), the machine (0 what the host numbered, −1 the end
/// of the next owner) and its part. Waits of machines of this module give way by a wake.
#[wasm_bindgen]
pub fn kin_judge(now_ms: f64) -> u32 {
    at_world(|world, _| {
        let Some(deadlock) = world.judge(instant_of(now_ms)) else {
            return 0;
        };
        let mut numbers = vec![deadlock.victim.ticket.to_bits() as f64];
        for link in &deadlock.chain {
            numbers.extend(step(link));
        }
        tell(numbers)
    })
}

/// A step of a chain as three numbers.
pub(super) fn step(link: &Link) -> [f64; 3] {
    let owner = match link.owner {
        Owner::Named(number) => number as f64,
        Owner::Request(_) => -1.0,
    };
    let (machine, part) = match link.awaits {
        Awaits::Resource(resource) => (number_of(resource.machine), resource.part),
        Awaits::End => (-1.0, 0),
    };
    [owner, machine, f64::from(part)]
}

fn at_graph<T>(call: impl FnOnce(&mut WaitFor) -> T) -> T {
    at_world(|world, _| call(world.told()))
}

fn owner(number: f64) -> Owner {
    Owner::Named(number as u64)
}

fn resource_of(resource: u32) -> Resource {
    Resource {
        machine: TOLD,
        part: resource,
    }
}

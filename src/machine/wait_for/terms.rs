//! Who holds, who waits and for what: the words in which the wait-for graph is told and answers.

use crate::machine::ticket::Ticket;
use crate::machine::wakes::MachineId;

/// Somebody who may hold and wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// Declared by the host: a task, or an owner token interned to a number.
    Named(u64),
    /// A request that holds part of what it asked for while it waits for the rest, and names no owner.
    Request(Waiter),
}

/// A waiter of a machine: whom to refuse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Waiter {
    /// Whose waiter it is.
    pub machine: MachineId,
    /// Its ticket there.
    pub ticket: Ticket,
}

/// Something that is held and waited for: a pool (part 0), one lock of a set (part = its number), a condition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Resource {
    /// The machine.
    pub machine: MachineId,
    /// Which of its parts.
    pub part: u32,
}

/// One thing a wait cannot end without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// So many slots of a resource that has `capacity` of them.
    Slots {
        /// The pool or lock.
        resource: Resource,
        /// How many it takes.
        slots: u32,
        /// How many there are.
        capacity: u32,
    },
    /// The end of an owner: a dependency in a task graph, a task whose result is awaited.
    End(Owner),
    /// A change that one of those who [`hold`](super::WaitFor::hold) the resource will make: `waitFor` with named writers.
    Signal(Resource),
}

/// A cycle that has just formed, and the wait that was given up to break it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deadlock {
    /// The youngest wait; it is no longer in the graph.
    pub victim: Waiter,
    /// From the victim round to itself: each owner, and what it waits for, which the next one holds or is.
    pub chain: Vec<Link>,
}

/// One step of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Who waits.
    pub owner: Owner,
    /// For what.
    pub awaits: Awaits,
}

/// What a link waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Awaits {
    /// A resource that the next owner of the chain holds.
    Resource(Resource),
    /// The end of the next owner of the chain.
    End,
}

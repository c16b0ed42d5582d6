//! Wakes: what a machine decided about those who wait, for the host to carry out once the borrow has ended.
//!
//! Settling a promise or waking a task can run user code that comes straight back in. So machines only append here,
//! and the outermost call of the host drains.

use super::ticket::Ticket;
use super::time::Instant;
use std::collections::VecDeque;

/// A machine of a `World`, by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct MachineId(pub u32);

/// One decision about one waiter.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Wake {
    /// Whose waiter it is.
    pub machine: MachineId,
    /// The waiter.
    pub ticket: Ticket,
    /// What was decided.
    pub why: Why,
}

/// Why a waiter is woken.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Why {
    /// It holds what it asked for and may run.
    Granted,
    /// It has a place in the queue now; before, it waited outside for room.
    Accepted,
    /// It was turned away; its ticket is stale.
    Refused(Refusal),
    /// What it waited for is there, brought by somebody else.
    Ready,
    /// What it waited for failed in somebody else's hands, and the failure is shared.
    Failed,
    /// What it held was taken back because its time was over.
    Expired,
    /// What it held was taken back because the machine was closed and its grace is over.
    Revoked,
}

/// Why somebody is turned away. Reasons that time heals say when to come back.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Refusal {
    /// It cannot be had without waiting, and the caller would not wait.
    NotNow,
    /// The queue and the room for those who wait outside it are full.
    QueueFull {
        /// How many are queued.
        queued: u32,
    },
    /// The overflow rule sacrificed it.
    Dropped {
        /// How many are queued.
        queued: u32,
    },
    /// It waited as long as it was willing to.
    QueueTimeout,
    /// It could not start before its deadline.
    Shed {
        /// When it would have started, by the machine's own estimate.
        estimate: Instant,
    },
    /// The breaker is open, or half-open with all its probes out.
    BrokenCircuit {
        /// When the next probe may pass; `None` if only a person can close it.
        retry_at: Option<Instant>,
    },
    /// The rate has no tokens within the time the caller would wait.
    RateLimited {
        /// When they are there.
        retry_at: Instant,
    },
    /// The machine is closed.
    Closed,
    /// More was asked than there can ever be.
    NeverPossible {
        /// The most there can be.
        limit: u32,
    },
    /// Waiting would have closed a cycle of those who wait for each other.
    Deadlock,
    /// Part of an all-or-nothing request is held by somebody else.
    Conflict,
}

/// The append-only ring that the caller owns.
#[derive(Clone, Debug)]
pub struct Wakes {
    ring: VecDeque<Wake>,
    machine: MachineId,
    // How many of the last ones the world has not looked at itself.
    fresh: usize,
}

impl Default for Wakes {
    fn default() -> Self {
        Self::new()
    }
}

impl Wakes {
    /// An empty ring.
    pub const fn new() -> Self {
        Self {
            ring: VecDeque::new(),
            machine: MachineId(0),
            fresh: 0,
        }
    }

    /// Says whose wakes are appended from here on. A machine that is used alone needs no such call.
    pub fn of(&mut self, machine: MachineId) -> &mut Self {
        self.machine = machine;
        self
    }

    /// Appends a decision.
    #[cfg_attr(feature = "bindings", inline(always))]
    pub fn push(&mut self, ticket: Ticket, why: Why) {
        self.fresh += 1;
        self.ring.push_back(Wake {
            machine: self.machine,
            ticket,
            why,
        });
    }

    /// Takes the oldest decision.
    #[cfg_attr(feature = "bindings", inline(always))]
    pub fn pop(&mut self) -> Option<Wake> {
        let wake = self.ring.pop_front();
        self.fresh = self.fresh.min(self.ring.len());
        wake
    }

    /// Those appended since the last look, without taking them: what one machine decided can concern another.
    pub(crate) fn fresh(&mut self) -> impl Iterator<Item = Wake> + '_ {
        let seen = self.ring.len() - self.fresh;
        self.fresh = 0;
        self.ring.range(seen..).copied()
    }

    /// Whether [`fresh`](Self::fresh) has anything to show.
    pub(crate) fn has_fresh(&self) -> bool {
        self.fresh > 0
    }

    /// How many decisions wait to be carried out.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is nothing to carry out.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::ticket::Ticket;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn decisions_are_there_in_order_until_they_are_carried_out() {
        let mut wakes = Wakes::new();
        assert!(wakes.is_empty());
        for bits in 0..2 {
            wakes.push(Ticket::from_bits(bits), Why::Granted);
        }
        assert_eq!((wakes.len(), wakes.is_empty()), (2, false));
        for bits in 0..2 {
            assert_eq!(wakes.pop().map(|wake| wake.ticket), Some(Ticket::from_bits(bits)));
        }
        assert!(wakes.is_empty());
    }
}

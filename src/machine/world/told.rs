//! What a host decides by itself, and yet has a number in the world: its waits stand in the one wait-for graph.
//!
//! A task graph over futures, a wait for a value that some task will write: no machine here knows of either, so the
//! host says who waits for what, and hears by a wake under the number when a wait has to be given up.

use super::family::Parent;
use super::{INDEX_BITS, Kind, World};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wait_for::{Need, Owner, Waiter};
use crate::machine::wakes::{MachineId, Refusal};

/// The numbers that are given away.
#[derive(Debug)]
pub(super) struct Told {
    next: u32,
    free: Vec<u32>,
}

impl Told {
    pub(super) const fn new() -> Self {
        Self {
            next: 0,
            free: Vec::new(),
        }
    }
}

impl World {
    /// A number for something that the host decides by itself. `None` when there are 2^24 already.
    pub fn open_told(&mut self) -> Option<MachineId> {
        let index = self.told.free.pop().or_else(|| {
            let index = self.told.next;
            self.told.next = index.saturating_add(1);
            (index >> INDEX_BITS == 0).then_some(index)
        })?;
        Some(MachineId(((Kind::Told as u32) << INDEX_BITS) | index))
    }

    /// Forgets such a number. What was told under it is the host's to take back before.
    pub fn drop_told(&mut self, id: MachineId) {
        self.told.free.push(id.0 & ((1 << INDEX_BITS) - 1));
    }

    /// Declares that `owner` waits until all `needs` are there, and names the wait. Whoever has to be given up for it, now or
    /// later, is refused by a wake; its chain is at [`take_chain`](Self::take_chain).
    ///
    /// # Errors
    ///
    /// `Deadlock` when this wait is the one to be given up at once; nothing is declared then.
    pub fn declare_wait(
        &mut self,
        now: Instant,
        owner: Parent,
        waiter: Waiter,
        needs: &[Need],
    ) -> Result<Ticket, Refusal> {
        self.keep_kin();
        self.declare_task(owner);
        self.look_at_fresh();
        let families = &mut self.families;
        match families.graph.wait(Owner::Named(owner.task), waiter, needs) {
            Ok(edge) => {
                self.break_deadlocks(now);
                Ok(edge)
            }
            Err(deadlock) => {
                families.keep(None, deadlock.chain);
                Err(Refusal::Deadlock)
            }
        }
    }
}

//! One who waits at a machine, or holds something of it, as its own future sees it.

use super::host::Host;
use super::ledger::{Ledger, Seat, Stage};
use super::runtime::{Parker, Runtime};
use crate::machine::ticket::Ticket;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A seat that was taken in a ledger. It leaves the ledger when it is dropped; what it gives back to the machine is up to whoever owns it.
pub(crate) struct Seated<R: Runtime> {
    pub(crate) host: Host<R>,
    pub(crate) seat: Rc<Seat<R::Parker>>,
    pub(crate) ticket: Ticket,
    ledger: Rc<Ledger<R::Parker>>,
}

impl<R: Runtime> Seated<R> {
    /// Takes a seat for a ticket that a machine has just given. What the machine decided about that very ticket lies in the ring already, so
    /// the ring must not be drained between the two; it is drained here.
    pub(crate) fn take(
        host: &Host<R>,
        ledger: &Rc<Ledger<R::Parker>>,
        ticket: Ticket,
        number: u64,
        name: Option<Rc<str>>,
        stage: Stage,
    ) -> Self {
        let runtime = host.runtime();
        let seat = Rc::new(Seat::new(number, name, runtime.park(), runtime.now(), stage));
        ledger.add(ticket, Rc::clone(&seat));
        host.drain();
        Self {
            host: host.clone(),
            seat,
            ticket,
            ledger: Rc::clone(ledger),
        }
    }

    /// Waits for a stage in which `pick` finds what it looks for.
    pub(crate) fn poll_stage<T>(
        &self,
        context: &mut Context<'_>,
        pick: impl Fn(Stage) -> Option<T>,
    ) -> Poll<T> {
        loop {
            if let Some(found) = pick(self.seat.stage()) {
                return Poll::Ready(found);
            }
            ready!(self.seat.parker.poll_parked(context));
            if pick(self.seat.stage()).is_none() {
                // Woken without a decision: the host wants us to look whether time has brought one.
                self.host.tick();
            }
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.seat.stage()
    }
}

impl<R: Runtime> Drop for Seated<R> {
    fn drop(&mut self) {
        self.ledger.remove(self.ticket);
    }
}

//! Those who wait for one thing that lets all of them go at once: what an event and a barrier have in common.

use super::line::Line;
use super::permits::Patience;
use super::ticket::{StaleTicket, Ticket};
use super::time::Instant;
use super::waiters::Waiters;
use super::wakes::{Refusal, Wakes, Why};

/// Waiters in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    waiters: Waiters<()>,
    line: Line<Ticket>,
}

impl Crowd {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins those who wait.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotNow`] for one who would not wait.
    pub fn join(&mut self, now: Instant, patience: Patience) -> Result<Ticket, Refusal> {
        let ticket = self.waiters.enter(now, patience, ()).ok_or(Refusal::NotNow)?;
        self.line.push(0, ticket);
        Ok(ticket)
    }

    /// Leaves without waiting any longer.
    ///
    /// # Errors
    ///
    /// [`StaleTicket`] for one who does not wait.
    pub fn leave(&mut self, ticket: Ticket) -> Result<(), StaleTicket> {
        self.waiters.leave(ticket).ok_or(StaleTicket)?;
        let waiters = &self.waiters;
        self.line.left(|other| waiters.contains(other));
        Ok(())
    }

    /// Lets everybody go, in the order in which they came.
    pub fn go(&mut self, wakes: &mut Wakes) {
        self.release(Why::Granted, wakes);
    }

    /// Turns everybody away, in the order in which they came.
    pub fn refuse(&mut self, refusal: Refusal, wakes: &mut Wakes) {
        self.release(Why::Refused(refusal), wakes);
    }

    /// Turns away those who have waited as long as they would. Spurious calls do nothing.
    pub fn on_deadline(&mut self, now: Instant, wakes: &mut Wakes) {
        while let Some((ticket, ())) = self.waiters.expired(now) {
            wakes.push(ticket, Why::Refused(Refusal::QueueTimeout));
        }
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiters.next_deadline()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody does.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    fn release(&mut self, why: Why, wakes: &mut Wakes) {
        let waiters = &mut self.waiters;
        while let Some((_, ticket)) = self.line.pop(|ticket| waiters.contains(ticket)) {
            waiters.leave(ticket);
            wakes.push(ticket, why);
        }
    }
}

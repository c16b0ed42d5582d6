//! A worker, as the machine knows it.

use super::waiting::Waiting;
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) stage: Stage,
    // Sent and not answered, in the order of sending.
    pub(super) sent: VecDeque<Ticket>,
    pub(super) work: u64,
    pub(super) backlog: Waiting,
    pub(super) idle_since: Instant,
    pub(super) answered: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Starting,
    Ready,
    /// Gets nothing more and exits when it has answered.
    Retiring,
}

impl Worker {
    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Ready && self.sent.is_empty()
    }

    pub(super) fn forget(&mut self, task: Ticket, cost: u64) {
        if let Some(at) = self.sent.iter().position(|other| *other == task) {
            self.sent.remove(at);
            self.work = self.work.saturating_sub(cost);
        }
    }
}

//! Those who wait, inside the queue and outside it.

use super::Permits;
use super::entry::{Entry, NEVER, Running, Waiting};
use crate::machine::line::Line;
use crate::machine::ticket::Ticket;
use crate::machine::wakes::{Refusal, Wakes, Why};

impl Permits {
    #[inline(always)]
    pub(super) fn head(&mut self) -> Option<Ticket> {
        let entries = &self.entries;
        self.queue.head(
            |t| matches!(entries.get(t), Some(Entry::Queued(_))),
            |t| matches!(entries.get(t), Some(Entry::Outside(_))),
        )
    }

    /// The head of the queue runs.
    #[inline(always)]
    pub(super) fn step_in(&mut self, ticket: Ticket, waiting: &Waiting, run: Running) {
        if let Some(entry) = self.entries.get_mut(ticket) {
            *entry = Entry::Running(run);
        }
        let entries = &self.entries;
        self.queue.serve(waiting.standing, |t| {
            matches!(entries.get(t), Some(Entry::Queued(_)))
        });
        self.waits_no_more(waiting);
    }

    /// Takes a waiting task out, wherever it stands.
    #[inline(never)]
    pub(super) fn step_out(&mut self, ticket: Ticket) {
        let (waiting, was_outside) = match self.entries.get(ticket) {
            Some(Entry::Outside(waiting)) => (*waiting, true),
            Some(Entry::Queued(waiting)) => (*waiting, false),
            _ => return,
        };
        self.entries.remove(ticket);
        self.waits_no_more(&waiting);
        let entries = &self.entries;
        if was_outside {
            self.queue.left_outside(waiting.standing, false, |t| {
                matches!(entries.get(t), Some(Entry::Outside(_)))
            });
        } else {
            self.queue.left_inside(waiting.standing, |t| {
                matches!(entries.get(t), Some(Entry::Queued(_)))
            });
        }
    }

    #[inline(always)]
    fn waits_no_more(&mut self, waiting: &Waiting) {
        self.queued_weight -= u64::from(waiting.weight);
        self.queued_cost -= u64::from(waiting.cost);
        if waiting.give_up != NEVER {
            self.untime();
        }
    }

    /// Those outside enter while there is room.
    pub(super) fn let_in(&mut self, wakes: &mut Wakes) {
        if self.queue.waiting_outside() > 0 {
            self.let_in_some(wakes);
        }
    }

    #[inline(never)]
    fn let_in_some(&mut self, wakes: &mut Wakes) {
        while self.queue.waiting_outside() > 0 && self.queue.has_room() {
            let entries = &self.entries;
            let Some(ticket) = self
                .queue
                .next_outside(|t| matches!(entries.get(t), Some(Entry::Outside(_))))
            else {
                break;
            };
            let Some(entry) = self.entries.get_mut(ticket) else {
                break;
            };
            let Entry::Outside(waiting) = *entry else { break };
            *entry = Entry::Queued(waiting);
            let entries = &self.entries;
            self.queue.left_outside(waiting.standing, true, |t| {
                matches!(entries.get(t), Some(Entry::Outside(_)))
            });
            self.queue.enter(ticket, waiting.standing);
            wakes.push(ticket, Why::Accepted);
        }
    }

    /// Turns away who waits for more than `weight` slots, in their order.
    #[inline(never)]
    pub(super) fn refuse_heavier(&mut self, weight: u32, refusal: Refusal, wakes: &mut Wakes) {
        if self.queue.is_empty() {
            return;
        }
        let mut refused = Line::new();
        for (ticket, entry) in self.entries.iter() {
            if let Entry::Queued(waiting) | Entry::Outside(waiting) = entry
                && waiting.weight > weight
            {
                refused.push(waiting.standing.rank, ticket);
            }
        }
        while let Some((_, ticket)) = refused.pop(|_| true) {
            self.turn_away(ticket, refusal, wakes);
        }
        self.let_in(wakes);
    }
}

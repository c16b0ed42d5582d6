//! Those who wait, inside the queue and outside it.

use super::Permits;
use super::entry::{Entry, NEVER, Running};
use crate::machine::line::Line;
use crate::machine::ticket::Ticket;
use crate::machine::wakes::{Refusal, Wakes, Why};

impl Permits {
    pub(super) fn head(&mut self) -> Option<Ticket> {
        let entries = &self.entries;
        self.queue.head(
            |t| matches!(entries.get(t), Some(Entry::Queued(_))),
            |t| matches!(entries.get(t), Some(Entry::Outside(_))),
        )
    }

    /// Takes a waiting task out of its line: to run, or altogether.
    #[inline(never)]
    pub(super) fn step_out(&mut self, ticket: Ticket, to: Option<Running>) {
        let Some(entry) = self.entries.get_mut(ticket) else {
            return;
        };
        let (waiting, was_outside) = match entry {
            Entry::Outside(waiting) => (*waiting, true),
            Entry::Queued(waiting) => (*waiting, false),
            _ => return,
        };
        match to {
            Some(run) => *entry = Entry::Running(run),
            None => drop(self.entries.remove(ticket)),
        }
        self.queued_weight -= u64::from(waiting.weight);
        self.queued_cost -= u64::from(waiting.cost);
        if waiting.give_up != NEVER {
            self.untime();
        }
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

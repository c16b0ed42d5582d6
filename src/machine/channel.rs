//! Bounded channels: values in order from those who send to those who receive, and `select` over several.
//!
//! Values stay with the host; here they are numbers that it chose. Both sides are served first come, first served, and
//! nobody barges: a newcomer is served at once only if nobody of its side waits. With capacity 0 a value changes
//! hands only when both sides are there (a rendezvous).
//!
//! **Closing** stops sending: senders who wait are turned away and keep their values; what is in the buffer can still
//! be received, in order; after the last value every receiver is told that the channel is closed.
//!
//! **Cancel safety.** A sender that leaves before its value was taken gets the value back. A receiver that was handed
//! a value keeps it under its ticket until it [`claim`](Channel::claim)s it; if it leaves before that, the value goes
//! back to where it was in the order, so no value is lost and none is received twice.
//!
//! **Select.** One ticket of [`Selects`] is registered with operations on many channels. The first that can be carried
//! out, times out or meets a closed channel claims the ticket; from then on the others are as good as gone, so exactly
//! one wins, whatever the host has not got round to yet.

use super::line::Line;
use super::permits::Patience;
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::waiters::Waiters;
use super::wakes::{Refusal, Wakes, Why};
use std::collections::VecDeque;

/// The answer to a sender.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Send {
    /// The channel has the value.
    Sent,
    /// It has not; `Granted` will follow when it does.
    Waiting(Ticket),
    /// It never will, by this call.
    Refused(Refusal),
}

/// The answer to a receiver.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Receive {
    /// Here it is.
    Received(u64),
    /// `Granted` will follow, then [`Channel::claim`] has the value.
    Waiting(Ticket),
    /// None will come by this call; `Closed` after the last value.
    Refused(Refusal),
}

/// What a party that left had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// A sender gets its value back.
    Unsent(u64),
    /// A receiver had none, or the channel keeps it for another.
    Empty,
}

/// Those selects of one world that are not decided yet.
#[derive(Clone, Debug, Default)]
pub struct Selects(Slab<()>);

impl Selects {
    /// None.
    pub const fn new() -> Self {
        Self(Slab::new())
    }

    /// A new one. `None` when there are 2^24 already.
    pub fn open(&mut self) -> Option<Ticket> {
        self.0.insert(()).ok()
    }

    /// Whether it is still undecided.
    pub fn is_open(&self, select: Ticket) -> bool {
        self.0.contains(select)
    }

    /// Decides it: true for the one call that wins. Also how a host gives up a select.
    pub fn claim(&mut self, select: Ticket) -> bool {
        self.0.remove(select).is_some()
    }
}

/// A channel. See the module.
#[derive(Clone, Debug)]
pub struct Channel {
    capacity: u32,
    closed: bool,
    buffer: VecDeque<Item>,
    parties: Waiters<Party>,
    senders: Line<Ticket>,
    receivers: Line<Ticket>,
    arrivals: i64,
    sent: u64,
    /// How many values were received.
    pub received: u64,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    // Its place in the order of sending: where it returns to if a receiver leaves without it.
    order: u64,
    value: u64,
}

#[derive(Clone, Copy, Debug)]
enum Party {
    Sender { value: u64, select: Option<Ticket> },
    Receiver { select: Option<Ticket> },
    Handed(Item),
}

impl Channel {
    /// A channel that buffers up to `capacity` values; 0 makes a rendezvous.
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            closed: false,
            buffer: VecDeque::new(),
            parties: Waiters::new(),
            senders: Line::new(),
            receivers: Line::new(),
            arrivals: 0,
            sent: 0,
            received: 0,
        }
    }

    /// Sends a value, as part of a select if one is named.
    pub fn send(
        &mut self,
        now: Instant,
        value: u64,
        patience: Patience,
        select: Option<Ticket>,
        selects: &mut Selects,
        wakes: &mut Wakes,
    ) -> Send {
        self.on_deadline(now, selects, wakes);
        if select.is_some_and(|select| !selects.is_open(select)) {
            return Send::Refused(Refusal::NotNow);
        }
        if self.closed {
            return Send::Refused(Refusal::Closed);
        }
        if let Some(receiver) = self.next_party(Side::Receivers, select, selects) {
            win(select, selects);
            let item = self.item(value);
            self.hand(receiver, item, selects, wakes);
            return Send::Sent;
        }
        if self.buffer.len() < self.capacity as usize {
            win(select, selects);
            let item = self.item(value);
            self.buffer.push_back(item);
            return Send::Sent;
        }
        match self.parties.enter(now, patience, Party::Sender { value, select }) {
            Some(ticket) => {
                self.arrivals += 1;
                self.senders.push(self.arrivals, ticket);
                Send::Waiting(ticket)
            }
            None => Send::Refused(Refusal::NotNow),
        }
    }

    /// Receives a value, as part of a select if one is named.
    pub fn receive(
        &mut self,
        now: Instant,
        patience: Patience,
        select: Option<Ticket>,
        selects: &mut Selects,
        wakes: &mut Wakes,
    ) -> Receive {
        self.on_deadline(now, selects, wakes);
        if select.is_some_and(|select| !selects.is_open(select)) {
            return Receive::Refused(Refusal::NotNow);
        }
        if let Some(item) = self.buffer.pop_front() {
            win(select, selects);
            self.received += 1;
            self.refill(selects, wakes);
            return Receive::Received(item.value);
        }
        if let Some(sender) = self.next_party(Side::Senders, select, selects) {
            win(select, selects);
            self.received += 1;
            if let Some(item) = self.take_from(sender, selects, wakes) {
                return Receive::Received(item.value);
            }
        }
        if self.closed {
            return Receive::Refused(Refusal::Closed);
        }
        match self.parties.enter(now, patience, Party::Receiver { select }) {
            Some(ticket) => {
                self.arrivals += 1;
                self.receivers.push(self.arrivals, ticket);
                Receive::Waiting(ticket)
            }
            None => Receive::Refused(Refusal::NotNow),
        }
    }

    /// The value that a woken receiver was handed. Its ticket is stale afterwards.
    pub fn claim(&mut self, ticket: Ticket) -> Result<u64, StaleTicket> {
        match self.parties.get(ticket) {
            Some(Party::Handed(item)) => {
                let value = item.value;
                self.parties.leave(ticket);
                self.received += 1;
                Ok(value)
            }
            _ => Err(StaleTicket),
        }
    }

    /// Leaves: a sender whose value was not taken, a receiver that waits, or one that was handed a value and has not
    /// claimed it.
    pub fn cancel(
        &mut self,
        now: Instant,
        ticket: Ticket,
        selects: &mut Selects,
        wakes: &mut Wakes,
    ) -> Result<Left, StaleTicket> {
        self.on_deadline(now, selects, wakes);
        let left = match self.parties.leave(ticket).ok_or(StaleTicket)? {
            Party::Sender { value, .. } => {
                let parties = &self.parties;
                self.senders.left(|other| parties.contains(other));
                Left::Unsent(value)
            }
            Party::Receiver { .. } => {
                let parties = &self.parties;
                self.receivers.left(|other| parties.contains(other));
                Left::Empty
            }
            Party::Handed(item) => {
                self.put_back(item, selects, wakes);
                Left::Empty
            }
        };
        Ok(left)
    }

    /// Closes: see the module for what that means to whom. Closing again does nothing.
    pub fn close(&mut self, now: Instant, selects: &mut Selects, wakes: &mut Wakes) {
        self.on_deadline(now, selects, wakes);
        self.closed = true;
        for side in [Side::Senders, Side::Receivers] {
            while let Some(ticket) = self.next_party(side, None, selects) {
                if let Some(Party::Sender { select, .. } | Party::Receiver { select }) =
                    self.parties.leave(ticket)
                {
                    win(select, selects);
                    wakes.push(ticket, Why::Refused(Refusal::Closed));
                }
            }
        }
    }

    /// Turns away those who have waited as long as they would. Spurious calls do nothing.
    pub fn on_deadline(&mut self, now: Instant, selects: &mut Selects, wakes: &mut Wakes) {
        while let Some(ticket) = self.parties.due(now) {
            let select = match self.parties.get(ticket) {
                Some(Party::Sender { select, .. } | Party::Receiver { select }) => *select,
                Some(Party::Handed(_)) | None => None,
            };
            if select.is_none_or(|select| selects.claim(select)) {
                self.parties.leave(ticket);
                wakes.push(ticket, Why::Refused(Refusal::QueueTimeout));
            } else {
                // Its select was decided elsewhere. It has what its host must ask back, so it stays until that does.
                self.parties.give_up_at(ticket, Instant::FAR_FUTURE);
            }
        }
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.parties.next_deadline()
    }

    /// How many values are in the buffer.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How many values it buffers at most. A value that returned from a receiver who left may exceed it.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many wait to send, those of decided selects not counted.
    pub fn waiting_to_send(&self, selects: &Selects) -> usize {
        let waits =
            |party: &Party| matches!(party, Party::Sender { select, .. } if undecided(*select, selects));
        self.parties.iter().filter(|(_, party)| waits(party)).count()
    }

    /// How many wait to receive, those of decided selects not counted.
    pub fn waiting_to_receive(&self, selects: &Selects) -> usize {
        let waits =
            |party: &Party| matches!(party, Party::Receiver { select } if undecided(*select, selects));
        self.parties.iter().filter(|(_, party)| waits(party)).count()
    }

    /// How many values were accepted from senders.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes the oldest of a side out of its line; never one of the select that asks, which cannot meet itself.
    fn next_party(&mut self, side: Side, asks: Option<Ticket>, selects: &Selects) -> Option<Ticket> {
        let parties = &self.parties;
        let line = match side {
            Side::Senders => &mut self.senders,
            Side::Receivers => &mut self.receivers,
        };
        let select_of = |ticket| match parties.get(ticket) {
            Some(Party::Sender { select, .. } | Party::Receiver { select }) => Some(*select),
            _ => None,
        };
        let lives = |ticket| select_of(ticket).is_some_and(|select| undecided(select, selects));
        let mut own = Vec::new();
        let found = loop {
            match line.pop(lives) {
                Some((rank, ticket)) if asks.is_some() && select_of(ticket) == Some(asks) => {
                    own.push((rank, ticket))
                }
                other => break other.map(|(_, ticket)| ticket),
            }
        };
        for (rank, ticket) in own {
            line.push(rank, ticket);
        }
        found
    }

    /// Hands a value to a receiver that was taken out of its line.
    fn hand(&mut self, receiver: Ticket, item: Item, selects: &mut Selects, wakes: &mut Wakes) {
        if let Some(party) = self.parties.get_mut(receiver) {
            if let Party::Receiver { select } = *party {
                win(select, selects);
            }
            *party = Party::Handed(item);
            self.parties.give_up_at(receiver, Instant::FAR_FUTURE);
            wakes.push(receiver, Why::Granted);
        }
    }

    /// Takes the value of a sender that was taken out of its line.
    fn take_from(&mut self, sender: Ticket, selects: &mut Selects, wakes: &mut Wakes) -> Option<Item> {
        let Some(Party::Sender { value, select }) = self.parties.leave(sender) else {
            return None;
        };
        win(select, selects);
        wakes.push(sender, Why::Granted);
        Some(self.item(value))
    }

    /// Moves the values of senders who wait into the room that has become free.
    fn refill(&mut self, selects: &mut Selects, wakes: &mut Wakes) {
        while self.buffer.len() < self.capacity as usize {
            let Some(sender) = self.next_party(Side::Senders, None, selects) else {
                return;
            };
            let item = self.take_from(sender, selects, wakes);
            self.buffer.extend(item);
        }
    }

    fn put_back(&mut self, item: Item, selects: &mut Selects, wakes: &mut Wakes) {
        match self.next_party(Side::Receivers, None, selects) {
            Some(receiver) => self.hand(receiver, item, selects, wakes),
            None => {
                let at = self.buffer.partition_point(|other| other.order < item.order);
                self.buffer.insert(at, item);
            }
        }
    }

    fn item(&mut self, value: u64) -> Item {
        self.sent += 1;
        Item {
            order: self.sent,
            value,
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Senders,
    Receivers,
}

fn undecided(select: Option<Ticket>, selects: &Selects) -> bool {
    select.is_none_or(|select| selects.is_open(select))
}

fn win(select: Option<Ticket>, selects: &mut Selects) {
    if let Some(select) = select {
        selects.claim(select);
    }
}

#[cfg(test)]
mod tests;

//! Bounded channels between tasks.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::ledger::Stage;
use super::runtime::Runtime;
use super::turn::{Room, Turn, patience};
use crate::machine::channel::{Channel as Machine, Left, Receive, Selects, Send};
use crate::machine::config::ConfigError;
use crate::machine::permits::Patience;
use crate::machine::ticket::Ticket;
use crate::machine::wakes::Refusal;
use crate::machine::world::World;
use futures::Stream;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Passes values from tasks that send to tasks that receive, and makes senders wait when nobody keeps up.
///
/// At most `capacity` values lie in it; with 0 a value changes hands only when both sides are there (a rendezvous).
///
/// **Fairness.** Both sides are served first come, first served, and nobody barges.
///
/// **Closing** stops sending. Senders who wait get their values back; what is in the channel can still be received, in
/// order; after the last value receivers get `None`. Clones are handles of the same channel, and dropping the last one
/// drops what is in it. To wait for several channels at once: [`Select`](super::Select).
///
/// # Examples
///
/// ```
/// use tidegate::{Channel, Host, Runtime, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let channel = Channel::new(&Host::new(runtime.clone()), 2)?;
/// let sender = channel.clone();
/// runtime.spawn(async move {
///     for n in 1..=5 {
///         sender.send(n).await.unwrap();
///     }
///     sender.close();
/// });
/// let mut sum = 0;
/// runtime.block_on(async {
///     while let Some(n) = channel.receive().await {
///         sum += n;
///     }
/// });
/// assert_eq!(sum, 15);
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct Channel<R: Runtime, T>(Rc<Inner<R, T>>);

struct Inner<R: Runtime, T> {
    room: Rc<Room<R>>,
    // The machine knows the values by these numbers.
    values: RefCell<BTreeMap<u64, T>>,
    numbers: Cell<u64>,
}

/// A value that was not sent, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct SendError<T> {
    /// The value.
    pub value: T,
    /// Why.
    pub reason: AcquireError,
}

impl<R: Runtime, T> Channel<R, T> {
    /// A channel that holds up to `capacity` values.
    ///
    /// # Errors
    ///
    /// When the host holds more machines than there are numbers for.
    pub fn new(host: &Host<R>, capacity: u32) -> Result<Self, ConfigError> {
        let room = Room::open(
            host,
            "channels",
            |world| world.open_channel(capacity),
            World::drop_channel,
        )?;
        Ok(Self(Rc::new(Inner {
            room,
            values: RefCell::default(),
            numbers: Cell::new(0),
        })))
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.room.name(name.into());
        self
    }

    /// Sends a value, waiting for room for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`], with the value.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the value, unless the channel had taken it: it is in one of the two places, never in
    /// both or neither.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_for(value, Patience::Forever).await
    }

    /// Sends a value, waiting for room at most for `timeout`.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`] and [`AcquireError::QueueTimeout`], with the value.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_within(&self, value: T, timeout: Duration) -> Result<(), SendError<T>> {
        self.send_for(value, patience(Some(timeout))).await
    }

    /// Sends a value if there is room for it now.
    ///
    /// # Errors
    ///
    /// [`AcquireError::NotNow`] and [`AcquireError::Closed`], with the value.
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        let mut sending = Sending::new(self, value, Patience::None, None);
        match sending.begin() {
            Some(outcome) => sending.outcome(outcome),
            // Who would not wait is answered at once.
            None => sending.outcome(Err(Refusal::NotNow)),
        }
    }

    /// Receives the next value, for as long as it takes; `None` when the channel is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a value that was handed over and not seen goes to the next receiver, in its
    /// place in the order.
    pub async fn receive(&self) -> Option<T> {
        let mut receiving = Receiving::new(self, Patience::Forever, None);
        poll_fn(|context| receiving.poll(context)).await.ok()
    }

    /// Receives the next value, waiting at most for `timeout`; `None` when the channel is closed and empty.
    ///
    /// # Errors
    ///
    /// [`AcquireError::QueueTimeout`].
    ///
    /// # Cancel safety
    ///
    /// As [`receive`](Self::receive).
    pub async fn receive_within(&self, timeout: Duration) -> Result<Option<T>, AcquireError> {
        let mut receiving = Receiving::new(self, patience(Some(timeout)), None);
        match poll_fn(|context| receiving.poll(context)).await {
            Ok(value) => Ok(Some(value)),
            Err(Refusal::Closed) => Ok(None),
            Err(refusal) => Err(self.0.room.error(refusal)),
        }
    }

    /// Receives a value if there is one now.
    ///
    /// # Errors
    ///
    /// [`AcquireError::NotNow`], and [`AcquireError::Closed`] when the channel is closed and empty.
    pub fn try_receive(&self) -> Result<T, AcquireError> {
        let mut receiving = Receiving::new(self, Patience::None, None);
        let outcome = receiving.begin().unwrap_or(Err(Refusal::NotNow));
        outcome.map_err(|refusal| self.0.room.error(refusal))
    }

    /// All values until the channel is closed and empty, as a stream.
    pub fn stream(&self) -> Messages<R, T> {
        Messages(Receiving::new(self, Patience::Forever, None))
    }

    /// Closes it: see the type for what that means to whom. Closing again does nothing.
    pub fn close(&self) {
        self.call(|channel, now, selects, wakes| channel.close(now, selects, wakes));
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.look(|channel, _| channel.is_closed())
    }

    /// How many values lie in it.
    pub fn len(&self) -> usize {
        self.look(|channel, _| channel.len())
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values it holds at most.
    pub fn capacity(&self) -> u32 {
        self.look(|channel, _| channel.capacity())
    }

    /// How many wait to send.
    pub fn waiting_to_send(&self) -> usize {
        self.look(|channel, selects| channel.waiting_to_send(selects))
    }

    /// How many wait to receive.
    pub fn waiting_to_receive(&self) -> usize {
        self.look(|channel, selects| channel.waiting_to_receive(selects))
    }

    pub(crate) fn host(&self) -> &Host<R> {
        &self.0.room.host
    }

    async fn send_for(&self, value: T, patience: Patience) -> Result<(), SendError<T>> {
        let mut sending = Sending::new(self, value, patience, None);
        let outcome = poll_fn(|context| sending.poll(context)).await;
        sending.outcome(outcome)
    }

    fn look<O: Default>(&self, glance: impl FnOnce(&Machine, &Selects) -> O) -> O {
        self.0.room.look(|world, id| {
            let channel = world.channel(id);
            channel
                .map(|(channel, selects)| glance(channel, selects))
                .unwrap_or_default()
        })
    }

    fn call<O>(
        &self,
        event: impl FnOnce(
            &mut Machine,
            crate::machine::time::Instant,
            &mut Selects,
            &mut crate::machine::wakes::Wakes,
        ) -> O,
    ) -> Option<O> {
        self.0.room.call(|world, now, id| {
            world.at_channel(id, |channel, selects, wakes| event(channel, now, selects, wakes))
        })
    }
}

impl<R: Runtime, T> Inner<R, T> {
    fn put(&self, value: T) -> u64 {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        self.values.borrow_mut().insert(number, value);
        number
    }

    fn take(&self, number: u64) -> Option<T> {
        self.values.borrow_mut().remove(&number)
    }
}

/// A value on its way into a channel.
pub(crate) struct Sending<R: Runtime, T> {
    channel: Rc<Inner<R, T>>,
    number: u64,
    patience: Patience,
    select: Option<Ticket>,
    way: Way<R>,
}

enum Way<R: Runtime> {
    Before,
    Waiting(Turn<R>),
    After,
}

impl<R: Runtime, T> Sending<R, T> {
    pub(crate) fn new(channel: &Channel<R, T>, value: T, patience: Patience, select: Option<Ticket>) -> Self {
        let channel = Rc::clone(&channel.0);
        let number = channel.put(value);
        Self {
            channel,
            number,
            patience,
            select,
            way: Way::Before,
        }
    }

    pub(crate) fn within(&mut self, select: Ticket, patience: Patience) {
        self.select = Some(select);
        self.patience = patience;
    }

    /// Asks the channel; the answer, if it can be had at once.
    pub(crate) fn begin(&mut self) -> Option<Result<(), Refusal>> {
        let room = &self.channel.room;
        let (id, number, patience, select) = (room.id, self.number, self.patience, self.select);
        let answer = room.host.call_quietly(|world, now| {
            world.at_channel(id, |channel, selects, wakes| {
                channel.send(now, number, patience, select, selects, wakes)
            })
        });
        match answer {
            Some(Send::Waiting(ticket)) => {
                // What becomes of the value is decided where this is dropped.
                self.way = Way::Waiting(Turn::take(room, ticket, Stage::Queued, |_, _, _, _| ()));
                None
            }
            Some(Send::Sent) => {
                self.way = Way::After;
                room.host.drain();
                Some(Ok(()))
            }
            Some(Send::Refused(refusal)) => {
                room.host.drain();
                Some(Err(refusal))
            }
            None => Some(Err(Refusal::Closed)),
        }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        if let Way::Before = self.way
            && let Some(outcome) = self.begin()
        {
            return Poll::Ready(outcome);
        }
        let Way::Waiting(turn) = &self.way else {
            return Poll::Pending;
        };
        let outcome = ready!(turn.poll_come(context));
        if outcome.is_ok() {
            self.way = Way::After;
        }
        Poll::Ready(outcome)
    }

    /// What the caller is told: its value comes back if it was not sent.
    pub(crate) fn outcome(&mut self, outcome: Result<(), Refusal>) -> Result<(), SendError<T>> {
        let Err(refusal) = outcome else { return Ok(()) };
        let reason = self.channel.room.error(refusal);
        match self.channel.take(self.number) {
            Some(value) => Err(SendError { value, reason }),
            None => Ok(()),
        }
    }
}

impl<R: Runtime, T> Drop for Sending<R, T> {
    fn drop(&mut self) {
        let is_unsent = match &self.way {
            Way::Before => true,
            Way::After => false,
            Way::Waiting(turn) if turn.is_refused() => true,
            Way::Waiting(turn) => {
                let ticket = turn.ticket();
                let left = self.channel.room.call(|world, now, id| {
                    world.at_channel(id, |channel, selects, wakes| {
                        channel.cancel(now, ticket, selects, wakes)
                    })
                });
                matches!(left, Some(Ok(Left::Unsent(_))))
            }
        };
        if is_unsent {
            drop(self.channel.take(self.number));
        }
    }
}

/// A value on its way out of a channel.
pub(crate) struct Receiving<R: Runtime, T> {
    channel: Rc<Inner<R, T>>,
    patience: Patience,
    select: Option<Ticket>,
    turn: Option<Turn<R>>,
}

impl<R: Runtime, T> Receiving<R, T> {
    pub(crate) fn new(channel: &Channel<R, T>, patience: Patience, select: Option<Ticket>) -> Self {
        Self {
            channel: Rc::clone(&channel.0),
            patience,
            select,
            turn: None,
        }
    }

    pub(crate) fn within(&mut self, select: Ticket, patience: Patience) {
        self.select = Some(select);
        self.patience = patience;
    }

    /// Asks the channel; the answer, if it can be had at once.
    pub(crate) fn begin(&mut self) -> Option<Result<T, Refusal>> {
        let room = &self.channel.room;
        let (id, patience, select) = (room.id, self.patience, self.select);
        let answer = room.host.call_quietly(|world, now| {
            world.at_channel(id, |channel, selects, wakes| {
                channel.receive(now, patience, select, selects, wakes)
            })
        });
        match answer {
            Some(Receive::Waiting(ticket)) => {
                self.turn = Some(Turn::take(
                    room,
                    ticket,
                    Stage::Queued,
                    |world, now, id, ticket| {
                        world.at_channel(id, |channel, selects, wakes| {
                            channel.cancel(now, ticket, selects, wakes)
                        });
                    },
                ));
                None
            }
            Some(Receive::Received(number)) => {
                let value = self.channel.take(number);
                self.channel.room.host.drain();
                Some(value.ok_or(Refusal::Closed))
            }
            Some(Receive::Refused(refusal)) => {
                room.host.drain();
                Some(Err(refusal))
            }
            None => Some(Err(Refusal::Closed)),
        }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Refusal>> {
        if self.turn.is_none()
            && let Some(outcome) = self.begin()
        {
            return Poll::Ready(outcome);
        }
        let Some(turn) = &self.turn else {
            return Poll::Pending;
        };
        let outcome = ready!(turn.poll_come(context)).and_then(|()| {
            let ticket = turn.ticket();
            let claimed = self.channel.room.call(|world, _, id| {
                world
                    .at_channel(id, |channel, _, _| channel.claim(ticket))
                    .and_then(Result::ok)
            });
            turn.is_over();
            claimed
                .and_then(|number| self.channel.take(number))
                .ok_or(Refusal::Closed)
        });
        self.turn = None;
        Poll::Ready(outcome)
    }
}

/// The values of a channel as a stream; it ends when the channel is closed and empty.
///
/// # Cancel safety
///
/// As [`Channel::receive`]: dropping it loses nothing.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Messages<R: Runtime, T>(Receiving<R, T>);

impl<R: Runtime, T> Stream for Messages<R, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll(context).map(Result::ok)
    }
}

impl<R: Runtime, T> Unpin for Messages<R, T> {}

impl<R: Runtime, T> Clone for Channel<R, T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime, T> fmt::Debug for Channel<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish()
    }
}

impl<R: Runtime, T> fmt::Debug for Messages<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not sent: {}", self.reason)
    }
}

impl<T> std::error::Error for SendError<T> {}

#[cfg(test)]
mod tests;

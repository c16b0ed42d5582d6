//! Waiting for several channels at once.

use super::acquire_error::AcquireError;
use super::channel::{Channel, Receiving, SendError, Sending};
use super::host::Host;
use super::runtime::Runtime;
use super::turn::patience;
use crate::machine::permits::Patience;
use crate::machine::ticket::Ticket;
use crate::machine::wakes::Refusal;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

/// Sends or receives on the first of several channels that can do it; on exactly one of them.
///
/// If several can at once, the one named first is taken: name them in the order of preference. A channel that is
/// closed counts as one that can: its receiver gets `None`, its sender the value back. All channels are of one host.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::{Channel, Host, Select, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let host = Host::new(runtime.clone());
/// let (numbers, stop) = (Channel::new(&host, 1)?, Channel::<_, ()>::new(&host, 0)?);
/// numbers.try_send(7).unwrap();
/// let next = Select::new()
///     .receive(&numbers, |n| n)
///     .receive(&stop, |_| None)
///     .wait_within(Duration::from_secs(1));
/// assert_eq!(runtime.block_on(next), Ok(Some(7)));
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
#[must_use = "a select does nothing until it is waited for"]
pub struct Select<'a, R: Runtime, O> {
    host: Option<Host<R>>,
    ways: Vec<Box<dyn Way<R, O> + 'a>>,
}

/// One operation of a select.
trait Way<R: Runtime, O> {
    /// Registers it; the outcome, if it is there at once.
    fn begin(&mut self, select: Ticket, patience: Patience) -> Option<Outcome<O>>;
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome<O>>;
}

/// How one operation ended: with what the caller makes of it, or not at all within its time.
enum Outcome<O> {
    Done(O),
    TimedOut,
}

impl<'a, R: Runtime, O> Select<'a, R, O> {
    /// A select without a channel.
    pub fn new() -> Self {
        Self {
            host: None,
            ways: Vec::new(),
        }
    }

    /// Receives from a channel, and makes of the value what `then` says; `None` when it is closed and empty.
    pub fn receive<T: 'a>(mut self, channel: &Channel<R, T>, then: impl FnOnce(Option<T>) -> O + 'a) -> Self {
        self.host.get_or_insert_with(|| channel.host().clone());
        let receiving = Receiving::new(channel, Patience::Forever, None);
        self.ways.push(Box::new(ToReceive {
            receiving,
            then: Some(then),
        }));
        self
    }

    /// Sends to a channel, and makes of it what `then` says; the value comes back when the channel is closed. If
    /// another channel is taken, the value is dropped.
    pub fn send<T: 'a>(
        mut self,
        channel: &Channel<R, T>,
        value: T,
        then: impl FnOnce(Result<(), SendError<T>>) -> O + 'a,
    ) -> Self {
        self.host.get_or_insert_with(|| channel.host().clone());
        let sending = Sending::new(channel, value, Patience::Forever, None);
        self.ways.push(Box::new(ToSend {
            sending,
            then: Some(then),
        }));
        self
    }

    /// Waits for as long as it takes. Without a channel that is for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up all the operations. A value that had been received and not seen goes to the next
    /// receiver; one that had been sent has been sent.
    pub async fn wait(self) -> O {
        match self.wait_for(None).await {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }

    /// Waits at most for `timeout`.
    ///
    /// # Errors
    ///
    /// [`AcquireError::QueueTimeout`].
    ///
    /// # Cancel safety
    ///
    /// As [`wait`](Self::wait).
    pub async fn wait_within(self, timeout: Duration) -> Result<O, AcquireError> {
        self.wait_for(Some(timeout))
            .await
            .ok_or(AcquireError::QueueTimeout)
    }

    async fn wait_for(mut self, timeout: Option<Duration>) -> Option<O> {
        let Some(host) = self.host.take() else {
            return match timeout {
                Some(_) => None,
                None => std::future::pending().await,
            };
        };
        let select = host.call(|world, _| world.open_select())?;
        // Given up first when this ends early, so that nothing is handed to an operation that nobody waits for.
        let _open = Open { host: &host, select };
        for way in &mut self.ways {
            match way.begin(select, patience(timeout)) {
                Some(Outcome::Done(outcome)) => return Some(outcome),
                Some(Outcome::TimedOut) => return None,
                None => {}
            }
        }
        let decided = poll_fn(|context| {
            for way in &mut self.ways {
                if let Poll::Ready(outcome) = way.poll(context) {
                    return Poll::Ready(outcome);
                }
            }
            Poll::Pending
        });
        match decided.await {
            Outcome::Done(outcome) => Some(outcome),
            Outcome::TimedOut => None,
        }
    }
}

struct Open<'h, R: Runtime> {
    host: &'h Host<R>,
    select: Ticket,
}

impl<R: Runtime> Drop for Open<'_, R> {
    fn drop(&mut self) {
        self.host.call(|world, _| world.close_select(self.select));
    }
}

struct ToReceive<R: Runtime, T, F> {
    receiving: Receiving<R, T>,
    then: Option<F>,
}

impl<R: Runtime, T, F, O> ToReceive<R, T, F>
where
    F: FnOnce(Option<T>) -> O,
{
    fn judge(&mut self, outcome: Result<T, Refusal>) -> Option<Outcome<O>> {
        let value = match outcome {
            Ok(value) => Some(value),
            Err(Refusal::Closed) => None,
            Err(_) => return Some(Outcome::TimedOut),
        };
        self.then.take().map(|then| Outcome::Done(then(value)))
    }
}

impl<R: Runtime, T, F, O> Way<R, O> for ToReceive<R, T, F>
where
    F: FnOnce(Option<T>) -> O,
{
    fn begin(&mut self, select: Ticket, patience: Patience) -> Option<Outcome<O>> {
        self.receiving.within(select, patience);
        let outcome = self.receiving.begin()?;
        self.judge(outcome)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome<O>> {
        match self.receiving.poll(context) {
            Poll::Ready(outcome) => self.judge(outcome).map_or(Poll::Pending, Poll::Ready),
            Poll::Pending => Poll::Pending,
        }
    }
}

struct ToSend<R: Runtime, T, F> {
    sending: Sending<R, T>,
    then: Option<F>,
}

impl<R: Runtime, T, F, O> ToSend<R, T, F>
where
    F: FnOnce(Result<(), SendError<T>>) -> O,
{
    fn judge(&mut self, outcome: Result<(), Refusal>) -> Option<Outcome<O>> {
        if !matches!(outcome, Ok(()) | Err(Refusal::Closed)) {
            return Some(Outcome::TimedOut);
        }
        let outcome = self.sending.outcome(outcome);
        self.then.take().map(|then| Outcome::Done(then(outcome)))
    }
}

impl<R: Runtime, T, F, O> Way<R, O> for ToSend<R, T, F>
where
    F: FnOnce(Result<(), SendError<T>>) -> O,
{
    fn begin(&mut self, select: Ticket, patience: Patience) -> Option<Outcome<O>> {
        self.sending.within(select, patience);
        let outcome = self.sending.begin()?;
        self.judge(outcome)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome<O>> {
        match self.sending.poll(context) {
            Poll::Ready(outcome) => self.judge(outcome).map_or(Poll::Pending, Poll::Ready),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<R: Runtime, O> Default for Select<'_, R, O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Runtime, O> fmt::Debug for Select<'_, R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("ways", &self.ways.len()).finish()
    }
}

//! Futures that run side by side under the tickets of a machine, and can be stopped one by one.

use super::runtime::Parker;
use crate::machine::ticket::Ticket;
use futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::future::Future;
use std::task::{Context, Poll};

/// What runs. Dropped, all of it is.
pub(crate) struct InFlight<T> {
    running: FuturesUnordered<LocalBoxFuture<'static, (Ticket, Option<T>)>>,
    stops: BTreeMap<Ticket, AbortHandle>,
}

impl<T: 'static> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self {
            running: FuturesUnordered::new(),
            stops: BTreeMap::new(),
        }
    }

    pub(crate) fn start(&mut self, ticket: Ticket, work: impl Future<Output = T> + 'static) {
        let (stop, registration) = AbortHandle::new_pair();
        self.stops.insert(ticket, stop);
        let work = Abortable::new(work, registration);
        self.running
            .push(Box::pin(async move { (ticket, work.await.ok()) }));
    }

    /// How many run.
    pub(crate) fn len(&self) -> usize {
        self.stops.len()
    }

    /// Drops one at the next poll, if it runs.
    pub(crate) fn stop(&mut self, ticket: Ticket) {
        if let Some(stop) = self.stops.remove(&ticket) {
            stop.abort();
        }
    }

    /// The next that ended by itself, or `None` when whoever else unparked `parker` wants attention.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        parker: &impl Parker,
    ) -> Poll<Option<(Ticket, T)>> {
        while let Poll::Ready(Some((ticket, done))) = self.running.poll_next_unpin(context) {
            self.stops.remove(&ticket);
            if let Some(done) = done {
                return Poll::Ready(Some((ticket, done)));
            }
        }
        parker.poll_parked(context).map(|()| None)
    }
}

//! What the stream of batches does when it is polled: it draws, starts and collects as the machine says.

use super::{BatchError, BatchResult, Hooks};
use crate::future::runtime::Runtime;
use crate::future::timeout::TimeoutError;
use crate::machine::batch::{BatchConfig, Batches, ItemEnd, Next};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Wakes, Why};
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

pub(super) struct Work<R: Runtime, I: Iterator, P, T, E> {
    runtime: R,
    items: I,
    process: P,
    machine: Batches,
    wakes: Wakes,
    timeout: Duration,
    drawn: usize,
    open: BTreeMap<Ticket, Open<I::Item, T, E>>,
    ended: VecDeque<Ticket>,
    // Until when it sleeps, if it has anything to wake up for.
    alarm: Option<(Instant, Pin<Box<R::Sleep>>)>,
    hooks: Rc<Hooks<E>>,
}

struct Open<A, T, E> {
    first: usize,
    unstarted: VecDeque<A>,
    running: FuturesUnordered<Item<T, E>>,
    results: Vec<Option<Result<T, BatchError<E>>>>,
}

type Item<T, E> = LocalBoxFuture<'static, (usize, Result<T, E>)>;

/// Pressure is looked at again after so long: it is sampled no more often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl<R, I, P, F, T, E> Work<R, I, P, T, E>
where
    R: Runtime,
    I: Iterator,
    P: Fn(I::Item) -> F,
    F: Future<Output = Result<T, E>> + 'static,
{
    pub(super) fn new(runtime: &R, items: I, process: P, config: BatchConfig, hooks: Rc<Hooks<E>>) -> Self {
        Self {
            runtime: runtime.clone(),
            items,
            process,
            machine: Batches::new(config),
            wakes: Wakes::new(),
            timeout: config.timeout.unwrap_or_default(),
            drawn: 0,
            open: BTreeMap::new(),
            ended: VecDeque::new(),
            alarm: None,
            hooks,
        }
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<BatchResult<T, E>>> {
        loop {
            let look_again = self.draw();
            self.carry_out();
            let progressed = self.run(context);
            if let Some(ticket) = self.ended.pop_front() {
                return Poll::Ready(self.collect(ticket));
            }
            if self.machine.is_over() {
                return Poll::Ready(None);
            }
            if !progressed && self.poll_alarm(context, look_again).is_pending() {
                return Poll::Pending;
            }
        }
    }

    // Draws as many batches as may be drawn. Gives when to look again, where that is a matter of time.
    fn draw(&mut self) -> Option<Instant> {
        loop {
            let now = self.runtime.now();
            let items = match self.machine.next(now, self.hooks.pressed()) {
                Next::Draw { items } => items.get() as usize,
                Next::WaitUntil(until) => return Some(until.min(now + LOOK_AGAIN)),
                Next::Wait | Next::Drained => return None,
            };
            let batch: VecDeque<I::Item> = self.items.by_ref().take(items).collect();
            let (len, last) = (batch.len(), batch.len() < items);
            if let Some(ticket) = self.machine.open(now, len as u32, last, &mut self.wakes) {
                let mut results = Vec::new();
                results.resize_with(len, || None);
                let open = Open {
                    first: self.drawn,
                    unstarted: batch,
                    running: FuturesUnordered::new(),
                    results,
                };
                self.drawn += len;
                self.open.insert(ticket, open);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(wake) = self.wakes.pop() {
            match wake.why {
                Why::Ready => self.ended.push_back(wake.ticket),
                Why::Expired | Why::Revoked => {
                    if let Some(open) = self.open.get_mut(&wake.ticket) {
                        open.unstarted.clear();
                        open.running.clear();
                        let lost = open.results.iter().filter(|result| result.is_none()).count();
                        self.hooks.done(lost);
                    }
                    self.ended.push_back(wake.ticket);
                }
                // What was granted is asked for its items.
                _ => {}
            }
        }
    }

    // Starts the items that may start and takes in what they end with; whether anything moved.
    fn run(&mut self, context: &mut Context<'_>) -> bool {
        let mut progressed = false;
        for (ticket, open) in &mut self.open {
            loop {
                while let Some(at) = self.machine.next_item(*ticket)
                    && let Some(item) = open.unstarted.pop_front()
                {
                    let item = (self.process)(item);
                    open.running
                        .push(Box::pin(async move { (at as usize, item.await) }));
                }
                let Poll::Ready(Some((at, result))) = open.running.poll_next_unpin(context) else {
                    break;
                };
                progressed = true;
                let end = match &result {
                    Ok(_) => ItemEnd::Done,
                    Err(error) => {
                        self.hooks.failed(open.first + at, error);
                        ItemEnd::Failed
                    }
                };
                if let Some(place) = open.results.get_mut(at) {
                    *place = Some(result.map_err(BatchError::Item));
                }
                self.hooks.done(1);
                let _over = self
                    .machine
                    .end_item(self.runtime.now(), *ticket, end, &mut self.wakes);
            }
        }
        progressed
    }

    fn collect(&mut self, ticket: Ticket) -> Option<BatchResult<T, E>> {
        let now = self.runtime.now();
        let view = self.machine.read(now, ticket, &mut self.wakes).ok()?;
        let open = self.open.remove(&ticket)?;
        let index = view.index as usize;
        let late = || BatchError::Timeout(TimeoutError::new(format!("batch {index}"), self.timeout));
        let results = open.results.into_iter();
        Some(BatchResult {
            index,
            results: results
                .map(|result| result.unwrap_or_else(|| Err(late())))
                .collect(),
            duration: view.duration,
        })
    }

    // Ready when time has brought something.
    fn poll_alarm(&mut self, context: &mut Context<'_>, look_again: Option<Instant>) -> Poll<()> {
        let due = [self.machine.next_deadline(), look_again]
            .into_iter()
            .flatten()
            .min();
        let Some(due) = due else {
            self.alarm = None;
            return Poll::Pending;
        };
        if self.alarm.as_ref().is_none_or(|(at, _)| *at != due) {
            self.alarm = Some((due, Box::pin(self.runtime.sleep_until(due))));
        }
        let Some((_, sleep)) = &mut self.alarm else {
            return Poll::Pending;
        };
        let rung = sleep.as_mut().poll(context);
        if rung.is_ready() {
            self.alarm = None;
            self.machine.on_deadline(self.runtime.now(), &mut self.wakes);
        }
        rung
    }
}

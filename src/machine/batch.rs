//! Batches: how many items the next one takes, when it may be drawn and run, which of its items run at once.
//!
//! The machine never sees an item. A host asks what to do ([`next`](Batches::next)), draws that many items, opens a batch with them, and
//! starts items as [`next_item`](Batches::next_item) says. One item's failure is that item's, one batch's timeout that batch's.

mod size;
#[cfg(test)]
mod tests;

pub use size::{AdaptiveSize, BatchSize};

use super::line::Line;
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Wakes, Why};
use size::Sizer;
use std::num::NonZeroU32;
use std::time::Duration;

/// The batches of one run over one source.
#[derive(Clone, Debug)]
pub struct Batches {
    config: BatchConfig,
    sizer: Sizer,
    batches: Slab<Batch>,
    queue: Line<Ticket>,
    deadlines: Line<Ticket>,
    pressed_since: Option<Instant>,
    drained: bool,
    running: u32,
    unread: u32,
    progress: BatchProgress,
}

/// How items are cut and run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BatchConfig {
    /// Items in a batch: 100, few enough to lose little with one, enough to make one worth while.
    pub size: BatchSize,
    /// Items at once within a batch: 10.
    pub concurrency: NonZeroU32,
    /// Batches at once: 10.
    pub batches: NonZeroU32,
    /// Batches submitted and unfinished: 100.
    pub unfinished: NonZeroU32,
    /// Results that nobody has read, before nothing more is started: 50.
    pub result_buffer: NonZeroU32,
    /// How long one batch may run; none unless set. All of them together then take at most that times their number.
    pub timeout: Option<Duration>,
    /// How long a submission waits under pressure before it goes ahead all the same: 5 s.
    pub pressure_wait: Duration,
}

impl Default for BatchConfig {
    fn default() -> Self {
        let ten = const { NonZeroU32::new(10).unwrap() };
        Self {
            size: BatchSize::default(),
            concurrency: ten,
            batches: ten,
            unfinished: const { NonZeroU32::new(100).unwrap() },
            result_buffer: const { NonZeroU32::new(50).unwrap() },
            timeout: None,
            pressure_wait: Duration::from_secs(5),
        }
    }
}

/// What a host that wants to submit should do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Draw up to so many items and [`open`](Batches::open) a batch with them.
    Draw {
        /// How many.
        items: NonZeroU32,
    },
    /// Ask again after the next event.
    Wait,
    /// Ask again after the next event, but no later than then: pressure is held to be over.
    WaitUntil(Instant),
    /// The source is empty: there is nothing more to submit.
    Drained,
}

/// How an item ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemEnd {
    /// Well.
    Done,
    /// Badly; its batch goes on.
    Failed,
}

/// What is known about a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchView {
    /// Its place among the batches, in the order of the items, from 0.
    pub index: u32,
    /// How many items it has.
    pub items: u32,
    /// Items that ended well.
    pub done: u32,
    /// Items that failed; those that a timeout cut off count too.
    pub failed: u32,
    /// How long it has run, or ran.
    pub duration: Duration,
    /// Whether it is over, so that its result may be read.
    pub ended: bool,
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BatchProgress {
    /// Items drawn from the source.
    pub drawn: u64,
    /// Items that ended well.
    pub done: u64,
    /// Items that failed.
    pub failed: u64,
    /// Batches opened.
    pub batches: u32,
    /// Batches that are over.
    pub ended: u32,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    index: u32,
    items: u32,
    done: u32,
    failed: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Queued,
    Running { since: Instant, started: u32 },
    Ended { took: Duration },
}

impl Batches {
    /// Nothing is drawn yet.
    pub fn new(config: BatchConfig) -> Self {
        Self {
            config,
            sizer: Sizer::new(config.size),
            batches: Slab::new(),
            queue: Line::new(),
            deadlines: Line::new(),
            pressed_since: None,
            drained: false,
            running: 0,
            unread: 0,
            progress: BatchProgress::default(),
        }
    }

    /// What to submit next. `pressed`: the host is under pressure now.
    pub fn next(&mut self, now: Instant, pressed: bool) -> Next {
        if self.drained {
            return Next::Drained;
        }
        let unfinished = self.progress.batches - self.progress.ended;
        // A batch that would only lie in the queue is cut when it can run, by what is known about the size then.
        let adapts = matches!(self.config.size, BatchSize::Adaptive(_));
        if adapts && unfinished > self.running {
            return Next::Wait;
        }
        if unfinished >= self.config.unfinished.get() || self.unread >= self.config.result_buffer.get() {
            return Next::Wait;
        }
        if !pressed {
            self.pressed_since = None;
            return self.draw();
        }
        if self.pressed_since.is_none() {
            self.sizer.pressed();
        }
        let until = *self.pressed_since.get_or_insert(now) + self.config.pressure_wait;
        if now < until {
            return Next::WaitUntil(until);
        }
        // Each submission waits for itself.
        self.pressed_since = None;
        self.draw()
    }

    /// Submits a batch of the items that were drawn. Fewer than asked for means that the source is empty; so does none at all.
    /// The batch may run in this very call ([`Why::Granted`]).
    pub fn open(&mut self, now: Instant, items: u32, last: bool, wakes: &mut Wakes) -> Option<Ticket> {
        self.drained |= last || items == 0;
        if items == 0 {
            return None;
        }
        let batch = Batch {
            index: self.progress.batches,
            items,
            done: 0,
            failed: 0,
            stage: Stage::Queued,
        };
        let ticket = self.batches.insert(batch).ok()?;
        self.progress.batches += 1;
        self.progress.drawn += u64::from(items);
        self.queue.push(0, ticket);
        self.start(now, wakes);
        Some(ticket)
    }

    /// The index of the next item of a running batch that may start now; ask until there is none.
    pub fn next_item(&mut self, ticket: Ticket) -> Option<u32> {
        let batch = self.batches.get_mut(ticket)?;
        let Stage::Running { started, .. } = &mut batch.stage else {
            return None;
        };
        let under_way = *started - batch.done - batch.failed;
        if *started == batch.items || under_way == self.config.concurrency.get() {
            return None;
        }
        *started += 1;
        Some(*started - 1)
    }

    /// An item has ended. With the last one the batch is over ([`Why::Ready`]) and the next in line runs.
    ///
    /// # Errors
    /// [`StaleTicket`] when the batch does not run any more: it timed out or was cancelled.
    pub fn end_item(
        &mut self,
        now: Instant,
        ticket: Ticket,
        end: ItemEnd,
        wakes: &mut Wakes,
    ) -> Result<(), StaleTicket> {
        let batch = self.batches.get_mut(ticket).ok_or(StaleTicket)?;
        let Stage::Running { started, .. } = batch.stage else {
            return Err(StaleTicket);
        };
        if batch.done + batch.failed == started {
            return Err(StaleTicket);
        }
        match end {
            ItemEnd::Done => {
                batch.done += 1;
                self.progress.done += 1;
            }
            ItemEnd::Failed => {
                batch.failed += 1;
                self.progress.failed += 1;
            }
        }
        if batch.done + batch.failed == batch.items {
            wakes.push(ticket, Why::Ready);
            self.end(now, ticket);
            self.start(now, wakes);
        }
        Ok(())
    }

    /// The result of a batch that is over was read: its ticket ends, and there may be room for another.
    ///
    /// # Errors
    /// [`StaleTicket`] when it is not over, or was read before.
    pub fn read(
        &mut self,
        now: Instant,
        ticket: Ticket,
        wakes: &mut Wakes,
    ) -> Result<BatchView, StaleTicket> {
        let view = self
            .view(now, ticket)
            .filter(|view| view.ended)
            .ok_or(StaleTicket)?;
        self.batches.remove(ticket);
        self.unread -= 1;
        self.start(now, wakes);
        Ok(view)
    }

    /// Gives up: nothing more is drawn, and every batch that is not over is revoked ([`Why::Revoked`]).
    pub fn cancel(&mut self, now: Instant, wakes: &mut Wakes) {
        self.drained = true;
        let open: Vec<Ticket> = self
            .batches
            .iter()
            .filter(|(_, batch)| !matches!(batch.stage, Stage::Ended { .. }))
            .map(|(ticket, _)| ticket)
            .collect();
        for ticket in open {
            wakes.push(ticket, Why::Revoked);
            self.cut_off(now, ticket);
        }
    }

    /// What is known about a batch whose result was not read yet.
    pub fn view(&self, now: Instant, ticket: Ticket) -> Option<BatchView> {
        let batch = self.batches.get(ticket)?;
        Some(BatchView {
            index: batch.index,
            items: batch.items,
            done: batch.done,
            failed: batch.failed,
            duration: match batch.stage {
                Stage::Queued => Duration::ZERO,
                Stage::Running { since, .. } => now.since(since),
                Stage::Ended { took } => took,
            },
            ended: matches!(batch.stage, Stage::Ended { .. }),
        })
    }

    /// How far it is.
    pub fn progress(&self) -> BatchProgress {
        self.progress
    }

    /// Whether the source is empty, every batch over and every result read.
    pub fn is_over(&self) -> bool {
        self.drained && self.batches.is_empty()
    }

    /// How many items the next batch takes.
    pub fn size(&self) -> NonZeroU32 {
        self.sizer.size()
    }

    /// When the next batch is over its time.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let batches = &self.batches;
        self.deadlines
            .peek(|ticket| runs(batches, ticket))
            .map(|(rank, _)| Instant::from_micros(rank as u64))
    }

    /// Ends the batches whose time is over ([`Why::Expired`]): their unfinished items have failed. Calling it too early does nothing.
    pub fn on_deadline(&mut self, now: Instant, wakes: &mut Wakes) {
        while self.next_deadline().is_some_and(|at| at <= now) {
            let batches = &self.batches;
            let Some((_, ticket)) = self.deadlines.pop(|ticket| runs(batches, ticket)) else {
                break;
            };
            wakes.push(ticket, Why::Expired);
            self.cut_off(now, ticket);
        }
        self.start(now, wakes);
    }

    fn draw(&self) -> Next {
        Next::Draw {
            items: self.sizer.size(),
        }
    }

    fn start(&mut self, now: Instant, wakes: &mut Wakes) {
        // A batch that ends needs a place for its result, so those under way count as unread already.
        while self.running < self.config.batches.get()
            && self.running + self.unread < self.config.result_buffer.get()
        {
            let batches = &self.batches;
            let queued = |ticket| {
                batches
                    .get(ticket)
                    .is_some_and(|batch: &Batch| matches!(batch.stage, Stage::Queued))
            };
            let Some((_, ticket)) = self.queue.pop(queued) else {
                return;
            };
            if let Some(batch) = self.batches.get_mut(ticket) {
                batch.stage = Stage::Running {
                    since: now,
                    started: 0,
                };
                self.running += 1;
                wakes.push(ticket, Why::Granted);
                if let Some(timeout) = self.config.timeout {
                    let rank = i64::try_from((now + timeout).as_micros()).unwrap_or(i64::MAX);
                    self.deadlines.push(rank, ticket);
                }
            }
        }
    }

    fn cut_off(&mut self, now: Instant, ticket: Ticket) {
        if let Some(batch) = self.batches.get_mut(ticket) {
            let lost = batch.items - batch.done - batch.failed;
            batch.failed += lost;
            self.progress.failed += u64::from(lost);
        }
        self.end(now, ticket);
    }

    fn end(&mut self, now: Instant, ticket: Ticket) {
        let Some(batch) = self.batches.get_mut(ticket) else {
            return;
        };
        let took = match batch.stage {
            Stage::Running { since, .. } => {
                self.running -= 1;
                let took = now.since(since);
                self.sizer.ended(batch.items, batch.failed, took);
                took
            }
            Stage::Queued | Stage::Ended { .. } => Duration::ZERO,
        };
        batch.stage = Stage::Ended { took };
        self.unread += 1;
        self.progress.ended += 1;
        if self.config.timeout.is_some() {
            let batches = &self.batches;
            self.deadlines.left(|ticket| runs(batches, ticket));
        }
    }
}

fn runs(batches: &Slab<Batch>, ticket: Ticket) -> bool {
    batches
        .get(ticket)
        .is_some_and(|batch| matches!(batch.stage, Stage::Running { .. }))
}

//! Many items in batches: bounded batches at once, bounded items at once in each, nobody's failure anybody else's.

mod work;

use super::pressure_monitor::PressureMonitor;
use super::runtime::Runtime;
use super::timeout::TimeoutError;
use crate::machine::batch::{AdaptiveSize, BatchConfig, BatchSize};
use futures::stream::{LocalBoxStream, Stream, StreamExt};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use work::Work;

/// How [`batch`] cuts and runs. Where a number is 0, it counts as 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchOptions {
    /// Items in a batch: 100, few enough to lose little with one, enough to make one worth while.
    pub batch_size: usize,
    /// A size that finds itself instead, within bounds, so that a batch takes about a target time; not unless set.
    pub adaptive: Option<AdaptiveSize>,
    /// Items at once within a batch: 10.
    pub concurrency: usize,
    /// Batches at once: 10.
    pub batch_concurrency: usize,
    /// Batches drawn and unfinished: 100.
    pub unfinished: usize,
    /// Results that nobody has read, before nothing more is started: 50.
    pub result_buffer: usize,
    /// How long one batch may take; none unless set. Items that are done by then keep their results. All batches together then take at most that
    /// times their number.
    pub batch_timeout: Option<Duration>,
    /// How long drawing another batch waits under pressure before it goes ahead all the same: 5 s.
    pub pressure_wait: Duration,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            batch_size: 100,
            adaptive: None,
            concurrency: 10,
            batch_concurrency: 10,
            unfinished: 100,
            result_buffer: 50,
            batch_timeout: None,
            pressure_wait: Duration::from_secs(5),
        }
    }
}

impl BatchOptions {
    fn config(&self) -> BatchConfig {
        BatchConfig {
            size: self.adaptive.map_or(
                BatchSize::Fixed(at_least_one(self.batch_size)),
                BatchSize::Adaptive,
            ),
            concurrency: at_least_one(self.concurrency),
            batches: at_least_one(self.batch_concurrency),
            unfinished: at_least_one(self.unfinished),
            result_buffer: at_least_one(self.result_buffer),
            timeout: self.batch_timeout,
            pressure_wait: self.pressure_wait,
        }
    }
}

fn at_least_one(number: usize) -> NonZeroU32 {
    u32::try_from(number).ok().map_or(NonZeroU32::MAX, |number| {
        NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
    })
}

/// Cuts `items` into batches, runs `process` over them and yields a [`BatchResult`] for each batch as it completes.
///
/// Items are drawn only as there is room for another batch, and batches start only while the stream is asked for more. A failing item is
/// one error in its batch's results; a batch that runs out of time loses its unfinished items and nobody else's.
///
/// # Cancel safety
///
/// `next()` is cancel-safe: no result is lost. Dropping the stream drops what runs.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use tidegate::{BatchOptions, VirtualRuntime, batch};
///
/// let runtime = VirtualRuntime::new();
/// let options = BatchOptions { batch_size: 2, ..BatchOptions::default() };
/// let parse = |text: &'static str| async move { text.parse::<u8>() };
/// let mut batches = batch(&runtime, ["1", "2", "x"], parse, options);
/// runtime.block_on(async {
///     assert_eq!(batches.next().await.map(|batch| batch.values().copied().collect::<Vec<_>>()), Some(vec![1, 2]));
///     assert_eq!(batches.next().await.map(|batch| batch.errors().count()), Some(1));
/// });
/// ```
pub fn batch<R, I, P, F, T, E>(runtime: &R, items: I, process: P, options: BatchOptions) -> Batches<T, E>
where
    R: Runtime,
    I: IntoIterator<IntoIter: 'static, Item: 'static>,
    P: Fn(I::Item) -> F + 'static,
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: 'static,
{
    let hooks = Rc::new(Hooks::default());
    let items = items.into_iter();
    let (least, most) = items.size_hint();
    hooks.total.replace(most.filter(|most| *most == least));
    let mut work = Work::new(runtime, items, process, options.config(), Rc::clone(&hooks));
    let running = futures::stream::poll_fn(move |context| work.poll_next(context));
    Batches {
        running: running.boxed_local(),
        hooks,
    }
}

/// What came out of one batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchResult<T, E> {
    /// Which batch it is, in the order of the items, from 0.
    pub index: usize,
    /// A result for each item, in the order of the items.
    pub results: Vec<Result<T, BatchError<E>>>,
    /// How long it took.
    pub duration: Duration,
}

impl<T, E> BatchResult<T, E> {
    /// The values of the items that succeeded.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.results.iter().filter_map(|result| result.as_ref().ok())
    }

    /// The errors, each with the item's place in the batch.
    pub fn errors(&self) -> impl Iterator<Item = (usize, &BatchError<E>)> {
        let numbered = self.results.iter().enumerate();
        numbered.filter_map(|(index, result)| result.as_ref().err().map(|error| (index, error)))
    }
}

/// Why an item has no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BatchError<E> {
    /// It failed.
    Item(E),
    /// Its batch ran out of time first.
    Timeout(TimeoutError),
}

impl<E: fmt::Display> fmt::Display for BatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(error) => error.fmt(f),
            Self::Timeout(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for BatchError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Item(error) => Some(error),
            Self::Timeout(error) => Some(error),
        }
    }
}

/// The stream of [`batch`].
#[must_use = "streams do nothing unless polled"]
pub struct Batches<T, E> {
    running: LocalBoxStream<'static, BatchResult<T, E>>,
    hooks: Rc<Hooks<E>>,
}

impl<T: 'static, E: 'static> Batches<T, E> {
    /// Calls `handle` with each failing item's place among all items and its error, as it fails.
    pub fn on_error(self, handle: impl FnMut(usize, &E) + 'static) -> Self {
        self.hooks.error.replace(Some(Box::new(handle)));
        self
    }

    /// Calls `report` after each item with how many are done and, if the iterator knows it, of how many.
    pub fn on_progress(self, report: impl FnMut(usize, Option<usize>) + 'static) -> Self {
        self.hooks.progress.replace(Some(Box::new(report)));
        self
    }

    /// Waits with drawing while a monitor throttles: [`throttle`](Self::throttle) by it.
    pub fn heeds<R: Runtime>(self, monitor: &PressureMonitor<R>) -> Self {
        let monitor = monitor.clone();
        self.throttle(move || monitor.should_throttle())
    }

    /// Asks `pressed` before each batch is drawn; while it says yes, drawing waits, as long as the options say, and a size that adapts is halved.
    pub fn throttle(self, pressed: impl Fn() -> bool + 'static) -> Self {
        self.hooks.pressed.replace(Some(Box::new(pressed)));
        self
    }
}

impl<T: 'static, E: 'static> Stream for Batches<T, E> {
    type Item = BatchResult<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.running.poll_next_unpin(context)
    }
}

impl<T, E> fmt::Debug for Batches<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("done", &*self.hooks.done.borrow())
            .finish_non_exhaustive()
    }
}

struct Hooks<E> {
    done: RefCell<usize>,
    total: RefCell<Option<usize>>,
    error: RefCell<Option<Handler<E>>>,
    progress: RefCell<Option<Report>>,
    pressed: RefCell<Option<Pressed>>,
}

type Handler<E> = Box<dyn FnMut(usize, &E)>;
type Report = Box<dyn FnMut(usize, Option<usize>)>;
type Pressed = Box<dyn Fn() -> bool>;

impl<E> Default for Hooks<E> {
    fn default() -> Self {
        Self {
            done: RefCell::default(),
            total: RefCell::default(),
            error: RefCell::default(),
            progress: RefCell::default(),
            pressed: RefCell::default(),
        }
    }
}

impl<E> Hooks<E> {
    fn done(&self, items: usize) {
        let done = {
            let mut done = self.done.borrow_mut();
            *done += items;
            *done
        };
        if let Some(report) = &mut *self.progress.borrow_mut() {
            report(done, *self.total.borrow());
        }
    }

    fn failed(&self, place: usize, error: &E) {
        if let Some(handle) = &mut *self.error.borrow_mut() {
            handle(place, error);
        }
    }

    fn pressed(&self) -> bool {
        self.pressed.borrow().as_ref().is_some_and(|pressed| pressed())
    }
}

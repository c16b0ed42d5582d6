//! Many items in batches: bounded batches at once, bounded items at once in each, nobody's failure anybody else's.

use super::gather::{AsCompleted, as_completed};
use super::runtime::Runtime;
use super::timeout::TimeoutError;
use crate::machine::time::Instant;
use futures::stream::{Stream, StreamExt};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How [`batch`] cuts and runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchOptions {
    /// Items in a batch: 100, few enough to lose little with one, enough to make one worth while. 0 counts as 1.
    pub batch_size: usize,
    /// Items at once within a batch: 10. 0 counts as 1.
    pub concurrency: usize,
    /// Batches at once: 10. 0 counts as 1.
    pub batch_concurrency: usize,
    /// How long one batch may take; none unless set. Items that are done by then keep their results.
    pub batch_timeout: Option<Duration>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            batch_size: 100,
            concurrency: 10,
            batch_concurrency: 10,
            batch_timeout: None,
        }
    }
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
    let shared = Rc::new(Shared {
        runtime: runtime.clone(),
        process,
        concurrency: options.concurrency.max(1),
        timeout: options.batch_timeout,
        hooks: Rc::clone(&hooks),
    });
    let mut items = items.into_iter();
    let (least, most) = items.size_hint();
    hooks.total.replace(most.filter(|most| *most == least));
    let mut index = 0;
    let batches = std::iter::from_fn(move || {
        let batch: Vec<I::Item> = items.by_ref().take(options.batch_size.max(1)).collect();
        let number = index;
        index += 1;
        let first = number * options.batch_size.max(1);
        (!batch.is_empty())
            .then(|| -> Running<T, E> { Box::pin(run_batch(Rc::clone(&shared), number, first, batch)) })
    });
    let batches: Box<dyn Iterator<Item = Running<T, E>>> = Box::new(batches);
    Batches {
        running: as_completed(batches).concurrency(options.batch_concurrency),
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
    running: AsCompleted<Box<dyn Iterator<Item = Running<T, E>>>>,
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
}

impl<T: 'static, E: 'static> Stream for Batches<T, E> {
    type Item = BatchResult<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.running
            .poll_next_unpin(context)
            .map(|next| next.map(|(_, batch)| batch))
    }
}

impl<T, E> fmt::Debug for Batches<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("done", &*self.hooks.done.borrow())
            .finish_non_exhaustive()
    }
}

type Running<T, E> = Pin<Box<dyn Future<Output = BatchResult<T, E>>>>;

struct Shared<R, P, E> {
    runtime: R,
    process: P,
    concurrency: usize,
    timeout: Option<Duration>,
    hooks: Rc<Hooks<E>>,
}

struct Hooks<E> {
    done: RefCell<usize>,
    total: RefCell<Option<usize>>,
    error: RefCell<Option<Handler<E>>>,
    progress: RefCell<Option<Report>>,
}

type Handler<E> = Box<dyn FnMut(usize, &E)>;
type Report = Box<dyn FnMut(usize, Option<usize>)>;

impl<E> Default for Hooks<E> {
    fn default() -> Self {
        Self {
            done: RefCell::default(),
            total: RefCell::default(),
            error: RefCell::default(),
            progress: RefCell::default(),
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
}

async fn run_batch<R, P, F, A, T, E>(
    shared: Rc<Shared<R, P, E>>,
    index: usize,
    first: usize,
    items: Vec<A>,
) -> BatchResult<T, E>
where
    R: Runtime,
    P: Fn(A) -> F,
    F: Future<Output = Result<T, E>>,
{
    let started = shared.runtime.now();
    let len = items.len();
    let mut results: Vec<Option<Result<T, BatchError<E>>>> = Vec::new();
    results.resize_with(len, || None);
    {
        let tasks = items.into_iter().map(|item| (shared.process)(item));
        let mut running = as_completed(tasks).concurrency(shared.concurrency);
        let end = shared
            .timeout
            .map_or(Instant::FAR_FUTURE, |limit| started + limit);
        let mut timer = pin!(shared.runtime.sleep_until(end));
        std::future::poll_fn(|context| {
            while let Poll::Ready(next) = running.poll_next_unpin(context) {
                let Some((at, result)) = next else {
                    return Poll::Ready(());
                };
                if let (Err(error), Some(handle)) = (&result, &mut *shared.hooks.error.borrow_mut()) {
                    handle(first + at, error);
                }
                results[at] = Some(result.map_err(BatchError::Item));
                shared.hooks.done(1);
            }
            timer.as_mut().poll(context)
        })
        .await;
    }
    let unfinished = results.iter().filter(|result| result.is_none()).count();
    if unfinished > 0 {
        shared.hooks.done(unfinished);
    }
    let late = || TimeoutError::new(format!("batch {index}"), shared.timeout.unwrap_or_default());
    let results = results.into_iter();
    BatchResult {
        index,
        results: results
            .map(|result| result.unwrap_or_else(|| Err(BatchError::Timeout(late()))))
            .collect(),
        duration: shared.runtime.now() - started,
    }
}

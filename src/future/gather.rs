//! Many futures at once, but not too many: all results in order, or each as it comes.

use futures::stream::{FuturesUnordered, Stream, StreamExt};
use std::fmt;
use std::future::Future;
use std::iter::Fuse;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// How many run at once unless told otherwise: enough to hide latency, few enough for any one host.
const DEFAULT_CONCURRENCY: usize = 10;

/// Runs all `tasks`, at most 10 at once (see [`concurrency`](Gather::concurrency)), and returns their results in the order of the tasks.
///
/// The tasks are drawn from the iterator only as there is room for them, in its order. Results are whatever the futures
/// end with; with `Result`s every error is returned in its place and stops nobody, and [`partition`] sorts them out. To stop at the first
/// error, use [`try_gather`].
///
/// # Cancel safety
///
/// Dropping it drops the futures that run; the results so far are lost.
///
/// # Examples
///
/// ```
/// use tidegate::{VirtualRuntime, gather};
///
/// let runtime = VirtualRuntime::new();
/// let squares = runtime.block_on(gather((1..=4).map(|n| async move { n * n })).concurrency(2));
/// assert_eq!(squares, [1, 4, 9, 16]);
/// ```
pub fn gather<I>(tasks: I) -> Gather<I::IntoIter>
where
    I: IntoIterator<Item: Future>,
{
    let tasks = tasks.into_iter();
    Gather {
        results: Vec::new(),
        progress: Progress::of(&tasks),
        running: as_completed(tasks),
    }
}

/// Runs all `tasks` like [`gather`], and ends with the first error.
///
/// # Errors
///
/// The first error that comes; the tasks that still run are dropped and no further one is started.
///
/// # Cancel safety
///
/// Dropping it drops the futures that run; the results so far are lost.
///
/// # Examples
///
/// ```
/// use tidegate::{VirtualRuntime, try_gather};
///
/// let runtime = VirtualRuntime::new();
/// let tasks = ["1", "x", "3"].map(|text| async move { text.parse::<u8>() });
/// assert!(runtime.block_on(try_gather(tasks)).is_err());
/// ```
pub fn try_gather<I, T, E>(tasks: I) -> TryGather<I::IntoIter, T>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let tasks = tasks.into_iter();
    TryGather {
        results: Vec::new(),
        progress: Progress::of(&tasks),
        running: as_completed(tasks),
    }
}

/// Runs all `tasks`, at most 10 at once (see [`concurrency`](AsCompleted::concurrency)), and yields each result with the task's index as it comes.
///
/// Tasks run while the stream is polled, and a new one is started only when the stream is asked for more: a consumer that stops reading
/// stops the intake, and no unread results pile up.
///
/// # Cancel safety
///
/// `next()` is cancel-safe: no result is lost. Dropping the stream drops the futures that run.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use std::time::Duration;
/// use tidegate::{Runtime, VirtualRuntime, as_completed};
///
/// let runtime = VirtualRuntime::new();
/// let naps = [30, 10, 20].map(|ms| runtime.sleep(Duration::from_millis(ms)));
/// let order: Vec<_> = runtime.block_on(as_completed(naps).map(|(index, ())| index).collect());
/// assert_eq!(order, [1, 2, 0]);
/// ```
pub fn as_completed<I>(tasks: I) -> AsCompleted<I::IntoIter>
where
    I: IntoIterator<Item: Future>,
{
    AsCompleted {
        tasks: tasks.into_iter().fuse(),
        running: FuturesUnordered::new(),
        concurrency: DEFAULT_CONCURRENCY,
        started: 0,
    }
}

/// Sorts results into values and errors, each in their order.
///
/// # Examples
///
/// ```
/// use tidegate::partition;
///
/// let sorted = partition(["1", "x", "3"].map(str::parse::<u8>));
/// assert_eq!(sorted.values, [1, 3]);
/// assert_eq!(sorted.errors.len(), 1);
/// ```
pub fn partition<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> Partition<T, E> {
    let mut sorted = Partition {
        values: Vec::new(),
        errors: Vec::new(),
    };
    for result in results {
        match result {
            Ok(value) => sorted.values.push(value),
            Err(error) => sorted.errors.push(error),
        }
    }
    sorted
}

/// Values and errors apart, from [`partition`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partition<T, E> {
    /// What succeeded, in order.
    pub values: Vec<T>,
    /// What failed, in order.
    pub errors: Vec<E>,
}

type Output<I> = <<I as Iterator>::Item as Future>::Output;

/// The stream of [`as_completed`].
#[must_use = "streams do nothing unless polled"]
pub struct AsCompleted<I: Iterator<Item: Future>> {
    tasks: Fuse<I>,
    running: FuturesUnordered<Indexed<I::Item>>,
    concurrency: usize,
    started: usize,
}

impl<I: Iterator<Item: Future>> AsCompleted<I> {
    /// Runs at most so many at once; 0 counts as 1.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.concurrency = most.max(1);
        self
    }

    /// How many have been started.
    pub fn started(&self) -> usize {
        self.started
    }
}

// Nothing is ever pinned through it: the futures are pinned inside `FuturesUnordered`.
impl<I: Iterator<Item: Future>> Unpin for AsCompleted<I> {}

impl<I: Iterator<Item: Future>> Stream for AsCompleted<I> {
    type Item = (usize, Output<I>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.running.len() < this.concurrency
            && let Some(future) = this.tasks.next()
        {
            this.running.push(Indexed {
                index: this.started,
                future: Box::pin(future),
            });
            this.started += 1;
        }
        this.running.poll_next_unpin(context)
    }
}

struct Indexed<F> {
    index: usize,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Indexed<F> {
    type Output = (usize, F::Output);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let value = ready!(self.future.as_mut().poll(context));
        Poll::Ready((self.index, value))
    }
}

/// The future of [`gather`].
#[must_use = "futures do nothing unless polled"]
pub struct Gather<I: Iterator<Item: Future>> {
    running: AsCompleted<I>,
    results: Vec<Option<Output<I>>>,
    progress: Progress,
}

impl<I: Iterator<Item: Future>> Gather<I> {
    /// Runs at most so many at once; 0 counts as 1.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.running = self.running.concurrency(most);
        self
    }

    /// Calls `report` after each task with how many are done and, if the iterator knows it, of how many.
    pub fn on_progress(mut self, report: impl FnMut(usize, Option<usize>) + 'static) -> Self {
        self.progress.report = Some(Box::new(report));
        self
    }
}

impl<I: Iterator<Item: Future>> Unpin for Gather<I> {}

impl<I: Iterator<Item: Future>> Future for Gather<I> {
    type Output = Vec<Output<I>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while let Some((index, value)) = ready!(this.running.poll_next_unpin(context)) {
            put(&mut this.results, index, value);
            this.progress.step();
        }
        Poll::Ready(this.results.drain(..).flatten().collect())
    }
}

/// The future of [`try_gather`].
#[must_use = "futures do nothing unless polled"]
pub struct TryGather<I: Iterator<Item: Future>, T> {
    running: AsCompleted<I>,
    results: Vec<Option<T>>,
    progress: Progress,
}

impl<I: Iterator<Item: Future>, T> TryGather<I, T> {
    /// Runs at most so many at once; 0 counts as 1.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.running = self.running.concurrency(most);
        self
    }

    /// Calls `report` after each task with how many are done and, if the iterator knows it, of how many.
    pub fn on_progress(mut self, report: impl FnMut(usize, Option<usize>) + 'static) -> Self {
        self.progress.report = Some(Box::new(report));
        self
    }
}

impl<I: Iterator<Item: Future>, T> Unpin for TryGather<I, T> {}

impl<I, T, E> Future for TryGather<I, T>
where
    I: Iterator<Item: Future<Output = Result<T, E>>>,
{
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while let Some((index, result)) = ready!(this.running.poll_next_unpin(context)) {
            this.progress.step();
            match result {
                Ok(value) => put(&mut this.results, index, value),
                Err(error) => {
                    this.running.running.clear();
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(this.results.drain(..).flatten().collect()))
    }
}

fn put<T>(results: &mut Vec<Option<T>>, index: usize, value: T) {
    if results.len() <= index {
        results.resize_with(index + 1, || None);
    }
    results[index] = Some(value);
}

struct Progress {
    done: usize,
    total: Option<usize>,
    report: Option<Report>,
}

type Report = Box<dyn FnMut(usize, Option<usize>)>;

impl Progress {
    fn of(tasks: &impl Iterator) -> Self {
        let (least, most) = tasks.size_hint();
        Self {
            done: 0,
            total: most.filter(|most| *most == least),
            report: None,
        }
    }

    fn step(&mut self) {
        self.done += 1;
        if let Some(report) = &mut self.report {
            report(self.done, self.total);
        }
    }
}

impl<I: Iterator<Item: Future>> fmt::Debug for AsCompleted<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("running", &self.running.len())
            .field("concurrency", &self.concurrency)
            .field("started", &self.started)
            .finish()
    }
}

impl<I: Iterator<Item: Future>> fmt::Debug for Gather<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gather").field(&self.running).finish()
    }
}

impl<I: Iterator<Item: Future>, T> fmt::Debug for TryGather<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryGather").field(&self.running).finish()
    }
}

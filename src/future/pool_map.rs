//! A pool over a stream: pulls as there is room, yields in order.

use super::pool::Pool;
use super::run_options::RunOptions;
use super::runtime::Runtime;
use super::task::{RunError, TaskContext};
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// How many unread results are held unless told otherwise.
const DEFAULT_RESULT_BUFFER: usize = 50;

/// The stream of [`Pool::map`].
#[must_use = "streams do nothing unless polled"]
pub struct PoolMap<'a, R: Runtime, S: Stream, T, E> {
    pool: Pool<R>,
    source: Source<S>,
    start: Box<Start<'a, S::Item, T, E>>,
    options: RunOptions,
    running: FuturesUnordered<Running<'a, T, E>>,
    unread: BTreeMap<usize, Result<T, RunError<E>>>,
    pulled: usize,
    yielded: usize,
    ordered: bool,
    result_buffer: usize,
}

type Running<'a, T, E> = Pin<Box<dyn Future<Output = (usize, Result<T, RunError<E>>)> + 'a>>;
type Start<'a, A, T, E> = dyn Fn(usize, A, RunOptions) -> Running<'a, T, E> + 'a;

enum Source<S> {
    Open(Pin<Box<S>>),
    Ended,
}

impl<'a, R: Runtime, S: Stream, T: 'a, E: 'a> PoolMap<'a, R, S, T, E> {
    pub(crate) fn new<F, Fut>(pool: Pool<R>, source: S, task: F) -> Self
    where
        S::Item: 'a,
        F: Fn(S::Item, TaskContext) -> Fut + 'a,
        Fut: Future<Output = Result<T, E>> + 'a,
    {
        let task = Rc::new(task);
        let own = pool.clone();
        let start = move |index, item, options| -> Running<'a, T, E> {
            let (pool, task) = (own.clone(), Rc::clone(&task));
            Box::pin(async move { (index, pool.run(options, move |context| task(item, context)).await) })
        };
        Self {
            pool,
            source: Source::Open(Box::pin(source)),
            start: Box::new(start),
            options: RunOptions::new(),
            running: FuturesUnordered::new(),
            unread: BTreeMap::new(),
            pulled: 0,
            yielded: 0,
            ordered: true,
            result_buffer: DEFAULT_RESULT_BUFFER,
        }
    }

    /// Yields each result as it comes instead of in the order of the source.
    pub fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// Holds at most so many results that nobody has read, then starts nothing more; 0 counts as 1.
    pub fn result_buffer(mut self, most: usize) -> Self {
        self.result_buffer = most.max(1);
        self
    }

    /// What to say about each task.
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    fn pull(&mut self, context: &mut Context<'_>) {
        let most = self.pool.concurrency() as usize;
        while self.running.len() < most && self.running.len() + self.unread.len() < self.result_buffer {
            let Source::Open(source) = &mut self.source else {
                return;
            };
            match source.as_mut().poll_next(context) {
                Poll::Pending => return,
                Poll::Ready(None) => self.source = Source::Ended,
                Poll::Ready(Some(item)) => {
                    self.running
                        .push((self.start)(self.pulled, item, self.options.clone()));
                    self.pulled += 1;
                }
            }
        }
    }

    fn next_unread(&mut self) -> Option<Result<T, RunError<E>>> {
        let index = if self.ordered {
            self.yielded
        } else {
            *self.unread.first_key_value()?.0
        };
        let result = self.unread.remove(&index)?;
        self.yielded += 1;
        Some(result)
    }
}

// Nothing is ever pinned through it: source and tasks have boxes of their own.
impl<R: Runtime, S: Stream, T, E> Unpin for PoolMap<'_, R, S, T, E> {}

impl<'a, R: Runtime, S: Stream, T: 'a, E: 'a> Stream for PoolMap<'a, R, S, T, E> {
    type Item = Result<T, RunError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            this.pull(context);
            match this.running.poll_next_unpin(context) {
                Poll::Ready(Some((index, result))) => {
                    this.unread.insert(index, result);
                }
                Poll::Ready(None) | Poll::Pending => {
                    return match this.next_unread() {
                        Some(result) => Poll::Ready(Some(result)),
                        None if this.running.is_empty() && matches!(this.source, Source::Ended) => {
                            Poll::Ready(None)
                        }
                        None => Poll::Pending,
                    };
                }
            }
        }
    }
}

impl<R: Runtime, S: Stream, T, E> fmt::Debug for PoolMap<'_, R, S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMap")
            .field("running", &self.running.len())
            .field("unread", &self.unread.len())
            .field("yielded", &self.yielded)
            .finish_non_exhaustive()
    }
}

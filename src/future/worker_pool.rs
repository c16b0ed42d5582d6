//! Work for other cores: kernels, registered under names, that workers run.

use super::host::Host;
use super::runtime::{Parker, Runtime};
use super::turn::Room;
use crate::machine::config::ConfigError;
use crate::machine::dispatch::{Cancelled, Dispatch};
use crate::machine::ticket::Ticket;
use crate::machine::wakes::Refusal;
use crate::machine::world::World;
use futures::future::{Either, select};
use inner::{Call, Inner};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

mod error;
mod inner;
mod kernels;
mod listener;
mod options;
mod parallel;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod serve;
#[cfg(test)]
mod tests;
#[cfg(not(target_arch = "wasm32"))]
mod threads;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod web;
mod workers;

pub use crate::machine::dispatch::DispatchCounts;
pub use error::WorkerError;
pub use kernels::{KernelError, Kernels};
pub use options::{WorkerPoolOptions, WorkerRunOptions};
pub use parallel::{parallel_map, parallel_reduce};
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub use serve::{NotInWorker, serve_kernels};
#[cfg(not(target_arch = "wasm32"))]
pub use threads::ThreadWorkers;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub use web::WebWorkers;
pub use workers::{NoWorkers, Worker, WorkerEars, WorkerTask, Workers};

/// A pool of workers that run registered kernels: functions from bytes to bytes.
///
/// What a worker is, a [`Workers`] says: `ThreadWorkers` of the operating system, `WebWorkers` of a browser, which are further
/// instances of the program, or one of your own over whatever the platform has. Where there are none, and with [`NoWorkers`], the
/// same calls run on this thread, one after the other, with a yield before each ([`runs_here`](Self::runs_here)).
///
/// An idle worker gets a task at once; a busy one gets what has gathered, by what such tasks have cost so far. A worker
/// that dies takes nothing with it: what it may have been running is tried again elsewhere if it was marked idempotent,
/// and else is [`WorkerError::Crashed`]; another takes its place.
///
/// Clones are handles of the same pool. Its workers are ended with the last handle.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, Kernels, NoWorkers, VirtualRuntime, WorkerPool, WorkerPoolOptions, WorkerRunOptions};
///
/// let runtime = VirtualRuntime::new();
/// let kernels = Kernels::new().with("reverse", |args| Ok(args[0].iter().rev().copied().collect()));
/// let pool = WorkerPool::new(&Host::new(runtime.clone()), kernels, NoWorkers, WorkerPoolOptions::new())?;
/// let reversed = runtime.block_on(pool.run("reverse", [&b"tide"[..]], &WorkerRunOptions::new()))?;
/// assert_eq!(reversed, b"edit");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WorkerPool<R: Runtime>(Rc<Inner<R>>);

impl<R: Runtime> WorkerPool<R> {
    /// A pool whose workers are `workers`, which know the same kernels.
    ///
    /// # Errors
    ///
    /// One sentence about the first option that cannot be honoured.
    pub fn new(
        host: &Host<R>,
        kernels: Kernels,
        workers: impl Workers + 'static,
        options: WorkerPoolOptions,
    ) -> Result<Self, ConfigError> {
        let config = options.config()?;
        let max = options.most();
        let room = Room::open(
            host,
            "worker pools",
            |world| world.open_dispatch(config),
            World::drop_dispatch,
        )?;
        if let Some(name) = &options.name {
            room.name(Rc::clone(name));
        }
        let inner = Rc::new(Inner {
            room,
            kernels,
            workers: Box::new(workers),
            max,
            grace: options.grace,
            links: RefCell::default(),
            calls: RefCell::default(),
            started: Cell::new(0),
            carrying: Cell::new(false),
            flush_due: Cell::new(false),
            closing: RefCell::default(),
        });
        let of_time = Rc::downgrade(&inner);
        host.sweep_with(inner.room.id, move || {
            if let Some(inner) = of_time.upgrade() {
                inner.carry_out();
            }
        });
        let counted = Rc::downgrade(&inner);
        host.count_with(inner.room.id, move || {
            Some(("workers", counted.upgrade()?.readings()))
        });
        inner.tell(|dispatch, now| dispatch.open(now));
        Ok(Self(inner))
    }

    /// Runs a kernel over its arguments, in a worker.
    ///
    /// # Errors
    ///
    /// [`WorkerError::Kernel`] with what the kernel says; [`WorkerError::UnknownKernel`]; the others say what became of its
    /// worker or of the pool.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the task back. One that a worker is running ends there unheard; if it runs on for longer than
    /// the pool's grace, the worker is ended and replaced.
    pub async fn run<'a>(
        &self,
        kernel: &str,
        args: impl IntoIterator<Item = &'a [u8]>,
        options: &WorkerRunOptions,
    ) -> Result<Vec<u8>, WorkerError> {
        let args = args.into_iter().map(Rc::from).collect();
        self.run_shared(kernel, args, options).await
    }

    async fn run_shared(
        &self,
        kernel: &str,
        args: Vec<Rc<[u8]>>,
        options: &WorkerRunOptions,
    ) -> Result<Vec<u8>, WorkerError> {
        let inner = &self.0;
        let Some((kind, name)) = inner.kernels.number(kernel) else {
            return Err(WorkerError::UnknownKernel(kernel.to_owned()));
        };
        let id = inner.room.id;
        let submitted = inner.room.host.call_quietly(|world, now| {
            world.at_dispatch(id, |dispatch| dispatch.submit(now, options.job(kind)))
        });
        let ticket = match submitted.unwrap_or(Err(Refusal::Closed)) {
            Ok(ticket) => ticket,
            Err(refusal) => return Err(inner.refused(refusal)),
        };
        let call = Rc::new(Call {
            task: WorkerTask {
                id: ticket.to_bits(),
                kernel: name,
                args,
            },
            timeout: options.timeout,
            outcome: RefCell::default(),
            parker: inner.room.host.runtime().park(),
        });
        inner
            .calls
            .borrow_mut()
            .insert(ticket.to_bits(), Rc::clone(&call));
        let _given_up = Waiting { inner, ticket };
        inner.carry_out();
        inner.flush_soon();
        poll_fn(|context| {
            loop {
                if let Some(outcome) = call.outcome.borrow_mut().take() {
                    return Poll::Ready(outcome);
                }
                if call.parker.poll_parked(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Takes nothing in any more, finishes what was taken in, and ends the workers. After `grace` whatever is left is given
    /// up and its workers are ended at once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future waits no longer; the pool stays closed.
    pub async fn close(&self, grace: Duration) {
        let inner = &self.0;
        inner.tell(|dispatch, now| dispatch.close(now, false));
        let parker = inner.room.host.runtime().park();
        inner.closing.borrow_mut().push(parker.clone());
        let over = poll_fn(|context| {
            while !inner.is_over() {
                if parker.poll_parked(context).is_pending() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        });
        let late = inner.room.host.runtime().sleep(grace);
        if let Either::Right(_) = select(pin!(over), pin!(late)).await {
            inner.tell(|dispatch, _| dispatch.kill());
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> DispatchCounts {
        self.0
            .look_or(DispatchCounts::default(), |dispatch| dispatch.counts)
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.0.look_or(0, Dispatch::workers)
    }

    /// How many of them have something to do.
    pub fn busy(&self) -> usize {
        self.0.look_or(0, Dispatch::busy)
    }

    /// How many tasks no worker has yet.
    pub fn queued(&self) -> usize {
        self.0.look_or(0, Dispatch::queued)
    }

    /// Whether there are no workers to be had, so that tasks run on this thread.
    pub fn runs_here(&self) -> bool {
        self.0.look_or(false, Dispatch::runs_here)
    }
}

/// Who awaits a task; dropping it takes the task back, if it is still there.
struct Waiting<'a, R: Runtime> {
    inner: &'a Rc<Inner<R>>,
    ticket: Ticket,
}

impl<R: Runtime> Drop for Waiting<'_, R> {
    fn drop(&mut self) {
        let awaited = self.inner.calls.borrow_mut().remove(&self.ticket.to_bits());
        if awaited.is_none() {
            return;
        }
        let (ticket, grace) = (self.ticket, crate::machine::time::micros(self.inner.grace));
        let cancelled = self
            .inner
            .tell(|dispatch, now| dispatch.cancel(now, ticket, grace));
        if let Some(Ok(Cancelled::Tell(worker))) = cancelled
            && let Some(link) = self.inner.link(worker)
        {
            link.cancel(ticket.to_bits());
        }
    }
}

impl<R: Runtime> Clone for WorkerPool<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for WorkerPool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool")
            .field("workers", &self.workers())
            .field("queued", &self.queued())
            .field("counts", &self.counts())
            .finish()
    }
}

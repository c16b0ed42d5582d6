//! Work for other cores: kernels, registered under names, that workers run.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::readings::Reading;
use super::runtime::{Parker, Runtime};
use super::turn::Room;
use crate::machine::config::ConfigError;
use crate::machine::dispatch::{Answer, Cancelled, Dispatch, Fault, Order};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::Refusal;
use crate::machine::world::World;
use futures::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

mod kernels;
mod options;
mod parallel;
#[cfg(test)]
mod tests;
#[cfg(not(target_arch = "wasm32"))]
mod threads;
mod workers;

pub use crate::machine::dispatch::DispatchCounts;
pub use kernels::{KernelError, Kernels};
pub use options::{WorkerPoolOptions, WorkerRunOptions};
pub use parallel::{parallel_map, parallel_reduce};
#[cfg(not(target_arch = "wasm32"))]
pub use threads::ThreadWorkers;
pub use workers::{NoWorkers, Worker, WorkerEars, WorkerTask, Workers};

/// A pool of workers that run registered kernels: functions from bytes to bytes.
///
/// What a worker is, a [`Workers`] says: `ThreadWorkers` of the operating system, or one of your own over whatever the
/// platform has. Where there are none the same calls run on this thread, one after the other, with a yield before each
/// ([`runs_here`](Self::runs_here)).
///
/// In wasm the crate brings no [`Workers`] of its own: with [`NoWorkers`] everything runs on the thread that calls. A Web Worker
/// is another instance of the program, at an address that only the program's bundler knows; who wants them implements the
/// trait, whose tasks and answers are bytes, over `postMessage`. The npm package's `WorkerPool` does all of that by itself.
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

struct Inner<R: Runtime> {
    room: Rc<Room<R>>,
    kernels: Kernels,
    workers: Box<dyn Workers>,
    max: u32,
    grace: Duration,
    links: RefCell<HashMap<u64, Rc<dyn Worker>>>,
    calls: RefCell<HashMap<u64, Rc<Call<R>>>>,
    started: Cell<u64>,
    carrying: Cell<bool>,
    flush_due: Cell<bool>,
    /// Those who wait for the end of everything.
    closing: RefCell<Vec<R::Parker>>,
}

/// A call that has not been answered.
struct Call<R: Runtime> {
    task: WorkerTask,
    timeout: Option<Duration>,
    outcome: RefCell<Option<Result<Vec<u8>, WorkerError>>>,
    parker: R::Parker,
}

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

impl<R: Runtime> Inner<R> {
    fn look_or<T>(&self, otherwise: T, glance: impl FnOnce(&Dispatch) -> T) -> T {
        self.room
            .look(|world, id| world.dispatch(id).map(glance))
            .unwrap_or(otherwise)
    }

    fn readings(&self) -> Vec<Reading> {
        let of = |dispatch: &Dispatch| {
            let DispatchCounts {
                submitted,
                completed,
                cancelled,
                timed_out,
                crashed,
                retried,
                moved,
                messages,
                spawned,
                deaths,
                recycled,
            } = dispatch.counts;
            vec![
                Reading::now("cooperative", usize::from(dispatch.runs_here())),
                Reading::now("configured", self.max as usize),
                Reading::now("active", dispatch.workers()),
                Reading::now("busy", dispatch.busy()),
                Reading::now("idle", dispatch.idle()),
                Reading::now("queued", dispatch.queued()),
                Reading::now("running", dispatch.running()),
                Reading::outcome("tasks", "completed", completed),
                Reading::outcome("tasks", "cancelled", cancelled),
                Reading::outcome("tasks", "timeout", timed_out),
                Reading::outcome("tasks", "crashed", crashed),
                Reading::ever("submitted", submitted),
                Reading::ever("retried", retried),
                Reading::ever("moved", moved),
                Reading::ever("messages", messages),
                Reading::ever("spawned", spawned),
                Reading::ever("deaths", deaths),
                Reading::ever("recycled", recycled),
            ]
        };
        self.look_or(Vec::new(), of)
    }

    fn refused(&self, refusal: Refusal) -> WorkerError {
        match refusal {
            Refusal::Closed => WorkerError::Closed,
            other => WorkerError::Refused(self.room.error(other)),
        }
    }

    /// Tells the machine something, and does what it then orders.
    fn tell<T>(self: &Rc<Self>, event: impl FnOnce(&mut Dispatch, Instant) -> T) -> Option<T> {
        let id = self.room.id;
        let told = self
            .room
            .host
            .call_quietly(|world, now| world.at_dispatch(id, |dispatch| event(dispatch, now)));
        self.carry_out();
        told
    }

    /// Does what the machine orders, one order after the other; what comes of it meanwhile is done by the outermost.
    fn carry_out(self: &Rc<Self>) {
        if self.carrying.replace(true) {
            return;
        }
        let id = self.room.id;
        let next = || {
            let order = self
                .room
                .host
                .call_quietly(|world, _| world.at_dispatch(id, Dispatch::pop_order));
            order.flatten()
        };
        while let Some(order) = next() {
            self.obey(order);
        }
        self.carrying.set(false);
        self.room.host.drain();
        if self.is_over() {
            for parker in self.closing.take() {
                parker.unpark();
            }
        }
    }

    fn obey(self: &Rc<Self>, order: Order) {
        match order {
            Order::Spawn(worker) => self.start(worker),
            Order::Send { worker, tasks } => {
                let tasks = {
                    let calls = self.calls.borrow();
                    let task = |ticket: &Ticket| calls.get(&ticket.to_bits()).map(|call| call.task.clone());
                    tasks.iter().filter_map(task).collect()
                };
                if let Some(link) = self.link(worker) {
                    link.send(tasks);
                }
            }
            Order::Retire(worker) => {
                if let Some(link) = self.unlink(worker) {
                    link.retire();
                }
            }
            Order::Terminate(worker) => {
                if let Some(link) = self.unlink(worker) {
                    link.terminate();
                }
            }
            Order::Reject { task, fault } => {
                let error = |call: &Call<R>| match fault {
                    Fault::Crashed => WorkerError::Crashed,
                    Fault::TimedOut => WorkerError::TimedOut(call.timeout),
                    Fault::Closed => WorkerError::Closed,
                    Fault::Dropped => WorkerError::Refused(AcquireError::Dropped { queued: 0 }),
                };
                self.settle(task, |call| Err(error(call)));
            }
            Order::RunHere(task) => self.run_here(task),
        }
    }

    fn start(self: &Rc<Self>, worker: Ticket) {
        self.started.set(self.started.get() + 1);
        let name = format!("{} {}", self.room.host.name_of(self.room.id), self.started.get());
        let ears = WorkerEars::new(Rc::new(Listener {
            inner: Rc::downgrade(self),
            worker,
        }));
        let ends = match self.workers.start(&name, &self.kernels, ears) {
            Some(link) => {
                self.links.borrow_mut().insert(worker.to_bits(), link);
                return;
            }
            None => |dispatch: &mut Dispatch, _| dispatch.give_up(),
        };
        self.tell(ends);
    }

    fn link(&self, worker: Ticket) -> Option<Rc<dyn Worker>> {
        self.links.borrow().get(&worker.to_bits()).cloned()
    }

    fn unlink(&self, worker: Ticket) -> Option<Rc<dyn Worker>> {
        self.links.borrow_mut().remove(&worker.to_bits())
    }

    fn settle(&self, task: Ticket, outcome: impl FnOnce(&Call<R>) -> Result<Vec<u8>, WorkerError>) {
        let call = self.calls.borrow_mut().remove(&task.to_bits());
        if let Some(call) = call {
            let outcome = outcome(&call);
            call.outcome.replace(Some(outcome));
            call.parker.unpark();
        }
    }

    /// Without workers: on this thread, when others have had their turn.
    fn run_here(self: &Rc<Self>, task: Ticket) {
        let inner = Rc::downgrade(self);
        let turn = self.room.host.runtime().yield_now();
        self.room.host.runtime().spawn(async move {
            turn.await;
            let Some(inner) = inner.upgrade() else { return };
            let awaited = inner.calls.borrow().get(&task.to_bits()).cloned();
            if let Some(call) = awaited {
                let outcome = inner.kernels.run(&call.task);
                inner.settle(task, |_| outcome.map_err(WorkerError::Kernel));
            }
        });
    }

    /// Busy workers get what has gathered when the caller's turn is over.
    fn flush_soon(self: &Rc<Self>) {
        if self.flush_due.replace(true) {
            return;
        }
        let inner = Rc::downgrade(self);
        self.room.host.runtime().spawn(async move {
            if let Some(inner) = inner.upgrade() {
                inner.flush_due.set(false);
                inner.tell(Dispatch::flush);
            }
        });
    }

    fn is_over(&self) -> bool {
        self.calls.borrow().is_empty() && self.look_or(0, Dispatch::workers) == 0
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

/// What is heard of one worker.
struct Listener<R: Runtime> {
    inner: Weak<Inner<R>>,
    worker: Ticket,
}

impl<R: Runtime> workers::Hears for Listener<R> {
    fn ready(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.tell(|dispatch, now| dispatch.ready(now, self.worker));
        }
    }

    fn answered(&self, task: u64, result: Result<Vec<u8>, KernelError>, ran: Duration) {
        let Some(inner) = self.inner.upgrade() else {
            return;
        };
        let ticket = Ticket::from_bits(task);
        let answer = inner.tell(|dispatch, now| dispatch.answered(now, self.worker, ticket, Some(ran)));
        if let Some(Ok(Answer::Deliver)) = answer {
            inner.settle(ticket, |_| result.map_err(WorkerError::Kernel));
        }
        // One flush for all answers that come together.
        inner.flush_soon();
    }

    fn trapped(&self, task: u64) {
        if let Some(inner) = self.inner.upgrade() {
            let ticket = Ticket::from_bits(task);
            let known = inner.tell(|dispatch, now| dispatch.trapped(now, self.worker, ticket));
            if let (Some(Ok(())), Some(link)) = (known, inner.unlink(self.worker)) {
                link.terminate();
            }
        }
    }

    fn died(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.unlink(self.worker);
            inner.tell(|dispatch, now| dispatch.crashed(now, self.worker));
        }
    }

    fn spawn(&self, task: futures::future::LocalBoxFuture<'static, ()>) {
        if let Some(inner) = self.inner.upgrade() {
            inner.room.host.runtime().spawn(task);
        }
    }
}

impl<R: Runtime> Drop for Inner<R> {
    fn drop(&mut self) {
        for link in self.links.take().into_values() {
            link.terminate();
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

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerError {
    /// No kernel is registered under this name.
    UnknownKernel(String),
    /// The kernel itself failed.
    Kernel(KernelError),
    /// Its worker died while it may have been running, and it is not idempotent or was tried often enough.
    Crashed,
    /// It ran longer than it may; its worker was ended. The limit, where the call brought one.
    TimedOut(Option<Duration>),
    /// The pool was closed before it ended.
    Closed,
    /// The pool took no more.
    Refused(AcquireError),
}

impl WorkerError {
    /// The stable name of the reason, the same as in JavaScript.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownKernel(_) | Self::Kernel(_) => "KERNEL",
            Self::Crashed => "WORKER_CRASHED",
            Self::TimedOut(_) => "TIMEOUT",
            Self::Closed => "CLOSED",
            Self::Refused(error) => error.code(),
        }
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKernel(name) => write!(f, "no kernel is called `{name}`"),
            Self::Kernel(error) => error.fmt(f),
            Self::Crashed => f.write_str("the worker died while the task may have been running"),
            Self::TimedOut(Some(limit)) => write!(f, "the task ran longer than {limit:?}"),
            Self::TimedOut(None) => f.write_str("the task ran longer than the pool allows"),
            Self::Closed => f.write_str("the pool of workers was closed"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WorkerError {}

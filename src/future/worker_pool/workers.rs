//! What a worker is to a pool: the seam between it and the platform.

use super::kernels::{KernelError, Kernels};
use futures::future::LocalBoxFuture;
use std::rc::Rc;
use std::time::Duration;

/// What starts workers.
pub trait Workers {
    /// Starts a worker that knows these kernels, under a name that a debugger may show. What happens to it is told to `ears`,
    /// at any time, also from inside this call. `None` where there are no workers to be had: the pool then runs everything on
    /// its own thread.
    fn start(&self, name: &str, kernels: &Kernels, ears: WorkerEars) -> Option<Rc<dyn Worker>>;
}

/// One worker.
pub trait Worker {
    /// Gives it tasks, to run in this order and to answer one by one.
    fn send(&self, tasks: Vec<WorkerTask>);

    /// Nobody waits for this task any more: if it has not begun it may be answered at once. By default nothing happens.
    fn cancel(&self, _task: u64) {}

    /// Lets it end when it has answered everything.
    fn retire(&self);

    /// Ends it, whatever it does; where that cannot be, what it still says is nobody's.
    fn terminate(&self);
}

/// A task as it goes to a worker.
#[derive(Clone, Debug)]
pub struct WorkerTask {
    /// By which it is answered.
    pub id: u64,
    /// The kernel to run.
    pub kernel: Rc<str>,
    /// Over these bytes.
    pub args: Vec<Rc<[u8]>>,
}

/// To whom a worker, or who started it, tells what happens. After its end nobody listens.
#[derive(Clone)]
pub struct WorkerEars(Rc<dyn Hears>);

pub(super) trait Hears {
    fn ready(&self);
    fn answered(&self, task: u64, result: Result<Vec<u8>, KernelError>, ran: Duration);
    fn trapped(&self, task: u64);
    fn died(&self);
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);
}

impl WorkerEars {
    pub(super) fn new(hears: Rc<dyn Hears>) -> Self {
        Self(hears)
    }

    /// It has started.
    pub fn ready(&self) {
        self.0.ready();
    }

    /// It has a result, after so long.
    pub fn answered(&self, task: u64, result: Result<Vec<u8>, KernelError>, ran: Duration) {
        self.0.answered(task, result, ran);
    }

    /// A task has broken it, and those behind it have not begun. It is ended.
    pub fn trapped(&self, task: u64) {
        self.0.trapped(task);
    }

    /// It has died, or could not be started.
    pub fn died(&self) {
        self.0.died();
    }

    /// Runs a task on the pool's own thread: what waits there for messages of the worker.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(Box::pin(task));
    }
}

/// No workers: everything runs on the pool's own thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWorkers;

impl Workers for NoWorkers {
    fn start(&self, _name: &str, _kernels: &Kernels, _ears: WorkerEars) -> Option<Rc<dyn Worker>> {
        None
    }
}

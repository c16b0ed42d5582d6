//! What goes into the dispatch machine and what comes out of it.

use crate::machine::ticket::Ticket;

/// A task for a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    /// What it runs, as a number: its cost is learned from those of its kind.
    pub kind: u32,
    /// Higher first.
    pub priority: i32,
    /// Tasks of one key go to one worker while it can keep up.
    pub key: Option<u32>,
    /// Whether it may run again if its worker dies.
    pub idempotent: bool,
    /// How long it may run, in microseconds; `None` for the pool's own limit.
    pub timeout: Option<u64>,
}

impl Job {
    /// A task of this kind with nothing special about it.
    pub const fn of(kind: u32) -> Self {
        Self {
            kind,
            priority: 0,
            key: None,
            idempotent: false,
            timeout: None,
        }
    }
}

/// What the host is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Start a worker, and say [`ready`](super::Dispatch::ready) or [`crashed`](super::Dispatch::crashed).
    Spawn(Ticket),
    /// Send it these tasks, in this order, in one message.
    Send {
        /// The worker.
        worker: Ticket,
        /// The tasks.
        tasks: Vec<Ticket>,
    },
    /// Ask it to exit: nothing is left for it to do, and its ticket is stale.
    Retire(Ticket),
    /// End it at once, whatever it does: its ticket is stale, and what it still says is nobody's.
    Terminate(Ticket),
    /// Reject a task; its ticket is stale.
    Reject {
        /// The task.
        task: Ticket,
        /// What went wrong.
        fault: Fault,
    },
    /// Run a task here, in slices: no worker starts. Its ticket is stale.
    RunHere(Ticket),
}

/// What went wrong with a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Its worker died while it may have been running.
    Crashed,
    /// It ran longer than it may.
    TimedOut,
    /// The pool was closed before it ended.
    Closed,
    /// It gave way to one that came later.
    Dropped,
}

/// What an answer from a worker is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Settle the task with it.
    Deliver,
    /// Nobody waits for it any more.
    Discard,
}

/// What became of a task that was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// No worker has it.
    Unsent,
    /// Tell this worker; it is terminated if the task does not end in the time of grace.
    Tell(Ticket),
}

/// What happened so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DispatchCounts {
    /// Tasks taken in.
    pub submitted: u64,
    /// Answers delivered.
    pub completed: u64,
    /// Tasks cancelled.
    pub cancelled: u64,
    /// Tasks that ran out of time.
    pub timed_out: u64,
    /// Tasks rejected because their worker died.
    pub crashed: u64,
    /// Tasks given to another worker after theirs died.
    pub retried: u64,
    /// Tasks that moved from one worker's queue to an idle worker.
    pub moved: u64,
    /// Messages sent to workers.
    pub messages: u64,
    /// Workers started.
    pub spawned: u64,
    /// Workers that died by themselves.
    pub deaths: u64,
    /// Workers replaced after enough tasks or too much memory.
    pub recycled: u64,
}

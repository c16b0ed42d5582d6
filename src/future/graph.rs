//! Task graphs: tasks that start the moment the last thing they depend on has ended.

use super::host::Host;
use super::interned::Interned;
use super::owner::{DeadlockStep, Owner};
use super::runtime::{Parker, Runtime};
use crate::machine::config::ConfigError;
use crate::machine::graph::{
    Graph, GraphConfig, GraphError, GraphProgress, NewTask, TaskEnd, TaskState as Place,
};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::Wakes;
use futures::future::LocalBoxFuture;
use kin::Kin;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

mod kin;
mod report;
mod run;
mod task;

pub use report::{GraphReport, TaskGraphError, TaskReport, TaskResult};
pub use task::GraphTask;

/// Tasks with dependencies, run as soon as they may and no more at once than allowed.
///
/// Nothing is polled for: the end of a task starts its dependents, which are handed its result. A task that waits for another holds no
/// slot. Among those that are ready the higher priority starts first, then the one that was ready first. When a task does not succeed, what
/// depends on it is skipped with the reason, unless it says that it runs all the same.
///
/// Clones are handles of the same graph, so that tasks can add others while they run.
///
/// # Examples
///
/// ```
/// use tidegate::{GraphTask, TaskGraph, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let graph = TaskGraph::new(&runtime);
/// graph.add(GraphTask::new("price", async |_| Ok::<_, String>(6)))?;
/// graph.add(GraphTask::new("amount", async |_| Ok(7)))?;
/// graph.add(GraphTask::new("total", async |of| Ok(*of["price"] * *of["amount"])).depends_on(["price", "amount"]))?;
/// let report = runtime.block_on(graph.execute())?;
/// assert_eq!(report.value("total"), Some(&42));
/// # Ok::<(), tidegate::TaskGraphError>(())
/// ```
pub struct TaskGraph<R: Runtime, T, E>(Rc<Shared<R, T, E>>);

/// What a task is handed: the values of those it depends on, by name. Those that did not succeed have none.
pub type Results<T> = HashMap<Rc<str>, Rc<T>>;

type Listener = Rc<dyn Fn(GraphProgress)>;
type Start<T, E> = Box<dyn FnOnce(Results<T>) -> LocalBoxFuture<'static, Result<T, E>>>;

struct Shared<R: Runtime, T, E> {
    runtime: R,
    state: RefCell<State<R, T, E>>,
    on_progress: RefCell<Option<Listener>>,
    kin: RefCell<Option<Rc<Kin<R>>>>,
}

struct State<R: Runtime, T, E> {
    graph: Graph,
    wakes: Wakes,
    names: Interned<Rc<str>>,
    tasks: BTreeMap<Ticket, Task<T, E>>,
    // Where the one who executes waits for tasks that are added or cancelled meanwhile.
    executor: Option<R::Parker>,
    // Why tasks are being cancelled, where it is for the sake of others.
    given_up: BTreeMap<Ticket, Rc<[DeadlockStep]>>,
}

enum Task<T, E> {
    Unstarted(Start<T, E>),
    Running,
    Over(TaskResult<T, E>),
}

impl<R: Runtime, T: 'static, E: 'static> TaskGraph<R, T, E> {
    /// A graph without tasks that runs 10 at once and skips what depends on a failure.
    pub fn new(runtime: &R) -> Self {
        Self::with(runtime, GraphConfig::default())
    }

    /// A graph without tasks that behaves as `config` says.
    pub fn with(runtime: &R, config: GraphConfig) -> Self {
        Self(Rc::new(Shared {
            runtime: runtime.clone(),
            state: RefCell::new(State {
                graph: Graph::new(config),
                wakes: Wakes::new(),
                names: Interned::default(),
                tasks: BTreeMap::new(),
                executor: None,
                given_up: BTreeMap::new(),
            }),
            on_progress: RefCell::new(None),
            kin: RefCell::new(None),
        }))
    }

    /// Has `host` know the graph by a name: its tasks stand in the wait-for graph, with the locks, pools and waits of that host, each as its
    /// [`owner`](Self::owner) and waiting for those it depends on and for a slot; and what it counts is among the metrics.
    ///
    /// A task that could never start is given up: its result is [`TaskResult::Deadlocked`] with the chain.
    ///
    /// # Errors
    ///
    /// When the host knows more graphs than there are numbers for.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate::{GraphTask, Host, LockOptions, LockSet, TaskGraph, TaskResult, VirtualRuntime};
    ///
    /// let runtime = VirtualRuntime::new();
    /// let host = Host::new(runtime.clone());
    /// let locks = LockSet::new(&host)?;
    /// let graph = TaskGraph::new(&runtime).known_as(&host, "plan")?;
    /// let (first, second) = (graph.owner("first").unwrap(), graph.owner("second").unwrap());
    /// // The second task holds what the first waits for, and depends on it.
    /// let held = locks.try_acquire(["log"], LockOptions::new().owner(second));
    /// let needs_log = locks.clone();
    /// graph.add(GraphTask::new("first", async move |_| {
    ///     needs_log.acquire(["log"], LockOptions::new().owner(first)).await.map(drop)
    /// }))?;
    /// graph.add(GraphTask::new("second", async |_| Ok(())).depends_on(["first"]))?;
    /// let report = runtime.block_on(graph.execute())?;
    /// assert!(matches!(report.tasks[0].result, TaskResult::Failed(_)));
    /// # drop(held);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn known_as(self, host: &Host<R>, name: impl Into<Rc<str>>) -> Result<Self, ConfigError> {
        let shared = Rc::downgrade(&self.0);
        let progress = move || Some(shared.upgrade()?.state.borrow().graph.progress());
        let kin = Kin::open(host, name.into(), progress)?;
        self.0.kin.replace(Some(Rc::new(kin)));
        Ok(self)
    }

    /// A task as an owner of locks, a writer of values or the owner of tasks in pools, also before it is added or runs. `None` unless a
    /// host [knows](Self::known_as) the graph.
    pub fn owner(&self, name: &str) -> Option<Owner> {
        let kin = self.0.kin.borrow();
        Some(kin.as_ref()?.owner(&name.into()))
    }

    /// Calls `listener` after every change of state of a task.
    pub fn on_progress(&self, listener: impl Fn(GraphProgress) + 'static) {
        self.0.on_progress.replace(Some(Rc::new(listener)));
    }

    /// Adds a task, also while others run. Before the graph is executed, what it depends on may be added later than it; from then on it must be
    /// there.
    ///
    /// # Errors
    ///
    /// When the name is taken, the dependencies lead back to the task (the error names the way round) or are not there.
    pub fn add(&self, task: GraphTask<T, E>) -> Result<(), TaskGraphError> {
        let now = self.0.runtime.now();
        let executor = {
            let state = &mut *self.0.state.borrow_mut();
            let id = state.id(&task.name);
            let depends_on: Vec<u32> = task.depends_on.iter().map(|name| state.id(name)).collect();
            let new = NewTask {
                id,
                depends_on: &depends_on,
                priority: task.priority,
                weight: task.weight,
                on_failure: task.on_failure,
            };
            let added = state.graph.add(now, new, &mut state.wakes);
            let ticket = added.map_err(|error| state.named(error))?;
            state.tasks.insert(ticket, Task::Unstarted(task.run));
            state.executor.clone().map(|executor| (executor, ticket))
        };
        if let Some((executor, ticket)) = executor {
            self.tell_of([ticket]);
            executor.unpark();
        }
        Ok(())
    }

    /// Runs all tasks, also those that are added meanwhile, until each has ended, and reports. Later it can be executed again, for what was added
    /// since.
    ///
    /// # Errors
    ///
    /// Nothing has been run then: a dependency was never added, or the graph is being executed already. Failures of tasks are in the report.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the tasks that run and cancels the others.
    pub async fn execute(&self) -> Result<GraphReport<T, E>, TaskGraphError> {
        self.execute_below(None).await
    }

    /// Executes the graph for somebody who does nothing else until it is over: an [`Owner`], or the context of a task. Where a host
    /// [knows](Self::known_as) the graph, a task of it that waits for what only that one could give back is told the moment it hangs.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Cancel safety
    ///
    /// As [`execute`](Self::execute).
    pub async fn execute_for(&self, parent: impl Into<Owner>) -> Result<GraphReport<T, E>, TaskGraphError> {
        self.execute_below(Some(parent.into())).await
    }

    /// Cancels a task that is not over: it is dropped, its slot is free at once, and what depends on it is treated as after a failure. Whether
    /// there was such a task.
    pub fn cancel(&self, name: &str) -> bool {
        let now = self.0.runtime.now();
        let executor = {
            let state = &mut *self.0.state.borrow_mut();
            let id = state.names.find(name);
            let ticket = id.and_then(|id| state.graph.find(id));
            let cancelled =
                ticket.is_some_and(|ticket| state.graph.cancel(now, ticket, &mut state.wakes).is_ok());
            if !cancelled {
                return false;
            }
            state.executor.clone()
        };
        self.tell(executor);
        true
    }

    /// Cancels every task that is not over.
    pub fn cancel_all(&self) {
        let now = self.0.runtime.now();
        let executor = {
            let state = &mut *self.0.state.borrow_mut();
            state.graph.cancel_all(now, &mut state.wakes);
            state.executor.clone()
        };
        self.tell(executor);
    }

    /// How many tasks are where.
    pub fn progress(&self) -> GraphProgress {
        self.0.state.borrow().graph.progress()
    }

    fn kin(&self) -> Option<Rc<Kin<R>>> {
        self.0.kin.borrow().clone()
    }

    fn tell(&self, executor: Option<R::Parker>) {
        if let Some(executor) = executor {
            executor.unpark();
        }
    }

    fn report(&self, began: Instant) -> GraphReport<T, E> {
        let state = self.0.state.borrow();
        let (path, critical_time) = state.graph.critical_path();
        let tasks = state.tasks.iter().filter_map(|(ticket, task)| {
            Some(TaskReport {
                name: state.name(state.graph.id(*ticket)?),
                result: match (task, state.graph.state(*ticket)?) {
                    (Task::Over(result), _) => result.clone(),
                    (_, Place::Ended(TaskEnd::Cancelled)) => TaskResult::Cancelled,
                    (_, Place::Ended(TaskEnd::Skipped { because_of })) => TaskResult::Skipped {
                        because_of: state.name(because_of),
                    },
                    _ => TaskResult::Pending,
                },
                timing: state.graph.timing(*ticket)?,
            })
        });
        GraphReport {
            tasks: tasks.collect(),
            critical_path: path.into_iter().map(|id| state.name(id)).collect(),
            critical_time,
            duration: self.0.runtime.now() - began,
        }
    }
}

impl<R: Runtime, T, E> State<R, T, E> {
    fn id(&mut self, name: &Rc<str>) -> u32 {
        self.names.id(name)
    }

    fn name(&self, id: u32) -> Rc<str> {
        self.names.name(id).cloned().unwrap_or_default()
    }

    fn named(&self, error: GraphError) -> TaskGraphError {
        match error {
            GraphError::Duplicate { id } => TaskGraphError::Duplicate { name: self.name(id) },
            GraphError::Cycle { through } => TaskGraphError::Cycle {
                through: through.into_iter().map(|id| self.name(id)).collect(),
            },
            GraphError::Missing { id, dependency } => TaskGraphError::Missing {
                name: self.name(id),
                dependency: self.name(dependency),
            },
            GraphError::Full => TaskGraphError::Full,
        }
    }

    fn results(&self, ticket: Ticket) -> Results<T> {
        let dependencies = self.graph.dependencies(ticket).iter();
        dependencies
            .filter_map(|id| match self.tasks.get(&self.graph.find(*id)?)? {
                Task::Over(TaskResult::Succeeded(value)) => Some((self.name(*id), Rc::clone(value))),
                _ => None,
            })
            .collect()
    }
}

impl<R: Runtime, T, E> Clone for TaskGraph<R, T, E> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime, T, E> fmt::Debug for TaskGraph<R, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = self.0.state.borrow().graph.progress();
        f.debug_struct("TaskGraph").field("progress", &progress).finish()
    }
}

#[cfg(test)]
mod tests;

//! Task graphs: tasks that start the moment the last thing they depend on has ended.

use super::runtime::{Parker, Runtime};
use crate::machine::graph::{
    Graph, GraphConfig, GraphError, GraphProgress, NewTask, OnFailure, Outcome, TaskEnd,
};
use crate::machine::graph::{TaskState, TaskTiming};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Wakes, Why};
use futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

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

/// A task to add.
pub struct GraphTask<T, E> {
    name: Rc<str>,
    depends_on: Vec<Rc<str>>,
    priority: i32,
    weight: u32,
    on_failure: Option<OnFailure>,
    run: Start<T, E>,
}

/// What an execution came to.
#[derive(Clone, Debug)]
pub struct GraphReport<T, E> {
    /// Every task, in the order in which they were added.
    pub tasks: Vec<TaskReport<T, E>>,
    /// The chain of dependent tasks whose running times add up to the most: with any number of slots it takes that long.
    pub critical_path: Vec<Rc<str>>,
    /// The running time along it.
    pub critical_time: Duration,
    /// How long the execution took.
    pub duration: Duration,
}

/// What became of a task.
#[derive(Clone, Debug)]
pub struct TaskReport<T, E> {
    /// Its name.
    pub name: Rc<str>,
    /// How it ended.
    pub result: TaskResult<T, E>,
    /// When it did what.
    pub timing: TaskTiming,
}

/// How a task ended.
#[derive(PartialEq, Eq, Debug)]
pub enum TaskResult<T, E> {
    /// It ran and succeeded.
    Succeeded(Rc<T>),
    /// It ran and failed.
    Failed(Rc<E>),
    /// It never ran, because another did not succeed.
    Skipped {
        /// The one at the root of it.
        because_of: Rc<str>,
    },
    /// It was cancelled.
    Cancelled,
    /// It has not ended. Never in the report of an execution.
    Pending,
}

/// Why a task is not added, or the graph not executed. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TaskGraphError {
    /// There is a task of that name.
    Duplicate {
        /// The name.
        name: Rc<str>,
    },
    /// Its dependencies lead back to it.
    Cycle {
        /// The way round: each depends on the next, the last on the first.
        through: Vec<Rc<str>>,
    },
    /// A dependency was never added.
    Missing {
        /// The task that depends on it.
        name: Rc<str>,
        /// What was never added.
        dependency: Rc<str>,
    },
    /// There are 2^24 tasks already.
    Full,
    /// It is being executed already.
    Executing,
}

type Listener = Rc<dyn Fn(GraphProgress)>;
type Start<T, E> = Box<dyn FnOnce(Results<T>) -> LocalBoxFuture<'static, Result<T, E>>>;

struct Shared<R: Runtime, T, E> {
    runtime: R,
    state: RefCell<State<R, T, E>>,
    on_progress: RefCell<Option<Listener>>,
}

struct State<R: Runtime, T, E> {
    graph: Graph,
    wakes: Wakes,
    ids: HashMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
    tasks: BTreeMap<Ticket, Task<T, E>>,
    // Where the one who executes waits for tasks that are added or cancelled meanwhile.
    executor: Option<R::Parker>,
}

enum Task<T, E> {
    Unstarted(Start<T, E>),
    Running(AbortHandle),
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
                ids: HashMap::new(),
                names: Vec::new(),
                tasks: BTreeMap::new(),
                executor: None,
            }),
            on_progress: RefCell::new(None),
        }))
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
            state.executor.clone()
        };
        self.tell(executor);
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
        let began = self.0.runtime.now();
        let parker = self.0.runtime.park();
        {
            let state = &mut *self.0.state.borrow_mut();
            if state.executor.is_some() {
                return Err(TaskGraphError::Executing);
            }
            let begun = state.graph.begin(began, &mut state.wakes);
            begun.map_err(|error| state.named(error))?;
            state.executor = Some(parker.clone());
        }
        let _execution = Execution(self);
        let mut running = FuturesUnordered::new();
        poll_fn(|context| self.poll_execute(context, &parker, &mut running)).await;
        Ok(self.report(began))
    }

    /// Cancels a task that is not over: it is dropped, its slot is free at once, and what depends on it is treated as after a failure. Whether
    /// there was such a task.
    pub fn cancel(&self, name: &str) -> bool {
        let now = self.0.runtime.now();
        let executor = {
            let state = &mut *self.0.state.borrow_mut();
            let ticket = state.ids.get(name).and_then(|id| state.graph.find(*id));
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

    fn poll_execute(
        &self,
        context: &mut Context<'_>,
        parker: &R::Parker,
        running: &mut FuturesUnordered<Work<T, E>>,
    ) -> Poll<()> {
        loop {
            self.carry_out(running);
            match running.poll_next_unpin(context) {
                Poll::Ready(Some((ticket, Some(result)))) => self.ended(ticket, result),
                // It was cancelled.
                Poll::Ready(Some((_, None))) => {}
                Poll::Ready(None) if self.progress().is_over() => return Poll::Ready(()),
                Poll::Ready(None) | Poll::Pending => match parker.poll_parked(context) {
                    Poll::Ready(()) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    // Starts, skips and drops what the graph has decided. What is dropped is dropped outside the borrow: it may come back in here.
    fn carry_out(&self, running: &mut FuturesUnordered<Work<T, E>>) {
        loop {
            let mut changed = false;
            loop {
                let (next, dropped) = {
                    let state = &mut *self.0.state.borrow_mut();
                    let Some(wake) = state.wakes.pop() else {
                        break;
                    };
                    state.carry_out(wake.ticket, wake.why)
                };
                changed = true;
                drop(dropped);
                if let Some((ticket, start, results, stop)) = next {
                    let work = Abortable::new(start(results), stop);
                    running.push(Box::pin(async move { (ticket, work.await.ok()) }));
                }
            }
            if !changed {
                return;
            }
            let listener = self.0.on_progress.borrow().clone();
            if let Some(listener) = listener {
                listener(self.progress());
            }
        }
    }

    fn ended(&self, ticket: Ticket, result: Result<T, E>) {
        let now = self.0.runtime.now();
        let before = {
            let state = &mut *self.0.state.borrow_mut();
            let (outcome, result) = match result {
                Ok(value) => (Outcome::Succeeded, TaskResult::Succeeded(Rc::new(value))),
                Err(error) => (Outcome::Failed, TaskResult::Failed(Rc::new(error))),
            };
            match state.graph.end(now, ticket, outcome, &mut state.wakes) {
                Ok(()) => state.tasks.insert(ticket, Task::Over(result)),
                // It was cancelled in the very poll in which it ended.
                Err(_) => None,
            }
        };
        drop(before);
        let listener = self.0.on_progress.borrow().clone();
        if let Some(listener) = listener {
            listener(self.progress());
        }
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
                    (_, TaskState::Ended(TaskEnd::Cancelled)) => TaskResult::Cancelled,
                    (_, TaskState::Ended(TaskEnd::Skipped { because_of })) => TaskResult::Skipped {
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

type Decided<T, E> = (Option<Launch<T, E>>, Option<Task<T, E>>);
type Work<T, E> = LocalBoxFuture<'static, (Ticket, Option<Result<T, E>>)>;
type Launch<T, E> = (
    Ticket,
    Start<T, E>,
    Results<T>,
    futures::future::AbortRegistration,
);

impl<R: Runtime, T, E> State<R, T, E> {
    fn id(&mut self, name: &Rc<str>) -> u32 {
        *self.ids.entry(Rc::clone(name)).or_insert_with(|| {
            self.names.push(Rc::clone(name));
            (self.names.len() - 1) as u32
        })
    }

    fn name(&self, id: u32) -> Rc<str> {
        self.names.get(id as usize).cloned().unwrap_or_default()
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

    // What to start, and what to drop.
    fn carry_out(&mut self, ticket: Ticket, why: Why) -> Decided<T, E> {
        match why {
            Why::Granted => {
                let (handle, stop) = AbortHandle::new_pair();
                match self.tasks.insert(ticket, Task::Running(handle)) {
                    Some(Task::Unstarted(start)) => {
                        let results = self.results(ticket);
                        (Some((ticket, start, results, stop)), None)
                    }
                    other => (None, other),
                }
            }
            Why::Revoked => {
                let before = self.tasks.insert(ticket, Task::Over(TaskResult::Cancelled));
                if let Some(Task::Running(handle)) = &before {
                    handle.abort();
                }
                (None, before)
            }
            // Nobody is told when a task has become ready.
            Why::Ready => (None, None),
            _ => {
                let because_of = match self.graph.state(ticket) {
                    Some(TaskState::Ended(TaskEnd::Skipped { because_of })) => self.name(because_of),
                    _ => Rc::from(""),
                };
                let skipped = Task::Over(TaskResult::Skipped { because_of });
                (None, self.tasks.insert(ticket, skipped))
            }
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

/// An execution under way. When it is dropped before its end, nothing that it has not run will run.
struct Execution<'a, R: Runtime, T: 'static, E: 'static>(&'a TaskGraph<R, T, E>);

impl<R: Runtime, T: 'static, E: 'static> Drop for Execution<'_, R, T, E> {
    fn drop(&mut self) {
        self.0.0.state.borrow_mut().executor = None;
        if !self.0.progress().is_over() {
            self.0.cancel_all();
            self.0.carry_out(&mut FuturesUnordered::new());
        }
        self.0.0.state.borrow_mut().graph.rest();
    }
}

impl<T: 'static, E: 'static> GraphTask<T, E> {
    /// A task that depends on nothing. `run` is called when it starts, with the values of what it depends on.
    pub fn new<F, Fut>(name: impl Into<Rc<str>>, run: F) -> Self
    where
        F: FnOnce(Results<T>) -> Fut + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
    {
        Self {
            name: name.into(),
            depends_on: Vec::new(),
            priority: 0,
            weight: 1,
            on_failure: None,
            run: Box::new(move |results| Box::pin(run(results))),
        }
    }

    /// Names what must end before it starts.
    pub fn depends_on<N: Into<Rc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.depends_on.extend(names.into_iter().map(Into::into));
        self
    }

    /// −100 to 100, higher first among those that are ready; 0 unless set.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// How many slots it takes; 1 unless set.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// What it does when something it depends on did not succeed; as the graph is configured unless set.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = Some(on_failure);
        self
    }
}

impl<T, E> GraphReport<T, E> {
    /// What became of a task.
    pub fn task(&self, name: &str) -> Option<&TaskReport<T, E>> {
        self.tasks.iter().find(|task| &*task.name == name)
    }

    /// The value of a task that succeeded.
    pub fn value(&self, name: &str) -> Option<&T> {
        match &self.task(name)?.result {
            TaskResult::Succeeded(value) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for TaskGraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { name } => write!(f, "there is a task `{name}` already"),
            Self::Cycle { through } => {
                f.write_str("the dependencies go in a circle: ")?;
                through.iter().try_for_each(|name| write!(f, "`{name}` → "))?;
                write!(f, "`{}`", through.first().map_or("", |first| first))
            }
            Self::Missing { name, dependency } => {
                write!(f, "`{name}` depends on `{dependency}`, which was never added")
            }
            Self::Full => f.write_str("there are 2^24 tasks already"),
            Self::Executing => f.write_str("the graph is being executed already"),
        }
    }
}

impl std::error::Error for TaskGraphError {}

// By hand: values and errors are shared and need not be clonable themselves.
impl<T, E> Clone for TaskResult<T, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Succeeded(value) => Self::Succeeded(Rc::clone(value)),
            Self::Failed(error) => Self::Failed(Rc::clone(error)),
            Self::Skipped { because_of } => Self::Skipped {
                because_of: Rc::clone(because_of),
            },
            Self::Cancelled => Self::Cancelled,
            Self::Pending => Self::Pending,
        }
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

impl<T, E> fmt::Debug for GraphTask<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphTask")
            .field("name", &self.name)
            .field("depends_on", &self.depends_on)
            .finish_non_exhaustive()
    }
}

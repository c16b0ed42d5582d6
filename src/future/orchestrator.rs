//! Plugins over a target: in the order of their needs and priorities, so many at once, each ending in one result.

use super::graph::Results;
use super::runtime::{Parker, Runtime};
use crate::machine::graph::{GraphError, Outcome};
use crate::machine::orchestrator::{Mode, NewPlugin, Orchestrator as Machine, Run, RunConfig, Status};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Wakes, Why};
use futures::future::{AbortHandle, Abortable, FutureExt, LocalBoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Plugins that look at targets of type `A` and give a `T` or an `E`.
///
/// Each run gives exactly one [`PluginResult`] for each plugin that its mode admits, also for those that failed before they began, and one
/// plugin's failure or panic is that plugin's alone. Higher priority starts first, then the order of registration; one worker means exactly that
/// order. A plugin is handed the values of those it needs, and is skipped with the reason when one of them has none.
///
/// # Examples
///
/// ```
/// use tidegate::{Orchestrator, Plugin, RunConfig, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let mut plugins = Orchestrator::new(&runtime);
/// plugins.register(Plugin::new("length", async |text: std::rc::Rc<&str>, _| Ok::<_, String>(text.len())))?;
/// plugins.register(Plugin::new("double", async |_, of| Ok(*of["length"] * 2)).needs(["length"]))?;
/// let results = runtime.block_on(plugins.run("four", RunConfig::default()));
/// assert_eq!(results[1].value(), Some(&8));
/// # Ok::<(), tidegate::PluginsError>(())
/// ```
pub struct Orchestrator<R, A, T, E> {
    runtime: R,
    machine: Machine,
    ids: HashMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
    plugins: BTreeMap<u32, Rc<Plugin<A, T, E>>>,
}

/// One thing to do with a target.
pub struct Plugin<A, T, E> {
    name: Rc<str>,
    mode: Mode,
    priority: i32,
    weight: u32,
    needs: Vec<Rc<str>>,
    available: Option<Available<A>>,
    run: Start<A, T, E>,
}

type Available<A> = Box<dyn Fn(Rc<A>) -> LocalBoxFuture<'static, bool>>;
type Start<A, T, E> = Box<dyn Fn(Rc<A>, Results<T>) -> LocalBoxFuture<'static, Result<T, E>>>;

/// What became of one plugin in one run.
#[derive(Debug)]
pub struct PluginResult<T, E> {
    /// The plugin.
    pub plugin: Rc<str>,
    /// How it ended.
    pub end: PluginEnd<T, E>,
    /// When it began; `None` if it never did.
    pub start: Option<Instant>,
    /// How long it ran; `None` if it never did.
    pub duration: Option<Duration>,
}

/// How a plugin ended.
#[derive(PartialEq, Eq, Debug)]
pub enum PluginEnd<T, E> {
    /// It gave a value.
    Succeeded(Rc<T>),
    /// It gave an error.
    Failed(Rc<E>),
    /// It panicked. Only on the host: in wasm a panic is a trap.
    Panicked(Rc<str>),
    /// It never ran, because of one that it needs.
    Skipped {
        /// The one at the root of it: it gave no value, or does not take part.
        because_of: Rc<str>,
    },
    /// It said that it is not available for this target.
    Unavailable,
    /// It was cancelled.
    Cancelled,
}

/// Why a plugin is not registered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PluginsError {
    /// There is one of that name.
    Duplicate {
        /// The name.
        plugin: Rc<str>,
    },
    /// What it needs leads back to it.
    Cycle {
        /// The way round: each needs the next, the last the first.
        through: Vec<Rc<str>>,
    },
    /// There are 2^24 already.
    Full,
}

impl<R: Runtime, A: 'static, T: 'static, E: 'static> Orchestrator<R, A, T, E> {
    /// No plugins.
    pub fn new(runtime: &R) -> Self {
        Self {
            runtime: runtime.clone(),
            machine: Machine::new(),
            ids: HashMap::new(),
            names: Vec::new(),
            plugins: BTreeMap::new(),
        }
    }

    /// Registers a plugin. What it needs may be registered later, or never: then it is skipped.
    ///
    /// # Errors
    ///
    /// When the name is taken, or what it needs leads back to it.
    pub fn register(&mut self, plugin: Plugin<A, T, E>) -> Result<(), PluginsError> {
        let id = self.id(&plugin.name);
        let needs: Vec<u32> = plugin.needs.iter().map(|name| self.id(name)).collect();
        let new = NewPlugin {
            id,
            mode: plugin.mode,
            priority: plugin.priority,
            weight: plugin.weight,
            needs: &needs,
        };
        self.machine.register(new).map_err(|error| match error {
            GraphError::Duplicate { .. } => PluginsError::Duplicate {
                plugin: Rc::clone(&plugin.name),
            },
            GraphError::Cycle { through } => PluginsError::Cycle {
                through: through.into_iter().map(|id| self.name(id)).collect(),
            },
            GraphError::Missing { .. } | GraphError::Full => PluginsError::Full,
        })?;
        self.plugins.insert(id, Rc::new(plugin));
        Ok(())
    }

    /// Runs the plugins that the mode admits over a target, and gives their results in the order of registration.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the plugins that run; their results so far are lost. To keep them, [`begin`](Self::begin) and cancel.
    pub async fn run(&self, target: A, config: RunConfig) -> Vec<PluginResult<T, E>> {
        self.begin(target, config).await.finish(|_| ()).await
    }

    /// Asks the plugins whether they are available, all at once, and begins a run that can be steered while it goes. Nothing runs before
    /// [`finish`](PluginRun::finish) is polled.
    ///
    /// # Cancel safety
    ///
    /// Nothing has begun when it is dropped.
    pub async fn begin(&self, target: A, config: RunConfig) -> PluginRun<R, A, T, E> {
        let target = Rc::new(target);
        let asked = self.machine.admitted(config.mode).map(|id| {
            let plugin = self.plugins.get(&id).cloned();
            let target = Rc::clone(&target);
            async move {
                let answer = async {
                    match plugin.as_ref().and_then(|plugin| plugin.available.as_ref()) {
                        Some(ask) => ask(target).await,
                        None => true,
                    }
                };
                (id, AssertUnwindSafe(answer).catch_unwind().await.unwrap_or(false))
            }
        });
        let answers = join_all(asked).await;
        let unavailable: Vec<u32> = answers
            .into_iter()
            .filter_map(|(id, yes)| (!yes).then_some(id))
            .collect();
        let now = self.runtime.now();
        let mut wakes = Wakes::new();
        let machine = self.machine.begin(now, config, &unavailable, &mut wakes);
        PluginRun {
            runtime: self.runtime.clone(),
            target,
            plugins: self.plugins.clone(),
            names: self.names.clone(),
            shared: Rc::new(Shared {
                runtime: self.runtime.clone(),
                parker: self.runtime.park(),
                state: RefCell::new(State { machine, wakes }),
            }),
        }
    }

    fn id(&mut self, name: &Rc<str>) -> u32 {
        *self.ids.entry(Rc::clone(name)).or_insert_with(|| {
            self.names.push(Rc::clone(name));
            (self.names.len() - 1) as u32
        })
    }

    fn name(&self, id: u32) -> Rc<str> {
        self.names.get(id as usize).cloned().unwrap_or_default()
    }
}

/// A run that has begun.
#[must_use = "nothing runs before `finish` is polled"]
pub struct PluginRun<R: Runtime, A, T, E> {
    runtime: R,
    target: Rc<A>,
    plugins: BTreeMap<u32, Rc<Plugin<A, T, E>>>,
    names: Vec<Rc<str>>,
    shared: Rc<Shared<R>>,
}

/// Steers a run while it goes; clones steer the same run.
pub struct RunHandle<R: Runtime>(Rc<Shared<R>>);

struct Shared<R: Runtime> {
    runtime: R,
    parker: R::Parker,
    state: RefCell<State>,
}

struct State {
    machine: Run,
    wakes: Wakes,
}

enum Done<T, E> {
    Ended(Result<T, E>),
    Panicked(Rc<str>),
    Cancelled,
}

type Work<T, E> = LocalBoxFuture<'static, (Ticket, Done<T, E>)>;

impl<R: Runtime, A: 'static, T: 'static, E: 'static> PluginRun<R, A, T, E> {
    /// What steers it while [`finish`](Self::finish) is awaited.
    pub fn handle(&self) -> RunHandle<R> {
        RunHandle(Rc::clone(&self.shared))
    }

    /// Runs the plugins to their ends. `seen` is told each result as it comes, one at a time; all of them are returned in the order of registration.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the plugins that run; the results so far are lost.
    pub async fn finish(self, mut seen: impl FnMut(&PluginResult<T, E>)) -> Vec<PluginResult<T, E>> {
        let mut work = Working {
            run: self,
            running: FuturesUnordered::new(),
            stops: BTreeMap::new(),
            ended: BTreeMap::new(),
            values: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        poll_fn(|context| work.poll(context, &mut seen)).await;
        let mut told = work.told;
        let state = work.run.shared.state.borrow();
        let order = state.machine.records().map(|record| record.plugin);
        order.filter_map(|id| told.remove(&id)).collect()
    }
}

struct Working<R: Runtime, A, T, E> {
    run: PluginRun<R, A, T, E>,
    running: FuturesUnordered<Work<T, E>>,
    stops: BTreeMap<Ticket, AbortHandle>,
    ended: BTreeMap<u32, PluginEnd<T, E>>,
    values: BTreeMap<u32, Rc<T>>,
    told: BTreeMap<u32, PluginResult<T, E>>,
}

impl<R: Runtime, A: 'static, T: 'static, E: 'static> Working<R, A, T, E> {
    fn poll(&mut self, context: &mut Context<'_>, seen: &mut impl FnMut(&PluginResult<T, E>)) -> Poll<()> {
        loop {
            self.carry_out();
            self.tell(seen);
            match self.running.poll_next_unpin(context) {
                Poll::Ready(Some((ticket, done))) => self.end(ticket, done),
                Poll::Ready(None) if self.run.shared.state.borrow().machine.is_over() => {
                    return Poll::Ready(());
                }
                Poll::Ready(None) | Poll::Pending => {
                    if self.run.shared.parker.poll_parked(context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some((ticket, why)) = self.next_wake() {
            match why {
                Why::Granted => self.start(ticket),
                _ => {
                    if let Some(stop) = self.stops.remove(&ticket) {
                        stop.abort();
                    }
                }
            }
        }
    }

    fn next_wake(&self) -> Option<(Ticket, Why)> {
        let wake = self.run.shared.state.borrow_mut().wakes.pop()?;
        Some((wake.ticket, wake.why))
    }

    fn start(&mut self, ticket: Ticket) {
        let (id, results) = {
            let state = self.run.shared.state.borrow();
            let value = |id: &u32| Some((self.name(*id), Rc::clone(self.values.get(id)?)));
            let results = state.machine.needs(ticket).iter().filter_map(value).collect();
            (state.machine.plugin(ticket), results)
        };
        let Some(plugin) = id.and_then(|id| self.run.plugins.get(&id)).cloned() else {
            return;
        };
        let target = Rc::clone(&self.run.target);
        let (stop, registration) = AbortHandle::new_pair();
        self.stops.insert(ticket, stop);
        // Called inside, so that a panic before its first await is caught as well.
        let work = AssertUnwindSafe(async move { (plugin.run)(target, results).await }).catch_unwind();
        let work = Abortable::new(work, registration);
        self.running.push(Box::pin(async move {
            let done = match work.await {
                Ok(Ok(result)) => Done::Ended(result),
                Ok(Err(panic)) => Done::Panicked(words(&*panic)),
                Err(_) => Done::Cancelled,
            };
            (ticket, done)
        }));
    }

    fn end(&mut self, ticket: Ticket, done: Done<T, E>) {
        self.stops.remove(&ticket);
        let (outcome, end) = match done {
            Done::Ended(Ok(value)) => (Outcome::Succeeded, PluginEnd::Succeeded(Rc::new(value))),
            Done::Ended(Err(error)) => (Outcome::Failed, PluginEnd::Failed(Rc::new(error))),
            Done::Panicked(words) => (Outcome::Failed, PluginEnd::Panicked(words)),
            Done::Cancelled => return,
        };
        let now = self.run.runtime.now();
        let state = &mut *self.run.shared.state.borrow_mut();
        let plugin = state.machine.plugin(ticket);
        if state.machine.end(now, ticket, outcome, &mut state.wakes).is_ok()
            && let Some(plugin) = plugin
        {
            if let PluginEnd::Succeeded(value) = &end {
                self.values.insert(plugin, Rc::clone(value));
            }
            self.ended.insert(plugin, end);
        }
    }

    // Tells what has come to its end since, in the order of registration.
    fn tell(&mut self, seen: &mut impl FnMut(&PluginResult<T, E>)) {
        let fresh: Vec<_> = {
            let state = self.run.shared.state.borrow();
            let pending = |id: &u32| !self.told.contains_key(id);
            state
                .machine
                .records()
                .filter(|record| record.status != Status::Pending && pending(&record.plugin))
                .collect()
        };
        for record in fresh {
            let end = match record.status {
                Status::Pending => continue,
                Status::Succeeded | Status::Failed => match self.ended.remove(&record.plugin) {
                    Some(end) => end,
                    None => continue,
                },
                Status::Skipped { because_of } => PluginEnd::Skipped {
                    because_of: self.name(because_of),
                },
                Status::Unavailable => PluginEnd::Unavailable,
                Status::Cancelled => PluginEnd::Cancelled,
            };
            let result = PluginResult {
                plugin: self.name(record.plugin),
                end,
                start: record.start,
                duration: record.duration,
            };
            seen(&result);
            self.told.insert(record.plugin, result);
        }
    }

    fn name(&self, id: u32) -> Rc<str> {
        self.run.names.get(id as usize).cloned().unwrap_or_default()
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> Rc<str> {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panicked").into()
}

impl<R: Runtime> RunHandle<R> {
    /// Changes the number of workers; 0 counts as 1. Plugins above a lower number run on.
    pub fn set_max_workers(&self, workers: u32) {
        let workers = NonZeroU32::new(workers).unwrap_or(NonZeroU32::MIN);
        self.steer(|run, now, wakes| run.set_max_workers(now, workers, wakes));
    }

    /// Cancels every plugin that has not ended: those that run are dropped.
    pub fn cancel(&self) {
        self.steer(|run, now, wakes| run.cancel_all(now, wakes));
    }

    /// How many of how many plugins have ended.
    pub fn progress(&self) -> (u32, u32) {
        self.0.state.borrow().machine.progress()
    }

    fn steer(&self, change: impl FnOnce(&mut Run, Instant, &mut Wakes)) {
        let now = self.0.runtime.now();
        {
            let state = &mut *self.0.state.borrow_mut();
            change(&mut state.machine, now, &mut state.wakes);
        }
        self.0.parker.unpark();
    }
}

impl<A: 'static, T: 'static, E: 'static> Plugin<A, T, E> {
    /// A passive plugin that needs nothing. `run` is called for each target, with the values of those it needs.
    pub fn new<F, Fut>(name: impl Into<Rc<str>>, run: F) -> Self
    where
        F: Fn(Rc<A>, Results<T>) -> Fut + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
    {
        Self {
            name: name.into(),
            mode: Mode::Passive,
            priority: 0,
            weight: 1,
            needs: Vec::new(),
            available: None,
            run: Box::new(move |target, results| Box::pin(run(target, results))),
        }
    }

    /// Does more than any client would: only runs in active mode take it in.
    pub fn active(mut self) -> Self {
        self.mode = Mode::Active;
        self
    }

    /// Higher first among those that may start; 0 unless set.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// How many workers it takes; 1 unless set.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Names the plugins whose values it needs.
    pub fn needs<N: Into<Rc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.needs.extend(names.into_iter().map(Into::into));
        self
    }

    /// Asks before each run whether there is anything for it to do; one that panics is not available.
    pub fn available<F, Fut>(mut self, ask: F) -> Self
    where
        F: Fn(Rc<A>) -> Fut + 'static,
        Fut: Future<Output = bool> + 'static,
    {
        self.available = Some(Box::new(move |target| Box::pin(ask(target))));
        self
    }
}

impl<T, E> PluginResult<T, E> {
    /// The value, if it gave one.
    pub fn value(&self) -> Option<&T> {
        match &self.end {
            PluginEnd::Succeeded(value) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for PluginsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { plugin } => write!(f, "there is a plugin `{plugin}` already"),
            Self::Cycle { through } => {
                f.write_str("the plugins need each other in a circle: ")?;
                through.iter().try_for_each(|name| write!(f, "`{name}` → "))?;
                write!(f, "`{}`", through.first().map_or("", |first| first))
            }
            Self::Full => f.write_str("there are 2^24 plugins already"),
        }
    }
}

impl std::error::Error for PluginsError {}

impl<R: Runtime> Clone for RunHandle<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for RunHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunHandle").field(&self.progress()).finish()
    }
}

impl<R: Runtime, A, T, E> fmt::Debug for PluginRun<R, A, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginRun").field("plugins", &self.names).finish()
    }
}

impl<R, A, T, E> fmt::Debug for Orchestrator<R, A, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator")
            .field("plugins", &self.names)
            .finish()
    }
}

impl<A, T, E> fmt::Debug for Plugin<A, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("mode", &self.mode)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

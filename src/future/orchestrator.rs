//! Plugins over a target: in the order of their needs and priorities, so many at once, each ending in one result.

use super::host::Host;
use super::interned::Interned;
use super::runtime::Runtime;
use super::turn::Room;
use crate::machine::config::ConfigError;
use crate::machine::graph::GraphError;
use crate::machine::orchestrator::{NewPlugin, Orchestrator as Machine, RunConfig};
use crate::machine::wakes::Wakes;
use futures::future::{FutureExt, join_all};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use tally::Tally;

mod plugin;
mod result;
mod run;
mod tally;

pub use plugin::Plugin;
pub use result::{PluginEnd, PluginResult, PluginsError};
pub use run::{PluginRun, RunHandle};

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
pub struct Orchestrator<R: Runtime, A, T, E> {
    runtime: R,
    machine: Machine,
    names: Names,
    plugins: BTreeMap<u32, Rc<Plugin<A, T, E>>>,
    tally: Rc<Tally>,
    room: Option<Rc<Room<R>>>,
}

// Also of those that are needed and were never registered.
type Names = Rc<RefCell<Interned<Rc<str>>>>;

impl<R: Runtime, A: 'static, T: 'static, E: 'static> Orchestrator<R, A, T, E> {
    /// No plugins.
    pub fn new(runtime: &R) -> Self {
        Self {
            runtime: runtime.clone(),
            machine: Machine::new(),
            names: Names::default(),
            plugins: BTreeMap::new(),
            tally: Rc::default(),
            room: None,
        }
    }

    /// Has `host` know it by a name, so that what it counts is among the metrics.
    ///
    /// # Errors
    ///
    /// When the host knows more orchestrators than there are numbers for.
    pub fn known_as(mut self, host: &Host<R>, name: impl Into<Rc<str>>) -> Result<Self, ConfigError> {
        let tally = Rc::clone(&self.tally);
        let count = move || Some(("orchestrator", tally.readings()));
        self.room = Some(Room::counted(host, "orchestrators", name.into(), count)?);
        Ok(self)
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
                through: through.into_iter().map(|id| name_of(&self.names, id)).collect(),
            },
            GraphError::Missing { .. } | GraphError::Full => PluginsError::Full,
        })?;
        self.plugins.insert(id, Rc::new(plugin));
        self.tally.plugins.set(self.plugins.len());
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
        PluginRun::begun(self, target, machine, wakes)
    }

    fn id(&self, name: &Rc<str>) -> u32 {
        self.names.borrow_mut().id(name)
    }
}

fn name_of(names: &Names, id: u32) -> Rc<str> {
    names.borrow().name(id).cloned().unwrap_or_default()
}

impl<R: Runtime, A, T, E> fmt::Debug for Orchestrator<R, A, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator")
            .field("plugins", &self.plugins.len())
            .finish()
    }
}

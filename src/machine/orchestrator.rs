//! Orchestrator: which plugins take part, in which order, how many at once; each ends in exactly one record.
//!
//! Names stay with the host, by interned id. A run is a task graph over the plugins that its mode admits and that are available;
//! one that needs what does not take part is skipped with the reason, like one that needs what failed.

#[cfg(test)]
mod tests;

use super::graph::{
    Graph, GraphConfig, GraphError, NewTask, OnFailure, Outcome, TaskEnd, TaskState, TaskTiming,
};
use super::keys::{KeyMap, KeySet};
use super::ticket::{StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::Wakes;
use std::num::NonZeroU32;
use std::time::Duration;

/// The plugins that are registered.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    // In the order of registration, which is the order among equals.
    plugins: Vec<Registered>,
    by_id: KeyMap<usize>,
    // The same plugins as tasks: a graph knows when one more would close a circle.
    needs: Graph,
}

/// How far a plugin, or a run, may go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Mode {
    /// Only what any client would do: the default.
    #[default]
    Passive,
    /// More than that. A run in this mode includes the passive plugins.
    Active,
}

/// A plugin to register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewPlugin<'a> {
    /// Its name, interned.
    pub id: u32,
    /// How far it goes.
    pub mode: Mode,
    /// Higher first among those that may start; 0.
    pub priority: i32,
    /// How many workers it takes; 1.
    pub weight: u32,
    /// The plugins whose results it needs.
    pub needs: &'a [u32],
}

impl NewPlugin<'_> {
    /// A passive plugin that needs nothing.
    pub const fn named(id: u32) -> Self {
        Self {
            id,
            mode: Mode::Passive,
            priority: 0,
            weight: 1,
            needs: &[],
        }
    }
}

#[derive(Clone, Debug)]
struct Registered {
    id: u32,
    mode: Mode,
    priority: i32,
    weight: u32,
    needs: Vec<u32>,
}

/// How a run goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunConfig {
    /// How far it may go: passive.
    pub mode: Mode,
    /// Workers: 5. One means strict order.
    pub max_workers: NonZeroU32,
    /// What becomes of a plugin when one that it needs did not succeed or does not take part: it is skipped.
    pub on_failure: OnFailure,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Passive,
            max_workers: NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN),
            on_failure: OnFailure::Skip,
        }
    }
}

/// One pass of the plugins over one target.
#[derive(Clone, Debug)]
pub struct Run {
    graph: Graph,
    // Those that take part or would, in the order of registration.
    plugins: Vec<u32>,
    takes_part: KeySet,
    unavailable: KeySet,
}

/// What became of a plugin in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It has not ended.
    Pending,
    /// It ran and gave a result.
    Succeeded,
    /// It ran, or was about to, and failed: one error result.
    Failed,
    /// It never ran because a plugin that it needs failed, was cancelled or does not take part.
    Skipped {
        /// The one at the root of it.
        because_of: u32,
    },
    /// It said that it is not available here.
    Unavailable,
    /// It was cancelled.
    Cancelled,
}

/// One plugin's record in one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// The plugin.
    pub plugin: u32,
    /// What became of it.
    pub status: Status,
    /// When it began; `None` if it never did.
    pub start: Option<Instant>,
    /// How long it ran; `None` if it never did, or still does.
    pub duration: Option<Duration>,
}

impl Default for Orchestrator {
    fn default() -> Self {
        Self::new()
    }
}

impl Orchestrator {
    /// No plugins.
    pub fn new() -> Self {
        Self {
            plugins: Vec::new(),
            by_id: KeyMap::default(),
            needs: Graph::new(GraphConfig::default()),
        }
    }

    /// Registers a plugin. What it needs may be registered later.
    ///
    /// # Errors
    /// [`GraphError::Duplicate`] and [`GraphError::Cycle`], with the way round.
    pub fn register(&mut self, plugin: NewPlugin<'_>) -> Result<(), GraphError> {
        let task = NewTask {
            depends_on: plugin.needs,
            ..NewTask::named(plugin.id)
        };
        self.needs.add(Instant::ZERO, task, &mut Wakes::new())?;
        self.by_id.insert(plugin.id, self.plugins.len());
        self.plugins.push(Registered {
            id: plugin.id,
            mode: plugin.mode,
            priority: plugin.priority,
            weight: plugin.weight,
            needs: plugin.needs.to_vec(),
        });
        Ok(())
    }

    /// The plugins that a mode admits, in the order of registration: those to ask whether they are available.
    pub fn admitted(&self, mode: Mode) -> impl Iterator<Item = u32> {
        self.plugins
            .iter()
            .filter(move |plugin| plugin.mode <= mode)
            .map(|plugin| plugin.id)
    }

    /// Begins a run without those that are not available. The first plugins start in this very call
    /// ([`Why::Granted`](super::wakes::Why::Granted)); the ticket of each is found by [`Run::find`].
    pub fn begin(&self, now: Instant, config: RunConfig, unavailable: &[u32], wakes: &mut Wakes) -> Run {
        let graph = Graph::new(GraphConfig {
            concurrency: config.max_workers,
            on_failure: config.on_failure,
            // Priority is strict here: there are few plugins, and none waits for ever in a run that ends.
            aging: 1 << 20,
            tells_ready: false,
        });
        let plugins: Vec<u32> = self.admitted(config.mode).collect();
        let away: KeySet = unavailable.iter().copied().collect();
        let takes_part = plugins.iter().copied().filter(|id| !away.contains(id));
        let mut run = Run {
            graph,
            takes_part: takes_part.collect(),
            plugins,
            unavailable: KeySet::default(),
        };
        for id in &run.plugins {
            let Some(plugin) = self.by_id.get(id).and_then(|at| self.plugins.get(*at)) else {
                continue;
            };
            if !run.takes_part.contains(id) {
                run.unavailable.insert(*id);
                absent(&mut run.graph, now, *id);
                continue;
            }
            for needed in &plugin.needs {
                if !run.takes_part.contains(needed) {
                    absent(&mut run.graph, now, *needed);
                }
            }
            let task = NewTask {
                id: *id,
                depends_on: &plugin.needs,
                priority: plugin.priority,
                weight: plugin.weight,
                on_failure: None,
            };
            // Duplicates and cycles were refused when it was registered.
            let _ = run.graph.add(now, task, wakes);
        }
        let _ = run.graph.begin(now, wakes);
        run
    }
}

// Stands in for a plugin that does not take part, so that those who need it are skipped because of it.
fn absent(graph: &mut Graph, now: Instant, id: u32) {
    let mut nobody = Wakes::new();
    if let Ok(ticket) = graph.add(now, NewTask::named(id), &mut nobody) {
        let _ = graph.cancel(now, ticket, &mut nobody);
    }
}

impl Run {
    /// A running plugin has ended. The next ones start in this very call; those that needed it and cannot run any more are
    /// [`Why::Failed`](super::wakes::Why::Failed).
    ///
    /// # Errors
    /// [`StaleTicket`] when it does not run.
    pub fn end(
        &mut self,
        now: Instant,
        ticket: Ticket,
        outcome: Outcome,
        wakes: &mut Wakes,
    ) -> Result<(), StaleTicket> {
        self.graph.end(now, ticket, outcome, wakes)
    }

    /// Cancels one plugin that is not over; those that need it are skipped.
    ///
    /// # Errors
    /// [`StaleTicket`] when it is over.
    pub fn cancel(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) -> Result<(), StaleTicket> {
        self.graph.cancel(now, ticket, wakes)
    }

    /// Cancels all that is not over.
    pub fn cancel_all(&mut self, now: Instant, wakes: &mut Wakes) {
        self.graph.cancel_all(now, wakes);
    }

    /// Changes the number of workers, also while plugins run: those above a lower bound run on.
    pub fn set_max_workers(&mut self, now: Instant, workers: NonZeroU32, wakes: &mut Wakes) {
        self.graph.resize(now, workers, wakes);
    }

    /// The plugin of a ticket.
    pub fn plugin(&self, ticket: Ticket) -> Option<u32> {
        self.graph.id(ticket)
    }

    /// The ticket of a plugin that takes part.
    pub fn find(&self, plugin: u32) -> Option<Ticket> {
        self.graph.find(plugin)
    }

    /// What a plugin that takes part needs.
    pub fn needs(&self, ticket: Ticket) -> &[u32] {
        self.graph.dependencies(ticket)
    }

    /// Whether every plugin is over.
    pub fn is_over(&self) -> bool {
        self.graph.progress().is_over()
    }

    /// How many of how many plugins are over.
    pub fn progress(&self) -> (u32, u32) {
        let over = self
            .records()
            .filter(|record| record.status != Status::Pending)
            .count();
        (over as u32, self.plugins.len() as u32)
    }

    /// One record for each plugin that the mode admits, in the order of registration.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.plugins.iter().filter_map(|id| self.record(*id))
    }

    /// The record of one plugin; `None` if the mode does not admit it.
    pub fn record(&self, plugin: u32) -> Option<Record> {
        if !self.takes_part.contains(&plugin) && !self.unavailable.contains(&plugin) {
            return None;
        }
        let ticket = self.graph.find(plugin);
        let timing = ticket.and_then(|ticket| self.graph.timing(ticket));
        let state = ticket.and_then(|ticket| self.graph.state(ticket));
        Some(Record {
            plugin,
            status: match state {
                _ if self.unavailable.contains(&plugin) => Status::Unavailable,
                Some(TaskState::Ended(TaskEnd::Succeeded)) => Status::Succeeded,
                Some(TaskState::Ended(TaskEnd::Failed)) => Status::Failed,
                Some(TaskState::Ended(TaskEnd::Cancelled)) => Status::Cancelled,
                Some(TaskState::Ended(TaskEnd::Skipped { because_of })) => Status::Skipped {
                    because_of: self.root(plugin).unwrap_or(because_of),
                },
                _ => Status::Pending,
            },
            start: timing.and_then(|timing: TaskTiming| timing.started),
            duration: timing.and_then(|timing| timing.ran_for()),
        })
    }

    // Of several needs that did not succeed, the first by name is to blame and not the first in time, so that a run over
    // gives the same records whatever the number of workers.
    fn root(&self, skipped: u32) -> Option<u32> {
        let mut at = skipped;
        loop {
            let needs = self.graph.dependencies(self.graph.find(at)?);
            let (need, end) =
                needs
                    .iter()
                    .find_map(|need| match self.graph.state(self.graph.find(*need)?)? {
                        TaskState::Ended(TaskEnd::Succeeded) => None,
                        TaskState::Ended(end) => Some((*need, end)),
                        _ => None,
                    })?;
            match end {
                TaskEnd::Skipped { .. } => at = need,
                _ => return Some(need),
            }
        }
    }
}

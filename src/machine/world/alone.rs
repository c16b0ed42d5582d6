//! Machines in a world that have nothing to do with each other: caches, states, graphs, batches, runs of plugins.
//!
//! They share the ring of wakes and the one deadline. Every call of one goes through its `at_…`, which names it in the
//! wakes and asks it afterwards when it wants to be called.

use super::{Kind, Table, World};
use crate::machine::batch::{BatchConfig, Batches};
use crate::machine::cache::{Cache, CacheConfig};
use crate::machine::graph::{Graph, GraphConfig};
use crate::machine::orchestrator::{Orchestrator, Run, RunConfig};
use crate::machine::random::Random;
use crate::machine::state::{State, StateConfig};
use crate::machine::time::Instant;
use crate::machine::wakes::{MachineId, Wakes};
use std::collections::VecDeque;

/// The tables of those machines.
#[derive(Debug)]
pub(super) struct Alone {
    caches: Table<Cache>,
    states: Table<State>,
    graphs: Table<Graph>,
    batches: Table<Batches>,
    orchestrators: Table<Orchestrator>,
    runs: Table<Run>,
    pub(super) errands: VecDeque<MachineId>,
}

impl Alone {
    pub(super) const fn new() -> Self {
        Self {
            caches: Table::new(Kind::Cache),
            states: Table::new(Kind::State),
            graphs: Table::new(Kind::Graph),
            batches: Table::new(Kind::Batches),
            orchestrators: Table::new(Kind::Orchestrator),
            runs: Table::new(Kind::Run),
            errands: VecDeque::new(),
        }
    }
}

impl World {
    /// Makes a cache. `None` when there are 2^24 already.
    pub fn open_cache(&mut self, config: CacheConfig) -> Option<MachineId> {
        self.in_time(Kind::Cache, Self::cache_on_deadline);
        let random = Random::new(self.random.bits());
        self.alone.caches.insert(Cache::new(config, random))
    }

    /// Calls a cache; `None` if there is no such cache.
    pub fn at_cache<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut Cache, &mut Wakes) -> T,
    ) -> Option<T> {
        let cache = self.alone.caches.get_mut(id)?;
        let result = call(cache, self.wakes.of(id));
        self.timers.arm(id, cache.next_deadline());
        Some(result)
    }

    /// Forgets a cache; its waiters are not woken.
    pub fn drop_cache(&mut self, id: MachineId) {
        self.alone.caches.remove(id);
        self.timers.arm(id, None);
    }

    /// A machine that has something for its host to drop since time came to it: for a cache, see [`Cache::pop_gone`]. Drained like the wakes.
    pub fn errand(&mut self) -> Option<MachineId> {
        self.alone.errands.pop_front()
    }

    /// Makes a state. `None` when there are 2^24 already.
    pub fn open_state(&mut self, config: StateConfig) -> Option<MachineId> {
        self.in_time(Kind::State, Self::state_on_deadline);
        self.alone.states.insert(State::new(config))
    }

    /// Calls a state; `None` if there is no such state.
    pub fn at_state<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut State, &mut Wakes) -> T,
    ) -> Option<T> {
        let state = self.alone.states.get_mut(id)?;
        let result = call(state, self.wakes.of(id));
        self.timers.arm(id, state.next_deadline());
        Some(result)
    }

    /// Forgets a state; its waiters are not woken.
    pub fn drop_state(&mut self, id: MachineId) {
        self.alone.states.remove(id);
        self.timers.arm(id, None);
    }

    /// Makes a task graph. `None` when there are 2^24 already.
    pub fn open_graph(&mut self, config: GraphConfig) -> Option<MachineId> {
        self.alone.graphs.insert(Graph::new(config))
    }

    /// Calls a graph; `None` if there is no such graph.
    pub fn at_graph<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut Graph, &mut Wakes) -> T,
    ) -> Option<T> {
        let graph = self.alone.graphs.get_mut(id)?;
        Some(call(graph, self.wakes.of(id)))
    }

    /// Forgets a graph.
    pub fn drop_graph(&mut self, id: MachineId) {
        self.alone.graphs.remove(id);
    }

    /// Makes a run of batches. `None` when there are 2^24 already.
    pub fn open_batches(&mut self, config: BatchConfig) -> Option<MachineId> {
        self.in_time(Kind::Batches, Self::batches_on_deadline);
        self.alone.batches.insert(Batches::new(config))
    }

    /// Calls a run of batches; `None` if there is no such run.
    pub fn at_batches<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut Batches, &mut Wakes) -> T,
    ) -> Option<T> {
        let batches = self.alone.batches.get_mut(id)?;
        let result = call(batches, self.wakes.of(id));
        self.timers.arm(id, batches.next_deadline());
        Some(result)
    }

    /// Forgets a run of batches.
    pub fn drop_batches(&mut self, id: MachineId) {
        self.alone.batches.remove(id);
        self.timers.arm(id, None);
    }

    /// Makes a register of plugins. `None` when there are 2^24 already.
    pub fn open_orchestrator(&mut self) -> Option<MachineId> {
        self.alone.orchestrators.insert(Orchestrator::new())
    }

    /// A register of plugins; `None` if there is no such one.
    pub fn orchestrator(&mut self, id: MachineId) -> Option<&mut Orchestrator> {
        self.alone.orchestrators.get_mut(id)
    }

    /// Forgets a register of plugins; runs of it go on.
    pub fn drop_orchestrator(&mut self, id: MachineId) {
        self.alone.orchestrators.remove(id);
    }

    /// Begins a run of plugins: see [`Orchestrator::begin`]. `None` when there are 2^24 already.
    pub fn open_run(
        &mut self,
        now: Instant,
        orchestrator: &Orchestrator,
        config: RunConfig,
        unavailable: &[u32],
    ) -> Option<MachineId> {
        // Its first wakes must already name it.
        let nothing = Orchestrator::new().begin(now, config, &[], &mut Wakes::new());
        let id = self.alone.runs.insert(nothing)?;
        let run = orchestrator.begin(now, config, unavailable, self.wakes.of(id));
        if let Some(place) = self.alone.runs.get_mut(id) {
            *place = run;
        }
        Some(id)
    }

    /// Calls a run of plugins; `None` if there is no such run.
    pub fn at_run<T>(&mut self, id: MachineId, call: impl FnOnce(&mut Run, &mut Wakes) -> T) -> Option<T> {
        let run = self.alone.runs.get_mut(id)?;
        Some(call(run, self.wakes.of(id)))
    }

    /// Forgets a run of plugins.
    pub fn drop_run(&mut self, id: MachineId) {
        self.alone.runs.remove(id);
    }

    pub(super) fn cache_on_deadline(&mut self, now: Instant, id: MachineId) {
        let has_gone = self.at_cache(id, |cache, wakes| {
            cache.on_deadline(now, wakes);
            cache.has_gone()
        });
        if has_gone == Some(true) {
            self.alone.errands.push_back(id);
        }
    }

    pub(super) fn state_on_deadline(&mut self, now: Instant, id: MachineId) {
        self.at_state(id, |state, wakes| state.on_deadline(now, wakes));
    }

    pub(super) fn batches_on_deadline(&mut self, now: Instant, id: MachineId) {
        self.at_batches(id, |batches, wakes| batches.on_deadline(now, wakes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::cache::{Gone, Key, Store};
    use crate::machine::graph::NewTask;
    use crate::machine::orchestrator::NewPlugin;
    use crate::machine::wakes::{Refusal, Why};
    use std::time::Duration;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const START: Instant = Instant::from_micros(1_000_000);

    #[test]
    fn a_cache_asks_for_its_host_when_an_unread_value_expires() {
        let mut world = World::new(1);
        let id = world.open_cache(CacheConfig::default()).unwrap();
        let key = Key { id: 7, hash: 7 };
        world.at_cache(id, |cache, _| cache.set(START, key, Store::default()));
        let then = START + Duration::from_secs(3600);
        assert_eq!(world.next_deadline(), Some(then));
        world.on_deadline(then);
        assert_eq!((world.errand(), world.errand()), (Some(id), None));
        let gone = world.at_cache(id, |cache, _| cache.pop_gone()).flatten();
        assert_eq!(gone, Some((7, Gone::Expired)));
        assert_eq!(world.next_deadline(), None);
    }

    #[test]
    fn a_wait_for_a_state_times_out_through_the_world() {
        let mut world = World::new(1);
        let id = world.open_state(StateConfig::default()).unwrap();
        let until = START + Duration::from_secs(1);
        let ticket = world
            .at_state(id, |state, _| state.wait(1, until))
            .unwrap()
            .unwrap();
        world.on_deadline(until);
        let wake = world.wake().unwrap();
        let refused = Why::Refused(Refusal::QueueTimeout);
        assert_eq!((wake.machine, wake.ticket, wake.why), (id, ticket, refused));
    }

    #[test]
    fn a_batch_times_out_through_the_world() {
        let mut world = World::new(1);
        let config = BatchConfig {
            timeout: Some(Duration::from_secs(1)),
            ..BatchConfig::default()
        };
        let id = world.open_batches(config).unwrap();
        world.at_batches(id, |batches, wakes| batches.open(START, 1, true, wakes));
        assert_eq!(world.wake().map(|wake| wake.why), Some(Why::Granted));
        world.on_deadline(START + Duration::from_secs(1));
        assert_eq!(world.wake().map(|wake| wake.why), Some(Why::Expired));
        world.drop_batches(id);
        assert_eq!(world.next_deadline(), None);
    }

    #[test]
    fn graphs_and_runs_name_themselves_in_the_wakes() {
        let mut world = World::new(1);
        let graph = world.open_graph(GraphConfig::default()).unwrap();
        world.at_graph(graph, |graph, wakes| {
            graph.add(START, NewTask::named(1), wakes).unwrap();
            graph.begin(START, wakes).unwrap();
        });
        let mut plugins = Orchestrator::new();
        plugins.register(NewPlugin::named(2)).unwrap();
        let run = world
            .open_run(START, &plugins, RunConfig::default(), &[])
            .unwrap();
        let woken: Vec<_> = std::iter::from_fn(|| world.wake())
            .map(|wake| wake.machine)
            .collect();
        assert_eq!(woken, [graph, run]);
        world.drop_graph(graph);
        world.drop_run(run);
        assert_eq!(world.at_graph(graph, |_, _| ()), None);
        assert_eq!(world.at_run(run, |_, _| ()), None);
    }
}

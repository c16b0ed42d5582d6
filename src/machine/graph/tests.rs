use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A graph and a host that remembers what it was told.
struct House {
    graph: Graph,
    wakes: Wakes,
    now: Instant,
}

impl House {
    fn of(config: GraphConfig) -> Self {
        Self {
            graph: Graph::new(config),
            wakes: Wakes::new(),
            now: Instant::ZERO,
        }
    }

    fn with_slots(slots: u32) -> Self {
        Self::of(GraphConfig {
            concurrency: NonZeroU32::new(slots).unwrap(),
            ..GraphConfig::default()
        })
    }

    fn add(&mut self, id: u32, depends_on: &[u32]) -> Ticket {
        self.try_add(id, depends_on).unwrap()
    }

    fn try_add(&mut self, id: u32, depends_on: &[u32]) -> Result<Ticket, GraphError> {
        let task = NewTask {
            depends_on,
            ..NewTask::named(id)
        };
        self.graph.add(self.now, task, &mut self.wakes)
    }

    fn begin(&mut self) -> Vec<(u32, Why)> {
        self.graph.begin(self.now, &mut self.wakes).unwrap();
        self.told()
    }

    fn end(&mut self, id: u32, outcome: Outcome) -> Vec<(u32, Why)> {
        let ticket = self.graph.find(id).unwrap();
        self.graph
            .end(self.now, ticket, outcome, &mut self.wakes)
            .unwrap();
        self.told()
    }

    fn told(&mut self) -> Vec<(u32, Why)> {
        std::iter::from_fn(|| self.wakes.pop())
            .map(|wake| (self.graph.id(wake.ticket).unwrap(), wake.why))
            .collect()
    }

    fn state(&self, id: u32) -> TaskState {
        self.graph.state(self.graph.find(id).unwrap()).unwrap()
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

use Outcome::{Failed, Succeeded};
use Why::Granted;

#[test]
fn a_dependent_starts_in_the_call_in_which_its_last_dependency_ends() {
    let mut house = House::with_slots(10);
    house.add(3, &[1, 2]);
    house.add(1, &[]);
    house.add(2, &[]);
    assert_eq!(house.begin(), [(1, Granted), (2, Granted)]);
    assert_eq!(house.end(1, Succeeded), []);
    assert_eq!(house.state(3), TaskState::Waiting { dependencies: 1 });
    assert_eq!(house.end(2, Succeeded), [(3, Granted)]);
}

#[test]
fn a_task_takes_its_weight_of_the_slots_and_no_more_than_there_are() {
    let mut house = House::with_slots(4);
    let tasks = [1, 3, 9].map(|weight| {
        let task = NewTask {
            weight,
            ..NewTask::named(weight)
        };
        house.graph.add(house.now, task, &mut house.wakes).unwrap()
    });
    assert_eq!(
        tasks.map(|task| house.graph.slots_of(task)),
        [(1, 4), (3, 4), (4, 4)]
    );
}

#[test]
fn no_more_run_than_there_are_slots_and_a_waiting_task_holds_none() {
    let mut house = House::with_slots(2);
    house.add(9, &[1]);
    for id in 1..=4 {
        house.add(id, &[]);
    }
    assert_eq!(house.begin(), [(1, Granted), (2, Granted)]);
    assert_eq!(house.end(2, Succeeded), [(3, Granted)]);
    assert_eq!(house.end(3, Succeeded), [(4, Granted)]);
    assert_eq!(house.end(1, Succeeded), [(9, Granted)]);
}

#[test]
fn higher_priority_starts_first_among_the_ready() {
    let mut house = House::with_slots(1);
    for (id, priority) in [(1, 0), (2, 5), (3, -5), (4, 5)] {
        let task = NewTask {
            priority,
            ..NewTask::named(id)
        };
        house.graph.add(house.now, task, &mut house.wakes).unwrap();
    }
    let mut order = house.begin();
    for _ in 0..3 {
        let running = order.last().unwrap().0;
        order.extend(house.end(running, Succeeded));
    }
    assert_eq!(order.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 4, 1, 3]);
}

#[test]
fn a_heavy_task_takes_its_slots_and_is_not_overtaken_while_it_waits_for_them() {
    let mut house = House::with_slots(3);
    for (id, weight) in [(1, 1), (2, 3), (3, 1), (4, 9)] {
        let task = NewTask {
            weight,
            ..NewTask::named(id)
        };
        house.graph.add(house.now, task, &mut house.wakes).unwrap();
    }
    assert_eq!(house.begin(), [(1, Granted)]);
    assert_eq!(house.end(1, Succeeded), [(2, Granted)]);
    assert_eq!(house.end(2, Succeeded), [(3, Granted)]);
    assert_eq!(house.end(3, Succeeded), [(4, Granted)]);
    assert_eq!(house.end(4, Succeeded), []);
    assert_eq!(house.graph.in_use, 0);
}

#[test]
fn a_cycle_is_refused_and_named_the_way_round() {
    let mut house = House::with_slots(1);
    house.add(1, &[2]);
    house.add(2, &[3]);
    assert_eq!(
        house.try_add(3, &[5, 1]),
        Err(GraphError::Cycle {
            through: vec![3, 1, 2]
        })
    );
    assert_eq!(
        house.try_add(7, &[7]),
        Err(GraphError::Cycle { through: vec![7] })
    );
    house.add(3, &[]);
    assert_eq!(house.begin(), [(3, Granted)]);
}

#[test]
fn a_name_is_taken_once_and_a_dependency_must_be_there_when_the_graph_begins() {
    let mut house = House::with_slots(1);
    house.add(1, &[9]);
    assert_eq!(house.try_add(1, &[]), Err(GraphError::Duplicate { id: 1 }));
    let missing = GraphError::Missing { id: 1, dependency: 9 };
    assert_eq!(house.graph.begin(house.now, &mut house.wakes), Err(missing));
    house.add(9, &[]);
    assert_eq!(house.begin(), [(9, Granted)]);
    let missing = GraphError::Missing { id: 2, dependency: 8 };
    assert_eq!(house.try_add(2, &[8]), Err(missing));
}

#[test]
fn a_task_added_while_others_run_starts_at_once_or_when_its_dependency_ends() {
    let mut house = House::with_slots(10);
    house.add(1, &[]);
    house.begin();
    house.add(2, &[1]);
    house.add(3, &[]);
    assert_eq!(house.told(), [(3, Granted)]);
    assert_eq!(house.end(1, Succeeded), [(2, Granted)]);
    house.add(4, &[1]);
    assert_eq!(house.told(), [(4, Granted)]);
}

#[test]
fn a_failure_skips_what_depends_on_it_once_and_says_why() {
    let mut house = House::with_slots(10);
    house.add(1, &[]);
    house.add(2, &[1]);
    house.add(3, &[1, 2]);
    house.add(4, &[3]);
    house.add(5, &[]);
    house.begin();
    let mut skipped = house.end(1, Failed);
    skipped.sort_by_key(|(id, _)| *id);
    assert_eq!(skipped, [(2, Why::Failed), (3, Why::Failed), (4, Why::Failed)]);
    for id in 2..=4 {
        assert_eq!(
            house.state(id),
            TaskState::Ended(TaskEnd::Skipped { because_of: 1 })
        );
    }
    house.add(6, &[4]);
    assert_eq!(house.told(), [(6, Why::Failed)]);
    assert_eq!(
        house.state(6),
        TaskState::Ended(TaskEnd::Skipped { because_of: 1 })
    );
    assert_eq!(house.end(5, Succeeded), []);
    assert!(house.graph.progress().is_over());
}

#[test]
fn a_task_that_wants_to_runs_all_the_same_once_everything_before_it_has_ended() {
    let mut house = House::with_slots(10);
    house.add(1, &[]);
    house.add(2, &[1]);
    house.add(3, &[]);
    let cleanup = NewTask {
        depends_on: &[2, 3],
        on_failure: Some(OnFailure::Run),
        ..NewTask::named(4)
    };
    house.graph.add(house.now, cleanup, &mut house.wakes).unwrap();
    house.begin();
    assert_eq!(house.end(1, Failed), [(2, Why::Failed)]);
    assert_eq!(house.end(3, Succeeded), [(4, Granted)]);
}

#[test]
fn a_cancelled_task_gives_its_slot_back_in_the_same_call() {
    let mut house = House::with_slots(1);
    for id in 1..=3 {
        house.add(id, &[]);
    }
    house.add(4, &[1]);
    house.begin();
    let running = house.graph.find(1).unwrap();
    house.graph.cancel(house.now, running, &mut house.wakes).unwrap();
    assert_eq!(house.told(), [(1, Why::Revoked), (4, Why::Failed), (2, Granted)]);
    let late = house.graph.end(house.now, running, Succeeded, &mut house.wakes);
    assert_eq!(late, Err(StaleTicket));
    house.graph.cancel_all(house.now, &mut house.wakes);
    assert_eq!(house.told(), [(2, Why::Revoked), (3, Why::Revoked)]);
    assert!(house.graph.progress().is_over());
    assert_eq!(house.graph.progress().cancelled, 3);
}

#[test]
fn more_slots_start_more_at_once_and_fewer_let_the_running_run() {
    let mut house = House::with_slots(1);
    for id in 1..=3 {
        house.add(id, &[]);
    }
    house.begin();
    house
        .graph
        .resize(house.now, NonZeroU32::new(3).unwrap(), &mut house.wakes);
    assert_eq!(house.told(), [(2, Granted), (3, Granted)]);
    house.graph.resize(house.now, NonZeroU32::MIN, &mut house.wakes);
    house.add(4, &[]);
    assert_eq!(house.end(1, Succeeded), []);
    assert_eq!(house.end(2, Succeeded), []);
    assert_eq!(house.end(3, Succeeded), [(4, Granted)]);
}

#[test]
fn timings_tell_waiting_for_others_from_waiting_for_a_slot() {
    let mut house = House::with_slots(1);
    house.add(1, &[]);
    house.add(2, &[]);
    house.add(3, &[1]);
    house.begin();
    house.wait(2);
    house.end(1, Succeeded);
    house.wait(3);
    house.end(2, Succeeded);
    house.wait(1);
    house.end(3, Succeeded);
    let timing = house.graph.timing(house.graph.find(3).unwrap()).unwrap();
    let at = |seconds| Some(Instant::ZERO + Duration::from_secs(seconds));
    assert_eq!(
        (timing.ready, timing.started, timing.ended),
        (at(2), at(5), at(6))
    );
    assert_eq!(timing.ran_for(), Some(Duration::from_secs(1)));
}

#[test]
fn the_critical_path_is_the_chain_that_took_longest_to_run() {
    let mut house = House::with_slots(10);
    house.add(1, &[]);
    house.add(2, &[]);
    house.add(3, &[1, 2]);
    house.add(4, &[]);
    house.begin();
    house.wait(1);
    house.end(1, Succeeded);
    house.wait(2);
    house.end(2, Succeeded);
    house.wait(2);
    house.end(3, Succeeded);
    house.end(4, Succeeded);
    // Task 4 ran as long as the chain did; the first of equals wins.
    assert_eq!(house.graph.critical_path(), (vec![2, 3], Duration::from_secs(5)));
    assert_eq!(
        House::with_slots(1).graph.critical_path(),
        (vec![], Duration::ZERO)
    );
}

#[test]
fn a_chain_of_ten_thousand_is_skipped_without_a_deep_stack() {
    let mut house = House::with_slots(1);
    house.add(0, &[]);
    for id in 1..10_000 {
        house.add(id, &[id - 1]);
    }
    house.begin();
    assert_eq!(house.end(0, Failed).len(), 9_999);
}

proptest! {
    #[test]
    fn each_task_starts_once_after_all_it_depends_on_and_all_come_to_an_end(
        slots in 1u32..4,
        tasks in prop::collection::vec((prop::collection::vec(0u32..20, 0..4), -3i32..3, any::<bool>()), 1..20),
        picks in prop::collection::vec((0usize..20, 0u8..5), 0..60),
    ) {
        let mut house = House::with_slots(slots);
        let count = tasks.len() as u32;
        for (id, (depends_on, priority, run)) in tasks.iter().enumerate() {
            let depends_on: Vec<u32> = depends_on.iter().map(|d| d % count).filter(|d| *d as usize != id).collect();
            let on_failure = run.then_some(OnFailure::Run);
            let mut task = NewTask { depends_on: &depends_on, priority: *priority, on_failure, ..NewTask::named(id as u32) };
            if house.graph.add(house.now, task, &mut house.wakes).is_err() {
                // A cycle: without its dependencies it must be welcome.
                task.depends_on = &[];
                prop_assert!(house.graph.add(house.now, task, &mut house.wakes).is_ok());
            }
        }
        let mut running = BTreeSet::new();
        let mut ends: BTreeMap<u32, bool> = BTreeMap::new();
        let mut picks = picks.into_iter();
        let mut told = house.begin();
        loop {
            for (id, why) in told.drain(..) {
                let ticket = house.graph.find(id).unwrap();
                match why {
                    Granted => {
                        prop_assert!(running.insert(id) && !ends.contains_key(&id));
                        let well = house.graph.dependencies(ticket).iter().all(|d| ends[d]);
                        prop_assert!(well || tasks[id as usize].2);
                    }
                    Why::Failed => {
                        prop_assert!(!tasks[id as usize].2);
                        let skipped = matches!(house.state(id), TaskState::Ended(TaskEnd::Skipped { .. }));
                        prop_assert!(skipped);
                        prop_assert_eq!(ends.insert(id, false), None);
                    }
                    Why::Revoked => { running.remove(&id); prop_assert_eq!(ends.insert(id, false), None); }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            let progress = house.graph.progress();
            prop_assert_eq!(progress.total(), count);
            prop_assert_eq!(progress.running as usize, running.len());
            prop_assert_eq!(progress.ended() as usize, ends.len());
            prop_assert!(progress.running <= slots);
            prop_assert!(progress.ready == 0 || progress.running == slots);
            let Some((pick, how)) = picks.next().or(Some((0, 0))).filter(|_| !running.is_empty()) else { break };
            if how == 4 {
                let id = pick as u32 % count;
                let ticket = house.graph.find(id).unwrap();
                if house.graph.cancel(house.now, ticket, &mut house.wakes).is_ok() { told = house.told(); }
            } else {
                let id = *running.iter().nth(pick % running.len()).unwrap();
                running.remove(&id);
                ends.insert(id, how != 3);
                told = house.end(id, if how == 3 { Failed } else { Succeeded });
            }
        }
        prop_assert!(house.graph.progress().is_over());
    }
}

use super::*;
use crate::machine::wakes::Why;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Instant = Instant::ZERO;

fn registered(plugins: &[NewPlugin<'_>]) -> Orchestrator {
    let mut orchestrator = Orchestrator::new();
    for plugin in plugins {
        orchestrator.register(*plugin).unwrap();
    }
    orchestrator
}

fn with_workers(workers: u32) -> RunConfig {
    RunConfig {
        max_workers: NonZeroU32::new(workers).unwrap(),
        ..RunConfig::default()
    }
}

fn started(run: &Run, wakes: &mut Wakes) -> Vec<u32> {
    std::iter::from_fn(|| wakes.pop())
        .filter(|wake| wake.why == Why::Granted)
        .filter_map(|wake| run.plugin(wake.ticket))
        .collect()
}

fn end(run: &mut Run, plugin: u32, outcome: Outcome, wakes: &mut Wakes) -> Vec<u32> {
    let ticket = run.find(plugin).unwrap();
    run.end(NOW, ticket, outcome, wakes).unwrap();
    started(run, wakes)
}

fn statuses(run: &Run) -> BTreeMap<u32, Status> {
    run.records()
        .map(|record| (record.plugin, record.status))
        .collect()
}

#[test]
fn a_run_tells_what_each_plugin_needs_and_who_is_to_blame() {
    let plugins = [
        NewPlugin::named(1),
        NewPlugin::named(2),
        NewPlugin {
            needs: &[1, 2],
            ..NewPlugin::named(3)
        },
        NewPlugin {
            needs: &[1, 3],
            ..NewPlugin::named(4)
        },
    ];
    let orchestrator = registered(&plugins);
    let mut wakes = Wakes::new();
    let mut run = orchestrator.begin(NOW, with_workers(4), &[], &mut wakes);
    let needs = |run: &Run, plugin: u32| run.needs(run.find(plugin).unwrap()).to_vec();
    assert_eq!(
        [needs(&run, 1), needs(&run, 3), needs(&run, 4)],
        [vec![], vec![1, 2], vec![1, 3]]
    );
    assert_eq!((started(&run, &mut wakes), run.progress()), (vec![1, 2], (0, 4)));
    end(&mut run, 1, Outcome::Succeeded, &mut wakes);
    assert_eq!(run.progress(), (1, 4));
    end(&mut run, 2, Outcome::Failed, &mut wakes);
    // The first of what 4 needs has succeeded; the other was skipped because of 2, which is the root of it.
    let skipped = Status::Skipped { because_of: 2 };
    let expected = [
        (1, Status::Succeeded),
        (2, Status::Failed),
        (3, skipped),
        (4, skipped),
    ];
    assert_eq!(statuses(&run), BTreeMap::from(expected));
    assert!(run.is_over());
}

#[test]
fn one_worker_means_strict_order_by_priority_then_registration() {
    let mut plugins: Vec<NewPlugin<'_>> = (0..40).map(NewPlugin::named).collect();
    plugins[39].priority = 1;
    plugins[7].priority = 2;
    plugins[3].priority = -1;
    let orchestrator = registered(&plugins);
    let mut wakes = Wakes::new();
    let mut run = orchestrator.begin(NOW, with_workers(1), &[], &mut wakes);
    let mut order = started(&run, &mut wakes);
    while let Some(last) = order.last().copied().filter(|_| !run.is_over()) {
        let next = end(&mut run, last, Outcome::Succeeded, &mut wakes);
        assert!(next.len() <= 1);
        order.extend(next);
    }
    assert_eq!((order[0], order[1], order[39]), (7, 39, 3));
    let between: Vec<u32> = order[2..39].to_vec();
    assert!(between.is_sorted() && between.len() == 37);
}

#[test]
fn a_passive_run_leaves_active_plugins_out_and_an_active_run_takes_both() {
    let active = NewPlugin {
        mode: Mode::Active,
        ..NewPlugin::named(2)
    };
    let needs_it = NewPlugin {
        needs: &[2],
        ..NewPlugin::named(3)
    };
    let orchestrator = registered(&[NewPlugin::named(1), active, needs_it]);
    let mut wakes = Wakes::new();
    let run = orchestrator.begin(NOW, RunConfig::default(), &[], &mut wakes);
    assert_eq!(started(&run, &mut wakes), [1]);
    let skipped = Status::Skipped { because_of: 2 };
    assert_eq!(
        statuses(&run),
        BTreeMap::from([(1, Status::Pending), (3, skipped)])
    );
    let mode = Mode::Active;
    let config = RunConfig {
        mode,
        ..RunConfig::default()
    };
    let run = orchestrator.begin(NOW, config, &[], &mut wakes);
    assert_eq!(started(&run, &mut wakes), [1, 2]);
}

#[test]
fn an_unavailable_plugin_and_a_missing_one_are_reasons_to_skip_who_needs_them() {
    let first = NewPlugin {
        needs: &[1],
        ..NewPlugin::named(2)
    };
    let second = NewPlugin {
        needs: &[99],
        ..NewPlugin::named(3)
    };
    let orchestrator = registered(&[NewPlugin::named(1), first, second, NewPlugin::named(4)]);
    let mut wakes = Wakes::new();
    let run = orchestrator.begin(NOW, RunConfig::default(), &[1], &mut wakes);
    assert_eq!(started(&run, &mut wakes), [4]);
    let expected = BTreeMap::from([
        (1, Status::Unavailable),
        (2, Status::Skipped { because_of: 1 }),
        (3, Status::Skipped { because_of: 99 }),
        (4, Status::Pending),
    ]);
    assert_eq!(statuses(&run), expected);
    assert_eq!(run.progress(), (3, 4));
    assert_eq!(
        run.record(2).map(|record| record.status),
        Some(Status::Skipped { because_of: 1 })
    );
    assert_eq!(run.record(99), None);
}

#[test]
fn a_failing_plugin_is_one_record_and_the_others_run_on() {
    let needs = NewPlugin {
        needs: &[1],
        ..NewPlugin::named(2)
    };
    let orchestrator = registered(&[NewPlugin::named(1), needs, NewPlugin::named(3)]);
    let mut wakes = Wakes::new();
    let mut run = orchestrator.begin(NOW, RunConfig::default(), &[], &mut wakes);
    started(&run, &mut wakes);
    end(&mut run, 1, Outcome::Failed, &mut wakes);
    end(&mut run, 3, Outcome::Succeeded, &mut wakes);
    assert!(run.is_over());
    let records: Vec<Record> = run.records().collect();
    assert_eq!(records[0].status, Status::Failed);
    assert_eq!(records[0].duration, Some(Duration::ZERO));
    assert_eq!(records[1].status, Status::Skipped { because_of: 1 });
    assert_eq!((records[1].start, records[1].duration), (None, None));
    assert_eq!(records[2].status, Status::Succeeded);
}

#[test]
fn needs_that_lead_back_are_refused_when_they_are_registered() {
    let mut orchestrator = registered(&[NewPlugin {
        needs: &[2],
        ..NewPlugin::named(1)
    }]);
    let back = NewPlugin {
        needs: &[1],
        ..NewPlugin::named(2)
    };
    let through = vec![2, 1];
    assert_eq!(orchestrator.register(back), Err(GraphError::Cycle { through }));
    assert_eq!(
        orchestrator.register(NewPlugin::named(1)),
        Err(GraphError::Duplicate { id: 1 })
    );
    // What was refused has left nothing behind.
    assert_eq!(orchestrator.register(NewPlugin::named(2)), Ok(()));
    assert_eq!(orchestrator.admitted(Mode::Active).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_number_of_workers_may_change_while_plugins_run() {
    let plugins: Vec<NewPlugin<'_>> = (1..=6).map(NewPlugin::named).collect();
    let orchestrator = registered(&plugins);
    let mut wakes = Wakes::new();
    let mut run = orchestrator.begin(NOW, with_workers(1), &[], &mut wakes);
    assert_eq!(started(&run, &mut wakes), [1]);
    run.set_max_workers(NOW, NonZeroU32::new(3).unwrap(), &mut wakes);
    assert_eq!(started(&run, &mut wakes), [2, 3]);
    run.set_max_workers(NOW, NonZeroU32::MIN, &mut wakes);
    assert_eq!(end(&mut run, 1, Outcome::Succeeded, &mut wakes), [0; 0]);
    assert_eq!(end(&mut run, 2, Outcome::Succeeded, &mut wakes), [0; 0]);
    assert_eq!(end(&mut run, 3, Outcome::Succeeded, &mut wakes), [4]);
    run.cancel_all(NOW, &mut wakes);
    assert!(run.is_over());
    assert_eq!(statuses(&run)[&6], Status::Cancelled);
}

proptest! {
    #[test]
    fn any_number_of_workers_gives_the_same_set_of_records(
        plugins in prop::collection::vec((any::<bool>(), -2i32..3, 1u32..4, prop::collection::vec(0u32..12, 0..3), 0u8..6), 1..12),
        workers in prop::collection::vec(1u32..8, 3),
    ) {
        let mut orchestrator = Orchestrator::new();
        let mut unavailable = Vec::new();
        let mut failing = BTreeSet::new();
        for (id, (active, priority, weight, needs, fate)) in plugins.iter().enumerate() {
            let id = id as u32;
            let mode = if *active { Mode::Active } else { Mode::Passive };
            let _ = orchestrator.register(NewPlugin { id, mode, priority: *priority, weight: *weight, needs });
            if *fate == 0 { unavailable.push(id); }
            if *fate == 1 { failing.insert(id); }
        }
        let mut sets = BTreeSet::new();
        for count in workers {
            for mode in [Mode::Passive, Mode::Active] {
                let mut wakes = Wakes::new();
                let config = RunConfig { mode, ..with_workers(count) };
                let mut run = orchestrator.begin(NOW, config, &unavailable, &mut wakes);
                let mut running = started(&run, &mut wakes);
                while let Some(plugin) = running.pop() {
                    let outcome = if failing.contains(&plugin) { Outcome::Failed } else { Outcome::Succeeded };
                    running.extend(end(&mut run, plugin, outcome, &mut wakes));
                    prop_assert!(running.len() <= count as usize);
                }
                prop_assert!(run.is_over());
                prop_assert_eq!(run.records().count(), orchestrator.admitted(mode).count());
                let fates: Vec<String> = statuses(&run).into_iter().map(|fate| format!("{fate:?}")).collect();
                sets.insert((mode, fates));
            }
        }
        prop_assert_eq!(sets.len(), 2);
    }
}

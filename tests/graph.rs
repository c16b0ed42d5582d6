//! The task graph as its users see it, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;
use std::cell::RefCell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    GraphConfig, GraphTask, OnFailure, Runtime, TaskGraph, TaskGraphError, TaskResult, VirtualRuntime,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Task = GraphTask<u32, &'static str>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn nap(runtime: &VirtualRuntime, name: &'static str, millis: u64) -> Task {
    let runtime = runtime.clone();
    GraphTask::new(name, async move |_| {
        runtime.sleep(ms(millis)).await;
        Ok(1)
    })
}

fn fail(name: &'static str) -> Task {
    GraphTask::new(name, async |_| Err("broken"))
}

#[test]
fn a_diamond_takes_as_long_as_its_longer_side_and_hands_values_on() {
    let runtime = VirtualRuntime::new();
    let graph = TaskGraph::new(&runtime);
    graph.add(nap(&runtime, "a", 10)).unwrap();
    graph.add(nap(&runtime, "b", 30).depends_on(["a"])).unwrap();
    graph.add(nap(&runtime, "c", 20).depends_on(["a"])).unwrap();
    let sum = GraphTask::new("d", async |of: tidegate::Results<u32>| {
        Ok(of.values().map(|v| **v).sum())
    });
    graph.add(sum.depends_on(["b", "c"])).unwrap();
    let report = runtime.block_on(graph.execute()).unwrap();
    assert_eq!(report.value("d"), Some(&2));
    assert_eq!(report.duration, ms(40));
    let path: Vec<&str> = report.critical_path.iter().map(|name| &**name).collect();
    assert_eq!((path, report.critical_time), (vec!["a", "b", "d"], ms(40)));
    let timing = report.task("d").unwrap().timing;
    assert_eq!(timing.ready, timing.started);
}

#[test]
fn no_more_run_at_once_than_allowed() {
    let runtime = VirtualRuntime::new();
    let config = GraphConfig {
        concurrency: NonZeroU32::new(2).unwrap(),
        ..GraphConfig::default()
    };
    let graph = TaskGraph::with(&runtime, config);
    for name in ["a", "b", "c", "d", "e"] {
        graph.add(nap(&runtime, name, 10)).unwrap();
    }
    let report = runtime.block_on(graph.execute()).unwrap();
    assert_eq!(report.duration, ms(30));
}

#[test]
fn what_depends_on_a_failure_is_skipped_with_the_reason_unless_it_runs_all_the_same() {
    let runtime = VirtualRuntime::new();
    let graph = TaskGraph::new(&runtime);
    graph.add(fail("a")).unwrap();
    graph.add(nap(&runtime, "b", 1).depends_on(["a"])).unwrap();
    graph.add(nap(&runtime, "c", 1).depends_on(["b"])).unwrap();
    let cleanup = nap(&runtime, "cleanup", 1).depends_on(["c"]);
    graph.add(cleanup.on_failure(OnFailure::Run)).unwrap();
    let report = runtime.block_on(graph.execute()).unwrap();
    assert_eq!(
        report.task("a").unwrap().result,
        TaskResult::Failed(Rc::new("broken"))
    );
    let because_of: Rc<str> = "a".into();
    assert_eq!(
        report.task("c").unwrap().result,
        TaskResult::Skipped { because_of }
    );
    assert_eq!(report.value("cleanup"), Some(&1));
}

#[test]
fn a_cycle_is_named_and_a_missing_dependency_too() {
    let runtime = VirtualRuntime::new();
    let graph = TaskGraph::new(&runtime);
    graph.add(nap(&runtime, "a", 1).depends_on(["b"])).unwrap();
    let cycle = graph.add(nap(&runtime, "b", 1).depends_on(["a"])).unwrap_err();
    assert_eq!(
        cycle.to_string(),
        "the dependencies go in a circle: `b` → `a` → `b`"
    );
    let missing = runtime.block_on(graph.execute()).unwrap_err();
    assert_eq!(missing.to_string(), "`a` depends on `b`, which was never added");
    let taken = graph.add(nap(&runtime, "a", 1)).unwrap_err();
    assert_eq!(taken, TaskGraphError::Duplicate { name: "a".into() });
}

#[test]
fn a_task_may_add_others_while_it_runs_and_others_may_cancel_it() {
    let runtime = VirtualRuntime::new();
    let graph: TaskGraph<VirtualRuntime, u32, &str> = TaskGraph::new(&runtime);
    let (inner, time) = (graph.clone(), runtime.clone());
    let adds = GraphTask::new("adds", async move |_| {
        inner.add(nap(&time, "added", 5).depends_on(["adds"])).unwrap();
        inner.add(nap(&time, "slow", 1_000)).unwrap();
        time.sleep(ms(10)).await;
        Ok(0)
    });
    graph.add(adds).unwrap();
    let (other, time) = (graph.clone(), runtime.clone());
    runtime.spawn(async move {
        time.sleep(ms(12)).await;
        assert!(other.cancel("slow"));
        assert!(!other.cancel("slow"));
    });
    let report = runtime.block_on(graph.execute()).unwrap();
    assert_eq!(report.duration, ms(15));
    assert_eq!(report.value("added"), Some(&1));
    assert_eq!(report.task("slow").unwrap().result, TaskResult::Cancelled);
    assert!(graph.progress().is_over());
}

#[test]
fn progress_is_told_after_every_change() {
    let runtime = VirtualRuntime::new();
    let graph = TaskGraph::new(&runtime);
    graph.add(nap(&runtime, "a", 1)).unwrap();
    graph.add(nap(&runtime, "b", 1).depends_on(["a"])).unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    graph.on_progress(move |progress| log.borrow_mut().push((progress.running, progress.ended())));
    runtime.block_on(graph.execute()).unwrap();
    assert_eq!(*seen.borrow(), [(1, 0), (1, 1), (1, 1), (0, 2)]);
}

#[test]
fn dropping_an_execution_drops_what_runs_and_runs_nothing_more() {
    let runtime = VirtualRuntime::new();
    let graph = TaskGraph::new(&runtime);
    let held = Rc::new(());
    let (inner, time) = (Rc::clone(&held), runtime.clone());
    let holds = GraphTask::new("a", async move |_| {
        let _inner = inner;
        time.sleep(ms(1_000)).await;
        Ok::<u32, &str>(1)
    });
    graph.add(holds).unwrap();
    graph.add(nap(&runtime, "b", 1).depends_on(["a"])).unwrap();
    runtime.block_on(async {
        let mut execution = Box::pin(graph.execute());
        assert!((&mut execution).now_or_never().is_none());
        assert_eq!(Rc::strong_count(&held), 2);
        drop(execution);
    });
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(graph.progress().is_over());
    assert_eq!(graph.progress().cancelled, 2);
}

#[test]
fn a_graph_without_tasks_is_over_at_once_and_one_can_be_executed_again_for_what_was_added_since() {
    let runtime = VirtualRuntime::new();
    let graph = TaskGraph::new(&runtime);
    assert!(runtime.block_on(graph.execute()).unwrap().tasks.is_empty());
    graph.add(nap(&runtime, "a", 1)).unwrap();
    let report = runtime.block_on(graph.execute()).unwrap();
    assert_eq!(report.value("a"), Some(&1));
}

use super::*;
use crate::future::acquire_error::AcquireError;
use crate::future::locks::{LockError, LockOptions, LockSet};
use crate::future::metrics::Metrics;
use crate::future::pool::Pool;
use crate::future::pool_options::PoolOptions;
use crate::future::run_options::RunOptions;
use crate::future::state::{VersionedState, WaitOptions};
use crate::future::task::RunError;
use crate::future::virtual_runtime::VirtualRuntime;
use futures::FutureExt;
use std::num::NonZeroU32;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Failure = Box<dyn std::error::Error>;
type Graph<E = Failure> = TaskGraph<VirtualRuntime, u32, E>;

fn house() -> (VirtualRuntime, Host<VirtualRuntime>) {
    let runtime = VirtualRuntime::new();
    (runtime.clone(), Host::new(runtime))
}

fn graph<E: 'static>(host: &Host<VirtualRuntime>, concurrency: u32) -> Graph<E> {
    let config = GraphConfig {
        concurrency: NonZeroU32::new(concurrency).unwrap(),
        ..GraphConfig::default()
    };
    TaskGraph::with(host.runtime(), config)
        .known_as(host, "plan")
        .unwrap()
}

fn words(chain: &[DeadlockStep]) -> Vec<String> {
    chain.iter().map(ToString::to_string).collect()
}

#[test]
fn a_task_that_awaits_a_slot_of_whoever_awaits_the_graph_is_told() {
    let (runtime, host) = house();
    let pool = Pool::new(&host, PoolOptions::new(1).name("narrow")).unwrap();
    for room in [1, 2] {
        pool.resize(room);
        let graph = graph::<RunError<()>>(&host, 10);
        let (inner, owner) = (pool.clone(), graph.owner("first").unwrap());
        graph
            .add(GraphTask::new("first", async move |_| {
                inner
                    .run(RunOptions::new().owned_by(owner), async |_| Ok::<_, ()>(1))
                    .await
            }))
            .unwrap();
        graph
            .add(GraphTask::new("second", async |_| Ok(2)).depends_on(["first"]))
            .unwrap();
        let outer = pool.run(RunOptions::new(), async |context| {
            graph.execute_for(&context).await
        });
        let report = runtime.block_on(outer).unwrap();
        if room == 2 {
            assert_eq!(report.value("second"), Some(&2));
            continue;
        }
        let refused = RunError::Refused(AcquireError::Deadlock);
        assert_eq!(report.tasks[0].result, TaskResult::Failed(Rc::new(refused)));
        let because_of = Rc::from("first");
        assert_eq!(report.tasks[1].result, TaskResult::Skipped { because_of });
        let chain = words(&host.take_deadlock().unwrap());
        assert_eq!(chain.len(), 3, "{chain:?}");
        assert!(chain[0].ends_with(r#"waits for a slot of pool "narrow""#));
        assert!(chain[1].contains("waits for the end of"));
    }
    assert!(host.call(|world, _| world.wait_for().is_empty()));
}

#[test]
fn a_task_that_waits_for_what_one_would_write_that_depends_on_it_is_told_and_by_one_that_does_not_is_served()
{
    for dependent in [true, false] {
        let (runtime, host) = house();
        let state = VersionedState::new(&host).unwrap();
        let graph = graph::<AcquireError>(&host, 10);
        let owners = ["reader", "writer"].map(|name| graph.owner(name).unwrap());
        let read = state.clone();
        graph
            .add(GraphTask::new("reader", async move |_| {
                let told = WaitOptions::new().owner(owners[0]).writers([owners[1]]);
                read.wait_for_with("ready", |value| *value > 0, told).await
            }))
            .unwrap();
        graph
            .add(GraphTask::new("between", async |_| Ok(0)).depends_on(["reader"]))
            .unwrap();
        let after = if dependent { &["between"][..] } else { &[] };
        let write = async move |_| Ok(state.set("ready", 7) as u32);
        graph
            .add(GraphTask::new("writer", write).depends_on(after.iter().copied()))
            .unwrap();
        let report = runtime.block_on(graph.execute()).unwrap();
        if dependent {
            assert_eq!(
                report.tasks[0].result,
                TaskResult::Failed(Rc::new(AcquireError::Deadlock))
            );
            assert_eq!(host.take_deadlock().unwrap().len(), 3);
        } else {
            assert_eq!(report.value("reader"), Some(&7));
        }
    }
}

#[test]
fn a_task_that_waits_for_one_that_has_no_slot_in_their_graph_is_told_and_where_there_is_a_slot_it_is_served()
{
    for (concurrency, weight, is_stuck) in [(1, 1, true), (2, 1, false), (2, 2, true), (3, 2, false)] {
        let (runtime, host) = house();
        let state = VersionedState::new(&host).unwrap();
        let graph = graph::<AcquireError>(&host, concurrency);
        let owners = ["reader", "writer"].map(|name| graph.owner(name).unwrap());
        let read = state.clone();
        graph
            .add(GraphTask::new("reader", async move |_| {
                let told = WaitOptions::new().owner(owners[0]).writers([owners[1]]);
                read.wait_for_with("ready", |value| *value > 0, told).await
            }))
            .unwrap();
        let write = async move |_| Ok(state.set("ready", 1) as u32);
        graph.add(GraphTask::new("writer", write).weight(weight)).unwrap();
        let report = runtime.block_on(graph.execute()).unwrap();
        assert_eq!(
            report.value("reader").is_none(),
            is_stuck,
            "{weight} of {concurrency}"
        );
        if is_stuck {
            let chain = words(&host.take_deadlock().unwrap());
            assert!(
                chain[1].ends_with(r#"waits for a slot of graph "plan""#),
                "{chain:?}"
            );
        }
        assert!(report.value("writer").is_some());
    }
}

#[test]
fn a_task_that_would_never_start_is_given_up_with_the_chain_when_its_wait_is_the_youngest() {
    let (runtime, host) = house();
    let locks = LockSet::new(&host).unwrap();
    let graph = graph::<LockError>(&host, 10);
    let (first, second) = (graph.owner("first").unwrap(), graph.owner("second").unwrap());
    let stranger = locks.try_acquire(["log"], LockOptions::new()).unwrap();
    let needs = locks.clone();
    graph
        .add(GraphTask::new("first", async move |_| {
            // It holds nothing while it waits, so another may take a part of it meanwhile.
            needs
                .reserve(["index", "log"], LockOptions::new().owner(first))
                .await
                .map(|_| 1)
        }))
        .unwrap();
    let mut execution = Box::pin(graph.execute());
    assert!(execution.as_mut().now_or_never().is_none());
    graph
        .add(GraphTask::new("second", async |_| Ok(2)).depends_on(["first"]))
        .unwrap();
    graph
        .add(GraphTask::new("third", async |_| Ok(3)).depends_on(["second"]))
        .unwrap();
    // The second task, which waits for the first, takes a lock that the first needs.
    let part = locks
        .try_acquire(["index"], LockOptions::new().owner(second))
        .unwrap();
    assert!(execution.as_mut().now_or_never().is_none());
    drop((part, stranger));
    let report = runtime.block_on(execution).unwrap();
    assert_eq!(report.value("first"), Some(&1));
    let TaskResult::Deadlocked { chain } = &report.tasks[1].result else {
        panic!("{:?}", report.tasks[1].result);
    };
    let (first, second) = (first.id(), second.id());
    assert_eq!(
        words(chain),
        [
            format!("{second} waits for the end of {first}"),
            format!("{first} waits for lock \"index\"")
        ]
    );
    let because_of = Rc::from("second");
    assert_eq!(report.tasks[2].result, TaskResult::Skipped { because_of });
    assert!(host.call(|world, _| world.wait_for().is_empty()));
}

#[test]
fn a_graph_whose_tasks_own_locks_in_an_order_that_works_runs_to_its_end_and_leaves_nothing_behind() {
    let (runtime, host) = house();
    let locks = LockSet::new(&host).unwrap();
    let graph = graph::<LockError>(&host, 2);
    for (name, after) in [("a", &[][..]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])] {
        let (locks, owner, runtime) = (locks.clone(), graph.owner(name).unwrap(), runtime.clone());
        let work = async move |_| {
            let _guard = locks.acquire(["one"], LockOptions::new().owner(owner)).await?;
            runtime.sleep(std::time::Duration::from_secs(1)).await;
            Ok(1)
        };
        graph
            .add(GraphTask::new(name, work).depends_on(after.iter().copied()))
            .unwrap();
    }
    let report = runtime.block_on(graph.execute()).unwrap();
    assert_eq!(report.duration, std::time::Duration::from_secs(4));
    assert_eq!(graph.progress().succeeded, 4);
    assert!(host.call(|world, _| world.wait_for().is_empty()));
    // Dropped before its end it leaves nothing behind either.
    let pending = async |_| std::future::pending().await;
    graph.add(GraphTask::new("e", pending)).unwrap();
    graph
        .add(GraphTask::new("f", async |_| Ok(1)).depends_on(["e"]))
        .unwrap();
    assert!(Box::pin(graph.execute()).now_or_never().is_none());
    assert!(host.call(|world, _| world.wait_for().is_empty()));
}

#[test]
fn a_host_that_knows_a_graph_counts_its_tasks_until_it_is_gone() {
    let (runtime, host) = house();
    let metrics = Metrics::new(&host);
    let graph = graph::<Failure>(&host, 2);
    graph.add(GraphTask::new("a", async |_| Ok(1))).unwrap();
    graph
        .add(GraphTask::new("b", async |_| Err("broken".into())).depends_on(["a"]))
        .unwrap();
    let count = |state| metrics.snapshot().others[0].value("tasks", Some(state));
    assert_eq!((count("waiting"), count("failed")), (Some(2), Some(0)));
    runtime.block_on(graph.execute()).unwrap();
    assert_eq!((count("succeeded"), count("failed")), (Some(1), Some(1)));
    let text = metrics.to_openmetrics();
    assert!(
        text.contains(r#"tidegate_graph_tasks{graph="plan",state="failed"} 1"#),
        "{text}"
    );
    drop(graph);
    assert!(metrics.snapshot().others.is_empty());
}

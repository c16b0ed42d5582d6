//! The orchestrator as its users see it, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    Host, Metrics, Mode, Orchestrator, Plugin, PluginEnd, PluginResult, RunConfig, Runtime, Sink,
    VirtualRuntime,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Plugins = Orchestrator<VirtualRuntime, u64, u64, &'static str>;
type One = Plugin<u64, u64, &'static str>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn workers(count: u32) -> RunConfig {
    RunConfig {
        max_workers: NonZeroU32::new(count).unwrap(),
        ..RunConfig::default()
    }
}

/// Takes as many milliseconds as the target is and gives it back.
fn nap(runtime: &VirtualRuntime, name: impl Into<Rc<str>>) -> One {
    let runtime = runtime.clone();
    Plugin::new(name, move |target: Rc<u64>, _| {
        let runtime = runtime.clone();
        async move {
            runtime.sleep(ms(*target)).await;
            Ok(*target)
        }
    })
}

fn fail(name: &'static str) -> One {
    Plugin::new(name, async |_, _| Err("broken"))
}

type Ends<'a> = Vec<(&'a str, &'a PluginEnd<u64, &'static str>)>;

fn ends<'a>(results: &'a [PluginResult<u64, &'static str>]) -> Ends<'a> {
    results
        .iter()
        .map(|result| (&*result.plugin, &result.end))
        .collect()
}

#[test]
fn five_workers_are_five_times_as_fast_as_one_and_give_the_same_results() {
    let mut seen = BTreeSet::new();
    let mut times = Vec::new();
    for count in [1, 3, 5, 8, 10] {
        let runtime = VirtualRuntime::new();
        let mut plugins: Plugins = Orchestrator::new(&runtime);
        for n in 0..10 {
            plugins.register(nap(&runtime, format!("p{n}"))).unwrap();
        }
        let results = runtime.block_on(plugins.run(10, workers(count)));
        times.push(runtime.now().as_micros() / 1000);
        let set: Vec<_> = results
            .iter()
            .map(|result| format!("{} {:?} {:?}", result.plugin, result.end, result.duration))
            .collect();
        seen.insert(set);
    }
    assert_eq!(times, [100, 40, 20, 20, 10]);
    assert_eq!(seen.len(), 1);
}

#[test]
fn one_plugins_failure_or_panic_is_one_result_and_who_needs_it_is_skipped() {
    let runtime = VirtualRuntime::new();
    let mut plugins: Plugins = Orchestrator::new(&runtime);
    plugins.register(fail("a")).unwrap();
    plugins.register(nap(&runtime, "b").needs(["a"])).unwrap();
    plugins.register(nap(&runtime, "c")).unwrap();
    plugins.register(nap(&runtime, "d").needs(["nowhere"])).unwrap();
    let results = runtime.block_on(plugins.run(5, RunConfig::default()));
    let expected = [
        ("a", PluginEnd::Failed(Rc::new("broken"))),
        (
            "b",
            PluginEnd::Skipped {
                because_of: "a".into(),
            },
        ),
        ("c", PluginEnd::Succeeded(Rc::new(5))),
        (
            "d",
            PluginEnd::Skipped {
                because_of: "nowhere".into(),
            },
        ),
    ];
    assert_eq!(
        ends(&results),
        expected
            .iter()
            .map(|(name, end)| (*name, end))
            .collect::<Vec<_>>()
    );
    assert_eq!((results[0].duration, results[1].duration), (Some(ms(0)), None));
}

#[test]
#[cfg(not(target_arch = "wasm32"))]
fn on_the_host_a_panic_anywhere_in_a_plugin_is_that_plugins_alone() {
    let runtime = VirtualRuntime::new();
    let mut plugins: Plugins = Orchestrator::new(&runtime);
    let early: One = Plugin::new("early", |_, _| -> std::future::Ready<_> { panic!("no luck") });
    plugins.register(early).unwrap();
    let asks = nap(&runtime, "asks").available(|_| -> std::future::Ready<bool> { panic!("no idea") });
    plugins.register(asks).unwrap();
    plugins.register(nap(&runtime, "fine")).unwrap();
    let results = runtime.block_on(plugins.run(5, RunConfig::default()));
    assert_eq!(results[0].end, PluginEnd::Panicked("no luck".into()));
    assert_eq!(results[1].end, PluginEnd::Unavailable);
    assert_eq!(results[2].value(), Some(&5));
}

#[test]
fn a_plugin_is_handed_the_values_of_those_it_needs() {
    let runtime = VirtualRuntime::new();
    let mut plugins: Plugins = Orchestrator::new(&runtime);
    let sum: One = Plugin::new("sum", async |_, of: tidegate::Results<u64>| {
        Ok(of.values().map(|n| **n).sum())
    });
    plugins.register(sum.needs(["a", "b"])).unwrap();
    plugins.register(nap(&runtime, "a")).unwrap();
    plugins.register(nap(&runtime, "b")).unwrap();
    let results = runtime.block_on(plugins.run(5, RunConfig::default()));
    assert_eq!((&*results[0].plugin, results[0].value()), ("sum", Some(&10)));
}

#[test]
fn modes_and_availability_say_who_takes_part() {
    let runtime = VirtualRuntime::new();
    let mut plugins: Plugins = Orchestrator::new(&runtime);
    plugins.register(nap(&runtime, "active").active()).unwrap();
    plugins
        .register(nap(&runtime, "picky").available(async |target| *target > 100))
        .unwrap();
    plugins.register(nap(&runtime, "plain")).unwrap();
    let results = runtime.block_on(plugins.run(5, RunConfig::default()));
    assert_eq!(results.len(), 2);
    assert_eq!(results[0].end, PluginEnd::Unavailable);
    let active = RunConfig {
        mode: Mode::Active,
        ..RunConfig::default()
    };
    let results = runtime.block_on(plugins.run(101, active));
    assert!(results.iter().all(|result| result.value() == Some(&101)));
    assert_eq!(results.len(), 3);
}

#[test]
fn a_run_is_steered_while_it_goes_and_tells_each_result_as_it_comes() {
    let runtime = VirtualRuntime::new();
    let mut plugins: Plugins = Orchestrator::new(&runtime);
    for n in 0..6 {
        plugins.register(nap(&runtime, format!("p{n}"))).unwrap();
    }
    let seen = RefCell::new(Vec::new());
    let results = runtime.block_on(async {
        let run = plugins.begin(10, workers(1)).await;
        let handle = run.handle();
        let time = runtime.clone();
        runtime.spawn(async move {
            time.sleep(ms(15)).await;
            handle.set_max_workers(2);
            time.sleep(ms(15)).await;
            assert_eq!(handle.progress(), (3, 6));
            handle.cancel();
        });
        run.finish(|result| seen.borrow_mut().push(result.plugin.to_string()))
            .await
    });
    assert_eq!(runtime.now().as_micros(), 30_000);
    assert_eq!(
        results
            .iter()
            .filter(|result| result.end == PluginEnd::Cancelled)
            .count(),
        3
    );
    assert_eq!(*seen.borrow(), ["p0", "p1", "p2", "p3", "p4", "p5"]);
}

#[test]
fn names_are_unique_and_needs_end() {
    let runtime = VirtualRuntime::new();
    let mut plugins: Plugins = Orchestrator::new(&runtime);
    plugins.register(nap(&runtime, "a").needs(["b"])).unwrap();
    let taken = plugins.register(nap(&runtime, "a")).unwrap_err();
    assert_eq!(taken.to_string(), "there is a plugin `a` already");
    let cycle = plugins.register(nap(&runtime, "b").needs(["a"])).unwrap_err();
    assert_eq!(
        cycle.to_string(),
        "the plugins need each other in a circle: `b` → `a` → `b`"
    );
}

#[test]
fn every_result_is_written_once_and_one_at_a_time_through_a_sink() {
    let runtime = VirtualRuntime::new();
    let mut plugins: Plugins = Orchestrator::new(&runtime);
    for n in 0..10 {
        plugins.register(nap(&runtime, format!("p{n}"))).unwrap();
    }
    let (time, lines) = (runtime.clone(), Rc::new(RefCell::new(Vec::new())));
    let file = Rc::clone(&lines);
    let sink = Sink::new(&runtime, move |result: PluginResult<u64, &'static str>| {
        let (time, file) = (time.clone(), Rc::clone(&file));
        async move {
            file.borrow_mut().push(format!("<{}", result.plugin));
            time.sleep(ms(7)).await;
            file.borrow_mut().push(format!("{}>", result.plugin));
            Ok::<_, ()>(())
        }
    });
    let results = runtime.block_on(async {
        let run = plugins.begin(10, workers(5)).await;
        let results = run.finish(|result| drop(sink.write(result.clone()))).await;
        sink.close().await;
        results
    });
    let lines = lines.borrow();
    let whole = lines
        .chunks(2)
        .all(|pair| pair[0].trim_start_matches('<') == pair[1].trim_end_matches('>'));
    assert!(whole, "{lines:?}");
    let written: BTreeSet<&str> = lines.iter().filter_map(|line| line.strip_prefix('<')).collect();
    assert_eq!((written.len(), lines.len()), (results.len(), 20));
}

#[test]
fn a_host_that_knows_an_orchestrator_counts_its_plugins_runs_and_results() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let metrics = Metrics::new(&host);
    let mut plugins: Plugins = Orchestrator::new(&runtime).known_as(&host, "look").unwrap();
    plugins.register(nap(&runtime, "a")).unwrap();
    plugins.register(nap(&runtime, "b")).unwrap();
    plugins.register(fail("c")).unwrap();
    plugins.register(nap(&runtime, "d").needs(["c"])).unwrap();
    let plugins = Rc::new(plugins);
    let counts = |name, label| metrics.snapshot().others[0].value(name, label).unwrap();
    let within = Rc::clone(&plugins);
    runtime.spawn(async move { drop(within.run(10, workers(2)).await) });
    runtime.advance(ms(5));
    assert_eq!(
        (
            counts("plugins", None),
            counts("runs", None),
            counts("running", None)
        ),
        (4, 1, 2)
    );
    runtime.advance(ms(50));
    assert_eq!((counts("runs", None), counts("running", None)), (0, 0));
    let results = ["succeeded", "failed", "skipped", "cancelled"].map(|end| counts("results", Some(end)));
    assert_eq!(results, [2, 1, 1, 0]);
    let text = metrics.to_openmetrics();
    let line = r#"tidegate_orchestrator_results_total{orchestrator="look",outcome="skipped"} 1"#;
    assert!(text.contains(line), "{text}");
}

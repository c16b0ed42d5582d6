//! The scan engine in virtual time: the same records whatever the number of workers, and one record for each failure.
#![cfg(feature = "scan")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tidegate::scan::config::{ScanConfig, ScanOptions};
use tidegate::scan::event::{PluginRun, RunStatus, ScanEvent};
use tidegate::scan::fake::{Answer, FakeFetcher};
use tidegate::scan::fetch::{Capabilities, Request};
use tidegate::scan::finding::{Finding, Severity};
use tidegate::scan::plugin::{Context, Earlier, Level, Mode, Outcome, Plugin, PluginError};
use tidegate::scan::plugins::{self, PluginEntry};
use tidegate::scan::report::{Report, Resumed};
use tidegate::scan::target::Target;
use tidegate::scan::targets::Targets;
use tidegate::scan::{Scan, Scanner};
use tidegate::{Runtime, VirtualRuntime};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A plugin that asks for one page, in a level and with needs of the test's choice.
struct Ask {
    name: &'static str,
    level: Level,
    needs: &'static [&'static str],
    priority: i32,
}

impl Ask {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            level: Level::Discovery,
            needs: &[],
            priority: 0,
        }
    }
}

impl Plugin for Ask {
    fn name(&self) -> &'static str {
        self.name
    }
    fn mode(&self) -> Mode {
        Mode::Passive
    }
    fn level(&self) -> Level {
        self.level
    }
    fn needs(&self) -> &'static [&'static str] {
        self.needs
    }
    fn priority(&self) -> i32 {
        self.priority
    }
    fn available(&self, target: &Target, _: Capabilities) -> Result<(), String> {
        if target.path.contains("/nothing") {
            Err("There is nothing here.".to_owned())
        } else {
            Ok(())
        }
    }
    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>> {
        Box::pin(async move {
            for need in self.needs {
                assert!(
                    earlier.outcome(need).is_some() || target.path.contains("/down"),
                    "{need} has ended"
                );
            }
            if target.path.contains("/panic") {
                return Err(PluginError::Failed(panics("told to")));
            }
            let response = ctx
                .fetch(Request::get(target.url()).timeout(Duration::from_secs(90)))
                .await?;
            let finding = Finding::new(Severity::Low, format!("{}/seen", self.name), "Seen")
                .evidence(response.status.to_string());
            Ok(Outcome {
                summary: response.status.to_string(),
                findings: vec![finding],
                ..Outcome::default()
            })
        })
    }
}

/// Panics on the host; stable Rust aborts in wasm, so there it only says what a caught panic would have said.
fn panics(message: &str) -> String {
    if cfg!(target_arch = "wasm32") {
        return format!("It panicked: {message}");
    }
    panic!("{message}")
}

fn five() -> Vec<PluginEntry> {
    ["a", "b", "c", "d", "e"]
        .into_iter()
        .map(|name| PluginEntry::ready(Ask::new(name)))
        .collect()
}

fn network(runtime: &VirtualRuntime) -> FakeFetcher {
    let fake = FakeFetcher::new(Rc::new(runtime.clone()));
    fake.on("http://", |_| {
        Answer::status(200).after(Duration::from_millis(100))
    });
    for n in 0..9 {
        fake.on(format!("http://h{n}/hang"), |_| Answer::hang());
        fake.on(format!("http://h{n}/down"), |_| {
            Answer::error(tidegate::scan::fetch::FetchErrorKind::Reset, "reset")
        });
    }
    fake
}

fn config(json: &str) -> ScanConfig {
    ScanConfig::parse(&serde_json::from_str::<ScanOptions>(json).unwrap()).unwrap()
}

fn scan(
    runtime: &VirtualRuntime,
    plugins: Vec<PluginEntry>,
    options: &str,
    targets: &[&str],
) -> Scan<VirtualRuntime> {
    let network = network(runtime);
    let scanner = Scanner::new(runtime.clone(), Rc::new(network), config(options), plugins).unwrap();
    scanner.scan(Targets::parse(targets))
}

fn run(plugins: Vec<PluginEntry>, options: &str, targets: &[&str]) -> (Report, VirtualRuntime) {
    let runtime = VirtualRuntime::new();
    let scan = scan(&runtime, plugins, options, targets);
    let report = runtime.block_on(scan.run(|_| {}));
    assert_eq!(
        (runtime.pending_timers(), runtime.pending_tasks()),
        (0, 0),
        "nothing is left behind"
    );
    (report, runtime)
}

/// What of a record does not depend on when its turn came.
fn lasting(run: &PluginRun) -> (String, String, Option<f64>, RunStatus, Option<String>) {
    (
        run.target.clone(),
        run.plugin.clone(),
        run.duration,
        run.status,
        run.error.clone(),
    )
}

const MIXED: [&str; 7] = [
    "http://h0/",
    "http://h1/",
    "http://h2/nothing",
    "http://h3/panic",
    "http://h4/down",
    "http://h5/hang",
    "http://h6/",
];

#[test]
fn any_number_of_workers_gives_the_same_results_and_timing_records() {
    let mut seen: Option<(Vec<_>, Vec<_>)> = None;
    for workers in [1, 3, 5, 8, 10] {
        for repeat in 0..20 {
            let runtime = VirtualRuntime::shuffled(repeat);
            let options = format!(r#"{{ "maxWorkers": {workers} }}"#);
            let scan = scan(&runtime, five(), &options, &MIXED);
            let events = Rc::new(RefCell::new(Vec::new()));
            let log = Rc::clone(&events);
            let report = runtime.block_on(scan.run(move |event| log.borrow_mut().push(event)));
            let records: Vec<_> = report.results.iter().map(|result| lasting(&result.run)).collect();
            let findings: Vec<_> = report
                .results
                .iter()
                .flat_map(|result| result.findings.clone())
                .collect();
            assert_eq!(records.len(), MIXED.len() * 5);
            let streamed = events
                .borrow()
                .iter()
                .filter(|event| matches!(event, ScanEvent::Result { .. }))
                .count();
            assert_eq!(streamed, records.len(), "each result is told once");
            match &seen {
                None => seen = Some((records, findings)),
                Some(first) => assert_eq!(first, &(records, findings), "{workers} workers, repeat {repeat}"),
            }
        }
    }
}

#[test]
fn one_worker_means_strict_order() {
    let runtime = VirtualRuntime::new();
    let scan = scan(
        &runtime,
        five(),
        r#"{ "maxWorkers": 1 }"#,
        &["h0:80", "h1:80", "h2:80"],
    );
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    runtime.block_on(scan.run(move |event| {
        if let ScanEvent::Result { result } = event {
            log.borrow_mut().push((
                result.run.target.clone(),
                result.run.plugin.clone(),
                result.run.start,
            ));
        }
    }));
    let mut expected = Vec::new();
    for host in ["http://h0/", "http://h1/", "http://h2/"] {
        for plugin in ["a", "b", "c", "d", "e"] {
            expected.push((host.to_owned(), plugin.to_owned(), expected.len() as f64 * 100.0));
        }
    }
    assert_eq!(*order.borrow(), expected);
}

#[test]
fn five_workers_are_at_least_three_times_as_fast_as_one() {
    for targets in [
        &["h0:80"][..],
        &["h0:80", "h1:80", "h2:80", "h3:80", "h4:80", "h5:80", "h6:80"],
    ] {
        let took = |workers: u32| {
            let (_, runtime) = run(five(), &format!(r#"{{ "maxWorkers": {workers} }}"#), targets);
            runtime.now().as_millis_f64()
        };
        let (one, five) = (took(1), took(5));
        assert!(one >= 3.0 * five, "{one} ms against {five} ms");
    }
}

#[test]
fn plugins_start_by_priority_and_after_what_they_need() {
    let plugins = vec![
        PluginEntry::ready(Ask {
            needs: &["late"],
            ..Ask::new("last")
        }),
        PluginEntry::ready(Ask {
            priority: -5,
            ..Ask::new("late")
        }),
        PluginEntry::ready(Ask {
            priority: 9,
            needs: &["absent"],
            ..Ask::new("first")
        }),
    ];
    let runtime = VirtualRuntime::new();
    let target = ["http://h0/down"];
    let scan = scan(&runtime, plugins, r#"{ "maxWorkers": 1 }"#, &target);
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    runtime.block_on(scan.run(move |event| {
        if let ScanEvent::Result { result } = event {
            log.borrow_mut().push(result.run.plugin.clone());
        }
    }));
    assert_eq!(*order.borrow(), ["first", "late", "last"]);
}

#[test]
fn a_plugin_that_cannot_be_made_is_one_error_result_for_each_target() {
    let mut plugins = five();
    plugins.push(PluginEntry::new("broken", Mode::Passive, Level::Analysis, |_| {
        Err("no rules".to_owned())
    }));
    plugins.push(PluginEntry::new("bomb", Mode::Passive, Level::Analysis, |_| {
        Err(panics("boom"))
    }));
    let (report, _) = run(plugins, "{}", &["h0:80", "h1:80"]);
    assert_eq!(report.results.len(), 14);
    assert_eq!(report.summary.runs.ok, 10);
    let errors: Vec<_> = report
        .results
        .iter()
        .filter(|result| result.run.status == RunStatus::Error)
        .collect();
    assert_eq!(errors.len(), 4);
    assert!(errors.iter().all(|result| result.run.duration.is_none()));
    assert_eq!(
        errors[0].run.error.as_deref(),
        Some("The plugin `bomb` could not be made: It panicked: boom")
    );
    assert_eq!(
        errors[1].run.error.as_deref(),
        Some("The plugin `broken` could not be made: no rules")
    );
}

#[test]
fn failing_panicking_and_hanging_plugins_take_nobody_with_them() {
    let (report, _) = run(five(), "{}", &MIXED);
    let runs = &report.summary.runs;
    assert_eq!((runs.ok, runs.error, runs.timeout, runs.skipped), (15, 10, 5, 5));
    let of = |target: &str| {
        report
            .results
            .iter()
            .find(|result| result.run.target == target)
            .unwrap()
    };
    assert_eq!(
        of("http://h3/panic").run.error.as_deref(),
        Some("It panicked: told to")
    );
    assert_eq!(of("http://h4/down").run.error.as_deref(), Some("reset"));
    assert_eq!(
        of("http://h5/hang").run.error.as_deref(),
        Some(r#"Operation "a" timed out after 30 s"#)
    );
    assert_eq!(
        of("http://h2/nothing").run.duration,
        None,
        "what is skipped never began"
    );
    assert!(report.complete);
}

#[test]
fn a_level_never_has_more_at_work_than_it_may() {
    let runtime = VirtualRuntime::new();
    let plugins: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            PluginEntry::ready(Ask {
                level: Level::Introspection,
                ..Ask::new(name)
            })
        })
        .collect();
    let network = network(&runtime);
    let seen = network.clone();
    let scanner = Scanner::new(runtime.clone(), Rc::new(network), config("{}"), plugins).unwrap();
    let targets: Vec<String> = (0..300).map(|n| format!("http://t{n}/")).collect();
    let report = runtime.block_on(scanner.scan(Targets::parse(targets)).run(|_| {}));
    assert_eq!(seen.most_in_flight(), 5, "introspection has 5 slots");
    assert_eq!(
        report.summary.runs.ok, 900,
        "a long wait for a slot loses nothing"
    );
}

#[test]
fn a_cancelled_scan_records_every_run_and_is_taken_up_again() {
    let runtime = VirtualRuntime::new();
    let first = scan(&runtime, five(), r#"{ "maxWorkers": 2 }"#, &["h0:80", "h1:80"]);
    let handle = first.clone();
    let seen = Cell::new(0);
    let report = runtime.block_on(first.run(move |event| {
        if matches!(event, ScanEvent::Result { .. }) {
            seen.set(seen.get() + 1);
            if seen.get() == 4 {
                handle.cancel();
            }
        }
    }));
    assert_eq!((report.results.len(), report.complete), (10, false));
    assert!(report.summary.runs.cancelled > 0 && report.summary.runs.ok >= 4);
    let ended = report.summary.runs.ok;
    runtime.settle();
    assert_eq!((runtime.pending_timers(), runtime.pending_tasks()), (0, 0));

    let network = network(&runtime);
    let asked = network.clone();
    let scanner = Scanner::new(runtime.clone(), Rc::new(network), config("{}"), five()).unwrap();
    let report = Report::from_json(&report.to_json().unwrap()).unwrap();
    let second = scanner.resume(Targets::parse(["h0:80", "h1:80"]), Resumed::from_report(report));
    let report = runtime.block_on(second.run(|_| {}));
    assert_eq!((report.summary.runs.ok, report.complete), (10, true));
    assert_eq!(
        asked.requests().len(),
        10 - ended,
        "what had ended is not asked again"
    );
}

#[test]
fn a_paused_scan_starts_nothing_until_it_is_resumed() {
    let runtime = VirtualRuntime::new();
    let scan = scan(&runtime, five(), r#"{ "maxWorkers": 1 }"#, &["h0:80"]);
    let running = scan.clone();
    runtime.spawn(async move {
        running.run(|_| {}).await;
    });
    runtime.advance(Duration::from_millis(150));
    scan.pause();
    runtime.advance(Duration::from_secs(3600));
    assert_eq!(scan.metrics().done, 2, "what was at work went on");
    assert!(scan.metrics().paused);
    scan.resume();
    runtime.advance(Duration::from_millis(400));
    assert_eq!(scan.metrics().done, 5);
    assert!(scan.report().complete);
}

#[test]
fn progress_and_metrics_are_told_while_it_runs() {
    let runtime = VirtualRuntime::new();
    let scan = scan(&runtime, five(), r#"{ "maxWorkers": 1 }"#, &["h0:80", "h1:80"]);
    let progress = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&progress);
    runtime.block_on(scan.run(move |event| {
        if let ScanEvent::Progress {
            done,
            total,
            eta,
            metrics,
            ..
        } = event
        {
            log.borrow_mut().push((done, total, eta, metrics));
        }
    }));
    let progress = progress.borrow();
    let (done, total, eta, metrics) = &progress[0];
    assert_eq!((*done, *total, *eta), (2, 10, Some(1000.0)));
    assert_eq!((metrics.levels[0].active, metrics.levels[0].completed), (1, 2));
    assert!((metrics.throughput.runs - 8.0).abs() < 0.1 && (metrics.latency.p50 - 100.0).abs() < 1.0);
    assert_eq!(
        progress.last().map(|last| (last.0, last.2)),
        Some((10, Some(0.0)))
    );
}

#[test]
fn a_scanner_says_what_is_wrong_with_its_plugins() {
    let make = |options: &str, plugins| {
        let runtime = VirtualRuntime::new();
        let network = Rc::new(network(&runtime));
        Scanner::new(runtime, network, config(options), plugins)
            .map(drop)
            .unwrap_err()
    };
    assert_eq!(
        make(r#"{ "plugins": ["htp-probe"] }"#, plugins::all()),
        "There is no plugin `htp-probe`; did you mean `http-probe`?"
    );
    let active = || {
        vec![PluginEntry::new("loud", Mode::Active, Level::Discovery, |_| {
            Err(String::new())
        })]
    };
    assert!(make(r#"{ "plugins": ["loud"] }"#, active()).contains("runs with the mode `active` only"));
    assert!(make(r#"{ "plugins": [] }"#, five()).contains("at least one plugin"));
    let circle = vec![
        PluginEntry::ready(Ask {
            needs: &["y"],
            ..Ask::new("x")
        }),
        PluginEntry::ready(Ask {
            needs: &["x"],
            ..Ask::new("y")
        }),
    ];
    let error = make("{}", circle);
    assert!(
        error.contains("in a circle: `") && error.contains("`x`") && error.contains("`y`"),
        "{error}"
    );
}

#[test]
fn nothing_to_scan_is_a_finished_scan() {
    let (report, _) = run(five(), "{}", &["ftp://x"]);
    assert_eq!(
        (report.results.len(), report.invalid.len(), report.complete),
        (0, 1, true)
    );
}

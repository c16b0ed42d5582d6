//! The engine: every plugin on every target, through the levels, with a record for each.

use core::cell::{Cell, RefCell};
use core::panic::AssertUnwindSafe;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::{Either, select};

use super::config::ScanConfig;
use super::event::{PluginResult, PluginRun, RunStatus, ScanEvent};
use super::fetch::Fetcher;
use super::gate::Gate;
use super::hosts::Hosts;
use super::metrics::{MemoryMetrics, ScanMetrics};
use super::monitor::Tally;
use super::plugin::{Connect, Context, Earlier, Level, Outcome, PluginError};
use super::plugins::PluginEntry;
use super::report::{Report, Resumed, SCHEMA, Summary, Tool};
use super::suggest::nearest;
use super::target::Target;
use super::targets::{Invalid, Targets};
use super::visit::{Made, circle, visit};
use crate::future::{Parker, Runtime, gather, timeout};
use crate::machine::time::Instant;

/// The most targets in one batch.
const LARGEST_BATCH: usize = 100;
/// Targets of one batch that are looked at at once.
const TARGETS_AT_ONCE: usize = 10;

/// Scans targets with plugins, politely. What it learns of hosts (their breakers and rates) lasts from scan to scan.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use tidegate::VirtualRuntime;
/// use tidegate::scan::{config::ScanConfig, fake::{Answer, FakeFetcher}, plugins, scanner::Scanner, targets::Targets};
///
/// let runtime = VirtualRuntime::new();
/// let network = FakeFetcher::new(Rc::new(runtime.clone()));
/// network.on("http://localhost:8000/", |_| Answer::status(200));
///
/// let scanner = Scanner::new(runtime.clone(), Rc::new(network), ScanConfig::default(), plugins::all())?;
/// let scan = scanner.scan(Targets::parse(["localhost:8000"]));
/// let report = runtime.block_on(scan.run(|_event| {}));
/// assert_eq!(report.summary.reachable, 1);
/// # Ok::<(), String>(())
/// ```
pub struct Scanner<R: Runtime> {
    runtime: R,
    config: ScanConfig,
    plugins: Vec<PluginEntry>,
    hosts: Hosts<R>,
    connector: Option<Rc<dyn Connect>>,
    epoch: Cell<f64>,
    memory: Rc<dyn Fn() -> MemoryMetrics>,
}

impl<R: Runtime> Scanner<R> {
    /// A scanner with those of `plugins` that the configuration asks for and allows.
    ///
    /// # Errors
    /// One sentence about a plugin that is not there, that is not allowed in this mode, or whose needs go in a circle.
    pub fn new(
        runtime: R,
        fetcher: Rc<dyn Fetcher>,
        config: ScanConfig,
        plugins: Vec<PluginEntry>,
    ) -> Result<Self, String> {
        let plugins = choose(&config, plugins)?;
        let hosts = Hosts::new(runtime.clone(), config.host.clone(), fetcher);
        let scanner = Self {
            runtime,
            config,
            plugins,
            hosts,
            connector: None,
            epoch: Cell::new(0.0),
            memory: Rc::new(MemoryMetrics::default),
        };
        let made = scanner.make();
        let named: Vec<_> = scanner
            .plugins
            .iter()
            .map(|entry| entry.name)
            .zip(&made)
            .collect();
        match circle(&named) {
            Some(names) => Err(format!(
                "Expected plugins whose needs end, got a circle: {}.",
                names.join(", ")
            )),
            None => Ok(scanner),
        }
    }

    /// The same scanner with a way to open TCP connections.
    #[must_use]
    pub fn with_connector(mut self, connector: Rc<dyn Connect>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Says which Unix time, in milliseconds, its runtime's origin has; scans made from now on carry calendar time.
    ///
    /// Said before each scan and not once, because some hosts have no calendar at the top level of a module.
    pub fn set_epoch(&self, millis: f64) {
        self.epoch.set(millis);
    }

    /// The same scanner with a reading of memory for its metrics.
    #[must_use]
    pub fn with_memory(mut self, reading: impl Fn() -> MemoryMetrics + 'static) -> Self {
        self.memory = Rc::new(reading);
        self
    }

    /// A scan of these targets, ready to run.
    pub fn scan(&self, targets: Targets) -> Scan<R> {
        self.resume(targets, Resumed::default())
    }

    /// A scan of these targets that takes over what an earlier one has answered.
    pub fn resume(&self, targets: Targets, earlier: Resumed) -> Scan<R> {
        let level = |level| Gate::new(self.runtime.clone(), self.config.slots(level));
        let ctx = Context::new(Rc::new(self.hosts.clone()), Rc::new(self.runtime.clone()))
            .with_connector(self.connector.clone());
        let runs = targets.targets.len() * self.plugins.len();
        Scan(Rc::new(Inner {
            runtime: self.runtime.clone(),
            config: self.config.clone(),
            names: self.plugins.iter().map(|entry| entry.name).collect(),
            levels_of: self.plugins.iter().map(|entry| entry.level).collect(),
            plugins: self.make(),
            hosts: self.hosts.clone(),
            ctx,
            earlier,
            epoch: self.epoch.get(),
            memory: Rc::clone(&self.memory),
            names_of_targets: targets.targets.iter().map(Target::url).collect(),
            targets: targets.targets,
            invalid: targets.invalid,
            gates: Level::ALL.map(level),
            results: RefCell::new((0..runs).map(|_| None).collect()),
            begun: RefCell::default(),
            tally: RefCell::new(Tally::new(self.runtime.now())),
            state: Cell::new(State::Waiting),
            paused: Cell::new(false),
            cancel: self.runtime.park(),
            sink: RefCell::new(Rc::new(|_| {})),
        }))
    }

    fn make(&self) -> Vec<Made> {
        let make = |entry: &PluginEntry| {
            let made = std::panic::catch_unwind(AssertUnwindSafe(|| (entry.make)(&self.config)));
            made.unwrap_or_else(|panic| Err(panic_text(&*panic)))
        };
        self.plugins.iter().map(make).collect()
    }
}

fn choose(config: &ScanConfig, plugins: Vec<PluginEntry>) -> Result<Vec<PluginEntry>, String> {
    let Some(wanted) = &config.plugins else {
        return Ok(plugins
            .into_iter()
            .filter(|entry| entry.mode <= config.mode)
            .collect());
    };
    if wanted.is_empty() {
        return Err("Expected `plugins` to name at least one plugin, got none.".to_owned());
    }
    for name in wanted {
        let known: Vec<&str> = plugins.iter().map(|entry| entry.name).collect();
        match plugins.iter().find(|entry| entry.name == name) {
            None => {
                let hint = nearest(name, &known).map_or_else(
                    || format!("there are {}", known.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(format!("There is no plugin `{name}`; {hint}"));
            }
            Some(entry) if entry.mode > config.mode => {
                return Err(format!(
                    "The plugin `{name}` is active; it runs with the mode `active` only."
                ));
            }
            Some(_) => {}
        }
    }
    Ok(plugins
        .into_iter()
        .filter(|entry| wanted.iter().any(|name| name == entry.name))
        .collect())
}

/// One scan. Cheap to clone: one handle runs it, others watch and steer it.
pub struct Scan<R: Runtime>(Rc<Inner<R>>);

struct Inner<R: Runtime> {
    runtime: R,
    config: ScanConfig,
    names: Vec<&'static str>,
    levels_of: Vec<Level>,
    plugins: Vec<Made>,
    hosts: Hosts<R>,
    ctx: Context,
    earlier: Resumed,
    epoch: f64,
    memory: Rc<dyn Fn() -> MemoryMetrics>,
    targets: Vec<Target>,
    names_of_targets: Vec<String>,
    invalid: Vec<Invalid>,
    gates: [Rc<Gate<R>>; Level::ALL.len()],
    /// By target, then plugin.
    results: RefCell<Vec<Option<PluginResult>>>,
    /// Runs at work, and since when.
    begun: RefCell<BTreeMap<usize, Instant>>,
    tally: RefCell<Tally>,
    state: Cell<State>,
    paused: Cell<bool>,
    cancel: R::Parker,
    sink: RefCell<Sink>,
}

type Sink = Rc<dyn Fn(ScanEvent)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Cancelled,
    Finished(Instant),
}

impl<R: Runtime> Clone for Scan<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> Scan<R> {
    /// Runs the scan to its end, and tells `sink` whatever happens as it happens. A second call finds it begun and
    /// returns its report as it is.
    ///
    /// # Cancel safety
    /// Dropping the future drops every run at work and sends nothing more. To hear the last of it, use
    /// [`cancel`](Self::cancel).
    pub async fn run(&self, sink: impl Fn(ScanEvent) + 'static) -> Report {
        let scan = &*self.0;
        match scan.state.get() {
            State::Running | State::Finished(_) => return self.report(),
            State::Waiting => scan.state.set(State::Running),
            State::Cancelled => {}
        }
        scan.sink.replace(Rc::new(sink));
        scan.begin();
        let listener = Rc::downgrade(&self.0);
        scan.hosts
            .listen(Some(Rc::new(move |now, host, from, to, failures| {
                if let Some(scan) = listener.upgrade() {
                    let host = host.to_owned();
                    scan.emit(ScanEvent::Breaker {
                        at: scan.calendar(now),
                        host,
                        from,
                        to,
                        failures,
                    });
                }
            })));
        if scan.state.get() == State::Running {
            let work = Box::pin(async {
                let monitor = Box::pin(scan.monitor());
                select(Box::pin(scan.work()), monitor).await;
            });
            let cancelled = Box::pin(std::future::poll_fn(|context| scan.cancel.poll_parked(context)));
            if let Either::Right((_, work)) = select(work, cancelled).await {
                drop(work);
            }
        }
        scan.hosts.listen(None);
        scan.end(self);
        self.report()
    }

    /// Starts no further run until [`resume`](Self::resume); what runs goes on.
    pub fn pause(&self) {
        self.steer(true);
    }

    /// Starts runs again.
    pub fn resume(&self) {
        self.steer(false);
    }

    fn steer(&self, paused: bool) {
        let scan = &*self.0;
        if scan.paused.replace(paused) == paused || matches!(scan.state.get(), State::Finished(_)) {
            return;
        }
        for gate in [Level::Discovery, Level::Introspection, Level::Analysis] {
            scan.gates[gate as usize].pause(paused);
        }
        let now = scan.runtime.now();
        scan.tally.borrow_mut().pause(now, paused);
        let at = scan.calendar(now);
        scan.emit(if paused {
            ScanEvent::Paused { at }
        } else {
            ScanEvent::Resumed { at }
        });
        scan.emit_progress();
    }

    /// Ends the scan: runs at work are dropped, and every run that has not ended is recorded as cancelled.
    pub fn cancel(&self) {
        let scan = &*self.0;
        if matches!(scan.state.get(), State::Waiting | State::Running) {
            scan.state.set(State::Cancelled);
            scan.cancel.unpark();
        }
    }

    /// The scan as it stands. While it runs, runs that have not ended are not in it.
    pub fn report(&self) -> Report {
        let scan = &*self.0;
        let results = scan.results.borrow();
        let plugins = scan.names.len().max(1);
        let mut given: Vec<PluginResult> = Vec::with_capacity(results.len());
        for of_target in results.chunks(plugins) {
            let mut ended: Vec<PluginResult> = of_target.iter().flatten().cloned().collect();
            ended.sort_by(|a, b| a.run.plugin.cmp(&b.run.plugin));
            given.append(&mut ended);
        }
        let cancelled = given
            .iter()
            .any(|result| result.run.status == RunStatus::Cancelled);
        let finished = match scan.state.get() {
            State::Finished(at) => Some(scan.calendar(at)),
            State::Waiting | State::Running | State::Cancelled => None,
        };
        Report {
            schema: SCHEMA.to_owned(),
            tool: Tool::default(),
            mode: scan.config.mode,
            plugins: scan.names.iter().map(|name| (*name).to_owned()).collect(),
            max_workers: scan.config.max_workers,
            started: scan.calendar(scan.tally.borrow().started),
            finished,
            complete: finished.is_some() && !cancelled,
            targets: scan.names_of_targets.clone(),
            invalid: scan.invalid.clone(),
            summary: Summary::of(scan.targets.len(), &given),
            results: given,
        }
    }

    /// The scan in numbers, now.
    pub fn metrics(&self) -> ScanMetrics {
        self.0.metrics()
    }
}

impl<R: Runtime> Inner<R> {
    fn begin(&self) {
        let now = self.runtime.now();
        let total = self.results.borrow().len();
        let taken_over = self.take_over();
        *self.tally.borrow_mut() = Tally::new(now).with_work(total, taken_over.len());
        self.emit(ScanEvent::Started {
            at: self.calendar(now),
            targets: self.names_of_targets.clone(),
            plugins: self.names.iter().map(|name| (*name).to_owned()).collect(),
            mode: self.config.mode,
            max_workers: self.config.max_workers,
            total,
            resumed: taken_over.len(),
        });
        for Invalid { input, message, line } in self.invalid.iter().cloned() {
            self.emit(ScanEvent::InvalidTarget { input, message, line });
        }
        for result in taken_over {
            self.emit(ScanEvent::Result { result });
        }
    }

    fn take_over(&self) -> Vec<PluginResult> {
        let mut results = self.results.borrow_mut();
        let mut taken = Vec::new();
        for (index, place) in results.iter_mut().enumerate() {
            let (target, plugin) = (index / self.names.len(), index % self.names.len());
            *place = self
                .earlier
                .result(&self.names_of_targets[target], self.names[plugin])
                .cloned();
            taken.extend(place.clone());
        }
        taken
    }

    async fn work(&self) {
        let slots = self.config.slots(Level::Batch) as usize;
        let strict = self.config.max_workers == 1;
        // One worker means strict order: one run after another, targets in the order given.
        let (batches, targets) = if strict { (1, 1) } else { (slots, TARGETS_AT_ONCE) };
        let size = self.targets.len().div_ceil(slots).clamp(1, LARGEST_BATCH);
        let all: Vec<usize> = (0..self.targets.len()).collect();
        let batch = |batch: Vec<usize>| async move {
            let _slot = self.gates[Level::Batch as usize].enter(1).await;
            gather(batch.into_iter().map(|target| self.target(target)))
                .concurrency(targets)
                .await;
        };
        gather(all.chunks(size).map(|chunk| batch(chunk.to_vec())))
            .concurrency(batches)
            .await;
    }

    async fn target(&self, target: usize) {
        let workers = self.config.max_workers as usize;
        visit(&self.names, &self.plugins, workers, |plugin, earlier| {
            self.plugin(target, plugin, earlier)
        })
        .await;
        self.target_done(target);
    }

    fn target_done(&self, target: usize) {
        let results = self.results.borrow();
        let first = target * self.names.len();
        let ended: Vec<&PluginResult> = results[first..first + self.names.len()]
            .iter()
            .flatten()
            .collect();
        let findings = || ended.iter().flat_map(|result| &result.findings);
        let event = ScanEvent::TargetDone {
            target: self.names_of_targets[target].clone(),
            at: self.calendar(self.runtime.now()),
            runs: ended.iter().map(|result| result.run.clone()).collect(),
            findings: findings().count(),
            worst: findings().map(|finding| finding.severity).max(),
        };
        drop(results);
        self.tally.borrow_mut().targets_done += 1;
        self.emit(event);
    }

    /// One plugin on one target, to its record.
    async fn plugin(&self, target: usize, plugin: usize, earlier: Earlier) -> Option<Rc<Outcome>> {
        let index = target * self.names.len() + plugin;
        if let Some(taken_over) = &self.results.borrow()[index] {
            let good = taken_over.run.status == RunStatus::Ok;
            return good.then(|| Rc::new(outcome_of(taken_over)));
        }
        let asked = self.runtime.now();
        let (begun, ended) = match self.ready(target, plugin) {
            Err(unready) => (None, unready),
            Ok(ready) => {
                let gate = &self.gates[self.levels_of[plugin] as usize];
                let slot = gate.enter(ready.weight()).await;
                let begun = self.runtime.now();
                self.begun.borrow_mut().insert(index, begun);
                let ended = self.judge(target, plugin, &*ready, &earlier).await;
                self.begun.borrow_mut().remove(&index);
                drop(slot);
                (Some(begun), ended)
            }
        };
        let outcome = self.record(index, asked, begun, ended);
        // Others have their turn between two runs, however fast the answers come.
        self.runtime.yield_now().await;
        outcome
    }

    /// The plugin, if there is something for it to do here.
    fn ready(&self, target: usize, plugin: usize) -> Result<Rc<dyn super::plugin::Plugin>, Ended> {
        let made = self.plugins[plugin].as_ref().map_err(|why| {
            Ended::Failed(
                RunStatus::Error,
                format!("The plugin `{}` could not be made: {why}", self.names[plugin]),
            )
        })?;
        let capabilities = self.ctx.capabilities();
        let asked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            made.available(&self.targets[target], capabilities)
        }));
        match asked {
            Ok(Ok(())) => Ok(Rc::clone(made)),
            Ok(Err(reason)) => Err(Ended::Failed(RunStatus::Skipped, reason)),
            Err(panic) => Err(Ended::Failed(RunStatus::Error, panic_text(&*panic))),
        }
    }

    async fn judge(
        &self,
        target: usize,
        plugin: usize,
        made: &dyn super::plugin::Plugin,
        earlier: &Earlier,
    ) -> Ended {
        let run = async { made.run(&self.targets[target], &self.ctx, earlier).await };
        let run = AssertUnwindSafe(run).catch_unwind();
        match timeout(&self.runtime, self.config.task_timeout, self.names[plugin], run).await {
            Ok(Ok(Ok(outcome))) => Ended::Well(outcome),
            Ok(Ok(Err(PluginError::Skipped(reason)))) => Ended::Failed(RunStatus::Skipped, reason),
            Ok(Ok(Err(PluginError::Failed(reason)))) => Ended::Failed(RunStatus::Error, reason),
            Ok(Err(panic)) => Ended::Failed(RunStatus::Error, panic_text(&*panic)),
            Err(late) => Ended::Failed(RunStatus::Timeout, late.to_string()),
        }
    }

    fn record(
        &self,
        index: usize,
        asked: Instant,
        begun: Option<Instant>,
        ended: Ended,
    ) -> Option<Rc<Outcome>> {
        let now = self.runtime.now();
        let (target, plugin) = (index / self.names.len(), index % self.names.len());
        let (target, plugin, level) = (
            self.names_of_targets[target].clone(),
            self.names[plugin],
            self.levels_of[plugin],
        );
        let waited = begun.map_or(0, |begun| begun.micros_since(asked));
        let taken = begun.map(|begun| now.micros_since(begun));
        let (status, error, outcome) = match ended {
            Ended::Well(outcome) => (RunStatus::Ok, None, outcome),
            Ended::Failed(status, reason) => (status, Some(reason), Outcome::default()),
        };
        let mut outcome = outcome;
        for finding in &mut outcome.findings {
            plugin.clone_into(&mut finding.plugin);
            finding.target.clone_from(&target);
        }
        self.tally.borrow_mut().ended(now, level, status, waited, taken);
        let result = PluginResult {
            run: PluginRun {
                plugin: plugin.to_owned(),
                target,
                start: self.calendar(begun.unwrap_or(asked)),
                duration: taken.map(|micros| micros as f64 / 1000.0),
                status,
                error,
            },
            level,
            waited: waited as f64 / 1000.0,
            summary: outcome.summary.clone(),
            findings: outcome.findings.clone(),
            details: outcome.details.clone(),
        };
        self.results.borrow_mut()[index] = Some(result.clone());
        self.emit(ScanEvent::Result { result });
        (status == RunStatus::Ok).then(|| Rc::new(outcome))
    }

    async fn monitor(&self) {
        let _slot = self.gates[Level::Monitor as usize].enter(1).await;
        loop {
            self.runtime.sleep(self.config.progress_every).await;
            self.emit_progress();
        }
    }

    fn end(&self, scan: &Scan<R>) {
        let cancelled = self.state.get() == State::Cancelled;
        let unended: Vec<usize> = {
            let results = self.results.borrow();
            (0..results.len())
                .filter(|index| results[*index].is_none())
                .collect()
        };
        let now = self.runtime.now();
        for index in unended {
            let begun = self.begun.borrow_mut().remove(&index);
            self.record(
                index,
                now,
                begun,
                Ended::Failed(RunStatus::Cancelled, "The scan was cancelled.".to_owned()),
            );
        }
        self.state.set(State::Finished(self.runtime.now()));
        self.emit_progress();
        let report = Box::new(scan.report());
        self.emit(ScanEvent::Done {
            at: self.calendar(self.runtime.now()),
            cancelled,
            report,
        });
        self.sink.replace(Rc::new(|_| {}));
    }

    fn emit_progress(&self) {
        let metrics = Box::new(self.metrics());
        let sum = |of: fn(&super::metrics::LevelMetrics) -> u32| -> usize {
            let at_work = metrics
                .levels
                .iter()
                .filter(|level| !matches!(level.level, Level::Batch | Level::Monitor));
            at_work.map(|level| of(level) as usize).sum()
        };
        self.emit(ScanEvent::Progress {
            at: metrics.at,
            done: metrics.done,
            total: metrics.total,
            targets_done: self.tally.borrow().targets_done,
            targets: self.targets.len(),
            active: sum(|level| level.active),
            queued: sum(|level| level.queued + level.waiting),
            eta: metrics.eta,
            paused: metrics.paused,
            metrics,
        });
    }

    fn metrics(&self) -> ScanMetrics {
        let now = match self.state.get() {
            State::Finished(at) => at,
            State::Waiting | State::Running | State::Cancelled => self.runtime.now(),
        };
        let mut tally = self.tally.borrow_mut();
        let levels = tally.levels(|level| {
            let gate = &self.gates[level as usize];
            (gate.limit(), gate.active(), gate.queued())
        });
        let (slots, active) = levels
            .iter()
            .filter(|level| {
                level.active + level.queued > 0 && !matches!(level.level, Level::Batch | Level::Monitor)
            })
            .fold((0, 0), |(slots, active), level| {
                (slots + level.limit, active + level.active)
            });
        let started = tally.started;
        ScanMetrics {
            at: self.calendar(now),
            elapsed: now.micros_since(started) as f64 / 1000.0,
            levels,
            hosts: self.hosts.host_metrics(|at| self.calendar(at)),
            throughput: tally.throughput(now, self.hosts.requests_per_second(now, started)),
            latency: super::metrics::Percentiles::of(&self.hosts.latency()),
            requests: self.hosts.totals(),
            error_rate: self.hosts.error_rate(),
            utilisation: f64::from(active) / f64::from(slots.max(1)),
            memory: (self.memory)(),
            done: tally.done,
            total: tally.total,
            eta: tally.eta(now),
            paused: self.paused.get(),
        }
    }

    fn emit(&self, event: ScanEvent) {
        let sink = Rc::clone(&self.sink.borrow());
        sink(event);
    }

    fn calendar(&self, at: Instant) -> f64 {
        self.epoch + at.as_millis_f64()
    }
}

enum Ended {
    Well(Outcome),
    Failed(RunStatus, String),
}

fn outcome_of(result: &PluginResult) -> Outcome {
    Outcome {
        summary: result.summary.clone(),
        findings: result.findings.clone(),
        details: result.details.clone(),
        response: None,
    }
}

fn panic_text(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("It panicked: {}", text.unwrap_or("for a reason it did not give"))
}

//! One scan: begun, watched, steered, ended.

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;

use futures::future::{Either, select};

use super::config::ScanConfig;
use super::event::{PluginResult, RunStatus, ScanEvent};
use super::hosts::Hosts;
use super::levels::Levels;
use super::metrics::{LevelMetrics, MemoryMetrics, Percentiles, ScanMetrics};
use super::monitor::Tally;
use super::plugin::{Context, Level};
use super::plugins::Description;
use super::report::{Report, Resumed, SCHEMA, Summary, Tool};
use super::run::Ended;
use super::targets::{Invalid, Targets};
use super::visit::{Made, Visits};
use crate::future::{Parker, RunError, RunOptions, Runtime, gather};
use crate::machine::time::Instant;

/// The most targets in one batch.
const LARGEST_BATCH: usize = 100;
/// Targets of one batch that are looked at at once.
const TARGETS_AT_ONCE: usize = 10;

/// One scan. Cheap to clone: one handle runs it, others watch and steer it.
pub struct Scan<R: Runtime>(Rc<Course<R>>);

/// What a scanner gives to a scan.
pub(super) struct Parts<R: Runtime> {
    pub(super) runtime: R,
    pub(super) config: ScanConfig,
    pub(super) entries: Vec<Description>,
    pub(super) plugins: Rc<[Made]>,
    pub(super) visits: Rc<Visits<R>>,
    pub(super) hosts: Hosts<R>,
    pub(super) levels: Rc<Levels<R>>,
    pub(super) ctx: Context,
    pub(super) targets: Targets,
    pub(super) earlier: Resumed,
    pub(super) epoch: f64,
    pub(super) memory: Rc<dyn Fn() -> MemoryMetrics>,
}

/// A scan under way. Its runs are numbered by target, then plugin.
pub(super) struct Course<R: Runtime> {
    pub(super) parts: Parts<R>,
    pub(super) plugin_names: Vec<&'static str>,
    pub(super) target_names: Vec<String>,
    pub(super) results: RefCell<Vec<Option<Rc<PluginResult>>>>,
    /// Runs at work, and since when.
    pub(super) begun: RefCell<BTreeMap<usize, Instant>>,
    pub(super) tally: RefCell<Tally>,
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
    pub(super) fn new(parts: Parts<R>) -> Self {
        let runs = parts.targets.targets.len() * parts.entries.len();
        Self(Rc::new(Course {
            plugin_names: parts.entries.iter().map(|entry| entry.name).collect(),
            target_names: parts.targets.targets.iter().map(ToString::to_string).collect(),
            results: RefCell::new((0..runs).map(|_| None).collect()),
            begun: RefCell::default(),
            tally: RefCell::new(Tally::new(parts.runtime.now())),
            state: Cell::new(State::Waiting),
            paused: Cell::new(false),
            cancel: parts.runtime.park(),
            sink: RefCell::new(Rc::new(|_| {})),
            parts,
        }))
    }

    /// Runs the scan to its end, and tells `sink` whatever happens as it happens. A second call finds it begun and
    /// returns its report as it is.
    ///
    /// # Cancel safety
    /// Dropping the future drops every run at work and sends nothing more. To hear the last of it, use
    /// [`cancel`](Self::cancel).
    pub async fn run(&self, sink: impl Fn(ScanEvent) + 'static) -> Report {
        let scan = &self.0;
        match scan.state.get() {
            State::Running | State::Finished(_) => return self.report(),
            State::Waiting => scan.state.set(State::Running),
            State::Cancelled => {}
        }
        scan.sink.replace(Rc::new(sink));
        scan.begin();
        let listener = Rc::downgrade(&self.0);
        scan.parts
            .hosts
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
            let cancelled = Box::pin(poll_fn(|context| scan.cancel.poll_parked(context)));
            if let Either::Right((_, work)) = select(work, cancelled).await {
                drop(work);
            }
        }
        scan.parts.hosts.listen(None);
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
        scan.parts.levels.pause(paused);
        let now = scan.parts.runtime.now();
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
        let plugins = scan.plugin_names.len().max(1);
        let mut given: Vec<Rc<PluginResult>> = Vec::with_capacity(results.len());
        for of_target in results.chunks(plugins) {
            let mut ended: Vec<Rc<PluginResult>> = of_target.iter().flatten().cloned().collect();
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
            mode: scan.parts.config.mode,
            plugins: scan.plugin_names.iter().map(|name| (*name).to_owned()).collect(),
            max_workers: scan.parts.config.max_workers,
            started: scan.calendar(scan.tally.borrow().started),
            finished,
            complete: finished.is_some() && !cancelled,
            targets: scan.target_names.clone(),
            invalid: scan.parts.targets.invalid.clone(),
            summary: Summary::of(scan.target_names.len(), &given),
            results: given,
        }
    }

    /// The scan in numbers, now.
    pub fn metrics(&self) -> ScanMetrics {
        self.0.metrics()
    }
}

impl<R: Runtime> Course<R> {
    fn begin(&self) {
        let now = self.parts.runtime.now();
        let total = self.results.borrow().len();
        let taken_over = self.take_over();
        *self.tally.borrow_mut() = Tally::new(now).with_work(total, taken_over.len());
        self.emit(ScanEvent::Started {
            at: self.calendar(now),
            targets: self.target_names.clone(),
            plugins: self.plugin_names.iter().map(|name| (*name).to_owned()).collect(),
            mode: self.parts.config.mode,
            max_workers: self.parts.config.max_workers,
            total,
            resumed: taken_over.len(),
        });
        for Invalid { input, message, line } in self.parts.targets.invalid.iter().cloned() {
            self.emit(ScanEvent::InvalidTarget { input, message, line });
        }
        for result in taken_over {
            self.emit(ScanEvent::Result { result });
        }
    }

    fn take_over(&self) -> Vec<Rc<PluginResult>> {
        let mut results = self.results.borrow_mut();
        let mut taken = Vec::new();
        for (index, place) in results.iter_mut().enumerate() {
            let (target, plugin) = (index / self.plugin_names.len(), index % self.plugin_names.len());
            *place = self
                .parts
                .earlier
                .result(&self.target_names[target], self.plugin_names[plugin])
                .cloned();
            taken.extend(place.clone());
        }
        taken
    }

    async fn work(self: &Rc<Self>) {
        let slots = self.parts.config.slots(Level::Batch) as usize;
        let strict = self.parts.config.max_workers == 1;
        // One worker means strict order: one run after another, targets in the order given.
        let (batches, targets) = if strict { (1, 1) } else { (slots, TARGETS_AT_ONCE) };
        let size = self.target_names.len().div_ceil(slots).clamp(1, LARGEST_BATCH);
        let all: Vec<usize> = (0..self.target_names.len()).collect();
        let batch = |batch: Vec<usize>| async move {
            let run = |_| async {
                let each = batch.iter().map(|target| self.target(*target));
                gather(each).concurrency(targets).await;
                Ok::<(), Infallible>(())
            };
            // It cannot fail, and its level is never closed.
            let _ended = self
                .parts
                .levels
                .run(Level::Batch, RunOptions::new().name("batch"), run)
                .await;
        };
        gather(all.chunks(size).map(|chunk| batch(chunk.to_vec())))
            .concurrency(batches)
            .await;
    }

    async fn target(self: &Rc<Self>, target: usize) {
        let workers = self.parts.config.max_workers;
        self.parts.visits.visit(self, target, workers).await;
        self.target_done(target);
    }

    fn target_done(&self, target: usize) {
        let results = self.results.borrow();
        let first = target * self.plugin_names.len();
        let ended: Vec<&Rc<PluginResult>> = results[first..first + self.plugin_names.len()]
            .iter()
            .flatten()
            .collect();
        let findings = || ended.iter().flat_map(|result| &result.findings);
        let event = ScanEvent::TargetDone {
            target: self.target_names[target].clone(),
            at: self.calendar(self.parts.runtime.now()),
            runs: ended.iter().map(|result| result.run.clone()).collect(),
            findings: findings().count(),
            worst: findings().map(|finding| finding.severity).max(),
        };
        drop(results);
        self.tally.borrow_mut().targets_done += 1;
        self.emit(event);
    }

    async fn monitor(&self) {
        let run = |_| async {
            loop {
                self.parts.runtime.sleep(self.parts.config.progress_every).await;
                self.emit_progress();
            }
        };
        let _never: Result<Infallible, RunError<Infallible>> = self
            .parts
            .levels
            .run(Level::Monitor, RunOptions::new().name("monitor"), run)
            .await;
    }

    fn end(&self, scan: &Scan<R>) {
        let cancelled = self.state.get() == State::Cancelled;
        let unended: Vec<usize> = {
            let results = self.results.borrow();
            (0..results.len())
                .filter(|index| results[*index].is_none())
                .collect()
        };
        let now = self.parts.runtime.now();
        for index in unended {
            let begun = self.begun.borrow_mut().remove(&index);
            self.record(
                index,
                now,
                begun,
                Ended::Badly(RunStatus::Cancelled, "The scan was cancelled.".to_owned()),
            );
        }
        if self.paused.replace(false) {
            self.parts.levels.pause(false);
        }
        self.state.set(State::Finished(self.parts.runtime.now()));
        self.emit_progress();
        let report = Rc::new(scan.report());
        self.emit(ScanEvent::Done {
            at: self.calendar(self.parts.runtime.now()),
            cancelled,
            report,
        });
        self.sink.replace(Rc::new(|_| {}));
    }

    fn emit_progress(&self) {
        let metrics = Box::new(self.metrics());
        let sum = |of: fn(&LevelMetrics) -> u32| -> usize {
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
            targets: self.target_names.len(),
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
            State::Waiting | State::Running | State::Cancelled => self.parts.runtime.now(),
        };
        let mut tally = self.tally.borrow_mut();
        let levels = tally.levels(|level| self.parts.levels.now(level));
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
            hosts: self.parts.hosts.host_metrics(|at| self.calendar(at)),
            throughput: tally.throughput(now, self.parts.hosts.requests_per_second(now, started)),
            latency: Percentiles::of(&self.parts.hosts.latency()),
            requests: self.parts.hosts.totals(),
            error_rate: self.parts.hosts.error_rate(),
            utilisation: f64::from(active) / f64::from(slots.max(1)),
            memory: (self.parts.memory)(),
            done: tally.done,
            total: tally.total,
            eta: tally.eta(now),
            paused: self.paused.get(),
        }
    }

    pub(super) fn emit(&self, event: ScanEvent) {
        let sink = Rc::clone(&self.sink.borrow());
        sink(event);
    }

    pub(super) fn calendar(&self, at: Instant) -> f64 {
        // Whole microseconds: what clocks tell, and no more digits than a report needs.
        ((self.parts.epoch + at.as_millis_f64()) * 1000.0).round() / 1000.0
    }
}

//! Politeness: what one host is asked to bear, whatever the scan would like.
//!
//! Every `host:port` has a pool of its own, with its own bound on requests at once, its own rate and its own breaker, so
//! that a target that dies slows down no other. A `Retry-After` pauses the whole host.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};

use futures::future::LocalBoxFuture;

use super::config::HostConfig;
use super::event::BreakerState;
use super::fetch::{Capabilities, FetchError, FetchErrorKind, Fetcher, Request, Response};
use super::http_date;
use super::metrics::{HostMetrics, Meter, RequestMetrics};
use crate::future::{AcquireError, Host, Pool, PoolOptions, RunError, RunOptions, Runtime, Subscription};
use crate::machine::breaker::{self, BreakerConfig, Transition};
use crate::machine::config::ConfigError;
use crate::machine::gate::Outcome;
use crate::machine::histogram::Histogram;
use crate::machine::rate::RateConfig;
use crate::machine::time::{Instant, micros};

/// A `Retry-After` up to here is waited for; a longer one turns requests away.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(5);
/// When to ask again while somebody else's request looks whether the host has recovered.
const PROBE_PAUSE: Duration = Duration::from_millis(500);
/// The error rate is that of so many requests.
const RECENT: usize = 100;

/// Hosts that are remembered; beyond that those are forgotten that are well and not at work.
const MOST_REMEMBERED: usize = 1000;
/// Hosts that metrics tell of, those in trouble first: what a person can still look at.
const MOST_TOLD: usize = 200;

/// The hosts that a scanner has talked to. Cheap to clone.
pub(super) struct Hosts<R: Runtime>(Rc<Inner<R>>);

struct Inner<R: Runtime> {
    world: Host<R>,
    config: HostConfig,
    fetcher: Rc<dyn Fetcher>,
    origins: RefCell<BTreeMap<String, Rc<Origin<R>>>>,
    counts: RefCell<Counts>,
    listener: RefCell<Option<Listener>>,
}

/// Who wants to know of a breaker's change: when, which host, from, to, failures in a row.
pub(super) type Listener = Rc<dyn Fn(Instant, &str, BreakerState, BreakerState, u32)>;

#[derive(Default)]
struct Counts {
    totals: RequestMetrics,
    recent: VecDeque<bool>,
    latency: Histogram,
    meter: Meter,
}

/// One `host:port`.
struct Origin<R: Runtime> {
    pool: Pool<R>,
    /// Until when it asked not to be asked, where that is longer than a scan waits.
    alone_until: Cell<Instant>,
    failures_in_a_row: Cell<u32>,
    requests: Cell<u64>,
    errors: Cell<u64>,
    _changes: Option<Subscription>,
}

impl<R: Runtime> Clone for Hosts<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> Fetcher for Hosts<R> {
    fn fetch(&self, request: Request) -> LocalBoxFuture<'static, Result<Response, FetchError>> {
        let this = self.clone();
        Box::pin(async move { this.send(request).await })
    }

    fn capabilities(&self) -> Capabilities {
        self.0.fetcher.capabilities()
    }
}

impl<R: Runtime> Hosts<R> {
    pub(super) fn new(world: Host<R>, config: HostConfig, fetcher: Rc<dyn Fetcher>) -> Self {
        Self(Rc::new(Inner {
            world,
            config,
            fetcher,
            origins: RefCell::default(),
            counts: RefCell::default(),
            listener: RefCell::default(),
        }))
    }

    pub(super) fn listen(&self, listener: Option<Listener>) {
        self.0.listener.replace(listener);
    }

    async fn send(&self, request: Request) -> Result<Response, FetchError> {
        let origin = self
            .origin(authority(&request.url))
            .map_err(|error| unsent(error.to_string()))?;
        let now = self.now();
        let alone = origin.alone_until.get().since(now);
        if alone > Duration::ZERO {
            let seconds = alone.as_secs_f64().ceil();
            return Err(self.refuse(
                alone,
                format!("it asked to be left alone for another {seconds} s"),
            ));
        }
        let exchange = |_| self.exchange(&origin, request);
        match origin.pool.run_judged(RunOptions::new(), exchange, judge).await {
            Ok(response) => Ok(response),
            Err(RunError::Task(error)) => Err(error),
            Err(RunError::Refused(AcquireError::BrokenCircuit { retry_after })) => {
                let failures = origin.failures_in_a_row.get();
                Err(match (origin.state(), retry_after) {
                    (BreakerState::Open, Some(wait)) => {
                        let seconds = wait.as_secs_f64().ceil();
                        let why = format!(
                            "left alone after {failures} failures in a row; the next look is in {seconds} s"
                        );
                        self.refuse(wait, why)
                    }
                    _ => {
                        let why = format!(
                            "left alone after {failures} failures in a row while one request looks again"
                        );
                        self.refuse(PROBE_PAUSE, why)
                    }
                })
            }
            Err(other) => Err(unsent(other.to_string())),
        }
    }

    async fn exchange(&self, origin: &Origin<R>, request: Request) -> Result<Response, FetchError> {
        let _flight = Flight::begin(&self.0);
        let result = self.0.fetcher.fetch(request).await;
        let now = self.now();
        self.count(origin, &result, now);
        if let Ok(response) = &result
            && matches!(response.status, 429 | 503)
            && let Some(pause) = pause_of(response)
        {
            // Said while the slot is still held, so that nobody slips through.
            if pause > LONGEST_COOLDOWN {
                origin.alone_until.set(now + pause);
            } else {
                origin.pool.cool_down(pause);
            }
        }
        result
    }

    fn count(&self, origin: &Origin<R>, result: &Result<Response, FetchError>, now: Instant) {
        let failed = judge(result) == Outcome::Failure;
        origin.requests.set(origin.requests.get() + 1);
        origin.errors.set(origin.errors.get() + u64::from(failed));
        origin.failures_in_a_row.set(if failed {
            origin.failures_in_a_row.get().saturating_add(1)
        } else {
            0
        });
        let mut counts = self.0.counts.borrow_mut();
        counts.recent.push_back(failed);
        if counts.recent.len() > RECENT {
            counts.recent.pop_front();
        }
        counts.meter.count(now);
        counts.totals.errors += u64::from(failed);
        if let Ok(response) = result {
            counts.latency.record(micros(response.timings.head));
        }
    }

    fn refuse(&self, wait: Duration, why: String) -> FetchError {
        self.0.counts.borrow_mut().totals.denied += 1;
        FetchError::new(FetchErrorKind::BreakerOpen, why).retry_after(wait)
    }

    fn origin(&self, authority: &str) -> Result<Rc<Origin<R>>, ConfigError> {
        if let Some(known) = self.0.origins.borrow().get(authority) {
            return Ok(Rc::clone(known));
        }
        let HostConfig {
            concurrency,
            rate: (limit, per),
            failures,
            open_for,
        } = self.0.config;
        let breaker = BreakerConfig::default()
            .consecutive(failures)?
            .open_for(open_for)?;
        let rate = RateConfig::token_bucket(limit, per, None)?;
        let pool = Pool::new(
            &self.0.world,
            PoolOptions::new(concurrency).rate(rate).breaker(breaker),
        )?;
        let (hosts, name) = (Rc::downgrade(&self.0), authority.to_owned());
        let changes = pool
            .breaker()
            .map(|breaker| breaker.on_change(move |change| announce(&hosts, &name, change)));
        let origin = Rc::new(Origin {
            pool,
            alone_until: Cell::default(),
            failures_in_a_row: Cell::default(),
            requests: Cell::default(),
            errors: Cell::default(),
            _changes: changes,
        });
        let mut origins = self.0.origins.borrow_mut();
        if origins.len() >= MOST_REMEMBERED {
            let now = self.now();
            origins.retain(|_, known| known.is_in_use() || known.is_troubled(now));
        }
        origins.insert(authority.to_owned(), Rc::clone(&origin));
        Ok(origin)
    }

    fn now(&self) -> Instant {
        self.0.world.runtime().now()
    }
}

fn announce<R: Runtime>(hosts: &Weak<Inner<R>>, host: &str, change: Transition) {
    let Some(inner) = hosts.upgrade() else {
        return;
    };
    let failures = inner
        .origins
        .borrow()
        .get(host)
        .map_or(0, |origin| origin.failures_in_a_row.get());
    let listener = inner.listener.borrow().clone();
    if let Some(listener) = listener {
        listener(
            inner.world.runtime().now(),
            host,
            told(change.from),
            told(change.to),
            failures,
        );
    }
}

impl<R: Runtime> Origin<R> {
    fn is_in_use(self: &Rc<Self>) -> bool {
        // Somebody beside the list of hosts is about to send, or waits for an answer.
        Rc::strong_count(self) > 1
    }

    fn is_troubled(&self, now: Instant) -> bool {
        self.state() != BreakerState::Closed
            || self.failures_in_a_row.get() > 0
            || self.alone_until.get() > now
    }

    fn state(&self) -> BreakerState {
        self.pool
            .breaker()
            .map_or(BreakerState::Closed, |breaker| told(breaker.state()))
    }
}

/// Nobody isolates a host's breaker; if somebody did, it would be open without end.
fn told(state: breaker::BreakerState) -> BreakerState {
    match state {
        breaker::BreakerState::Closed => BreakerState::Closed,
        breaker::BreakerState::Open | breaker::BreakerState::Isolated => BreakerState::Open,
        breaker::BreakerState::HalfOpen => BreakerState::HalfOpen,
    }
}

/// A request under way.
struct Flight<R: Runtime>(Rc<Inner<R>>);

impl<R: Runtime> Flight<R> {
    fn begin(inner: &Rc<Inner<R>>) -> Self {
        let totals = &mut inner.counts.borrow_mut().totals;
        totals.total += 1;
        totals.active += 1;
        Self(Rc::clone(inner))
    }
}

impl<R: Runtime> Drop for Flight<R> {
    fn drop(&mut self) {
        self.0.counts.borrow_mut().totals.active -= 1;
    }
}

impl<R: Runtime> Hosts<R> {
    pub(super) fn host_metrics(&self, epoch: impl Fn(Instant) -> f64) -> Vec<HostMetrics> {
        let describe = |(name, origin): (&String, &Rc<Origin<R>>)| {
            let state = origin.state();
            let open_for = origin.pool.breaker().map(|breaker| breaker.snapshot().open_for);
            HostMetrics {
                host: name.clone(),
                breaker: state,
                failures: origin.failures_in_a_row.get(),
                active: origin.pool.active(),
                requests: origin.requests.get(),
                errors: origin.errors.get(),
                retry_at: open_for
                    .filter(|_| state == BreakerState::Open)
                    .map(|left| epoch(self.now() + left)),
            }
        };
        let origins = self.0.origins.borrow();
        let now = self.now();
        let mut told: Vec<_> = origins.iter().collect();
        // Stable, so that within each kind they stay in the order of their names.
        told.sort_by_key(|(_, origin)| (!origin.is_troubled(now), !origin.is_in_use()));
        told.truncate(MOST_TOLD);
        told.sort_by_key(|(name, _)| *name);
        told.into_iter().map(describe).collect()
    }

    pub(super) fn totals(&self) -> RequestMetrics {
        self.0.counts.borrow().totals
    }

    pub(super) fn latency(&self) -> Histogram {
        self.0.counts.borrow().latency.clone()
    }

    pub(super) fn requests_per_second(&self, now: Instant, since: Instant) -> f64 {
        self.0.counts.borrow_mut().meter.per_second(now, since)
    }

    pub(super) fn error_rate(&self) -> f64 {
        let counts = self.0.counts.borrow();
        let errors = counts.recent.iter().filter(|failed| **failed).count();
        errors as f64 / counts.recent.len().max(1) as f64
    }
}

/// What an exchange says about the host, and not about what was asked for.
fn judge(result: &Result<Response, FetchError>) -> Outcome {
    let error = match result {
        Ok(response) if matches!(response.status, 502..=504) => return Outcome::Failure,
        Ok(_) => return Outcome::Success,
        Err(error) => error,
    };
    match error.kind {
        FetchErrorKind::Dns
        | FetchErrorKind::Refused
        | FetchErrorKind::Reset
        | FetchErrorKind::Unreachable
        | FetchErrorKind::Tls
        | FetchErrorKind::Timeout
        | FetchErrorKind::Network
        | FetchErrorKind::Other => Outcome::Failure,
        FetchErrorKind::BlockedByCors | FetchErrorKind::Aborted | FetchErrorKind::BreakerOpen => {
            Outcome::Ignored
        }
    }
}

fn unsent(why: String) -> FetchError {
    FetchError::new(FetchErrorKind::Other, why)
}

/// `Retry-After` in either form; a date counts from the answer's own `Date`, so that no clocks need to agree.
fn pause_of(response: &Response) -> Option<Duration> {
    let text = response.header("retry-after").value()?;
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let (until, now) = (
        http_date::parse(text)?,
        http_date::parse(response.header("date").value()?)?,
    );
    u64::try_from(until - now).ok().map(Duration::from_secs)
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::VirtualRuntime;
    use crate::scan::config::ScanConfig;
    use crate::scan::fake::{Answer, FakeFetcher};
    use futures::future::join_all;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn hosts() -> (VirtualRuntime, FakeFetcher, Hosts<VirtualRuntime>) {
        let runtime = VirtualRuntime::new();
        let fake = FakeFetcher::new(Rc::new(runtime.clone()));
        let hosts = Hosts::new(
            Host::new(runtime.clone()),
            ScanConfig::default().host,
            Rc::new(fake.clone()),
        );
        (runtime, fake, hosts)
    }

    fn get(hosts: &Hosts<VirtualRuntime>) -> LocalBoxFuture<'static, Result<Response, FetchError>> {
        hosts.fetch(Request::get("http://a/"))
    }

    #[test]
    fn a_host_never_sees_more_than_its_share_at_once() {
        let (runtime, fake, hosts) = hosts();
        fake.on("http://", |_| {
            Answer::status(200).after(Duration::from_millis(10))
        });
        runtime.block_on(join_all((0..40).map(|_| get(&hosts))));
        assert_eq!(fake.most_in_flight(), 6);
        runtime.block_on(join_all(
            (0..12).map(|n| hosts.fetch(Request::get(format!("http://h{n}/")))),
        ));
        assert_eq!(fake.most_in_flight(), 12, "each host has its own share");
        assert_eq!(hosts.totals().active, 0);
    }

    #[test]
    fn a_host_is_asked_no_faster_than_its_rate() {
        let (runtime, fake, hosts) = hosts();
        fake.on("http://", |_| Answer::status(200));
        runtime.block_on(join_all((0..50).map(|_| get(&hosts))));
        assert_eq!(
            runtime.now(),
            Instant::ZERO,
            "a burst of the limit is let through"
        );
        runtime.block_on(get(&hosts)).unwrap();
        assert_eq!(
            runtime.now(),
            Instant::from_micros(20_000),
            "denied before 20 ms, allowed at 20 ms"
        );
    }

    #[test]
    fn a_host_that_fails_five_times_is_left_alone_and_looked_at_again_by_one() {
        let (runtime, fake, hosts) = hosts();
        let changes = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&changes);
        hosts.listen(Some(Rc::new(move |_, _, from, to, failures| {
            log.borrow_mut().push((from, to, failures))
        })));
        for _ in 0..5 {
            assert_eq!(
                runtime.block_on(get(&hosts)).unwrap_err().kind,
                FetchErrorKind::Refused
            );
        }
        let refused = runtime.block_on(get(&hosts)).unwrap_err();
        assert_eq!(refused.kind, FetchErrorKind::BreakerOpen);
        assert_eq!(
            refused.message,
            "left alone after 5 failures in a row; the next look is in 2 s"
        );
        assert_eq!(fake.requests().len(), 5);
        fake.on("http://a/", |_| {
            Answer::status(200).after(Duration::from_millis(5))
        });
        runtime.advance(Duration::from_millis(1999));
        assert!(runtime.block_on(get(&hosts)).is_err(), "denied before 2 s");
        runtime.advance(Duration::from_millis(1));
        let looks = runtime.block_on(join_all((0..6).map(|_| get(&hosts))));
        assert_eq!(
            looks.iter().filter(|look| look.is_ok()).count(),
            1,
            "one looks, nobody stampedes"
        );
        assert!(runtime.block_on(get(&hosts)).is_ok());
        use BreakerState::{Closed, HalfOpen, Open};
        assert_eq!(
            *changes.borrow(),
            [(Closed, Open, 5), (Open, HalfOpen, 5), (HalfOpen, Closed, 0)]
        );
    }

    #[test]
    fn a_cancelled_probe_lets_the_next_one_look() {
        let (runtime, fake, hosts) = hosts();
        for _ in 0..5 {
            runtime.block_on(get(&hosts)).unwrap_err();
        }
        fake.on("http://a/", |_| Answer::hang());
        runtime.advance(Duration::from_secs(2));
        let mut probe = get(&hosts);
        assert!(futures::FutureExt::now_or_never(&mut probe).is_none());
        assert!(runtime.block_on(get(&hosts)).is_err());
        drop(probe);
        fake.on("http://a/", |_| Answer::status(200));
        assert!(runtime.block_on(get(&hosts)).is_ok());
    }

    #[test]
    fn retry_after_pauses_the_whole_host_and_no_other() {
        let (runtime, fake, hosts) = hosts();
        fake.on("http://", |_| Answer::status(200));
        fake.on("http://a/", |_| Answer::status(429).header("retry-after", "2"));
        runtime.block_on(get(&hosts)).unwrap();
        runtime.block_on(hosts.fetch(Request::get("http://b/"))).unwrap();
        assert_eq!(runtime.now(), Instant::ZERO);
        fake.on("http://a/", |_| Answer::status(429).header("retry-after", "60"));
        runtime.block_on(get(&hosts)).unwrap();
        assert_eq!(runtime.now(), Instant::from_micros(2_000_000));
        let refused = runtime.block_on(get(&hosts)).unwrap_err();
        assert_eq!(refused.message, "it asked to be left alone for another 60 s");
    }

    #[test]
    fn a_retry_after_that_is_a_date_counts_from_the_answers_own_date() {
        let (runtime, fake, hosts) = hosts();
        fake.on("http://a/", |_| {
            Answer::status(503)
                .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
                .header("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")
        });
        runtime.block_on(get(&hosts)).unwrap();
        runtime.block_on(get(&hosts)).unwrap();
        assert_eq!(runtime.now(), Instant::from_micros(3_000_000));
    }

    #[test]
    fn hosts_that_are_well_are_forgotten_and_those_in_trouble_are_told_of_first() {
        let (runtime, fake, hosts) = hosts();
        fake.on("http://h", |_| Answer::status(200));
        for _ in 0..5 {
            runtime
                .block_on(hosts.fetch(Request::get("http://z/")))
                .unwrap_err();
        }
        let ask = |n: usize| {
            runtime
                .block_on(hosts.fetch(Request::get(format!("http://h{n}/"))))
                .unwrap()
        };
        let last = || {
            hosts
                .host_metrics(Instant::as_millis_f64)
                .pop()
                .map(|host| (host.host, host.breaker))
        };
        let troubled = Some(("z".to_owned(), BreakerState::Open));
        for n in 1..MOST_REMEMBERED {
            ask(n);
        }
        assert_eq!(hosts.host_metrics(Instant::as_millis_f64).len(), MOST_TOLD);
        assert_eq!(last(), troubled);
        for n in MOST_REMEMBERED..MOST_REMEMBERED * 2 {
            ask(n);
            assert!(hosts.0.origins.borrow().len() <= MOST_REMEMBERED);
        }
        assert_eq!(last(), troubled, "a host in trouble is not forgotten");
    }
}

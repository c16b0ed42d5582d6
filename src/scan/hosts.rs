//! Politeness: what one host is asked to bear, whatever the scan would like.
//!
//! Every `host:port` has its own bound on requests at once, its own rate and its own breaker, so that a target that dies
//! slows down no other. A `Retry-After` pauses the whole host.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::config::HostConfig;
use super::event::BreakerState;
use super::fetch::{Capabilities, FetchError, FetchErrorKind, Fetcher, Request, Response};
use super::gate::{Gate, Slot};
use super::metrics::{HostMetrics, Meter, RequestMetrics};
use crate::future::Runtime;
use crate::machine::histogram::Histogram;
use crate::machine::time::Instant;

/// A `Retry-After` up to here is waited for; a longer one turns requests away.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(5);
/// When to ask again while somebody else's request looks whether the host has recovered.
const PROBE_PAUSE: Duration = Duration::from_millis(500);
/// The error rate is that of so many requests.
const RECENT: usize = 100;

/// All hosts that a scanner has talked to. Cheap to clone.
pub(super) struct Hosts<R: Runtime>(Rc<Inner<R>>);

struct Inner<R: Runtime> {
    runtime: R,
    config: HostConfig,
    fetcher: Rc<dyn Fetcher>,
    state: RefCell<State<R>>,
    listener: RefCell<Option<Listener>>,
}

/// Who wants to know of a breaker's change: when, which host, from, to, failures in a row.
pub(super) type Listener = Rc<dyn Fn(Instant, &str, BreakerState, BreakerState, u32)>;

struct State<R: Runtime> {
    hosts: BTreeMap<String, Host<R>>,
    totals: RequestMetrics,
    recent: VecDeque<bool>,
    latency: Histogram,
    meter: Meter,
}

struct Host<R: Runtime> {
    slots: Rc<Gate<R>>,
    /// When the next request may start, by the rate: the virtual scheduling form of the token bucket (GCRA, ITU-T I.371).
    next: Instant,
    cool_until: Instant,
    breaker: Breaker,
    requests: u64,
    errors: u64,
}

enum Breaker {
    Closed { failures: u32 },
    Open { failures: u32, until: Instant },
    Probing { failures: u32 },
}

impl Breaker {
    fn state(&self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    fn failures(&self) -> u32 {
        match self {
            Self::Closed { failures } | Self::Open { failures, .. } | Self::Probing { failures } => *failures,
        }
    }
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
    pub(super) fn new(runtime: R, config: HostConfig, fetcher: Rc<dyn Fetcher>) -> Self {
        let state = State {
            hosts: BTreeMap::new(),
            totals: RequestMetrics::default(),
            recent: VecDeque::new(),
            latency: Histogram::new(),
            meter: Meter::default(),
        };
        let state = RefCell::new(state);
        Self(Rc::new(Inner {
            runtime,
            config,
            fetcher,
            state,
            listener: RefCell::default(),
        }))
    }

    pub(super) fn listen(&self, listener: Option<Listener>) {
        self.0.listener.replace(listener);
    }

    async fn send(&self, request: Request) -> Result<Response, FetchError> {
        let host = authority(&request.url).to_owned();
        let slots = self.with(&host, |host, _| Rc::clone(&host.slots));
        let slot = slots.enter(1).await;
        let mut pass = self.pass(&host, slot).await?;
        let result = self.0.fetcher.fetch(request).await;
        pass.judge(&result);
        result
    }

    /// Waits until the host may be asked.
    async fn pass(&self, host: &str, slot: Slot<R>) -> Result<Pass<R>, FetchError> {
        loop {
            let now = self.0.runtime.now();
            match self.with(host, |host, config| host.admit(now, config)) {
                Admit::At(when) if when > now => self.0.runtime.sleep_until(when).await,
                Admit::Refused(message, wait) => {
                    self.0.state.borrow_mut().totals.denied += 1;
                    return Err(FetchError::new(FetchErrorKind::BreakerOpen, message).retry_after(wait));
                }
                admitted => {
                    let probe = matches!(admitted, Admit::Probe);
                    if probe {
                        self.announce(now, host, BreakerState::Open, BreakerState::HalfOpen);
                    }
                    let mut state = self.0.state.borrow_mut();
                    state.totals.total += 1;
                    state.totals.active += 1;
                    drop(state);
                    return Ok(Pass {
                        hosts: self.clone(),
                        host: host.to_owned(),
                        probe,
                        judged: false,
                        _slot: slot,
                    });
                }
            }
        }
    }

    fn with<T>(&self, host: &str, use_it: impl FnOnce(&mut Host<R>, &HostConfig) -> T) -> T {
        let config = &self.0.config;
        let mut state = self.0.state.borrow_mut();
        let known = state.hosts.entry(host.to_owned()).or_insert_with(|| Host {
            slots: Gate::new(self.0.runtime.clone(), config.concurrency),
            next: Instant::ZERO,
            cool_until: Instant::ZERO,
            breaker: Breaker::Closed { failures: 0 },
            requests: 0,
            errors: 0,
        });
        use_it(known, config)
    }

    fn announce(&self, now: Instant, host: &str, from: BreakerState, to: BreakerState) {
        let failures = self.with(host, |host, _| host.breaker.failures());
        let listener = self.0.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(now, host, from, to, failures);
        }
    }
}

enum Admit {
    At(Instant),
    Probe,
    Refused(String, Duration),
}

impl<R: Runtime> Host<R> {
    fn admit(&mut self, now: Instant, config: &HostConfig) -> Admit {
        let seconds = |until: Instant| until.since(now).as_secs_f64().ceil();
        match self.breaker {
            Breaker::Open { failures, until } if now < until => {
                let left = seconds(until);
                let why =
                    format!("left alone after {failures} failures in a row; the next look is in {left} s");
                return Admit::Refused(why, until.since(now));
            }
            Breaker::Probing { failures } => {
                let why =
                    format!("left alone after {failures} failures in a row while one request looks again");
                return Admit::Refused(why, PROBE_PAUSE);
            }
            Breaker::Open { .. } | Breaker::Closed { .. } => {}
        }
        if self.cool_until > now {
            return if self.cool_until.since(now) > LONGEST_COOLDOWN {
                let why = format!(
                    "it asked to be left alone for another {} s",
                    seconds(self.cool_until)
                );
                Admit::Refused(why, self.cool_until.since(now))
            } else {
                Admit::At(self.cool_until)
            };
        }
        let (limit, per) = config.rate;
        let gap = per / limit;
        // A burst of the whole limit at once is allowed after a time of silence.
        let earliest = Instant::from_micros(
            self.next
                .as_micros()
                .saturating_sub(crate::machine::time::micros(per - gap)),
        );
        if earliest > now {
            return Admit::At(earliest);
        }
        self.next = self.next.max(now) + gap;
        if let Breaker::Open { failures, .. } = self.breaker {
            self.breaker = Breaker::Probing { failures };
            return Admit::Probe;
        }
        Admit::At(now)
    }
}

/// A request under way. Judged by its answer; dropped without one, it gives back what it holds unjudged.
struct Pass<R: Runtime> {
    hosts: Hosts<R>,
    host: String,
    probe: bool,
    judged: bool,
    _slot: Slot<R>,
}

impl<R: Runtime> Pass<R> {
    fn judge(&mut self, result: &Result<Response, FetchError>) {
        self.judged = true;
        let now = self.hosts.0.runtime.now();
        let failed = match result {
            Ok(response) => matches!(response.status, 502..=504),
            Err(error) => is_the_hosts_failure(error.kind),
        };
        let mut state = self.hosts.0.state.borrow_mut();
        state.recent.push_back(failed);
        if state.recent.len() > RECENT {
            state.recent.pop_front();
        }
        state.meter.count(now);
        state.totals.errors += u64::from(failed);
        if let Ok(response) = result {
            state
                .latency
                .record(crate::machine::time::micros(response.timings.head));
        }
        drop(state);
        let change = self.hosts.with(&self.host, |host, config| {
            host.requests += 1;
            host.errors += u64::from(failed);
            if let Ok(response) = result
                && matches!(response.status, 429 | 503)
                && let Some(pause) = response.header("retry-after").value().and_then(seconds_of)
            {
                host.cool_until = host.cool_until.max(now + pause);
            }
            host.judge(now, failed, self.probe, config)
        });
        if let Some((from, to)) = change {
            self.hosts.announce(now, &self.host, from, to);
        }
    }
}

impl<R: Runtime> Host<R> {
    fn judge(
        &mut self,
        now: Instant,
        failed: bool,
        probe: bool,
        config: &HostConfig,
    ) -> Option<(BreakerState, BreakerState)> {
        let from = self.breaker.state();
        let failures = if failed {
            self.breaker.failures().saturating_add(1)
        } else {
            0
        };
        self.breaker = match &self.breaker {
            // Whoever was let in before the breaker opened does not decide when it closes.
            Breaker::Open { .. } | Breaker::Probing { .. } if !probe => return None,
            _ if !failed => Breaker::Closed { failures },
            Breaker::Closed { .. } if failures < config.failures => Breaker::Closed { failures },
            _ => Breaker::Open {
                failures,
                until: now + config.open_for,
            },
        };
        let to = self.breaker.state();
        (from != to).then_some((from, to))
    }
}

impl<R: Runtime> Drop for Pass<R> {
    fn drop(&mut self) {
        self.hosts.0.state.borrow_mut().totals.active -= 1;
        if self.probe && !self.judged {
            // A probe that was cancelled says nothing: the next request looks again.
            let now = self.hosts.0.runtime.now();
            self.hosts.with(&self.host, |host, _| {
                host.breaker = Breaker::Open {
                    failures: host.breaker.failures(),
                    until: now,
                };
            });
        }
    }
}

impl<R: Runtime> Hosts<R> {
    pub(super) fn host_metrics(&self, epoch: impl Fn(Instant) -> f64) -> Vec<HostMetrics> {
        let state = self.0.state.borrow();
        let describe = |(name, host): (&String, &Host<R>)| HostMetrics {
            host: name.clone(),
            breaker: host.breaker.state(),
            failures: host.breaker.failures(),
            active: host.slots.active(),
            requests: host.requests,
            errors: host.errors,
            retry_at: match host.breaker {
                Breaker::Open { until, .. } => Some(epoch(until)),
                Breaker::Closed { .. } | Breaker::Probing { .. } => None,
            },
        };
        state.hosts.iter().map(describe).collect()
    }

    pub(super) fn totals(&self) -> RequestMetrics {
        self.0.state.borrow().totals
    }

    pub(super) fn latency(&self) -> Histogram {
        self.0.state.borrow().latency.clone()
    }

    pub(super) fn requests_per_second(&self, now: Instant, since: Instant) -> f64 {
        self.0.state.borrow_mut().meter.per_second(now, since)
    }

    pub(super) fn error_rate(&self) -> f64 {
        let state = self.0.state.borrow();
        let errors = state.recent.iter().filter(|failed| **failed).count();
        errors as f64 / state.recent.len().max(1) as f64
    }
}

/// What says that the host is not well, and not that we asked in vain or stopped asking.
fn is_the_hosts_failure(kind: FetchErrorKind) -> bool {
    match kind {
        FetchErrorKind::Dns
        | FetchErrorKind::Refused
        | FetchErrorKind::Reset
        | FetchErrorKind::Unreachable
        | FetchErrorKind::Tls
        | FetchErrorKind::Timeout
        | FetchErrorKind::Network
        | FetchErrorKind::Other => true,
        FetchErrorKind::BlockedByCors | FetchErrorKind::Aborted | FetchErrorKind::BreakerOpen => false,
    }
}

/// `Retry-After` in its seconds form; the date form needs a calendar clock, which a scan does not have.
fn seconds_of(text: &str) -> Option<Duration> {
    text.trim()
        .parse::<u32>()
        .ok()
        .map(|seconds| Duration::from_secs(seconds.into()))
}

fn authority(url: &str) -> &str {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    debug_assert!(!scheme.is_empty(), "plugins send absolute addresses: {url}");
    authority
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
        let hosts = Hosts::new(runtime.clone(), ScanConfig::default().host, Rc::new(fake.clone()));
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
}

//! `http-probe`: does it answer, with what, and how fast.

use core::time::Duration;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::PluginEntry;
use crate::scan::excerpt::{LONGEST_EVIDENCE, excerpt};
use crate::scan::fetch::{FetchError, FetchErrorKind, Request, Response, Seen};
use crate::scan::finding::{Finding, Severity};
use crate::scan::plugin::{Context, Earlier, Level, Mode, Outcome, Plugin, PluginError};
use crate::scan::target::{Scheme, Target};

/// Enough for a page's head and for what later plugins search in it.
const MOST_BODY: usize = 256 * 1024;
/// A page that drips is read so long; its head has told most by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a host that is left alone is waited for.
const PATIENCE: u32 = 2;

/// Asks for the target's page a few times. Being unreachable is a finding, not a failure.
#[derive(Clone, Copy, Debug)]
pub struct HttpProbe {
    tries: u32,
    timeout: Duration,
}

pub(super) fn entry() -> PluginEntry {
    PluginEntry::new("http-probe", Mode::Passive, Level::Discovery, |config| {
        Ok(Rc::new(HttpProbe::new(config.tries(), config.request_timeout())))
    })
}

impl HttpProbe {
    /// A probe of so many tries, each of which may take so long.
    pub fn new(tries: u32, timeout: Duration) -> Self {
        Self { tries, timeout }
    }
}

impl Plugin for HttpProbe {
    fn name(&self) -> &'static str {
        "http-probe"
    }

    fn mode(&self) -> Mode {
        Mode::Passive
    }

    fn level(&self) -> Level {
        Level::Discovery
    }

    fn priority(&self) -> i32 {
        100
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        _earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>> {
        Box::pin(async move { Ok(self.probe(target, ctx).await.into_outcome(target)) })
    }
}

impl HttpProbe {
    async fn probe(&self, target: &Target, ctx: &Context) -> Probe {
        let mut probe = Probe::default();
        let mut patience = PATIENCE;
        while probe.tries < self.tries {
            // The head is enough to measure by once a body has shown that it takes its time.
            let slow_body = probe.answer.as_ref().is_some_and(|answer| answer.body.truncated);
            let most = if slow_body { 0 } else { MOST_BODY };
            let request = Request::get(target.url())
                .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
                .timeout(self.timeout)
                .body_timeout(BODY_TIMEOUT)
                .max_body(most);
            match ctx.fetch(request).await {
                Ok(response) => probe.answered(response),
                Err(error) if error.kind == FetchErrorKind::BreakerOpen && patience > 0 => {
                    patience -= 1;
                    ctx.sleep(error.retry_after.unwrap_or(Duration::from_secs(1)))
                        .await;
                }
                Err(error) => {
                    let again = may_pass(error.kind);
                    probe.failed(error);
                    if !again {
                        break;
                    }
                }
            }
        }
        if probe.answer.is_none() && probe.hides_an_answer() {
            probe.look_blindly(target, ctx, self.timeout).await;
        }
        probe
    }
}

/// Whether the same request may well succeed a moment later.
fn may_pass(kind: FetchErrorKind) -> bool {
    matches!(
        kind,
        FetchErrorKind::Reset | FetchErrorKind::Network | FetchErrorKind::Other
    )
}

#[derive(Default)]
struct Probe {
    tries: u32,
    samples: Vec<Duration>,
    answer: Option<Response>,
    error: Option<FetchError>,
    failures: u32,
    /// There is an answer, and the platform hides it.
    hidden: bool,
}

impl Probe {
    fn answered(&mut self, response: Response) {
        self.tries += 1;
        self.samples.push(response.timings.head);
        // The first good answer speaks for the target; a 5xx only if there is no better one.
        let better = self
            .answer
            .as_ref()
            .is_none_or(|held| held.status >= 500 && response.status < 500);
        if better {
            self.answer = Some(response);
        }
    }

    fn failed(&mut self, error: FetchError) {
        self.tries += 1;
        self.failures += 1;
        self.error = Some(error);
    }

    /// A page is told the same of a dead target and of one that does not speak to other origins.
    fn hides_an_answer(&self) -> bool {
        self.error.as_ref().is_some_and(|error| {
            matches!(
                error.kind,
                FetchErrorKind::Network | FetchErrorKind::BlockedByCors
            )
        })
    }

    async fn look_blindly(&mut self, target: &Target, ctx: &Context, timeout: Duration) {
        let request = Request::get(target.url()).timeout(timeout).max_body(0).opaque();
        if let Ok(response) = ctx.fetch(request).await {
            self.hidden = true;
            self.samples.push(response.timings.head);
            self.error = Some(FetchError::new(
                FetchErrorKind::BlockedByCors,
                "it answers, but CORS keeps the answer from this page",
            ));
        }
    }

    fn into_outcome(mut self, target: &Target) -> Outcome {
        self.samples.sort_unstable();
        let latency = latency(&self.samples);
        let reachable = self.answer.is_some() || self.hidden;
        let reason = if self.answer.is_some() {
            None
        } else {
            self.error.as_ref()
        };
        let header = |name| {
            let value = self
                .answer
                .as_ref()
                .map_or(Seen::Missing, |answer| answer.header(name));
            value.value().map(str::to_owned)
        };
        let details = json!({
            "reachable": reachable,
            "reason": reason.map(|error| &error.message),
            "errorKind": reason.map(|error| error.kind.name()),
            "status": self.answer.as_ref().map(|answer| answer.status),
            "finalUrl": self.answer.as_ref().map(|answer| &answer.url),
            "redirected": self.answer.as_ref().is_some_and(|answer| answer.redirected),
            "protocol": self.answer.as_ref().and_then(|answer| answer.protocol.as_ref()),
            "altSvc": header("alt-svc"),
            "server": header("server"),
            "contentType": header("content-type"),
            "retryAfter": header("retry-after"),
            "tries": self.tries,
            "failures": self.failures,
            "latency": latency,
        });
        Outcome {
            summary: self.summary(),
            findings: self.findings(target),
            details,
            response: self.answer.map(Rc::new),
        }
    }

    fn summary(&self) -> String {
        let middle = self
            .samples
            .get(self.samples.len() / 2)
            .map(|d| d.as_secs_f64() * 1000.0);
        match (&self.answer, middle, &self.error) {
            (Some(answer), Some(ms), _) => format!("{} in {ms:.0} ms", answer.status),
            (None, _, Some(error)) if self.hidden => error.message.clone(),
            (None, _, Some(error)) => format!("unreachable: {}", error.message),
            _ => "no answer".to_owned(),
        }
    }

    fn findings(&self, target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some(answer) = &self.answer else {
            let message = self.error.as_ref().map_or("no answer", |error| &error.message);
            findings.push(if self.hidden {
                Finding::new(
                    Severity::Info,
                    "http-probe/hidden",
                    "Answers, but not to this page",
                )
                .evidence(message)
                .remediation("Scan it from a terminal, where CORS hides nothing.")
            } else {
                Finding::new(Severity::Info, "http-probe/unreachable", "Cannot be reached").evidence(message)
            });
            return findings;
        };
        if answer.status >= 500 {
            findings.push(
                Finding::new(
                    Severity::Medium,
                    "http-probe/server-error",
                    "Answers with a server error",
                )
                .evidence(format!("status {}", answer.status))
                .remediation("See the server's log for what fails there."),
            );
        }
        if self.failures > 0 {
            let message = self.error.as_ref().map_or("", |error| &error.message);
            findings.push(
                Finding::new(Severity::Low, "http-probe/flaky", "Does not always answer")
                    .evidence(format!(
                        "{} of {} requests failed: {message}",
                        self.failures, self.tries
                    ))
                    .remediation(
                        "Look for what cuts connections: a restart, a limit, a proxy that gives up.",
                    ),
            );
        }
        if target.scheme == Scheme::Https && answer.url.starts_with("http://") {
            findings.push(
                Finding::new(
                    Severity::High,
                    "http-probe/downgrade",
                    "Redirects from HTTPS to HTTP",
                )
                .evidence(excerpt(&answer.url, LONGEST_EVIDENCE))
                .remediation("Redirect to an `https:` address."),
            );
        }
        findings
    }
}

/// The distribution in milliseconds, by the nearest rank. `samples` in ascending order.
fn latency(samples: &[Duration]) -> Value {
    let ms = |d: &Duration| d.as_micros() as f64 / 1000.0;
    let (Some(min), Some(max)) = (samples.first(), samples.last()) else {
        return Value::Null;
    };
    let rank = |q: f64| ((q * samples.len() as f64).ceil() as usize).clamp(1, samples.len()) - 1;
    json!({
        "min": ms(min),
        "mean": samples.iter().map(ms).sum::<f64>() / samples.len() as f64,
        "p50": ms(&samples[rank(0.5)]),
        "p95": ms(&samples[rank(0.95)]),
        "max": ms(max),
        "samples": samples.iter().map(ms).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::VirtualRuntime;
    use crate::scan::fake::{Answer, FakeFetcher};
    use crate::scan::target::Entry;
    use core::cell::Cell;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn probe(script: impl Fn(u32) -> Answer + 'static) -> (Outcome, usize) {
        probe_at("http://a/", script)
    }

    fn probe_at(url: &str, script: impl Fn(u32) -> Answer + 'static) -> (Outcome, usize) {
        let runtime = VirtualRuntime::new();
        let fake = FakeFetcher::new(Rc::new(runtime.clone()));
        let asked = Cell::new(0);
        fake.on(url, move |_| {
            asked.set(asked.get() + 1);
            script(asked.get())
        });
        let target = Entry::parse(url).unwrap().targets().next().unwrap();
        let ctx = Context::new(Rc::new(fake.clone()), Rc::new(runtime.clone()));
        let plugin = HttpProbe::new(3, Duration::from_secs(10));
        let outcome = runtime
            .block_on(plugin.run(&target, &ctx, &Earlier::default()))
            .unwrap();
        (outcome, fake.requests().len())
    }

    fn ids(outcome: &Outcome) -> Vec<&str> {
        outcome
            .findings
            .iter()
            .map(|finding| finding.id.as_str())
            .collect()
    }

    #[test]
    fn a_target_that_answers_is_described_with_its_latencies() {
        let (outcome, asked) = probe(|n| {
            Answer::status(200)
                .header("server", "s")
                .after(Duration::from_millis(u64::from(n) * 10))
        });
        assert_eq!((asked, outcome.summary.as_str()), (3, "200 in 20 ms"));
        assert_eq!(outcome.details["latency"]["samples"], json!([10.0, 20.0, 30.0]));
        assert_eq!(
            (
                &outcome.details["latency"]["p50"],
                &outcome.details["latency"]["p95"]
            ),
            (&json!(20.0), &json!(30.0))
        );
        assert_eq!(
            (&outcome.details["server"], &outcome.details["reachable"]),
            (&json!("s"), &json!(true))
        );
        assert!(outcome.findings.is_empty() && outcome.response.is_some());
    }

    #[test]
    fn a_redirect_from_https_to_http_is_a_finding_with_the_beginning_of_where_it_leads() {
        let long = format!("http://a/{}", "a".repeat(10_000));
        let (outcome, _) = probe_at("https://a/", move |_| Answer::status(200).redirected_to(&long));
        assert_eq!(ids(&outcome), ["http-probe/downgrade"]);
        let evidence = &outcome.findings[0].evidence;
        assert_eq!((evidence.chars().count(), &evidence[..10]), (501, "http://a/a"));
        let (outcome, _) = probe_at("http://a/", |_| Answer::status(200).redirected_to("https://a/"));
        assert!(ids(&outcome).is_empty());
    }

    #[test]
    fn a_refused_connection_is_a_finding_and_is_not_tried_again() {
        let (outcome, asked) = probe(|_| Answer::error(FetchErrorKind::Refused, "connection refused"));
        assert_eq!((asked, ids(&outcome)), (1, vec!["http-probe/unreachable"]));
        assert_eq!(outcome.details["reason"], json!("connection refused"));
        assert_eq!(outcome.details["errorKind"], json!("refused"));
        assert_eq!(outcome.details["latency"], Value::Null);
    }

    #[test]
    fn a_target_that_hangs_costs_one_timeout() {
        let (outcome, asked) = probe(|_| Answer::hang());
        assert_eq!((asked, &outcome.details["errorKind"]), (1, &json!("timeout")));
    }

    #[test]
    fn a_reset_is_tried_again_and_reported_as_flaky() {
        let (outcome, asked) = probe(|n| {
            if n == 2 {
                Answer::error(FetchErrorKind::Reset, "reset")
            } else {
                Answer::status(200)
            }
        });
        assert_eq!((asked, ids(&outcome)), (3, vec!["http-probe/flaky"]));
        assert_eq!(outcome.findings[0].evidence, "1 of 3 requests failed: reset");
    }

    #[test]
    fn an_answer_that_cors_hides_is_hidden_and_not_unreachable() {
        let (outcome, asked) = probe(|n| match n {
            1..=3 => Answer::error(FetchErrorKind::Network, "Failed to fetch"),
            _ => Answer::status(0),
        });
        assert_eq!((asked, ids(&outcome)), (4, vec!["http-probe/hidden"]));
        assert_eq!(
            (&outcome.details["reachable"], &outcome.details["status"]),
            (&json!(true), &Value::Null)
        );
    }

    #[test]
    fn a_server_error_gives_way_to_a_better_answer() {
        let (outcome, _) = probe(|n| Answer::status(if n == 1 { 500 } else { 200 }));
        assert_eq!(outcome.details["status"], json!(200));
        let (outcome, _) = probe(|_| Answer::status(500));
        assert_eq!(ids(&outcome), ["http-probe/server-error"]);
    }
}

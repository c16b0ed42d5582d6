use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::future::VirtualRuntime;
use crate::scan::fake::{self, FakeFetcher};
use crate::scan::fetch::{FetchErrorKind, Request};
use crate::scan::target::Entry;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn target(text: &str) -> Target {
    Entry::parse(text).unwrap().targets().next().unwrap()
}

fn origin_of(request: &Request) -> &str {
    &request
        .headers
        .iter()
        .find(|(name, _)| name == "origin")
        .unwrap()
        .1
}

/// Runs the plugin against a server that decides like that; the outcome and the origins it was asked as.
fn against(address: &str, decide: impl Fn(&str) -> fake::Answer + 'static) -> (Outcome, Vec<String>) {
    let runtime = VirtualRuntime::new();
    let network = FakeFetcher::new(Rc::new(runtime.clone()));
    network.on(address, move |request| decide(origin_of(request)));
    let ctx = Context::new(Rc::new(network.clone()), Rc::new(runtime.clone()));
    let target = target(address);
    let earlier = Earlier::default();
    let outcome = runtime.block_on(CorsPolicy.run(&target, &ctx, &earlier)).unwrap();
    let origins = network
        .requests()
        .iter()
        .map(|request| origin_of(request).to_owned())
        .collect();
    (outcome, origins)
}

fn kinds(outcome: &Outcome) -> Vec<(&str, &str)> {
    outcome
        .findings
        .iter()
        .map(|finding| (&finding.id[NAME.len() + 1..], finding.severity.name()))
        .collect()
}

fn allow_if(trusts: impl Fn(&str) -> bool + 'static, credentials: bool) -> impl Fn(&str) -> fake::Answer {
    move |origin| {
        let mut answer = fake::Answer::status(200).header("vary", "accept, Origin");
        if trusts(origin) {
            answer = answer.header("access-control-allow-origin", origin);
            if credentials {
                answer = answer.header("access-control-allow-credentials", "true");
            }
        }
        answer
    }
}

const HTTPS: &str = "https://www.a.test/";

#[test]
fn a_server_that_trusts_nobody_is_asked_as_everybody_and_has_no_findings() {
    let (outcome, origins) = against(HTTPS, |_| fake::Answer::status(200));
    assert_eq!(kinds(&outcome), []);
    assert_eq!(
        origins,
        [
            "https://tidegate.invalid",
            "null",
            "https://www.a.test.tidegate.invalid",
            "https://tidegatewww.a.test",
            "https://wwwxa.test",
            "https://tidegate-probe.www.a.test",
            "http://www.a.test",
        ]
    );
}

#[test]
fn each_way_of_deciding_too_much_is_found() {
    type Trusts = fn(&str) -> bool;
    type Case = (&'static str, Trusts, &'static [(&'static str, &'static str)]);
    let cases: &[Case] = &[
        (
            "everybody but null",
            |origin| origin != "null",
            &[("any-origin-with-credentials", "high")],
        ),
        ("null", |origin| origin == "null", &[("null-origin", "high")]),
        (
            "a prefix",
            |origin| origin.starts_with("https://www.a.test"),
            &[("prefix-match", "high")],
        ),
        (
            "a suffix",
            |origin| origin.ends_with("www.a.test") && origin.starts_with("https:"),
            &[("suffix-match", "high"), ("any-subdomain", "low")],
        ),
        (
            "a pattern",
            |origin| origin.starts_with("https://www") && origin.ends_with("a.test") && origin.len() == 18,
            &[("pattern-match", "high")],
        ),
        (
            "subdomains",
            |origin| origin.starts_with("https://") && origin.ends_with(".www.a.test"),
            &[("any-subdomain", "low")],
        ),
        (
            "any scheme",
            |origin| origin.ends_with("://www.a.test"),
            &[("unencrypted-origin", "medium")],
        ),
        ("a list", |origin| origin == "https://partner.test", &[]),
    ];
    for (about, trusts, found) in cases {
        let (outcome, _) = against(HTTPS, allow_if(*trusts, true));
        assert_eq!(kinds(&outcome), *found, "{about}");
    }
    let (outcome, _) = against(HTTPS, allow_if(|origin| origin == "null", true));
    assert_eq!(outcome.details["universal"], false, "null is not everybody");
    let (outcome, _) = against(HTTPS, allow_if(|origin| origin == "null", false));
    assert_eq!(kinds(&outcome), [("null-origin", "medium")]);
}

#[test]
fn who_lets_everybody_in_is_asked_no_further_than_null() {
    let (outcome, origins) = against(HTTPS, allow_if(|_| true, true));
    assert_eq!(origins.len(), 2);
    assert_eq!(outcome.details["universal"], true);
    assert_eq!(outcome.summary, "any origin, with credentials");
}

#[test]
fn a_wildcard_is_public_and_with_credentials_a_mistake() {
    let (outcome, _) = against(HTTPS, |_| {
        fake::Answer::status(200).header("access-control-allow-origin", "*")
    });
    assert_eq!((kinds(&outcome).len(), &*outcome.summary), (0, "public"));
    let (outcome, _) = against(HTTPS, |_| {
        fake::Answer::status(200)
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-credentials", "true")
    });
    assert_eq!(kinds(&outcome), [("wildcard-with-credentials", "low")]);
    let (outcome, _) = against(HTTPS, |_| {
        fake::Answer::status(200)
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-credentials", "True")
    });
    assert_eq!(kinds(&outcome), [], "browsers take `true` in lower case only");
}

#[test]
fn a_reflection_that_caches_cannot_see_is_found() {
    let reflecting = |vary: &'static str| {
        move |origin: &str| {
            fake::Answer::status(200)
                .header("access-control-allow-origin", origin)
                .header("vary", vary)
        }
    };
    let has = |outcome: &Outcome| {
        outcome
            .findings
            .iter()
            .any(|finding| finding.id.ends_with("/vary-missing"))
    };
    assert!(has(&against(HTTPS, reflecting("accept-encoding")).0));
    assert!(!has(&against(HTTPS, reflecting("Accept-Encoding, ORIGIN")).0));
    assert!(!has(&against(HTTPS, reflecting("*")).0));
}

#[test]
fn several_origins_at_once_are_a_mistake() {
    let (outcome, _) = against(HTTPS, |_| {
        fake::Answer::status(200).header("access-control-allow-origin", "https://a.test, https://b.test")
    });
    assert_eq!(kinds(&outcome), [("several-origins", "low")]);
}

#[test]
fn tricks_that_need_a_name_are_left_out_for_addresses() {
    let (_, origins) = against("http://127.0.0.1:8080/", |_| fake::Answer::status(200));
    assert_eq!(
        origins,
        [
            "https://tidegate.invalid",
            "null",
            "http://127.0.0.1.tidegate.invalid"
        ]
    );
    let (_, origins) = against("http://[::1]:8080/", |_| fake::Answer::status(200));
    assert_eq!(origins, ["https://tidegate.invalid", "null"]);
}

#[test]
fn a_target_that_asks_to_slow_down_is_left_alone() {
    let asked = core::cell::Cell::new(0);
    let (outcome, origins) = against(HTTPS, move |_| {
        asked.set(asked.get() + 1);
        fake::Answer::status(if asked.get() > 2 { 429 } else { 200 })
    });
    assert_eq!(
        (
            origins.len(),
            outcome.details["answers"].as_array().unwrap().len()
        ),
        (3, 2)
    );
}

#[test]
fn an_unreachable_target_is_an_error() {
    let runtime = VirtualRuntime::new();
    let network = FakeFetcher::new(Rc::new(runtime.clone()));
    network.on(HTTPS, |_| fake::Answer::error(FetchErrorKind::Refused, "refused"));
    let ctx = Context::new(Rc::new(network), Rc::new(runtime.clone()));
    let target = target(HTTPS);
    let earlier = Earlier::default();
    let run = CorsPolicy.run(&target, &ctx, &earlier);
    assert_eq!(
        runtime.block_on(run),
        Err(PluginError::Failed("refused".to_owned()))
    );
}

#[test]
fn a_browser_cannot_probe_and_is_told_so() {
    let reason = CorsPolicy
        .available(&target(HTTPS), Capabilities::BROWSER)
        .unwrap_err();
    assert!(reason.contains("cannot be probed from a browser"), "{reason}");
    assert_eq!(CorsPolicy.available(&target(HTTPS), Capabilities::SERVER), Ok(()));
}

proptest! {
    #[test]
    fn no_answer_breaks_the_assessment(allowed in ".{0,40}", credentials in ".{0,8}", vary in ".{0,20}") {
        let (outcome, _) = against(HTTPS, move |_| {
            fake::Answer::status(200)
                .header("access-control-allow-origin", &allowed)
                .header("access-control-allow-credentials", &credentials)
                .header("vary", &vary)
        });
        prop_assert!(!outcome.summary.is_empty());
    }
}

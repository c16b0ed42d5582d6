use std::rc::Rc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::future::VirtualRuntime;
use crate::scan::fake::{Answer, FakeFetcher};
use crate::scan::fetch::Capabilities;
use crate::scan::target::Entry;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn target(text: &str) -> Target {
    Entry::parse(text).unwrap().targets().next().unwrap()
}

/// Answers come at once, so that any clock will do.
fn network() -> FakeFetcher {
    FakeFetcher::new(Rc::new(VirtualRuntime::new()))
}

fn scan(fake: &FakeFetcher, text: &str) -> Result<Outcome, PluginError> {
    let runtime = VirtualRuntime::new();
    let ctx = Context::new(Rc::new(fake.clone()), Rc::new(runtime.clone()));
    runtime.block_on(SecurityHeaders.run(&target(text), &ctx, &Earlier::default()))
}

fn kinds(outcome: &Outcome) -> Vec<&str> {
    outcome
        .findings
        .iter()
        .map(|finding| &finding.id["security-headers/".len()..])
        .collect()
}

/// An answer that does everything right.
fn exemplary() -> Answer {
    [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
        ("strict-transport-security", "max-age=63072000; includeSubDomains; preload"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        ("set-cookie", "__Host-session=x; Secure; HttpOnly; Path=/; SameSite=Strict"),
    ]
    .into_iter()
    .fold(Answer::status(200), |answer, (name, value)| answer.header(name, value))
    .body("<!doctype html><script src=/a.js integrity=sha384-x></script>")
}

fn redirecting(to: &'static str) -> impl Fn(&Request) -> Answer {
    move |_| Answer::status(301).header("location", to)
}

#[test]
fn an_exemplary_site_gets_the_best_grade_and_no_advice() {
    let fake = network();
    fake.on("https://a.test/", |_| exemplary());
    fake.on("http://a.test/", redirecting("https://a.test/"));
    let outcome = scan(&fake, "https://a.test/").unwrap();
    assert_eq!(kinds(&outcome), ["cross-origin-isolated"]);
    // 100 + policy 10, framing 5, referrer 5, resource policy 10, cookies 5, integrity 5
    assert_eq!(
        outcome.details["score"],
        json!({ "state": "full", "score": 140, "grade": "A+" })
    );
    assert_eq!(outcome.summary, "A+ (140)");
    assert_eq!(fake.requests().len(), 2);
}

#[test]
fn a_bare_site_gets_the_worst_grade_and_a_remedy_for_everything() {
    let fake = network();
    fake.on("http://a.test/", |_| {
        Answer::status(200)
            .header("content-type", "text/html")
            .header("set-cookie", "PHPSESSID=1")
            .body("<script src=//cdn.test/a.js></script>")
    });
    let outcome = scan(&fake, "http://a.test/").unwrap();
    assert_eq!(
        outcome.details["score"],
        json!({ "state": "full", "score": 0, "grade": "F" })
    );
    assert_eq!(
        kinds(&outcome),
        [
            "csp-missing",
            "no-https",
            "redirection-missing",
            "framing-missing",
            "nosniff-missing",
            "referrer-policy-missing",
            "permissions-policy-missing",
            "coop-missing",
            "cookie-insecure",
            "cookie-readable-session",
            "cookie-without-samesite",
            "script-insecure",
            "script-without-integrity",
        ]
    );
    assert!(
        outcome
            .findings
            .iter()
            .all(|finding| finding.remediation.len() > 10)
    );
    assert_eq!(
        fake.requests().len(),
        1,
        "the answer itself tells that there is no redirect"
    );
}

/// Header sets as sites of different kinds send them, with the score that the published rules give.
#[test]
fn header_sets_of_real_kinds_of_site_are_scored() {
    type Case = (
        &'static str,
        &'static [&'static str],
        &'static str,
        (i32, &'static str),
    );
    let cases: &[Case] = &[
        (
            "a blog behind a content network",
            &[
                "server: cloudflare",
                "strict-transport-security: max-age=15552000; includeSubDomains",
                "x-content-type-options: nosniff",
            ],
            "<script src=https://analytics.test/a.js></script>",
            // policy -25, framing -20, integrity -5
            (50, "C"),
        ),
        (
            "a framework's defaults",
            &[
                "content-security-policy: default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';\
                 frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';script-src-attr 'none';\
                 style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests",
                "cross-origin-opener-policy: same-origin",
                "cross-origin-resource-policy: same-origin",
                "origin-agent-cluster: ?1",
                "referrer-policy: no-referrer",
                "strict-transport-security: max-age=31536000; includeSubDomains",
                "x-content-type-options: nosniff",
                "x-dns-prefetch-control: off",
                "x-download-options: noopen",
                "x-frame-options: SAMEORIGIN",
                "x-permitted-cross-domain-policies: none",
                "x-xss-protection: 0",
            ],
            "",
            // policy 0, framing 5, referrer 5, resource policy 10
            (120, "A+"),
        ),
        (
            "an old forum",
            &[
                "server: Apache/2.4",
                "x-powered-by: PHP/7.4",
                "set-cookie: PHPSESSID=1; path=/",
                "set-cookie: lang=en",
            ],
            "<script src=jquery.js></script>",
            // policy -25, no hsts -20, framing -20, sniffing -5, session cookie without Secure -40
            (0, "F"),
        ),
        (
            "a login page with cookies in order",
            &[
                "strict-transport-security: max-age=63072000",
                "x-frame-options: DENY",
                "x-content-type-options: nosniff",
                "referrer-policy: strict-origin-when-cross-origin",
                "set-cookie: sessionid=1; Secure; HttpOnly; SameSite=Lax",
                "set-cookie: csrftoken=1; Secure; SameSite=Lax",
            ],
            "",
            // policy -25
            (75, "B"),
        ),
        (
            "an interface for everybody",
            &[
                "content-type: application/json",
                "access-control-allow-origin: *",
                "x-content-type-options: nosniff",
                "strict-transport-security: max-age=31536000",
            ],
            "{}",
            // policy -25, framing -20
            (55, "C"),
        ),
        (
            "a static site that only forgot a policy's details",
            &[
                "content-security-policy: upgrade-insecure-requests",
                "strict-transport-security: max-age=300",
                "x-frame-options: SAMEORIGIN",
                "x-content-type-options: nosniff",
                "referrer-policy: origin",
            ],
            "",
            // policy -20, short hsts -10, referrer -5
            (65, "B-"),
        ),
    ];
    for (kind, lines, body, (score, grade)) in cases {
        let response = {
            let mut response = page::fixture::response("https://a.test/", &lines.join("\n"));
            response.body.bytes = body.as_bytes().to_vec();
            response
        };
        let outcome = assess(&response, &Route::NoHttp, false);
        assert_eq!(
            outcome.details["score"],
            json!({ "state": "full", "score": score, "grade": grade }),
            "{kind}: {:#}",
            outcome.details["tests"]
        );
    }
}

#[test]
fn a_page_behind_cors_hears_hidden_and_never_missing() {
    let fake = network().with_capabilities(Capabilities::BROWSER);
    fake.on("https://a.test/", |_| {
        Answer::status(200)
            .header("content-type", "text/html")
            .view(HeaderView::Cors)
    });
    let outcome = scan(&fake, "https://a.test/").unwrap();
    assert_eq!(kinds(&outcome), ["hidden"]);
    assert_eq!(
        outcome.details["score"],
        json!({ "state": "partial", "atMost": 135, "atMostGrade": "A+" })
    );
    assert!(outcome.summary.contains("hidden"), "{}", outcome.summary);
}

#[test]
fn where_the_target_exposes_everything_a_page_finds_what_a_server_finds_but_for_cookies() {
    let answer = || {
        Answer::status(200)
            .header("content-type", "text/html")
            .header("access-control-allow-origin", "*")
            .header("access-control-expose-headers", "*")
            .header("x-frame-options", "DENY")
    };
    let server = network();
    server.on("http://a.test:8080/", move |_| answer());
    let page = network().with_capabilities(Capabilities::BROWSER);
    page.on("http://a.test:8080/", move |_| answer().view(HeaderView::Cors));
    let (seen_by_server, seen_by_page) = (
        scan(&server, "http://a.test:8080/").unwrap(),
        scan(&page, "http://a.test:8080/").unwrap(),
    );
    assert_eq!(seen_by_server.findings, seen_by_page.findings);
    assert_eq!(seen_by_page.details["hidden"], json!(["cookies"]));
    assert_eq!(seen_by_page.details["score"]["state"], "partial");
}

#[test]
fn an_answer_that_cors_forbids_to_read_is_all_hidden() {
    let fake = network().with_capabilities(Capabilities::BROWSER);
    fake.on("https://a.test/", |_| {
        Answer::error(FetchErrorKind::BlockedByCors, "blocked by CORS")
    });
    let outcome = scan(&fake, "https://a.test/").unwrap();
    assert_eq!(kinds(&outcome), ["hidden"]);
    let tests = outcome.details["tests"].as_array().unwrap();
    assert!(tests.iter().all(|test| test["outcome"] == "hidden"), "{tests:?}");
}

#[test]
fn what_the_active_probe_found_counts_in_the_score() {
    let network = network();
    network.on("https://a.test:8443/", |_| exemplary());
    let runtime = VirtualRuntime::new();
    let ctx = Context::new(Rc::new(network), Rc::new(runtime.clone()));
    let mut earlier = Earlier::default();
    let probed = Outcome {
        details: json!({ "universal": true }),
        ..Outcome::default()
    };
    earlier.add(cors_policy::NAME, Rc::new(probed));
    let target = target("https://a.test:8443/");
    let outcome = runtime
        .block_on(SecurityHeaders.run(&target, &ctx, &earlier))
        .unwrap();
    assert_eq!(
        outcome.details["score"],
        json!({ "state": "full", "score": 50, "grade": "C" })
    );
}

#[test]
fn cookies_without_secure_are_forgiven_only_under_a_long_hsts() {
    let outcome = |max_age: u32| {
        let lines = format!("strict-transport-security: max-age={max_age}\nset-cookie: a=1; SameSite=Lax");
        let assessed = assess(
            &page::fixture::response("https://a.test/", &lines),
            &Route::NoHttp,
            false,
        );
        let tests = assessed.details["tests"].as_array().unwrap().clone();
        tests.into_iter().find(|test| test["test"] == "cookies").unwrap()["modifier"].clone()
    };
    assert_eq!(outcome(31_536_000), -5);
    assert_eq!(outcome(3600), -20);
}

#[test]
fn what_the_probe_has_fetched_is_not_fetched_again() {
    let network = network();
    let runtime = VirtualRuntime::new();
    let ctx = Context::new(Rc::new(network.clone()), Rc::new(runtime.clone()));
    let run = |outcome: Outcome| {
        let mut earlier = Earlier::default();
        earlier.add("http-probe", Rc::new(outcome));
        let target = target("http://a.test/");
        runtime.block_on(SecurityHeaders.run(&target, &ctx, &earlier))
    };
    let answered = run(Outcome {
        response: Some(Rc::new(page::fixture::response(
            "http://a.test/",
            "x-frame-options: DENY",
        ))),
        ..Outcome::default()
    });
    assert!(kinds(&answered.unwrap()).contains(&"framing-by-old-header"));
    let hidden = run(Outcome {
        details: json!({ "reachable": true, "errorKind": "blocked-by-cors" }),
        ..Outcome::default()
    });
    assert!(kinds(&hidden.unwrap()).contains(&"hidden"));
    let dead = run(Outcome {
        details: json!({ "reachable": false, "errorKind": "refused" }),
        ..Outcome::default()
    });
    assert!(matches!(dead, Err(PluginError::Skipped(_))));
    assert_eq!(network.requests().len(), 0);
}

#[test]
fn an_unreachable_target_is_an_error() {
    let fake = network();
    assert!(matches!(
        scan(&fake, "https://a.test/"),
        Err(PluginError::Failed(_))
    ));
}

#[test]
fn an_answer_without_success_is_judged_but_not_scored() {
    let fake = network();
    fake.on("https://a.test:8443/", |_| Answer::status(503));
    let outcome = scan(&fake, "https://a.test:8443/").unwrap();
    assert_eq!(
        outcome.details["score"],
        json!({ "state": "none", "status": 503 })
    );
    assert!(kinds(&outcome).contains(&"csp-missing"));
}

#[test]
fn the_way_from_http_is_walked_and_judged() {
    let redirection = |fake: &FakeFetcher, text: &str| {
        let outcome = scan(fake, text).unwrap();
        let tests = outcome.details["tests"].as_array().unwrap();
        let test = tests.iter().find(|test| test["test"] == "redirection").unwrap();
        test["outcome"].as_str().unwrap().to_owned()
    };
    let fake = network();
    fake.on("https://a.test/", |_| exemplary());
    assert_eq!(
        redirection(&fake, "https://a.test/"),
        "redirection-not-needed-no-http"
    );

    fake.on("http://a.test/", redirecting("http://a.test/step"));
    fake.on("http://a.test/step", redirecting("//a.test/again"));
    fake.on("http://a.test/again", redirecting("https://a.test/"));
    assert_eq!(
        redirection(&fake, "https://a.test/"),
        "redirection-not-to-https-on-initial-redirection"
    );

    fake.on("http://a.test/", redirecting("/"));
    let before = fake.requests().len();
    assert_eq!(redirection(&fake, "https://a.test/"), "redirection-not-to-https");
    assert_eq!(
        fake.requests().len() - before,
        6,
        "a circle is left after five steps"
    );

    fake.on("http://b.test/", |_| exemplary().redirected_to("https://b.test/"));
    assert_eq!(
        redirection(&fake, "http://b.test/"),
        "redirection-missing",
        "as seen without following"
    );
    let page = network().with_capabilities(Capabilities::BROWSER);
    page.on("http://b.test/", |_| exemplary().redirected_to("https://b.test/"));
    assert_eq!(redirection(&page, "http://b.test/"), "hidden");
    let upgraded = page::fixture::response("https://e.test/", "");
    let ctx = Context::new(Rc::new(fake), Rc::new(VirtualRuntime::new()));
    let target = target("http://e.test/");
    let route = route(&target, &upgraded, &ctx);
    assert_eq!(
        VirtualRuntime::new().block_on(route),
        Route::Hidden,
        "the platform itself went to https"
    );
    page.on("http://c.test/", |_| exemplary().redirected_to("http://d.test/"));
    assert_eq!(redirection(&page, "http://c.test/"), "redirection-not-to-https");
}

proptest! {
    #[test]
    fn no_answer_breaks_the_assessment(
        fields in proptest::collection::vec((
            prop_oneof![
                Just("content-security-policy"), Just("strict-transport-security"), Just("x-frame-options"),
                Just("set-cookie"), Just("permissions-policy"), Just("referrer-policy"), Just("content-type"),
                Just("cross-origin-opener-policy"), Just("access-control-allow-origin"),
                Just("access-control-expose-headers"), Just("x-content-type-options"),
            ],
            ".{0,40}",
        ), 0..8),
        body in ".{0,80}",
        url in ".{0,30}",
        status in any::<u16>(),
    ) {
        let mut response = page::fixture::response(&format!("https://{url}"), "");
        response.headers.list = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        response.body.bytes = body.into_bytes();
        response.status = status;
        let outcome = assess(&response, &Route::Hidden, false);
        prop_assert!(outcome.findings.iter().all(|finding| finding.id.starts_with("security-headers/")));
        prop_assert!(!outcome.summary.is_empty());
    }
}

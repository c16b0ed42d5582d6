use super::*;
use crate::scan::plugins::security_headers::page::fixture::{judged, judged_behind_cors};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HTTPS: &str = "https://a.test/";

fn of_policy(policy: &str) -> (&'static str, Vec<String>) {
    let (verdict, found) = judged(judge, HTTPS, &format!("content-security-policy: {policy}"), "");
    (verdict.outcome, found)
}

/// Directives that close every gap the tests do not ask about.
const CLOSED: &str = "object-src 'none'; base-uri 'none'; form-action 'self'";

#[test]
fn policies_come_out_as_the_published_rules_say() {
    let cases = [
        (
            "default-src 'none'",
            "csp-implemented-with-no-unsafe-default-src-none",
        ),
        ("default-src", "csp-implemented-with-no-unsafe-default-src-none"),
        (
            "default-src 'none'; script-src 'self'; style-src 'self'",
            "csp-implemented-with-no-unsafe-default-src-none",
        ),
        ("default-src 'self'", "csp-implemented-with-no-unsafe"),
        (
            "default-src https://mozilla.test; form-action 'self'",
            "csp-implemented-with-no-unsafe",
        ),
        (
            "object-src 'none'; script-src 'self'; style-src 'self'",
            "csp-implemented-with-no-unsafe",
        ),
        (
            "default-src 'self'; style-src 'self' 'unsafe-inline'",
            "csp-implemented-with-unsafe-inline-in-style-src-only",
        ),
        (
            "default-src 'self'; style-src data:",
            "csp-implemented-with-unsafe-inline-in-style-src-only",
        ),
        (
            "default-src 'self'; style-src https:",
            "csp-implemented-with-unsafe-inline-in-style-src-only",
        ),
        (
            "object-src 'none'; script-src 'self'",
            "csp-implemented-with-unsafe-inline-in-style-src-only",
        ),
        (
            "default-src 'self'; img-src http:",
            "csp-implemented-with-insecure-scheme-in-passive-content-only",
        ),
        (
            "default-src 'self'; media-src http://b.test",
            "csp-implemented-with-insecure-scheme-in-passive-content-only",
        ),
        (
            "default-src 'self' 'unsafe-eval'",
            "csp-implemented-with-unsafe-eval",
        ),
        (
            "default-src 'self'; script-src 'self' 'unsafe-eval'",
            "csp-implemented-with-unsafe-eval",
        ),
        (
            "default-src 'self'; style-src 'unsafe-eval'",
            "csp-implemented-with-unsafe-eval",
        ),
        (
            "default-src 'self'; connect-src http://b.test",
            "csp-implemented-with-insecure-scheme",
        ),
        (
            "default-src http://b.test",
            "csp-implemented-with-insecure-scheme",
        ),
        (
            "default-src 'self' ftp://b.test",
            "csp-implemented-with-insecure-scheme",
        ),
        (
            "default-src 'unsafe-inline'",
            "csp-implemented-with-unsafe-inline",
        ),
        ("script-src 'unsafe-inline'", "csp-implemented-with-unsafe-inline"),
        (
            "default-src 'self'; script-src data:",
            "csp-implemented-with-unsafe-inline",
        ),
        (
            "default-src 'self'; script-src https:",
            "csp-implemented-with-unsafe-inline",
        ),
        ("default-src https:", "csp-implemented-with-unsafe-inline"),
        ("default-src *", "csp-implemented-with-unsafe-inline"),
        (
            "default-src 'self'; object-src *",
            "csp-implemented-with-unsafe-inline",
        ),
        (
            "default-src 'self'; script-src https://*",
            "csp-implemented-with-unsafe-inline",
        ),
        ("script-src 'self'", "csp-implemented-with-unsafe-inline"),
        ("upgrade-insecure-requests", "csp-implemented-with-unsafe-inline"),
        ("frame-ancestors 'self'", "csp-implemented-with-unsafe-inline"),
        (
            "default-src 'self'; script-src 'strict-dynamic'",
            "csp-header-invalid",
        ),
        ("default-src 'self'; default-src 'none'", "csp-header-invalid"),
        (
            "default-src 'self'; report-uri /a; report-uri /b",
            "csp-implemented-with-no-unsafe",
        ),
        // The strict policy that is recommended for applications: fallbacks for old browsers count for nothing.
        (
            "script-src 'nonce-r4nd0mr4nd0mr4nd0mr4nd0' 'strict-dynamic' https: 'unsafe-inline' data:; \
             object-src 'none'; base-uri 'none'; style-src 'self'",
            "csp-implemented-with-no-unsafe",
        ),
        (
            "default-src 'self'; script-src 'sha256-hqBEA/HXB3aJU2FgOnYN8rkAgEVgyfi3Vs1j2/XMPBA=' 'unsafe-inline'",
            "csp-implemented-with-no-unsafe",
        ),
        (
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'",
            "csp-implemented-with-no-unsafe-default-src-none",
        ),
    ];
    for (policy, outcome) in cases {
        assert_eq!(of_policy(policy).0, outcome, "{policy}");
    }
}

#[test]
fn policies_seen_on_real_sites_are_judged() {
    let cases = [
        // A code host: hosts for everything, inline styles.
        (
            "default-src 'none'; base-uri 'self'; child-src github.test/assets-cdn/worker/; connect-src 'self' \
             uploads.github.test api.github.test wss://alive.github.test; font-src assets.test; form-action 'self' \
             github.test gist.test; frame-ancestors 'none'; frame-src viewscreen.test; img-src 'self' data: blob: \
             assets.test; manifest-src 'self'; media-src github.test; script-src assets.test; style-src \
             'unsafe-inline' assets.test; upgrade-insecure-requests; worker-src github.test/assets-cdn/worker/",
            "csp-implemented-with-unsafe-inline-in-style-src-only",
        ),
        // A search engine: strict by nonce, with every fallback.
        (
            "object-src 'none';base-uri 'self';script-src 'nonce-d6ud5QhuT1kFQNLIhuQbCA' 'strict-dynamic' \
             'report-sample' 'unsafe-eval' 'unsafe-inline' https: http:;report-uri https://csp.test/csp/gws/other-hp",
            "csp-implemented-with-unsafe-eval",
        ),
        // A shop platform: framing only.
        (
            "block-all-mixed-content; frame-ancestors 'none'; upgrade-insecure-requests;",
            "csp-implemented-with-unsafe-inline",
        ),
        // A news site: everything from everywhere.
        (
            "default-src data: 'unsafe-inline' 'unsafe-eval' https:; script-src data: 'unsafe-inline' 'unsafe-eval' \
             https: blob:; style-src data: 'unsafe-inline' https:; img-src data: https: blob: android-webview-video-poster:",
            "csp-implemented-with-unsafe-inline",
        ),
        // An API: nothing at all.
        (
            "default-src 'none'; frame-ancestors 'none'; sandbox",
            "csp-implemented-with-no-unsafe-default-src-none",
        ),
        // A static host: own files, images over http.
        (
            "default-src 'self'; img-src 'self' http://img.test; form-action 'self'",
            "csp-implemented-with-insecure-scheme-in-passive-content-only",
        ),
    ];
    for (policy, outcome) in cases {
        assert_eq!(of_policy(policy).0, outcome, "{policy}");
    }
}

#[test]
fn several_policies_forbid_what_any_of_them_forbids() {
    let inline = "script-src 'unsafe-inline'; object-src 'none'; style-src 'self'";
    assert_eq!(of_policy(inline).0, "csp-implemented-with-unsafe-inline");
    assert_eq!(
        of_policy(&format!("{inline}, script-src 'self'")).0,
        "csp-implemented-with-no-unsafe"
    );
    assert_eq!(
        of_policy(&format!("{inline}, script-src 'unsafe-inline' 'self'")).0,
        "csp-implemented-with-unsafe-inline"
    );
    let lines = format!("content-security-policy: {inline}\ncontent-security-policy: default-src 'self'");
    assert_eq!(
        judged(judge, HTTPS, &lines, "").0.outcome,
        "csp-implemented-with-no-unsafe"
    );
}

#[test]
fn insecure_sources_matter_only_on_secure_pages() {
    let lines = "content-security-policy: default-src 'self' http://b.test";
    assert_eq!(
        judged(judge, HTTPS, lines, "").0.outcome,
        "csp-implemented-with-insecure-scheme"
    );
    assert_eq!(
        judged(judge, "http://a.test/", lines, "").0.outcome,
        "csp-implemented-with-no-unsafe"
    );
}

#[test]
fn each_weakness_is_a_finding_of_its_own() {
    let cases: &[(&str, &[&str])] = &[
        ("default-src 'self'", &[]),
        (
            "default-src 'self'; script-src 'unsafe-inline'",
            &["csp-unsafe-inline"],
        ),
        (
            "default-src 'self'; script-src-elem 'unsafe-inline'",
            &["csp-unsafe-inline"],
        ),
        ("default-src 'self'; script-src *", &["csp-scripts-from-anywhere"]),
        ("default-src 'self'; script-src data:", &["csp-data-scripts"]),
        (
            "default-src 'self'; script-src 'self' 'unsafe-eval'",
            &["csp-unsafe-eval"],
        ),
        ("style-src 'self'", &["csp-scripts-unrestricted"]),
        (
            "default-src 'self'; style-src 'unsafe-inline'",
            &["csp-loose-styles"],
        ),
        ("default-src 'self'; font-src http:", &["csp-insecure-sources"]),
        ("default-src 'self'; img-src http:", &["csp-insecure-media"]),
        (
            "default-src 'self'; img-src 'none' b.test",
            &["csp-none-with-others"],
        ),
        ("default-src self", &["csp-unknown-source"]),
        ("default-src 'self'; script-src 'slef'", &["csp-unknown-source"]),
        (
            "default-src 'self'; scripts-src 'none'",
            &["csp-unknown-directive"],
        ),
        (
            "default-src 'self'; plugin-types application/pdf",
            &["csp-retired-directive"],
        ),
        (
            "default-src 'self'; img-src *; img-src 'none'",
            &["csp-repeated-directive"],
        ),
        ("default-src 'self'; script-src 'nonce-abc'", &["csp-short-nonce"]),
        (
            "default-src 'self'; script-src 'nonce-MTIzNDU2Nzg5MDEyMzQ1Ng=='",
            &[],
        ),
        (
            "default-src 'self'; script-src https://cdn.jsdelivr.net",
            &["csp-shared-script-host"],
        ),
        (
            "default-src 'self'; script-src 'strict-dynamic'",
            &["csp-strict-dynamic-without-nonce"],
        ),
    ];
    for (policy, kinds) in cases {
        assert_eq!(of_policy(&format!("{policy}; {CLOSED}")).1, *kinds, "{policy}");
    }
}

#[test]
fn gaps_beside_scripts_are_findings() {
    assert_eq!(
        of_policy("script-src 'self'").1,
        [
            "csp-base-uri-missing",
            "csp-form-action-missing",
            "csp-objects-unrestricted"
        ]
    );
}

#[test]
fn a_missing_base_uri_weighs_more_where_scripts_are_trusted_by_nonce() {
    let severity = |policy: &str| {
        let response = crate::scan::plugins::security_headers::page::fixture::response(
            HTTPS,
            &format!("content-security-policy: {policy}"),
        );
        let mut findings = Findings::default();
        judge(&Page::of(&response), &mut findings);
        let finding = findings
            .0
            .into_iter()
            .find(|finding| finding.id.ends_with("/csp-base-uri-missing"));
        finding.unwrap().severity
    };
    assert_eq!(severity("script-src 'self'"), Low);
    assert_eq!(severity("script-src 'nonce-MTIzNDU2Nzg5MDEyMzQ1Ng=='"), Medium);
}

#[test]
fn a_missing_and_a_reporting_policy_are_told_apart() {
    let (verdict, found) = judged(judge, HTTPS, "", "");
    assert_eq!(verdict.outcome, "csp-not-implemented");
    assert_eq!(found, ["csp-missing"]);
    let lines = "content-security-policy-report-only: default-src 'none'";
    let (verdict, found) = judged(judge, HTTPS, lines, "");
    assert_eq!(verdict.outcome, "csp-not-implemented-but-reporting-enabled");
    assert_eq!(found, ["csp-report-only"]);
    let empty = judged(judge, HTTPS, "content-security-policy: ;", "").0.outcome;
    assert_eq!(empty, "csp-not-implemented");
}

#[test]
fn policies_in_markup_count_and_tell_what_they_cannot_do() {
    let body = |content: &str| format!("<meta http-equiv='Content-Security-Policy' content=\"{content}\">");
    let (verdict, found) = judged(judge, HTTPS, "", &body(&format!("default-src 'self'; {CLOSED}")));
    assert_eq!(
        (verdict.outcome, found.len()),
        ("csp-implemented-with-no-unsafe", 0)
    );
    let (verdict, found) = judged(judge, HTTPS, "", &body("frame-ancestors 'none'"));
    assert_eq!(verdict.outcome, "csp-not-implemented");
    assert_eq!(found, ["csp-ignored-in-markup", "csp-missing"]);
}

#[test]
fn what_cors_hides_is_not_called_missing() {
    let (verdict, found) = judged_behind_cors(judge);
    assert!(verdict.is_hidden() && found == 0);
}

proptest! {
    #[test]
    fn no_policy_breaks_the_judge(
        words in proptest::collection::vec(
            prop_oneof![
                Just("default-src"), Just("script-src"), Just("'self'"), Just("'none'"), Just("'unsafe-inline'"),
                Just("'nonce-x'"), Just("'strict-dynamic'"), Just(";"), Just(","), Just("*"), Just("http:"), Just("é"),
                Just("frame-ancestors"), Just("://"), Just("'"), Just("[::"),
            ],
            0..30,
        ),
        text in "[^\n]{0,60}",
    ) {
        judged(judge, HTTPS, &format!("content-security-policy: {}", words.join(" ")), "");
        judged(judge, HTTPS, &format!("content-security-policy: {text}"), &text);
    }

    #[test]
    fn a_further_policy_never_loosens(
        first in "(default-src|script-src|object-src)( ('self'|'unsafe-inline'|\\*|https:|data:)){1,3}",
        second in "(default-src|script-src|object-src)( ('self'|'unsafe-inline'|\\*|https:|data:)){1,3}",
    ) {
        let modifier = |policy: &str| {
            let lines = format!("content-security-policy: {policy}");
            judged(judge, HTTPS, &lines, "").0.modifier.unwrap()
        };
        let both = modifier(&format!("{first}, {second}"));
        prop_assert!(both >= modifier(&first) && both >= modifier(&second));
    }
}

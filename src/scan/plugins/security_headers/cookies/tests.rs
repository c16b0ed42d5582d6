use super::*;
use crate::scan::plugins::security_headers::page::fixture::{judged, judged_behind_cors};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HTTPS: &str = "https://a.test/";

#[test]
fn the_worst_cookie_decides() {
    let good = "Set-Cookie: sessionid=1; Secure; HttpOnly; SameSite=Lax";
    let cases = [
        ("", true, "cookies-not-found"),
        ("Set-Cookie: just-a-value", false, "cookies-not-found"),
        (
            "Set-Cookie: heroku-session-affinity=1",
            false,
            "cookies-not-found",
        ),
        (good, false, "cookies-secure-with-httponly-sessions-and-samesite"),
        (
            "Set-Cookie: theme=dark; Secure",
            false,
            "cookies-secure-with-httponly-sessions",
        ),
        (
            "Set-Cookie: theme=dark",
            true,
            "cookies-without-secure-flag-but-protected-by-hsts",
        ),
        ("Set-Cookie: theme=dark", false, "cookies-without-secure-flag"),
        (
            "Set-Cookie: PHPSESSID=1; HttpOnly",
            false,
            "cookies-session-without-secure-flag",
        ),
        (
            "Set-Cookie: PHPSESSID=1; HttpOnly",
            true,
            "cookies-session-without-secure-flag-but-protected-by-hsts",
        ),
        (
            "Set-Cookie: PHPSESSID=1; secure",
            false,
            "cookies-session-without-httponly-flag",
        ),
        (
            "Set-Cookie: csrftoken=1; Secure",
            false,
            "cookies-anticsrf-without-samesite-flag",
        ),
        (
            "Set-Cookie: a=1; Secure; SameSite=Loose",
            false,
            "cookies-samesite-flag-invalid",
        ),
        (
            "Set-Cookie: a=1; Secure; SameSite",
            false,
            "cookies-samesite-flag-invalid",
        ),
        (
            "Set-Cookie: a=1; SameSite=None",
            true,
            "cookies-samesite-flag-invalid",
        ),
    ];
    for (lines, under_hsts, outcome) in cases {
        let (verdict, _) = judged(
            |page, findings| judge(page, under_hsts, findings),
            HTTPS,
            lines,
            "",
        );
        assert_eq!(verdict.outcome, outcome, "{lines}");
    }
    let both = format!("{good}\nSet-Cookie: login=1; SameSite=Lax");
    let (verdict, _) = judged(|page, findings| judge(page, false, findings), HTTPS, &both, "");
    assert_eq!(verdict.outcome, "cookies-session-without-secure-flag");
}

#[test]
fn each_fault_of_a_cookie_is_a_finding() {
    let cases: &[(&str, &[&str])] = &[
        ("__Host-id=1; Secure; HttpOnly; Path=/; SameSite=Strict", &[]),
        (
            "__Host-id=1; Secure; Path=/; Domain=a.test; SameSite=Lax",
            &["cookie-broken-prefix"],
        ),
        ("__host-id=1; Secure; SameSite=Lax", &["cookie-broken-prefix"]),
        (
            "__Secure-id=1; SameSite=Lax",
            &["cookie-insecure", "cookie-broken-prefix"],
        ),
        ("__Http-id=1; Secure; SameSite=Lax", &["cookie-broken-prefix"]),
        (
            "id=1; SameSite=None",
            &["cookie-insecure", "cookie-rejected-samesite"],
        ),
        (
            "sess=1; Secure; HttpOnly; SameSite=None",
            &["cookie-cross-site-session"],
        ),
        (
            "sess=1",
            &[
                "cookie-insecure",
                "cookie-readable-session",
                "cookie-without-samesite",
            ],
        ),
        (
            "id=1; Partitioned; SameSite=Lax",
            &["cookie-insecure", "cookie-rejected-partitioned"],
        ),
        (
            "id=1; Secure; SameSite=Lax; Max-Age=99999999",
            &["cookie-too-long"],
        ),
        ("id=1; Secure; SameSite=Lax; Max-Age=3600", &[]),
    ];
    for (value, kinds) in cases {
        let lines = format!("Set-Cookie: {value}");
        let (_, found) = judged(|page, findings| judge(page, false, findings), HTTPS, &lines, "");
        assert_eq!(found, *kinds, "{value}");
    }
}

#[test]
fn a_cookies_value_is_never_told() {
    let mut findings = Findings::default();
    let response = crate::scan::plugins::security_headers::page::fixture::response(
        HTTPS,
        "Set-Cookie: session=topsecret; Domain=a.test",
    );
    let verdict = judge(&Page::of(&response), false, &mut findings);
    assert_eq!(verdict.seen.as_deref(), Some("session"));
    assert!(
        findings
            .0
            .iter()
            .all(|finding| !finding.evidence.contains("topsecret"))
    );
    assert!(!findings.0.is_empty());
}

#[test]
fn what_a_page_cannot_see_is_hidden() {
    let (verdict, found) = judged_behind_cors(|page, findings| judge(page, false, findings));
    assert!(verdict.is_hidden() && found == 0);
}

proptest! {
    #[test]
    fn no_value_breaks_the_parser(value in ".{0,80}", likely in "[a=; SecurMx\\-Age0-9_é]{0,60}") {
        for value in [&value, &likely] {
            let cookie = Cookie::parse(value);
            let _ = (cookie.described(), cookie.breaks_its_prefix());
            prop_assert!(!cookie.name.contains([';', '=']));
        }
    }
}

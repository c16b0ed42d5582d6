//! Cross-origin isolation: Cross-Origin-Opener-Policy, -Embedder-Policy and -Resource-Policy.

use super::page::{Field, Page};
use super::rules::corp as rules;
use super::structured::token;
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{Info, Low};

const OPENER: &str = "cross-origin-opener-policy";
const EMBEDDER: &str = "cross-origin-embedder-policy";
const RESOURCE: &str = "cross-origin-resource-policy";

/// Judges all three. Only the resource policy is scored; a document that has the right opener and embedder policies is
/// cross-origin isolated (HTML, "cross-origin isolation mode"), which is worth knowing and no duty.
pub(crate) fn judge(page: &Page<'_>, findings: &mut Findings) -> [Verdict; 3] {
    let opener = opener(page, findings);
    let embedder = embedder(page, findings);
    if (page.place.is_https() || page.place.is_loopback())
        && opener.outcome == "coop-same-origin"
        && matches!(embedder.outcome, "coep-require-corp" | "coep-credentialless")
    {
        findings.add(
            Info,
            "cross-origin-isolated",
            "The page is cross-origin isolated",
            &format!("{}; {}", opener.outcome, embedder.outcome),
            "",
        );
    }
    [opener, embedder, resource(page, findings)]
}

fn opener(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    let values = match page.field(OPENER) {
        Field::Hidden => return Verdict::hidden(OPENER),
        Field::Missing => {
            findings.add(
                Info,
                "coop-missing",
                "Pages that open this one, or that it opens, share its browsing context group",
"no Cross-Origin-Opener-Policy header",
                "Send Cross-Origin-Opener-Policy: same-origin, or same-origin-allow-popups where sign-in windows are used.",
            );
            return Verdict::noted(OPENER, "coop-not-implemented");
        }
        Field::Values(values) => values,
    };
    let outcome = match single(&values).as_deref() {
        Some("same-origin") => "coop-same-origin",
        Some("noopener-allow-popups") => "coop-noopener-allow-popups",
        Some("same-origin-allow-popups") => "coop-same-origin-allow-popups",
        Some("unsafe-none") => "coop-unsafe-none",
        _ => {
            invalid(
                "coop-invalid",
                "Cross-Origin-Opener-Policy is not understood",
                &values,
                findings,
            );
            "coop-header-invalid"
        }
    };
    Verdict::noted(OPENER, outcome).seen(&values)
}

fn embedder(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    let values = match page.field(EMBEDDER) {
        Field::Hidden => return Verdict::hidden(EMBEDDER),
        Field::Missing => return Verdict::noted(EMBEDDER, "coep-not-implemented"),
        Field::Values(values) => values,
    };
    let outcome = match single(&values).as_deref() {
        Some("require-corp") => "coep-require-corp",
        Some("credentialless") => "coep-credentialless",
        Some("unsafe-none") => "coep-unsafe-none",
        _ => {
            invalid(
                "coep-invalid",
                "Cross-Origin-Embedder-Policy is not understood",
                &values,
                findings,
            );
            "coep-header-invalid"
        }
    };
    Verdict::noted(EMBEDDER, outcome).seen(&values)
}

fn resource(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    let values = match page.field(RESOURCE) {
        Field::Hidden => return Verdict::hidden(RESOURCE),
        Field::Missing => return Verdict::scored(RESOURCE, rules::MISSING),
        Field::Values(values) => values,
    };
    let rule = match values.as_slice() {
        // Fetch compares the bytes; the published rules forgive capitals, and so do we, but say so.
        [one] if one.eq_ignore_ascii_case("same-origin") => rules::SAME_ORIGIN,
        [one] if one.eq_ignore_ascii_case("same-site") => rules::SAME_SITE,
        [one] if one.eq_ignore_ascii_case("cross-origin") => rules::CROSS_ORIGIN,
        _ => rules::INVALID,
    };
    if rule == rules::INVALID
        || values
            .iter()
            .any(|value| value.bytes().any(|byte| byte.is_ascii_uppercase()))
    {
        findings.add(
            Low,
            "corp-invalid",
            "Cross-Origin-Resource-Policy is not understood, so any site can load the answer",
            &values.join(", "),
            "Send one of same-origin, same-site and cross-origin, in lower case.",
        );
    }
    Verdict::scored(RESOURCE, rule).seen(&values)
}

/// The token of a field that is one item: sent twice, it is none (RFC 9651, §4.2).
fn single(values: &[&str]) -> Option<String> {
    match values {
        [one] => token(one),
        _ => None,
    }
}

fn invalid(kind: &str, title: &str, values: &[&str], findings: &mut Findings) {
    findings.add(
        Low,
        kind,
        title,
        &values.join(", "),
        "Send the header once, with one of its values in lower case and without quotes.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::plugins::security_headers::page::Page;
    use crate::scan::plugins::security_headers::page::fixture;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn outcomes(lines: &str) -> ([&'static str; 3], Vec<String>) {
        let response = fixture::response("https://a.test/", lines);
        let mut findings = Findings::default();
        let verdicts = judge(&Page::of(&response), &mut findings);
        let kinds = findings.0.into_iter().map(|finding| finding.id).collect();
        (verdicts.map(|verdict| verdict.outcome), kinds)
    }

    #[test]
    fn what_sites_send_is_judged() {
        let cases = [
            (
                "",
                [
                    "coop-not-implemented",
                    "coep-not-implemented",
                    "corp-not-implemented",
                ],
            ),
            (
                "Cross-Origin-Opener-Policy: same-origin\nCross-Origin-Embedder-Policy: require-corp; report-to=\"x\"\n\
                 Cross-Origin-Resource-Policy: same-site",
                [
                    "coop-same-origin",
                    "coep-require-corp",
                    "corp-implemented-with-same-site",
                ],
            ),
            (
                "Cross-Origin-Opener-Policy: Same-Origin\nCross-Origin-Embedder-Policy: \"require-corp\"\n\
                 Cross-Origin-Resource-Policy: everyone",
                [
                    "coop-header-invalid",
                    "coep-header-invalid",
                    "corp-header-invalid",
                ],
            ),
            (
                "Cross-Origin-Opener-Policy: same-origin\nCross-Origin-Opener-Policy: same-origin\n\
                 Cross-Origin-Resource-Policy: same-site\nCross-Origin-Resource-Policy: same-site",
                [
                    "coop-header-invalid",
                    "coep-not-implemented",
                    "corp-header-invalid",
                ],
            ),
            (
                "Cross-Origin-Opener-Policy: same-origin-allow-popups\nCross-Origin-Embedder-Policy: credentialless\n\
                 Cross-Origin-Resource-Policy: cross-origin",
                [
                    "coop-same-origin-allow-popups",
                    "coep-credentialless",
                    "corp-implemented-with-cross-origin",
                ],
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(outcomes(lines).0, expected, "{lines}");
        }
    }

    #[test]
    fn isolation_takes_both_policies() {
        let isolated = |lines: &str| {
            outcomes(lines)
                .1
                .iter()
                .any(|id| id.ends_with("cross-origin-isolated"))
        };
        let coop = "Cross-Origin-Opener-Policy: same-origin\n";
        assert!(isolated(&format!(
            "{coop}Cross-Origin-Embedder-Policy: credentialless"
        )));
        assert!(!isolated(&format!(
            "{coop}Cross-Origin-Embedder-Policy: unsafe-none"
        )));
        assert!(!isolated("Cross-Origin-Embedder-Policy: require-corp"));
    }
}

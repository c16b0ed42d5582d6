//! Who may frame the page: X-Frame-Options against `frame-ancestors`.

use super::csp::Policy;
use super::page::{Field, Page};
use super::rules::framing as rules;
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{Info, Low, Medium};

const TEST: &str = "x-frame-options";

/// Judges whether strangers can put the page in a frame. Where a policy names `frame-ancestors`, browsers ignore
/// X-Frame-Options (CSP Level 3, §6.4.2).
pub(crate) fn judge(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    let (frame_options, policies) = (page.field(TEST), page.field("content-security-policy"));
    if let Field::Values(values) = &policies
        && let Some(ancestors) = ancestors(values)
    {
        if !ancestors.open {
            return Verdict::scored(TEST, rules::VIA_CSP).seen(&[&ancestors.text]);
        }
        findings.add(
            Medium,
            "framing-open",
            "frame-ancestors lets any site frame the page",
            &ancestors.text,
            "Name the sites that may frame it, or send frame-ancestors 'self'.",
        );
        return Verdict::scored(TEST, rules::MISSING).seen(&[&ancestors.text]);
    }
    match frame_options {
        Field::Hidden => Verdict::hidden(TEST),
        // A policy that we cannot see may hold frame-ancestors.
        Field::Missing if policies == Field::Hidden => Verdict::hidden(TEST),
        Field::Missing => {
            findings.add(
                Medium,
                "framing-missing",
                "Any site can put the page in a frame",
"neither frame-ancestors nor X-Frame-Options",
                "Send Content-Security-Policy: frame-ancestors 'self', and X-Frame-Options: SAMEORIGIN for old browsers.",
            );
            Verdict::scored(TEST, rules::MISSING)
        }
        Field::Values(values) => by_frame_options(&values, findings).seen(&values),
    }
}

fn by_frame_options(values: &[&str], findings: &mut Findings) -> Verdict {
    // HTML, "X-Frame-Options": one list of all values, of which each counts once.
    let mut options: Vec<String> = values
        .iter()
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().to_ascii_lowercase())
        .filter(|value| !value.is_empty())
        .collect();
    options.sort_unstable();
    options.dedup();
    match options.as_slice() {
        [one] if one == "deny" || one == "sameorigin" => {
            findings.add(
                Info,
                "framing-by-old-header",
                "Only X-Frame-Options says who may frame the page",
                one,
                "Say it in Content-Security-Policy: frame-ancestors too, which can name sites.",
            );
            Verdict::scored(TEST, rules::SAMEORIGIN_OR_DENY)
        }
        [one] if one.starts_with("allow-from") => {
            findings.add(
                Medium,
                "framing-allow-from",
                "X-Frame-Options: ALLOW-FROM is ignored by browsers, so any site can frame the page",
                one,
                "Use Content-Security-Policy: frame-ancestors with the site's address instead.",
            );
            Verdict::scored(TEST, rules::ALLOW_FROM)
        }
        several => {
            // Contradicting values that contain a known one make browsers refuse every frame; others they ignore.
            let refused = several.len() > 1
                && several
                    .iter()
                    .any(|option| matches!(option.as_str(), "deny" | "sameorigin" | "allowall"));
            findings.add(
                if refused { Low } else { Medium },
                "framing-invalid",
                if refused {
                    "X-Frame-Options contradicts itself; browsers refuse every frame"
                } else {
                    "X-Frame-Options is not understood, so any site can frame the page"
                },
                &values.join(", "),
                "Send exactly one of DENY and SAMEORIGIN, and frame-ancestors beside it.",
            );
            Verdict::scored(TEST, rules::INVALID)
        }
    }
}

struct Ancestors {
    /// Whether every policy that speaks of it lets anybody frame the page.
    open: bool,
    text: String,
}

/// What the policies in the header say; in markup the directive means nothing.
fn ancestors(values: &[&str]) -> Option<Ancestors> {
    let policies = Policy::list(values.iter().copied());
    let lists: Vec<_> = policies
        .iter()
        .filter_map(|policy| policy.directive("frame-ancestors"))
        .collect();
    (!lists.is_empty()).then(|| Ancestors {
        open: lists.iter().all(|list| list.any(|source| source.is_broad())),
        text: lists
            .iter()
            .map(|list| format!("frame-ancestors {}", list.text))
            .collect::<Vec<_>>()
            .join(" | "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::plugins::security_headers::page::fixture::{judged, judged_behind_cors};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_sites_send_is_judged() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("", "x-frame-options-not-implemented", &["framing-missing"]),
            (
                "X-Frame-Options: DENY",
                "x-frame-options-sameorigin-or-deny",
                &["framing-by-old-header"],
            ),
            (
                "X-Frame-Options: sameorigin",
                "x-frame-options-sameorigin-or-deny",
                &["framing-by-old-header"],
            ),
            (
                "X-Frame-Options: SAMEORIGIN\nX-Frame-Options: SAMEORIGIN",
                "x-frame-options-sameorigin-or-deny",
                &["framing-by-old-header"],
            ),
            (
                "X-Frame-Options: ALLOW-FROM https://b.test/",
                "x-frame-options-allow-from-origin",
                &["framing-allow-from"],
            ),
            (
                "X-Frame-Options: ALLOWALL",
                "x-frame-options-header-invalid",
                &["framing-invalid"],
            ),
            (
                "X-Frame-Options: DENY, SAMEORIGIN",
                "x-frame-options-header-invalid",
                &["framing-invalid"],
            ),
            (
                "Content-Security-Policy: frame-ancestors 'none'\nX-Frame-Options: nonsense",
                "x-frame-options-implemented-via-csp",
                &[],
            ),
            (
                "Content-Security-Policy: frame-ancestors",
                "x-frame-options-implemented-via-csp",
                &[],
            ),
            (
                "Content-Security-Policy: frame-ancestors *",
                "x-frame-options-not-implemented",
                &["framing-open"],
            ),
            (
                "Content-Security-Policy: frame-ancestors *, frame-ancestors 'self'",
                "x-frame-options-implemented-via-csp",
                &[],
            ),
            (
                "Content-Security-Policy: default-src 'none'",
                "x-frame-options-not-implemented",
                &["framing-missing"],
            ),
            (
                "Content-Security-Policy-Report-Only: frame-ancestors 'none'",
                "x-frame-options-not-implemented",
                &["framing-missing"],
            ),
        ];
        for (lines, outcome, kinds) in cases {
            let (verdict, found) = judged(judge, "https://a.test/", lines, "");
            assert_eq!(verdict.outcome, *outcome, "{lines}");
            assert_eq!(found, *kinds, "{lines}");
        }
    }

    #[test]
    fn frame_ancestors_in_markup_protects_nobody() {
        let body = r#"<meta http-equiv="Content-Security-Policy" content="frame-ancestors 'none'">"#;
        let (verdict, _) = judged(judge, "https://a.test/", "content-type: text/html", body);
        assert_eq!(verdict.outcome, "x-frame-options-not-implemented");
    }

    #[test]
    fn what_cors_hides_is_not_called_missing() {
        let (verdict, found) = judged_behind_cors(judge);
        assert!(verdict.is_hidden() && found == 0);
    }

    #[test]
    fn a_hidden_policy_may_say_what_a_missing_header_does_not() {
        let mut response = crate::scan::plugins::security_headers::page::fixture::response(
            "https://a.test/",
            "access-control-expose-headers: x-frame-options",
        );
        response.headers.view = crate::scan::fetch::HeaderView::Cors;
        let mut findings = Findings::default();
        assert!(judge(&Page::of(&response), &mut findings).is_hidden());
        assert_eq!(findings.0, []);
    }
}

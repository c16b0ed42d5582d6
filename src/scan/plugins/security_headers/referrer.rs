//! Referrer-Policy: how much of an address goes along to other sites.

use super::page::{Field, Page};
use super::rules::referrer as rules;
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{Info, Low};

const TEST: &str = "referrer-policy";
const REMEDY: &str =
    "Send Referrer-Policy: strict-origin-when-cross-origin, or no-referrer where nobody needs to know.";

/// Judges the last policy that browsers know, the markup's after the header's (Referrer Policy, §8.1 and §8.2).
pub(crate) fn judge(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    let in_markup: &[String] = page.markup.document().map_or(&[], |document| &document.referrer);
    let mut values = match page.field(TEST) {
        Field::Hidden if in_markup.is_empty() => return Verdict::hidden(TEST),
        Field::Hidden | Field::Missing => Vec::new(),
        Field::Values(values) => values,
    };
    values.extend(in_markup.iter().map(String::as_str));
    if values.is_empty() {
        findings.add(
            Info,
            "referrer-policy-missing",
            "How much of an address other sites learn is left to the browser",
            "no Referrer-Policy header",
            REMEDY,
        );
        return Verdict::scored(TEST, rules::MISSING);
    }
    let policy = values
        .iter()
        .flat_map(|value| value.split(','))
        .filter_map(|token| Policy::parse(token.trim()))
        .next_back();
    let rule = match policy {
        Some(Policy::Private) => rules::PRIVATE,
        Some(Policy::Telling) => {
            findings.add(
                Low,
                "referrer-policy-unsafe",
                "Other sites learn more of an address than they need",
                &values.join(", "),
                REMEDY,
            );
            rules::UNSAFE
        }
        None => {
            findings.add(
                Low,
                "referrer-policy-invalid",
                "Referrer-Policy is not understood",
                &values.join(", "),
                REMEDY,
            );
            rules::INVALID
        }
    };
    Verdict::scored(TEST, rule).seen(&values)
}

/// A policy, by what it gives away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// At most the origin, and nothing over an unencrypted connection.
    Private,
    /// More.
    Telling,
}

impl Policy {
    fn parse(token: &str) -> Option<Self> {
        const PRIVATE: [&str; 4] = [
            "no-referrer",
            "same-origin",
            "strict-origin",
            "strict-origin-when-cross-origin",
        ];
        const TELLING: [&str; 4] = [
            "no-referrer-when-downgrade",
            "origin",
            "origin-when-cross-origin",
            "unsafe-url",
        ];
        let is = |name: &&str| name.eq_ignore_ascii_case(token);
        if PRIVATE.iter().any(is) {
            Some(Self::Private)
        } else if TELLING.iter().any(is) {
            Some(Self::Telling)
        } else {
            None
        }
    }
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
            (
                "",
                "referrer-policy-not-implemented",
                &["referrer-policy-missing"],
            ),
            (
                "Referrer-Policy: strict-origin-when-cross-origin",
                "referrer-policy-private",
                &[],
            ),
            ("Referrer-Policy: No-Referrer", "referrer-policy-private", &[]),
            (
                "Referrer-Policy: unsafe-url",
                "referrer-policy-unsafe",
                &["referrer-policy-unsafe"],
            ),
            (
                "Referrer-Policy: no-referrer, strict-origin-when-cross-origin",
                "referrer-policy-private",
                &[],
            ),
            (
                "Referrer-Policy: no-referrer, unsafe-url",
                "referrer-policy-unsafe",
                &["referrer-policy-unsafe"],
            ),
            (
                "Referrer-Policy: no-referrer, one-day-perhaps",
                "referrer-policy-private",
                &[],
            ),
            (
                "Referrer-Policy: no-referrer\nReferrer-Policy: origin",
                "referrer-policy-unsafe",
                &["referrer-policy-unsafe"],
            ),
            (
                "Referrer-Policy: whatever",
                "referrer-policy-header-invalid",
                &["referrer-policy-invalid"],
            ),
        ];
        for (lines, outcome, kinds) in cases {
            let (verdict, found) = judged(judge, "https://a.test/", lines, "");
            assert_eq!(verdict.outcome, *outcome, "{lines}");
            assert_eq!(found, *kinds, "{lines}");
        }
    }

    #[test]
    fn the_markup_has_the_last_word() {
        let body = "<meta name=referrer content=unsafe-url>";
        let (verdict, _) = judged(judge, "https://a.test/", "Referrer-Policy: no-referrer", body);
        assert_eq!(verdict.outcome, "referrer-policy-unsafe");
    }

    #[test]
    fn what_cors_hides_is_not_called_missing() {
        let (verdict, found) = judged_behind_cors(judge);
        assert!(verdict.is_hidden() && found == 0);
    }
}

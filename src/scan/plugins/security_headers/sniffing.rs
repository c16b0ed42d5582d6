//! X-Content-Type-Options, and the media type it protects.

use super::page::{Field, Page};
use super::rules::sniffing as rules;
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::Low;

const TEST: &str = "x-content-type-options";

/// Judges whether browsers may guess what the answer is.
pub(crate) fn judge(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    if page.field("content-type") == Field::Missing {
        findings.add(
            Low,
            "content-type-missing",
            "The answer does not say what it is",
            "no Content-Type header",
            "Send a Content-Type, with a charset where it is text.",
        );
    }
    let values = match page.field(TEST) {
        Field::Hidden => return Verdict::hidden(TEST),
        Field::Missing => {
            findings.add(
                Low,
                "nosniff-missing",
                "Browsers may guess what the answer is",
                "no X-Content-Type-Options header",
                "Send X-Content-Type-Options: nosniff with every answer.",
            );
            return Verdict::scored(TEST, rules::MISSING);
        }
        Field::Values(values) => values,
    };
    // Fetch, "determine nosniff": the first value of the list decides.
    let first = values
        .first()
        .and_then(|value| value.split(',').next())
        .unwrap_or_default();
    let rule = if first.trim().eq_ignore_ascii_case("nosniff") {
        rules::NOSNIFF
    } else {
        findings.add(
            Low,
            "nosniff-invalid",
            "X-Content-Type-Options is not understood",
            &values.join(", "),
            "Its one value is nosniff.",
        );
        rules::INVALID
    };
    Verdict::scored(TEST, rule).seen(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::plugins::security_headers::page::fixture::{judged, judged_behind_cors};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_sites_send_is_judged() {
        let html = "content-type: text/html\n";
        let cases: &[(&str, &str, &[&str])] = &[
            ("", "x-content-type-options-not-implemented", &["nosniff-missing"]),
            (
                "X-Content-Type-Options: NoSniff",
                "x-content-type-options-nosniff",
                &[],
            ),
            (
                "X-Content-Type-Options: nosniff, nosniff",
                "x-content-type-options-nosniff",
                &[],
            ),
            (
                "X-Content-Type-Options: nosniff\nX-Content-Type-Options: no",
                "x-content-type-options-nosniff",
                &[],
            ),
            (
                "X-Content-Type-Options: no, nosniff",
                "x-content-type-options-header-invalid",
                &["nosniff-invalid"],
            ),
            (
                "X-Content-Type-Options: \"nosniff\"",
                "x-content-type-options-header-invalid",
                &["nosniff-invalid"],
            ),
        ];
        for (lines, outcome, kinds) in cases {
            let (verdict, found) = judged(judge, "https://a.test/", &format!("{html}{lines}"), "");
            assert_eq!(verdict.outcome, *outcome, "{lines}");
            assert_eq!(found, *kinds, "{lines}");
        }
        let (_, found) = judged(judge, "https://a.test/", "X-Content-Type-Options: nosniff", "");
        assert_eq!(found, ["content-type-missing"]);
    }

    #[test]
    fn what_cors_hides_is_not_called_missing() {
        let (verdict, found) = judged_behind_cors(judge);
        assert!(verdict.is_hidden() && found == 0);
    }
}

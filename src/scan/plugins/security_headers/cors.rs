//! Access-Control-Allow-Origin as an ordinary request meets it. Whether other origins are let in too is what the
//! active plugin `cors-policy` asks.

use super::page::{Field, Page};
use super::rules::cors as rules;
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{Info, Low, Medium};

const TEST: &str = "cross-origin-resource-sharing";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

/// Judges what the answer says on its own. `universal` is what the active plugin has found, if it was asked: that any
/// origin is let in with credentials, which no passive look can tell.
pub(crate) fn judge(page: &Page<'_>, universal: bool, findings: &mut Findings) -> Verdict {
    if universal {
        // The active plugin has made the finding.
        return Verdict::scored(TEST, rules::UNIVERSAL);
    }
    let values = match page.field(ALLOW_ORIGIN) {
        Field::Hidden => return Verdict::hidden(TEST),
        Field::Missing => return Verdict::scored(TEST, rules::NONE),
        Field::Values(values) => values,
    };
    let seen = values.join(", ");
    let with_credentials = match page.field("access-control-allow-credentials") {
        Field::Values(values) => values == ["true"],
        Field::Missing | Field::Hidden => false,
    };
    let rule = match values.as_slice() {
        ["*"] => {
            if with_credentials {
                findings.add(
                    Low,
                    "cors-wildcard-with-credentials",
                    "The answer allows every origin and credentials together, which browsers refuse",
                    "Access-Control-Allow-Origin: *; Access-Control-Allow-Credentials: true",
                    "Drop the credentials header, or answer each trusted origin by its name with Vary: Origin.",
                );
            } else {
                findings.add(
                    Info,
                    "cors-public",
                    "Every site may read the answer",
                    &seen,
                    "Nothing, if it is meant to be public and carries nothing of a person's.",
                );
            }
            rules::PUBLIC
        }
        ["null"] => {
            findings.add(
                Medium,
                "cors-null",
                "The answer allows the origin null, which any sandboxed frame has",
                &seen,
                "Name the origins that may read it instead.",
            );
            rules::RESTRICTED
        }
        [one] if is_origin(one) => rules::RESTRICTED,
        _ => {
            findings.add(
                Low,
                "cors-invalid",
                "Access-Control-Allow-Origin is not one origin, so browsers let nobody read the answer",
                &seen,
                "Send exactly one origin, the one that asks if it is trusted, with Vary: Origin.",
            );
            rules::RESTRICTED
        }
    };
    Verdict::scored(TEST, rule).seen(&values)
}

/// Whether it is a serialized origin: scheme, host and port, and nothing behind.
fn is_origin(value: &str) -> bool {
    value.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', ',', ' ', '*', '?'])
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
            ("", "cross-origin-resource-sharing-not-implemented", &[]),
            (
                "Access-Control-Allow-Origin: *",
                "cross-origin-resource-sharing-implemented-with-public-access",
                &["cors-public"],
            ),
            (
                "Access-Control-Allow-Origin: *\nAccess-Control-Allow-Credentials: true",
                "cross-origin-resource-sharing-implemented-with-public-access",
                &["cors-wildcard-with-credentials"],
            ),
            (
                "Access-Control-Allow-Origin: *\nAccess-Control-Allow-Credentials: True",
                "cross-origin-resource-sharing-implemented-with-public-access",
                &["cors-public"],
            ),
            (
                "Access-Control-Allow-Origin: https://b.test",
                "cross-origin-resource-sharing-implemented-with-restricted-access",
                &[],
            ),
            (
                "Access-Control-Allow-Origin: null",
                "cross-origin-resource-sharing-implemented-with-restricted-access",
                &["cors-null"],
            ),
            (
                "Access-Control-Allow-Origin: https://b.test, https://c.test",
                "cross-origin-resource-sharing-implemented-with-restricted-access",
                &["cors-invalid"],
            ),
            (
                "Access-Control-Allow-Origin: *.b.test",
                "cross-origin-resource-sharing-implemented-with-restricted-access",
                &["cors-invalid"],
            ),
        ];
        for (lines, outcome, kinds) in cases {
            let (verdict, found) = judged(
                |page, findings| judge(page, false, findings),
                "https://a.test/",
                lines,
                "",
            );
            assert_eq!(verdict.outcome, *outcome, "{lines}");
            assert_eq!(found, *kinds, "{lines}");
        }
    }

    #[test]
    fn what_cors_hides_is_not_called_missing() {
        let (verdict, found) = judged_behind_cors(|page, findings| judge(page, false, findings));
        assert!(verdict.is_hidden() && found == 0);
    }
}

//! Permissions-Policy: which powerful features the page and its frames may use.

use super::page::{Field, Page};
use super::structured::{Value, dictionary};
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{Info, Low};

const TEST: &str = "permissions-policy";

/// Judges the policy. The published rules score nothing of the kind.
pub(crate) fn judge(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    let values = match page.field(TEST) {
        Field::Hidden => return Verdict::hidden(TEST),
        Field::Missing => return missing(page, findings),
        Field::Values(values) => values,
    };
    let seen = values.join(", ");
    let Some(policy) = dictionary(&seen) else {
        findings.add(
            Low,
            "permissions-policy-invalid",
            "Permissions-Policy is not understood, so browsers drop all of it",
            &seen,
            "Write features as geolocation=(), camera=(self \"https://example.com\"), separated by commas.",
        );
        return Verdict::noted(TEST, "permissions-policy-header-invalid").seen(&values);
    };
    let open: Vec<&str> = policy
        .iter()
        .filter(|(feature, allowed)| POWERFUL.contains(&feature.as_str()) && is_open(allowed))
        .map(|(feature, _)| feature.as_str())
        .collect();
    if !open.is_empty() {
        findings.add(
            Low,
            "permissions-policy-open",
            "Permissions-Policy hands powerful features to every frame",
            &open.join(", "),
            "Allow such features to (self) and to the frames that need them.",
        );
    }
    Verdict::noted(TEST, "permissions-policy-implemented").seen(&values)
}

fn missing(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    if let Field::Values(old) = page.field("feature-policy") {
        findings.add(
            Info,
            "feature-policy-only",
            "Features are restricted by Feature-Policy, which browsers no longer read",
            &old.join(", "),
            "Send the same as Permissions-Policy, in its own notation.",
        );
    } else {
        findings.add(
            Info,
            "permissions-policy-missing",
            "The page does not say which powerful features it does without",
"no Permissions-Policy header",
            "Send Permissions-Policy with what you do not use, such as camera=(), microphone=(), geolocation=().",
        );
    }
    Verdict::noted(TEST, "permissions-policy-not-implemented")
}

fn is_open(allowed: &Value) -> bool {
    match allowed {
        Value::Token(token) => token == "*",
        Value::List(items) => items.iter().any(is_open),
        Value::Text(_) | Value::Other(_) => false,
    }
}

/// Features by which a frame learns about or acts on the person behind the page.
const POWERFUL: [&str; 18] = [
    "bluetooth",
    "camera",
    "clipboard-read",
    "display-capture",
    "geolocation",
    "hid",
    "idle-detection",
    "local-fonts",
    "microphone",
    "midi",
    "otp-credentials",
    "payment",
    "publickey-credentials-create",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "window-management",
];

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
                "permissions-policy-not-implemented",
                &["permissions-policy-missing"],
            ),
            (
                "Permissions-Policy: geolocation=(), camera=(self)",
                "permissions-policy-implemented",
                &[],
            ),
            (
                "Permissions-Policy: interest-cohort=()",
                "permissions-policy-implemented",
                &[],
            ),
            (
                "Permissions-Policy: camera=*, fullscreen=*, usb=(self *)",
                "permissions-policy-implemented",
                &["permissions-policy-open"],
            ),
            (
                "Permissions-Policy: geolocation 'none'; camera 'self'",
                "permissions-policy-header-invalid",
                &["permissions-policy-invalid"],
            ),
            (
                "Feature-Policy: camera 'none'",
                "permissions-policy-not-implemented",
                &["feature-policy-only"],
            ),
        ];
        for (lines, outcome, kinds) in cases {
            let (verdict, found) = judged(judge, "https://a.test/", lines, "");
            assert_eq!(verdict.outcome, *outcome, "{lines}");
            assert_eq!(found, *kinds, "{lines}");
            assert_eq!(verdict.modifier, None);
        }
    }

    #[test]
    fn several_field_lines_are_one_dictionary() {
        let lines = "Permissions-Policy: camera=()\nPermissions-Policy: usb=*";
        let (_, found) = judged(judge, "https://a.test/", lines, "");
        assert_eq!(found, ["permissions-policy-open"]);
    }

    #[test]
    fn what_cors_hides_is_not_called_missing() {
        let (verdict, found) = judged_behind_cors(judge);
        assert!(verdict.is_hidden() && found == 0);
    }
}

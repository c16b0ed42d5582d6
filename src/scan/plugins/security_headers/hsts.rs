//! Strict-Transport-Security (RFC 6797).

use super::page::{Field, Page};
use super::rules::hsts as rules;
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{Info, Low, Medium};

const TEST: &str = "strict-transport-security";

/// Judges how long, and for how much of the domain, browsers insist on TLS.
pub(crate) fn judge(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    if !page.place.is_https() {
        findings.add(
            if page.place.is_loopback() { Info } else { Medium },
            "no-https",
            "The page came over an unencrypted connection",
            &page.place.host,
            "Serve it over https: only there can a browser be told to insist on it.",
        );
        return Verdict::scored(TEST, rules::NO_HTTPS);
    }
    let values = match page.field(TEST) {
        Field::Hidden => return Verdict::hidden(TEST),
        Field::Missing => {
            findings.add(
                Medium,
                "hsts-missing",
                "Browsers are not told to insist on https",
"no Strict-Transport-Security header",
                "Send Strict-Transport-Security: max-age=31536000; includeSubDomains, at first with a short max-age.",
            );
            return Verdict::scored(TEST, rules::MISSING);
        }
        Field::Values(values) => values,
    };
    // `fetch` joins repeated fields with commas, which the grammar does not have. A browser takes the first of several
    // (RFC 6797, §8.1), the published rules take none.
    let parsed = match values.as_slice() {
        [one] if !one.contains(',') => Hsts::parse(one),
        _ => Err("it is sent more than once"),
    };
    let verdict = match parsed {
        Err(why) => {
            findings.add(
                Medium,
                "hsts-invalid",
                format!("Strict-Transport-Security is not valid: {why}"),
                &values.join(", "),
                "Send it once, as Strict-Transport-Security: max-age=31536000; includeSubDomains.",
            );
            Verdict::scored(TEST, rules::INVALID)
        }
        Ok(hsts) => {
            note(&hsts, &values, findings);
            Verdict::scored(
                TEST,
                if hsts.max_age >= SIX_MONTHS {
                    rules::LONG
                } else {
                    rules::SHORT
                },
            )
        }
    };
    verdict.seen(&values)
}

fn note(hsts: &Hsts, values: &[&str], findings: &mut Findings) {
    let seen = values.join(", ");
    if hsts.max_age == 0 {
        findings.add(
            Medium,
            "hsts-off",
            "Strict-Transport-Security tells browsers to forget it",
            &seen,
            "Send a max-age of at least 31536000, unless the site is to be reached without TLS again.",
        );
    } else if hsts.max_age < SIX_MONTHS {
        findings.add(
            Low,
            "hsts-short",
            "Strict-Transport-Security lasts less than six months",
            &seen,
            "Raise max-age to 31536000 once you are sure that everything works over TLS.",
        );
    }
    if hsts.preload && (hsts.max_age < ONE_YEAR || !hsts.subdomains) {
        findings.add(
            Low,
            "hsts-preload-refused",
            "Strict-Transport-Security asks to be preloaded but does not fulfil the conditions",
            &seen,
            "Preloading takes max-age=31536000 or more together with includeSubDomains; otherwise leave preload out.",
        );
    } else if !hsts.subdomains && hsts.max_age > 0 {
        findings.add(
            Info,
            "hsts-without-subdomains",
            "Strict-Transport-Security leaves the subdomains out",
            &seen,
            "Add includeSubDomains once every subdomain works over TLS.",
        );
    }
}

/// Six months, as many sites round it: what the published rules accept as such (180 days).
const SIX_MONTHS: u64 = 15_552_000;
const ONE_YEAR: u64 = 31_536_000;

/// A valid field value.
#[derive(Debug, PartialEq, Eq)]
struct Hsts {
    /// In seconds.
    max_age: u64,
    subdomains: bool,
    preload: bool,
}

impl Hsts {
    /// Reads a field value (RFC 6797, §6.1): directives in any order, each at most once, `max-age` required.
    fn parse(value: &str) -> Result<Self, &'static str> {
        let (mut max_age, mut subdomains, mut preload) = (None, false, false);
        for directive in value.split(';').map(str::trim).filter(|text| !text.is_empty()) {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name.trim(), Some(argument.trim())),
                None => (directive, None),
            };
            let twice = if name.eq_ignore_ascii_case("max-age") {
                let digits = argument.ok_or("max-age has no value")?;
                let digits = digits
                    .strip_prefix('"')
                    .and_then(|inner| inner.strip_suffix('"'))
                    .unwrap_or(digits);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err("max-age is not a number of seconds");
                }
                // More digits than fit mean longer than anybody will wait.
                max_age.replace(digits.parse().unwrap_or(u64::MAX)).is_some()
            } else if name.eq_ignore_ascii_case("includesubdomains") {
                core::mem::replace(&mut subdomains, true)
            } else if name.eq_ignore_ascii_case("preload") {
                core::mem::replace(&mut preload, true)
            } else {
                false
            };
            if twice {
                return Err("a directive stands twice");
            }
        }
        Ok(Self {
            max_age: max_age.ok_or("max-age is missing")?,
            subdomains,
            preload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::plugins::security_headers::page::fixture::judged;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn field_values_are_read_as_the_rfc_says() {
        let ok = |max_age, subdomains, preload| {
            Ok(Hsts {
                max_age,
                subdomains,
                preload,
            })
        };
        let cases = [
            ("max-age=31536000", ok(31_536_000, false, false)),
            ("max-age=\"600\"; includeSubDomains", ok(600, true, false)),
            (
                " INCLUDESUBDOMAINS ;; Max-Age = 600 ; preload",
                ok(600, true, true),
            ),
            ("max-age=0", ok(0, false, false)),
            ("max-age=600; future=1", ok(600, false, false)),
            ("max-age=99999999999999999999999", ok(u64::MAX, false, false)),
            ("includeSubDomains", Err("max-age is missing")),
            ("max-age", Err("max-age has no value")),
            ("max-age=-1", Err("max-age is not a number of seconds")),
            ("max-age=1; max-age=2", Err("a directive stands twice")),
            (
                "max-age=600, max-age=600",
                Err("max-age is not a number of seconds"),
            ),
            ("", Err("max-age is missing")),
        ];
        for (value, expected) in cases {
            assert_eq!(Hsts::parse(value), expected, "{value}");
        }
    }

    #[test]
    fn what_sites_send_is_judged() {
        let https = "https://a.test/";
        let cases: &[(&str, &str, &str, &[&str])] = &[
            (https, "", "hsts-not-implemented", &["hsts-missing"]),
            (
                "http://a.test/",
                "Strict-Transport-Security: max-age=31536000",
                "hsts-not-implemented-no-https",
                &["no-https"],
            ),
            (
                https,
                "Strict-Transport-Security: max-age=63072000; includeSubDomains; preload",
                "hsts-implemented-max-age-at-least-six-months",
                &[],
            ),
            (
                https,
                "Strict-Transport-Security: max-age=15552000",
                "hsts-implemented-max-age-at-least-six-months",
                &["hsts-without-subdomains"],
            ),
            (
                https,
                "Strict-Transport-Security: max-age=15551999; includeSubDomains",
                "hsts-implemented-max-age-less-than-six-months",
                &["hsts-short"],
            ),
            (
                https,
                "Strict-Transport-Security: max-age=0",
                "hsts-implemented-max-age-less-than-six-months",
                &["hsts-off"],
            ),
            (
                https,
                "Strict-Transport-Security: max-age=31536000; preload",
                "hsts-implemented-max-age-at-least-six-months",
                &["hsts-preload-refused"],
            ),
            (
                https,
                "Strict-Transport-Security: max-age=31536000, max-age=31536000",
                "hsts-header-invalid",
                &["hsts-invalid"],
            ),
            (
                https,
                "Strict-Transport-Security: max-age=31536000\nStrict-Transport-Security: max-age=31536000",
                "hsts-header-invalid",
                &["hsts-invalid"],
            ),
            (
                https,
                "Strict-Transport-Security: maxage=31536000",
                "hsts-header-invalid",
                &["hsts-invalid"],
            ),
        ];
        for (url, lines, outcome, kinds) in cases {
            let (verdict, found) = judged(judge, url, lines, "");
            assert_eq!(verdict.outcome, *outcome, "{lines}");
            assert_eq!(found, *kinds, "{lines}");
        }
    }

    proptest! {
        #[test]
        fn no_value_breaks_the_parser(value in ".{0,80}", likely in "[max\\-ge=\"; 0-9]{0,40}") {
            let _ = (Hsts::parse(&value), Hsts::parse(&likely));
        }
    }
}

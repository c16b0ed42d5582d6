//! Whether whoever comes without TLS is led to where TLS is.

use super::rules::redirection as rules;
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{Info, Low, Medium};
use crate::scan::plugins::place::Place;

const TEST: &str = "redirection";

/// Where a request to the unencrypted address goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The platform follows redirects without telling.
    Hidden,
    /// Nobody answers without TLS.
    NoHttp,
    /// From the first address to where TLS begins, or to the last that answered.
    Hops(Vec<Place>),
}

/// Judges the route.
pub(crate) fn judge(route: &Route, findings: &mut Findings) -> Verdict {
    let hops = match route {
        Route::Hidden => return Verdict::hidden(TEST),
        Route::NoHttp => return Verdict::scored(TEST, rules::NOT_NEEDED),
        Route::Hops(hops) => hops,
    };
    let seen = hops.iter().map(origin).collect::<Vec<_>>().join(" → ");
    let first = hops.first();
    let mut note = |severity, kind, title: &str| {
        // What never leaves the machine needs no TLS, but the rules know no exception.
        let severity = if first.is_some_and(Place::is_loopback) {
            Info
        } else {
            severity
        };
        findings.add(severity, kind, title, &seen, REMEDY);
    };
    let rule = match hops.as_slice() {
        [] | [_] => {
            note(
                Medium,
                "redirection-missing",
                "The unencrypted address does not lead to https",
            );
            rules::MISSING
        }
        [.., last] if !last.is_https() => {
            note(
                Medium,
                "redirection-not-to-https",
                "The unencrypted address leads to another unencrypted one",
            );
            rules::NOT_TO_HTTPS
        }
        [_, second, ..] if !second.is_https() => {
            note(
                Low,
                "redirection-late",
                "The unencrypted address leads to https only by way of another unencrypted one",
            );
            rules::LATE
        }
        [first, second, ..] if first.host != second.host => {
            note(
                Low,
                "redirection-off-host",
                "The unencrypted address leads to https on another host at once",
            );
            rules::OFF_HOST
        }
        _ => rules::TO_HTTPS,
    };
    Verdict::scored(TEST, rule).seen(&[&seen])
}

const REMEDY: &str = "Redirect first to https on the same host, where Strict-Transport-Security can be set, and only then elsewhere.";

fn origin(place: &Place) -> String {
    format!("{}://{}:{}", place.scheme, place.host, place.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn routes_are_judged() {
        let cases: &[(&[&str], &str, &[&str])] = &[
            (
                &["http://a.test/"],
                "redirection-missing",
                &["redirection-missing"],
            ),
            (
                &["http://a.test/", "https://a.test/"],
                "redirection-to-https",
                &[],
            ),
            (
                &["http://a.test/", "http://b.test/"],
                "redirection-not-to-https",
                &["redirection-not-to-https"],
            ),
            (
                &["http://a.test/", "http://www.a.test/", "https://www.a.test/"],
                "redirection-not-to-https-on-initial-redirection",
                &["redirection-late"],
            ),
            (
                &["http://a.test/", "https://www.a.test/"],
                "redirection-off-host-from-http",
                &["redirection-off-host"],
            ),
        ];
        for (hops, outcome, kinds) in cases {
            let mut findings = Findings::default();
            let route = Route::Hops(hops.iter().map(|url| Place::parse(url)).collect());
            assert_eq!(judge(&route, &mut findings).outcome, *outcome, "{hops:?}");
            let found: Vec<_> = findings
                .0
                .iter()
                .map(|finding| &finding.id["security-headers/".len()..])
                .collect();
            assert_eq!(&found[..], *kinds, "{hops:?}");
        }
        assert_eq!(judge(&Route::NoHttp, &mut Findings::default()).modifier, Some(0));
        assert!(judge(&Route::Hidden, &mut Findings::default()).is_hidden());
    }
}

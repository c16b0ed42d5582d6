//! Subresource integrity: whether scripts from elsewhere are pinned to what they were when they were chosen.

use super::page::Page;
use super::rules::{Rule, integrity as rules};
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{High, Info, Low};
use crate::scan::plugins::markup::{Markup, Resource};
use crate::scan::plugins::place::Place;

const TEST: &str = "subresource-integrity";

/// Judges the scripts that the markup itself loads; the worst decides. Those that scripts load are out of sight.
pub(crate) fn judge(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    let document = match &page.markup {
        Markup::Hidden => return Verdict::hidden(TEST),
        Markup::NotHtml => return Verdict::scored(TEST, rules::NOT_HTML),
        Markup::Document(document) => document,
    };
    if document.scripts.is_empty() {
        return Verdict::scored(TEST, rules::NO_SCRIPTS);
    }
    let mut outcome: Option<Rule> = None;
    let mut foreign = Vec::new();
    for script in &document.scripts {
        let Some(address) = script.address.as_deref() else {
            continue;
        };
        let origin = Origin::of(address, &page.place);
        if origin.is_foreign() {
            foreign.push(address);
        }
        let rule = match (&origin, script.has_integrity) {
            (Origin::Own { secure: true }, true) => rules::SAME_ORIGIN,
            (Origin::Own { .. }, _) | (Origin::Foreign { secure: true }, true) => continue,
            (Origin::Foreign { secure: true }, false) => rules::EXTERNAL_WITHOUT,
            (Origin::Foreign { secure: false }, true) => rules::INSECURE,
            (Origin::Foreign { secure: false }, false) => rules::INSECURE_WITHOUT,
        };
        if outcome.is_none_or(|held| rule.modifier < held.modifier) {
            outcome = Some(rule);
        }
        note(script, address, &origin, findings);
    }
    for style in &document.styles {
        if let Some(address) = style.address.as_deref()
            && !style.has_integrity
            && Origin::of(address, &page.place).is_foreign()
        {
            findings.add(
                Info,
                "style-without-integrity",
                "A style sheet comes from another site without integrity",
                address,
                "Add integrity and crossorigin to its link element, or host it yourself.",
            );
        }
    }
    let rule = outcome.unwrap_or(if foreign.is_empty() {
        rules::ALL_OWN
    } else {
        rules::EXTERNAL
    });
    let verdict = Verdict::scored(TEST, rule);
    if foreign.is_empty() {
        verdict
    } else {
        verdict.seen(&foreign)
    }
}

fn note(script: &Resource, address: &str, origin: &Origin, findings: &mut Findings) {
    if let Origin::Foreign { secure: false } = origin {
        findings.add(
            High,
            "script-insecure",
            "A script comes from another site over a connection that may be unencrypted",
            address,
            "Load it by an https: address.",
        );
    }
    if origin.is_foreign() && !script.has_integrity {
        findings.add(
            Low,
            "script-without-integrity",
            "A script comes from another site without integrity",
            address,
            "Add integrity and crossorigin to its script element, or host it yourself.",
        );
    }
}

/// Where a script comes from, as the published rules see it: an address that begins with `//` counts as foreign and
/// insecure, because a page without TLS loads it without TLS.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Own { secure: bool },
    Foreign { secure: bool },
}

impl Origin {
    fn of(address: &str, page: &Place) -> Self {
        if address.starts_with("//") {
            return Self::Foreign { secure: false };
        }
        let place = Place::parse(address);
        if place.scheme.is_empty() {
            return Self::Own {
                secure: page.is_https(),
            };
        }
        let secure = place.is_https();
        if place.site() == page.site() {
            Self::Own { secure }
        } else {
            Self::Foreign { secure }
        }
    }

    fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::plugins::security_headers::page::fixture::judged;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const HTML: &str = "content-type: text/html";

    #[test]
    fn what_pages_load_is_judged() {
        let cases = [
            ("", "sri-not-implemented-but-no-scripts-loaded"),
            (
                "<script>1</script>",
                "sri-not-implemented-but-all-scripts-loaded-from-secure-origin",
            ),
            (
                "<script src=/a.js></script>",
                "sri-not-implemented-but-all-scripts-loaded-from-secure-origin",
            ),
            (
                "<script src=https://cdn.a.test/a.js></script>",
                "sri-not-implemented-but-all-scripts-loaded-from-secure-origin",
            ),
            (
                "<script src=/a.js integrity=sha384-x></script>",
                "sri-implemented-and-all-scripts-loaded-securely",
            ),
            (
                "<script src=https://cdn.test/a.js integrity=sha384-x crossorigin></script>",
                "sri-implemented-and-external-scripts-loaded-securely",
            ),
            (
                "<script src=https://cdn.test/a.js></script>",
                "sri-not-implemented-but-external-scripts-loaded-securely",
            ),
            (
                "<script src=http://cdn.test/a.js integrity=sha384-x></script>",
                "sri-implemented-but-external-scripts-not-loaded-securely",
            ),
            (
                "<script src=//cdn.test/a.js></script><script src=/b.js integrity=sha384-x></script>",
                "sri-not-implemented-and-external-scripts-not-loaded-securely",
            ),
        ];
        for (body, outcome) in cases {
            let (verdict, _) = judged(judge, "https://www.a.test/", HTML, body);
            assert_eq!(verdict.outcome, outcome, "{body}");
        }
        let (verdict, _) = judged(judge, "https://a.test/", "content-type: application/json", "{}");
        assert_eq!(verdict.outcome, "sri-not-implemented-response-not-html");
    }

    #[test]
    fn scripts_and_styles_from_elsewhere_are_named() {
        let body =
            "<script src=http://cdn.test/a.js></script><link rel=stylesheet href=https://cdn.test/a.css>";
        let (_, found) = judged(judge, "https://a.test/", HTML, body);
        assert_eq!(
            found,
            [
                "script-insecure",
                "script-without-integrity",
                "style-without-integrity"
            ]
        );
    }
}

//! What a set of policies lets through.

use super::oversights;
use super::policy::{Directive, Policy};
use super::source::Source;
use crate::scan::finding::Severity::{High, Low, Medium};
use crate::scan::plugins::security_headers::page::{Field, Page};
use crate::scan::plugins::security_headers::rules::{Rule, csp as rules};
use crate::scan::plugins::security_headers::verdict::{Findings, Verdict};

const TEST: &str = "content-security-policy";
const HEADER: &str = "content-security-policy";
const REPORT_ONLY: &str = "content-security-policy-report-only";

/// Judges what policies a page has, in its headers and in its markup.
pub(crate) fn judge(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    let values = match page.field(HEADER) {
        Field::Hidden => return Verdict::hidden(TEST),
        Field::Missing => Vec::new(),
        Field::Values(values) => values,
    };
    let mut policies = Policy::list(values.iter().copied());
    let in_markup: &[String] = page.markup.document().map_or(&[], |document| &document.policies);
    for (policy, ignored) in Policy::list(in_markup.iter().map(String::as_str))
        .into_iter()
        .map(Policy::in_markup)
    {
        if !ignored.is_empty() {
            findings.add(
                Low,
                "csp-ignored-in-markup",
                "The policy in the markup holds directives that only a header can set",
                &ignored.join(", "),
                "Send these directives in the Content-Security-Policy header: in a meta element browsers ignore them.",
            );
        }
        if !policy.directives().is_empty() {
            policies.push(policy);
        }
    }
    if policies.is_empty() {
        return missing(page, findings);
    }
    let seen: Vec<&str> = values
        .into_iter()
        .chain(in_markup.iter().map(String::as_str))
        .collect();
    let rule = Set(&policies).judge(page, findings);
    Verdict::scored(TEST, rule).seen(&seen)
}

fn missing(page: &Page<'_>, findings: &mut Findings) -> Verdict {
    if let Field::Values(values) = page.field(REPORT_ONLY) {
        findings.add(
            Medium,
            "csp-report-only",
            "There is a Content-Security-Policy, but it only reports",
            &values.join(", "),
            "Once its reports are quiet, send the same policy as Content-Security-Policy: a report-only policy stops nothing.",
        );
        return Verdict::scored(TEST, rules::REPORT_ONLY).seen(&values);
    }
    findings.add(
        Medium,
        "csp-missing",
        "There is no Content-Security-Policy",
"no Content-Security-Policy header",
        "Send one. A start that keeps most pages working: default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'.",
    );
    Verdict::scored(TEST, rules::MISSING)
}

/// Policies that apply together: what one forbids, none can allow.
pub(super) struct Set<'a>(pub(super) &'a [Policy]);

impl<'a> Set<'a> {
    /// Whether every list that governs `name` is like that; false where none governs it.
    fn all(&self, name: &str, like: impl Fn(&Directive) -> bool) -> bool {
        let mut lists = self.governing(name).peekable();
        lists.peek().is_some() && lists.all(like)
    }

    pub(super) fn governing(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        self.0.iter().filter_map(move |policy| policy.governing(name))
    }

    pub(super) fn restricts(&self, name: &str) -> bool {
        self.governing(name).next().is_some()
    }

    /// Whether scripts are let in like that on any of the ways in which a page runs them.
    pub(super) fn scripts(&self, like: impl Fn(&Directive) -> bool + Copy) -> bool {
        ["script-src", "script-src-elem", "script-src-attr"]
            .into_iter()
            .any(|name| self.all(name, like))
    }

    fn styles(&self, like: impl Fn(&Directive) -> bool + Copy) -> bool {
        ["style-src", "style-src-elem", "style-src-attr"]
            .into_iter()
            .any(|name| self.all(name, like))
    }

    fn judge(&self, page: &Page<'_>, findings: &mut Findings) -> Rule {
        oversights::note_mistakes(self, findings);
        oversights::note_gaps(self, findings);

        let dynamic_without_root =
            self.scripts(|list| list.is_strict_dynamic() && !list.any(Source::is_nonce_or_hash));
        let inline = self.scripts(Directive::allows_all_inline);
        let broad = self.scripts(|list| !list.is_strict_dynamic() && list.any(Source::is_broad));
        let data = self.scripts(|list| !list.is_strict_dynamic() && list.any(Source::is_data));
        let eval = self.scripts(|list| list.any(|source| *source == Source::UnsafeEval));
        let scripts_free = !self.restricts("script-src");
        let objects_free =
            !self.restricts("object-src") || self.all("object-src", |list| list.any(Source::is_broad));
        let insecure = page.place.is_https() && self.lets_insecure_in();
        let insecure_passive = page.place.is_https()
            && ["img-src", "media-src"]
                .into_iter()
                .any(|name| self.all(name, |list| list.any(Source::is_insecure)));
        let loose_styles = !self.restricts("style-src")
            || self.styles(|list| {
                list.allows_all_inline() || list.any(|source| source.is_broad() || source.is_data())
            });

        let script_list = || {
            self.governing("script-src")
                .map(written)
                .collect::<Vec<_>>()
                .join(" | ")
        };
        if dynamic_without_root {
            findings.add(
                Medium,
                "csp-strict-dynamic-without-nonce",
                "'strict-dynamic' stands without a nonce or a hash, so no script runs at all",
                &script_list(),
                "Give every trusted script a fresh nonce and name it in script-src, or drop 'strict-dynamic'.",
            );
        }
        if scripts_free {
            findings.add(
                High,
                "csp-scripts-unrestricted",
                "The policy does not restrict where scripts come from",
                &self.0.iter().map(names).collect::<Vec<_>>().join(" | "),
                "Add script-src, or default-src for everything at once.",
            );
        }
        if inline {
            findings.add(
                High,
                "csp-unsafe-inline",
                "The policy lets any inline script run",
                &script_list(),
                "Remove 'unsafe-inline' from script-src: move inline code to files, or allow each script by a nonce or a hash.",
            );
        }
        if broad {
            findings.add(
                High,
                "csp-scripts-from-anywhere",
                "The policy takes scripts from any host",
                &script_list(),
                "Name the hosts that scripts come from, or trust scripts by nonce with 'strict-dynamic'.",
            );
        }
        if data {
            findings.add(
                High,
                "csp-data-scripts",
                "The policy takes scripts from data: addresses, which anyone can write",
                &script_list(),
                "Remove data: from script-src.",
            );
        }
        if eval {
            findings.add(
                Medium,
                "csp-unsafe-eval",
                "The policy lets strings be run as code",
                &script_list(),
                "Remove 'unsafe-eval'; where only WebAssembly needs it, 'wasm-unsafe-eval' is enough.",
            );
        }
        if objects_free {
            findings.add(
                Medium,
                "csp-objects-unrestricted",
                "The policy lets plugins be loaded from anywhere",
                &self
                    .governing("object-src")
                    .map(written)
                    .collect::<Vec<_>>()
                    .join(" | "),
                "Add object-src 'none'.",
            );
        }
        if insecure {
            findings.add(
                Medium,
                "csp-insecure-sources",
                "The policy of a secure page takes active content over unencrypted connections",
                &self.insecure_sources(),
                "Name https: addresses only, or leave the scheme out.",
            );
        } else if insecure_passive {
            findings.add(
                Low,
                "csp-insecure-media",
                "The policy of a secure page takes images or media over unencrypted connections",
                &self.insecure_sources(),
                "Load images and media over https: too.",
            );
        }
        if loose_styles && self.restricts("style-src") {
            findings.add(
                Low,
                "csp-loose-styles",
                "The policy takes inline styles, or styles from anywhere",
                &self
                    .governing("style-src")
                    .map(written)
                    .collect::<Vec<_>>()
                    .join(" | "),
                "Move inline styles to files or allow them by nonce, and name the hosts of the others.",
            );
        }

        // The order is that of the published rules: the first that holds is the outcome.
        if dynamic_without_root || self.repeats_a_directive() {
            rules::INVALID
        } else if inline || broad || data || scripts_free || objects_free {
            rules::UNSAFE_INLINE
        } else if insecure {
            rules::INSECURE_SCHEME
        } else if eval || self.styles(|list| list.any(|source| *source == Source::UnsafeEval)) {
            rules::UNSAFE_EVAL
        } else if insecure_passive {
            rules::INSECURE_PASSIVE
        } else if loose_styles {
            rules::UNSAFE_STYLE
        } else if self.0.iter().any(|policy| {
            policy
                .directive("default-src")
                .is_some_and(Directive::allows_nothing)
        }) {
            rules::DEFAULT_NONE
        } else {
            rules::NO_UNSAFE
        }
    }

    /// The published rules call a policy with a repeated directive invalid, reporting directives aside.
    fn repeats_a_directive(&self) -> bool {
        self.0
            .iter()
            .flat_map(|policy| &policy.duplicates)
            .any(|name| name != "report-uri" && name != "report-to")
    }

    fn lets_insecure_in(&self) -> bool {
        self.0
            .iter()
            .flat_map(Policy::directives)
            .filter(|directive| {
                oversights::takes_sources(&directive.name)
                    && !matches!(&*directive.name, "img-src" | "media-src")
            })
            .any(|directive| {
                self.all(&directive.name, |list| {
                    !list.is_strict_dynamic() && list.any(Source::is_insecure)
                })
            })
    }

    fn insecure_sources(&self) -> String {
        self.0
            .iter()
            .flat_map(Policy::directives)
            .filter(|directive| directive.any(Source::is_insecure))
            .map(written)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

pub(super) fn written(directive: &Directive) -> String {
    format!("{} {}", directive.name, directive.text)
        .trim_end()
        .to_owned()
}

fn names(policy: &Policy) -> String {
    let names: Vec<&str> = policy
        .directives()
        .iter()
        .map(|directive| &*directive.name)
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;

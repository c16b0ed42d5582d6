//! What authors of policies overlook: gaps that no fallback closes, and words that do not do what they seem to.

use super::judge::{Set, written};
use super::policy::Directive;
use super::source::Source;
use crate::scan::finding::Severity::{Info, Low, Medium};
use crate::scan::plugins::security_headers::verdict::Findings;

/// What the policies leave open beside scripts.
pub(super) fn note_gaps(set: &Set<'_>, findings: &mut Findings) {
    let by_nonce = set.scripts(|list| list.any(Source::is_nonce_or_hash));
    if !set.restricts("base-uri") {
        findings.add(
            if by_nonce { Medium } else { Low },
            "csp-base-uri-missing",
            "The policy does not say where a base element may point",
"no base-uri",
            "Add base-uri 'none' (or 'self'): an injected base element moves every relative script address elsewhere.",
        );
    }
    if !set.restricts("form-action") {
        findings.add(
            Low,
            "csp-form-action-missing",
            "The policy does not say where forms may be sent",
            "no form-action",
            "Add form-action 'self' and the other addresses your forms go to; default-src does not cover it.",
        );
    }
    for source in set.governing("script-src").flat_map(|list| &list.sources) {
        match source {
            Source::Nonce(nonce) if nonce.trim_end_matches('=').len() < SHORTEST_NONCE => findings.add(
                Low,
                "csp-short-nonce",
                "A nonce is short enough to be guessed",
                &format!("{} characters", nonce.len()),
                "Make each nonce from at least 128 random bits, anew for every answer.",
            ),
            Source::Host(host)
                if is_open_to_all(&host.name) && !set.scripts(Directive::is_strict_dynamic) =>
            {
                findings.add(
                    Low,
                    "csp-shared-script-host",
                    "The policy takes scripts from a host where anybody can publish",
                    &host.name,
                    "Name the exact path of the script, host it yourself, or trust scripts by nonce or hash.",
                );
            }
            _ => {}
        }
    }
}

/// What is written so that browsers do not do what the author meant.
pub(super) fn note_mistakes(set: &Set<'_>, findings: &mut Findings) {
    for policy in set.0 {
        if !policy.duplicates.is_empty() {
            findings.add(
                Low,
                "csp-repeated-directive",
                "A directive stands twice in one policy; browsers ignore all but the first",
                &policy.duplicates.join(", "),
                "Merge the two into one.",
            );
        }
        for directive in policy.directives() {
            if RETIRED.contains(&&*directive.name) {
                findings.add(
                    Info,
                    "csp-retired-directive",
                    "The policy holds a directive that browsers no longer know",
                    &directive.name,
                    "Remove it.",
                );
            } else if !is_known(&directive.name) {
                findings.add(
                    Low,
                    "csp-unknown-directive",
                    "The policy holds a directive that browsers do not know",
                    &written(directive),
                    "Look for a typing error: an unknown directive restricts nothing.",
                );
            }
            if takes_sources(&directive.name) {
                note_odd_sources(directive, findings);
            }
        }
    }
}

fn note_odd_sources(directive: &Directive, findings: &mut Findings) {
    if directive.sources.len() > 1 && directive.any(|source| *source == Source::None) {
        findings.add(
            Low,
            "csp-none-with-others",
            "'none' stands beside other sources, where browsers ignore it",
            &written(directive),
            "Keep 'none' alone, or remove it.",
        );
    }
    for source in &directive.sources {
        let odd = match source {
            Source::Unknown(text) => text.as_str(),
            Source::Host(host) if BARE_KEYWORDS.contains(&&*host.name) => host.name.as_str(),
            _ => continue,
        };
        findings.add(
            Low,
            "csp-unknown-source",
            "The policy holds a source that browsers do not understand",
            &format!("{}: {odd}", directive.name),
            "Look for missing quotes or a typing error: keywords are written 'self', 'none', 'unsafe-inline'.",
        );
    }
}

/// 128 bits take 22 characters of base64 (CSP Level 3, §7.1: at least 128 bits).
const SHORTEST_NONCE: usize = 22;

const BARE_KEYWORDS: [&str; 6] = [
    "self",
    "none",
    "unsafe-inline",
    "unsafe-eval",
    "strict-dynamic",
    "data",
];

const RETIRED: [&str; 9] = [
    "block-all-mixed-content",
    "disown-opener",
    "navigate-to",
    "plugin-types",
    "prefetch-src",
    "reflected-xss",
    "referrer",
    "report-sample",
    "require-sri-for",
];

/// CSP Level 3, §6, and the specifications that add to it.
fn is_known(name: &str) -> bool {
    takes_sources(name)
        || matches!(
            name,
            "report-to"
                | "report-uri"
                | "require-trusted-types-for"
                | "sandbox"
                | "trusted-types"
                | "upgrade-insecure-requests"
                | "webrtc"
        )
}

pub(super) fn takes_sources(name: &str) -> bool {
    matches!(
        name,
        "base-uri"
            | "child-src"
            | "connect-src"
            | "default-src"
            | "fenced-frame-src"
            | "font-src"
            | "form-action"
            | "frame-ancestors"
            | "frame-src"
            | "img-src"
            | "manifest-src"
            | "media-src"
            | "object-src"
            | "script-src"
            | "script-src-attr"
            | "script-src-elem"
            | "style-src"
            | "style-src-attr"
            | "style-src-elem"
            | "worker-src"
    )
}

/// Hosts that serve whatever anybody uploads, so that naming them whole trusts everybody.
fn is_open_to_all(host: &str) -> bool {
    const HOSTS: [&str; 8] = [
        "cdn.jsdelivr.net",
        "unpkg.com",
        "cdnjs.cloudflare.com",
        "esm.sh",
        "cdn.skypack.dev",
        "ajax.googleapis.com",
        "raw.githubusercontent.com",
        "storage.googleapis.com",
    ];
    const SUFFIXES: [&str; 6] = [
        "*.github.io",
        "*.amazonaws.com",
        "*.cloudfront.net",
        "*.herokuapp.com",
        "*.appspot.com",
        "*.pages.dev",
    ];
    HOSTS.contains(&host) || SUFFIXES.contains(&host)
}

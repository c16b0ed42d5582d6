//! Credentials that were found, each once, with the places where it stands.

use serde_json::{Value, json};

use crate::kernels::secrets::{Confidence, Grade, Match, SecretSearch};
use crate::scan::finding::{Finding, Severity};

/// Different credentials of one target that are told; a page made of them tells no more by its thousandth.
const MOST: usize = 100;
/// Places of one credential that are named.
const MOST_PLACES: usize = 5;

/// What was found so far.
#[derive(Default)]
pub(super) struct Leaks {
    found: Vec<Leak>,
    more: usize,
}

/// One credential. The text of it is here to know it again, and goes nowhere.
struct Leak {
    secret: Vec<u8>,
    what: Match,
    masked: String,
    places: Vec<Position>,
    times: usize,
}

struct Position {
    address: String,
    line: usize,
    column: usize,
}

impl Leaks {
    /// Notes a match in the text that was read from `address`.
    pub(super) fn add(&mut self, search: &SecretSearch, address: &str, text: &[u8], found: &Match) {
        let secret = text.get(found.start..found.end).unwrap_or_default();
        let known = |leak: &Leak| leak.what.rule == found.rule && leak.secret == secret;
        let at = self.found.iter().position(known);
        if at.is_none() && self.found.len() >= MOST {
            self.more += 1;
            return;
        }
        if at.is_none() {
            self.found.push(Leak {
                secret: secret.to_owned(),
                what: *found,
                masked: search.masked(text, found),
                places: Vec::new(),
                times: 0,
            });
        }
        let at = at.unwrap_or(self.found.len() - 1);
        let Some(leak) = self.found.get_mut(at) else {
            return;
        };
        leak.times += 1;
        if leak.places.len() < MOST_PLACES {
            let before = text.get(..found.start).unwrap_or_default();
            let line_starts = before
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            leak.places.push(Position {
                address: without_secrets(search, address),
                line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
                column: String::from_utf8_lossy(&before[line_starts..]).chars().count() + 1,
            });
        }
    }

    pub(super) fn summary(&self, texts: usize, bytes: usize) -> String {
        let what = match self.found.len() {
            0 => "no credentials".to_owned(),
            1 => "1 credential".to_owned(),
            many => format!("{many} credentials"),
        };
        let texts = if texts == 1 {
            "1 text".to_owned()
        } else {
            format!("{texts} texts")
        };
        format!("{what} in {texts}, {} KB", bytes.div_ceil(1024))
    }

    /// The findings, the most severe first.
    pub(super) fn findings(&self, search: &SecretSearch) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .found
            .iter()
            .filter_map(|leak| leak.finding(search))
            .collect();
        findings.sort_by_key(|finding| core::cmp::Reverse(finding.severity));
        if self.more > 0 {
            findings.push(
                Finding::new(
                    Severity::Info,
                    "content-secrets/more",
                    "Has more than is told here",
                )
                .evidence(format!("{} further matches", self.more)),
            );
        }
        findings
    }

    /// What a detail view shows of them.
    pub(super) fn described(&self, search: &SecretSearch) -> Value {
        let described = |leak: &Leak| {
            let rule = search.rule(&leak.what)?;
            let places = leak
                .places
                .iter()
                .map(|at| json!({ "address": at.address, "line": at.line, "column": at.column }));
            Some(json!({
                "name": rule.title,
                "rule": rule.id,
                "severity": leak.severity(rule.grade).name(),
                "confidence": leak.what.confidence.name(),
                "masked": leak.masked,
                "times": leak.times,
                "places": places.collect::<Vec<_>>(),
            }))
        };
        self.found.iter().filter_map(described).collect()
    }
}

impl Leak {
    /// What is most likely made up is worth a look and no alarm.
    fn severity(&self, grade: Grade) -> Severity {
        match (self.what.confidence, grade) {
            (Confidence::Low, _) | (_, Grade::Low) => Severity::Low,
            (_, Grade::Medium) => Severity::Medium,
            (_, Grade::High) => Severity::High,
            (_, Grade::Critical) => Severity::Critical,
        }
    }

    fn finding(&self, search: &SecretSearch) -> Option<Finding> {
        let rule = search.rule(&self.what)?;
        let (title, advice) = match self.what.confidence {
            Confidence::Low => (
                format!("{}, most likely made up, in what anybody may read", rule.title),
                "If it ever worked: take it out of what is served, and revoke it.",
            ),
            Confidence::Medium | Confidence::High => (
                format!("{} in what anybody may read", rule.title),
                "Revoke it, for whoever has loaded the page has it; then take it out of what is served and keep it on the server.",
            ),
        };
        let named = self
            .places
            .iter()
            .map(|at| format!("{} line {} column {}", at.address, at.line, at.column));
        let mut evidence = format!("{} at {}", self.masked, named.collect::<Vec<_>>().join(", "));
        if self.times > self.places.len() {
            evidence += &format!(", and {} times more", self.times - self.places.len());
        }
        let id = format!("content-secrets/{}", rule.id);
        Some(
            Finding::new(self.severity(rule.grade), id, title)
                .evidence(evidence)
                .remediation(advice),
        )
    }
}

/// A text of the target's, such as an address, as a report may show it: credentials stand in addresses too.
pub(super) fn without_secrets(search: &SecretSearch, text: &str) -> String {
    let bytes = text.as_bytes();
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for found in search.find(bytes) {
        shown += &String::from_utf8_lossy(bytes.get(at..found.start).unwrap_or_default());
        shown += &search.masked(bytes, &found);
        at = found.end;
    }
    shown + &String::from_utf8_lossy(bytes.get(at..).unwrap_or_default())
}

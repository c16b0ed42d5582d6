//! What a test of this folder hands back.

use serde::Serialize;

use super::rules::Rule;
use crate::scan::excerpt::{LONGEST_EVIDENCE, excerpt};
use crate::scan::finding::{Finding, Severity};

/// What one test came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// The test's name, after the header or matter it is about.
    pub(crate) test: &'static str,
    /// What came out. For scored tests the published name of the outcome; `hidden` where it could not be seen.
    pub(crate) outcome: &'static str,
    /// What the outcome adds to the score; none where it is hidden or the rules score nothing of the kind.
    pub(crate) modifier: Option<i32>,
    /// What was seen, shortened.
    pub(crate) seen: Option<String>,
}

impl Verdict {
    /// An outcome that the published rules score.
    pub(crate) fn scored(test: &'static str, rule: Rule) -> Self {
        Self {
            test,
            outcome: rule.outcome,
            modifier: Some(rule.modifier),
            seen: None,
        }
    }

    /// An outcome that the published rules do not score.
    pub(crate) fn noted(test: &'static str, outcome: &'static str) -> Self {
        Self {
            test,
            outcome,
            modifier: None,
            seen: None,
        }
    }

    /// Nothing came out, because the platform hides what the test looks at.
    pub(crate) fn hidden(test: &'static str) -> Self {
        Self::noted(test, HIDDEN)
    }

    /// The same verdict with what was seen.
    #[must_use]
    pub(crate) fn seen(mut self, values: &[&str]) -> Self {
        self.seen = Some(shortened(&values.join(", ")));
        self
    }

    /// Whether nothing came out because it could not be seen.
    pub(crate) fn is_hidden(&self) -> bool {
        self.outcome == HIDDEN
    }
}

const HIDDEN: &str = "hidden";

/// The findings of one run, under this plugin's prefix: at most one of each kind, however hostile the answer.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    /// Adds one, or adds its evidence to the one of the same kind.
    pub(crate) fn add(
        &mut self,
        severity: Severity,
        kind: &str,
        title: impl Into<String>,
        evidence: &str,
        remediation: &'static str,
    ) {
        let id = format!("security-headers/{kind}");
        if let Some(same) = self.0.iter_mut().find(|finding| finding.id == id) {
            same.severity = same.severity.max(severity);
            if same.evidence.split(" | ").all(|held| held != evidence) {
                same.evidence = shortened(&format!("{} | {evidence}", same.evidence));
            }
            return;
        }
        self.0.push(
            Finding::new(severity, id, title)
                .evidence(shortened(evidence))
                .remediation(remediation),
        );
    }
}

fn shortened(text: &str) -> String {
    excerpt(text, LONGEST_EVIDENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_kind_is_found_once_with_all_its_evidence_and_its_worst_severity() {
        let mut findings = Findings::default();
        for (severity, evidence) in [(Severity::Low, "a"), (Severity::High, "b"), (Severity::Low, "a")] {
            findings.add(severity, "odd", "Something is odd", evidence, "Mend it.");
        }
        assert_eq!(findings.0.len(), 1);
        assert_eq!(
            (findings.0[0].severity, &*findings.0[0].evidence),
            (Severity::High, "a | b")
        );
    }

    #[test]
    fn evidence_is_cut_where_it_gets_long() {
        let mut findings = Findings::default();
        for number in 0..1000 {
            findings.add(Severity::Low, "odd", "Odd", &format!("é{number}"), "");
        }
        assert_eq!(findings.0[0].evidence.chars().count(), 501);
        assert!(findings.0[0].evidence.ends_with('…'));
    }
}

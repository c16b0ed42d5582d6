//! What a plugin found: one statement about one target, with the evidence for it and the way to mend it.

use serde::{Deserialize, Serialize};

/// One statement about one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of finding this is, stable across versions: `plugin/kind`, such as `security-headers/csp-missing`.
    pub id: String,
    /// The statement in one line, without the target's name.
    pub title: String,
    /// How much it matters.
    pub severity: Severity,
    /// What was seen, as it was seen: text of the target's, never to be rendered as markup.
    pub evidence: String,
    /// What to do about it; empty where nothing is to be done.
    pub remediation: String,
    /// How bad it is as a vector of CVSS 3.1, where the plugin rates that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    /// The plugin that found it. Filled in by the engine.
    pub plugin: String,
    /// The target's canonical name. Filled in by the engine.
    pub target: String,
}

impl Finding {
    /// A finding of `severity`; the engine adds the plugin's and the target's name.
    pub fn new(severity: Severity, id: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            severity,
            evidence: String::new(),
            remediation: String::new(),
            vector: None,
            plugin: String::new(),
            target: String::new(),
        }
    }

    /// The same finding with what was seen.
    #[must_use]
    pub fn evidence(mut self, seen: impl Into<String>) -> Self {
        self.evidence = seen.into();
        self
    }

    /// The same finding with what to do about it.
    #[must_use]
    pub fn remediation(mut self, advice: impl Into<String>) -> Self {
        self.remediation = advice.into();
        self
    }

    /// The same finding with a CVSS vector.
    #[must_use]
    pub fn vector(mut self, vector: impl Into<String>) -> Self {
        self.vector = Some(vector.into());
        self
    }
}

/// How much a finding matters, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, nothing to mend.
    Info,
    /// A weakness that needs others to matter.
    Low,
    /// A weakness to plan for.
    Medium,
    /// A weakness to mend soon.
    High,
    /// A weakness to mend now.
    Critical,
}

impl Severity {
    /// Every severity, from the least to the most.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name as reports and options spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity that `name` spells, if it spells one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn severities_are_ordered_and_their_names_read_back() {
        assert!(Severity::ALL.is_sorted());
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.name()), Some(severity));
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
        assert_eq!(Severity::parse("High"), None);
    }
}

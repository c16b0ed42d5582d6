//! How bad it is, as a CVSS vector: base metrics and base score of the Common Vulnerability Scoring System, version 3.1
//! (FIRST, "Common Vulnerability Scoring System v3.1: Specification Document", section 7.1).
//!
//! The system rates vulnerabilities, and a tool that does what it says is none. The vector rates what follows when a model is
//! brought to use the tool against the one who runs it; that is why somebody always has to take part (`UI:R`).

use core::fmt;

use crate::scan::finding::Severity;

/// Base metrics. Privileges are never required (`PR:N`): the server has listed its tools to us, whoever we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vector {
    pub(super) reach: Reach,
    pub(super) complexity: Complexity,
    pub(super) scope: Scope,
    pub(super) confidentiality: Impact,
    pub(super) integrity: Impact,
    pub(super) availability: Impact,
}

/// `AV`: from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Network,
    /// The server listens on this machine alone.
    Local,
}

/// `AC`: whether it takes luck or preparation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complexity {
    Low,
    High,
}

/// `S`: whether it reaches beyond the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Unchanged,
    Changed,
}

/// `C`, `I`, `A`: how much is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Impact {
    None,
    Low,
    High,
}

impl Vector {
    /// What it comes to, in tenths: 0 to 100.
    pub(super) fn tenths(self) -> u32 {
        let lost = |impact: Impact| match impact {
            Impact::None => 0.0,
            Impact::Low => 0.22,
            Impact::High => 0.56,
        };
        let kept = [self.confidentiality, self.integrity, self.availability]
            .map(|impact| 1.0 - lost(impact))
            .iter()
            .product::<f64>();
        let sub_score = 1.0 - kept;
        let impact = match self.scope {
            Scope::Unchanged => 6.42 * sub_score,
            Scope::Changed => 7.52 * (sub_score - 0.029) - 3.25 * (sub_score - 0.02).powi(15),
        };
        if impact <= 0.0 {
            return 0;
        }
        let reach = match self.reach {
            Reach::Network => 0.85,
            Reach::Local => 0.55,
        };
        let complexity = match self.complexity {
            Complexity::Low => 0.77,
            Complexity::High => 0.44,
        };
        const NO_PRIVILEGES: f64 = 0.85;
        const INTERACTION_REQUIRED: f64 = 0.62;
        let exploitability = 8.22 * reach * complexity * NO_PRIVILEGES * INTERACTION_REQUIRED;
        let widened = match self.scope {
            Scope::Unchanged => 1.0,
            Scope::Changed => 1.08,
        };
        rounded_up((widened * (impact + exploitability)).min(10.0))
    }

    /// The score as people write it: `9.6`.
    pub(super) fn score(self) -> f64 {
        f64::from(self.tenths()) / 10.0
    }

    /// The rating of the score (section 5, "Qualitative Severity Rating Scale").
    pub(super) fn severity(self) -> Severity {
        match self.tenths() {
            0 => Severity::Info,
            1..40 => Severity::Low,
            40..70 => Severity::Medium,
            70..90 => Severity::High,
            _ => Severity::Critical,
        }
    }
}

/// The smallest number of tenths that is not less, without being fooled by the last bits (appendix A, "Roundup").
fn rounded_up(score: f64) -> u32 {
    let exact = (score * 100_000.0).round() as u32;
    exact.div_ceil(10_000)
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reach = match self.reach {
            Reach::Network => 'N',
            Reach::Local => 'L',
        };
        let complexity = match self.complexity {
            Complexity::Low => 'L',
            Complexity::High => 'H',
        };
        let scope = match self.scope {
            Scope::Unchanged => 'U',
            Scope::Changed => 'C',
        };
        let [c, i, a] =
            [self.confidentiality, self.integrity, self.availability].map(|impact| match impact {
                Impact::None => 'N',
                Impact::Low => 'L',
                Impact::High => 'H',
            });
        write!(
            f,
            "CVSS:3.1/AV:{reach}/AC:{complexity}/PR:N/UI:R/S:{scope}/C:{c}/I:{i}/A:{a}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn vector(reach: Reach, scope: Scope, [c, i, a]: [Impact; 3]) -> Vector {
        Vector {
            reach,
            complexity: Complexity::Low,
            scope,
            confidentiality: c,
            integrity: i,
            availability: a,
        }
    }

    /// Scores that the specification's own calculator gives.
    #[test]
    fn scores_are_those_of_the_standard() {
        use Impact::{High as H, Low as L, None as N};
        for (reach, scope, impacts, text, score, severity) in [
            (
                Reach::Network,
                Scope::Changed,
                [H, H, H],
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:H/I:H/A:H",
                9.6,
                Severity::Critical,
            ),
            (
                Reach::Network,
                Scope::Unchanged,
                [H, H, H],
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H",
                8.8,
                Severity::High,
            ),
            (
                Reach::Network,
                Scope::Changed,
                [L, L, N],
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
                6.1,
                Severity::Medium,
            ),
            (
                Reach::Local,
                Scope::Unchanged,
                [H, H, H],
                "CVSS:3.1/AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H",
                7.8,
                Severity::High,
            ),
            (
                Reach::Network,
                Scope::Unchanged,
                [L, N, N],
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:L/I:N/A:N",
                4.3,
                Severity::Medium,
            ),
            (
                Reach::Network,
                Scope::Unchanged,
                [N, N, N],
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:N",
                0.0,
                Severity::Info,
            ),
        ] {
            let vector = vector(reach, scope, impacts);
            assert_eq!(
                (vector.to_string().as_str(), vector.score(), vector.severity()),
                (text, score, severity)
            );
        }
    }

    #[test]
    fn what_takes_more_scores_less() {
        let easy = vector(Reach::Network, Scope::Changed, [Impact::High; 3]);
        let hard = Vector {
            complexity: Complexity::High,
            ..easy
        };
        assert_eq!((hard.score(), hard.to_string().contains("/AC:H/")), (8.3, true));
    }
}

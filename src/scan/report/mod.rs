//! What a scan leaves behind: one document with every result, as JSON or CSV, from which a scan can be taken up again.

mod csv;
mod resume;

use std::rc::Rc;

use serde::{Deserialize, Serialize};

pub use csv::to_csv;
pub use resume::Resumed;

use super::event::{PluginResult, RunStatus};
use super::finding::Severity;
use super::plugin::Mode;
use super::targets::Invalid;

/// The address that names the report's JSON schema. The schema itself is the file `report.schema.json`.
pub const SCHEMA: &str = "urn:tidegate:report:1";

/// A whole scan, finished or interrupted. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// What made it.
    pub tool: Tool,
    /// The mode of the scan.
    pub mode: Mode,
    /// The plugins of the scan, by name.
    pub plugins: Vec<String>,
    /// Plugins at work on one target at once.
    pub max_workers: u32,
    /// When the scan began.
    pub started: f64,
    /// When it ended; `None` while it runs.
    pub finished: Option<f64>,
    /// Whether every run has ended by itself. If not, the report can be taken up again.
    pub complete: bool,
    /// The targets' canonical names, in the order given.
    pub targets: Vec<String>,
    /// What was no target.
    pub invalid: Vec<Invalid>,
    /// One for each target and plugin, by target in the order given, then by plugin name.
    pub results: Vec<Rc<PluginResult>>,
    /// Counts of all that.
    pub summary: Summary,
}

/// What made a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `tidegate`
    pub name: String,
    /// The crate's version.
    pub version: String,
}

impl Default for Tool {
    fn default() -> Self {
        Self {
            name: "tidegate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Counts over a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Targets of the scan.
    pub targets: usize,
    /// Those of them that `http-probe` reached.
    pub reachable: usize,
    /// Runs, by how they ended.
    pub runs: RunCounts,
    /// Findings, by severity.
    pub findings: FindingCounts,
}

/// Runs, by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the variants of `RunStatus`")]
pub struct RunCounts {
    pub ok: usize,
    pub error: usize,
    pub timeout: usize,
    pub skipped: usize,
    pub cancelled: usize,
}

/// Findings, by severity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the variants of `Severity`")]
pub struct FindingCounts {
    pub critical: usize,
    pub high: usize,
    pub medium: usize,
    pub low: usize,
    pub info: usize,
}

impl Summary {
    /// The counts over these results.
    pub fn of(targets: usize, results: &[Rc<PluginResult>]) -> Self {
        let mut summary = Self {
            targets,
            ..Self::default()
        };
        for result in results {
            *summary.runs.of(result.run.status) += 1;
            for finding in &result.findings {
                *summary.findings.of(finding.severity) += 1;
            }
            let reached = result
                .details
                .get("reachable")
                .and_then(serde_json::Value::as_bool);
            summary.reachable += usize::from(result.run.plugin == "http-probe" && reached == Some(true));
        }
        summary
    }
}

impl RunCounts {
    fn of(&mut self, status: RunStatus) -> &mut usize {
        match status {
            RunStatus::Ok => &mut self.ok,
            RunStatus::Error => &mut self.error,
            RunStatus::Timeout => &mut self.timeout,
            RunStatus::Skipped => &mut self.skipped,
            RunStatus::Cancelled => &mut self.cancelled,
        }
    }
}

impl FindingCounts {
    fn of(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Info => &mut self.info,
        }
    }
}

impl Report {
    /// The report as JSON, indented for people to read.
    ///
    /// # Errors
    /// None in practice: every part of a report can be written as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// Reads a report.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let report: Self = serde_json::from_str(text)
            .map_err(|error| format!("This is not a report of a scan: {error}."))?;
        if report.schema == SCHEMA {
            Ok(report)
        } else {
            Err(format!(
                "Expected a report with the schema `{SCHEMA}`, got `{}`.",
                report.schema
            ))
        }
    }

    /// The most severe finding, if there is one.
    pub fn worst(&self) -> Option<Severity> {
        self.results
            .iter()
            .flat_map(|result| &result.findings)
            .map(|finding| finding.severity)
            .max()
    }
}

#[cfg(test)]
mod fixture {
    use super::*;
    use crate::scan::event::PluginRun;
    use crate::scan::finding::Finding;
    use crate::scan::plugin::Level;

    /// One target on which one plugin found two things and another had nothing to do.
    pub(super) fn report() -> Report {
        let run = |plugin: &str, status| PluginRun {
            plugin: plugin.to_owned(),
            target: "http://a:1/".to_owned(),
            start: 1000.0,
            duration: (status == RunStatus::Ok).then_some(12.5),
            status,
            error: (status != RunStatus::Ok).then(|| "nothing to do".to_owned()),
        };
        let result = |run, findings, details| {
            Rc::new(PluginResult {
                run,
                level: Level::Discovery,
                waited: 0.0,
                summary: String::new(),
                findings,
                details,
            })
        };
        let findings = vec![
            Finding::new(Severity::Low, "http-probe/plain", "Plain, \"http\""),
            Finding::new(Severity::Info, "http-probe/other", "Other").evidence("=1+1"),
        ];
        let results = vec![
            result(
                run("http-probe", RunStatus::Ok),
                findings,
                serde_json::json!({ "reachable": true }),
            ),
            result(
                run("port-probe", RunStatus::Skipped),
                Vec::new(),
                serde_json::Value::Null,
            ),
        ];
        Report {
            schema: SCHEMA.to_owned(),
            tool: Tool::default(),
            mode: Mode::Passive,
            plugins: vec!["http-probe".to_owned(), "port-probe".to_owned()],
            max_workers: 5,
            started: 1000.0,
            finished: Some(2000.0),
            complete: true,
            targets: vec!["http://a:1/".to_owned()],
            invalid: Vec::new(),
            summary: Summary::of(1, &results),
            results,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_report_reads_back_as_it_was_written() {
        let report = fixture::report();
        assert_eq!(Report::from_json(&report.to_json().unwrap()), Ok(report));
    }

    #[test]
    fn what_is_no_report_is_refused_in_one_sentence() {
        assert!(
            Report::from_json("{}")
                .unwrap_err()
                .starts_with("This is not a report of a scan: missing field")
        );
        let other = fixture::report()
            .to_json()
            .unwrap()
            .replace(SCHEMA, "https://other.example/");
        assert!(
            Report::from_json(&other)
                .unwrap_err()
                .contains("got `https://other.example/`")
        );
    }

    #[test]
    fn the_summary_counts_runs_findings_and_reached_targets() {
        let summary = fixture::report().summary;
        assert_eq!((summary.targets, summary.reachable), (1, 1));
        assert_eq!((summary.runs.ok, summary.runs.skipped), (1, 1));
        assert_eq!(
            (summary.findings.low, summary.findings.info, summary.findings.high),
            (1, 1, 0)
        );
        assert_eq!(fixture::report().worst(), Some(Severity::Low));
    }
}

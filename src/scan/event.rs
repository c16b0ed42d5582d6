//! What a scan says while it runs. Serialised, these are the events and records of `tidegate/scan`.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::finding::{Finding, Severity};
use super::metrics::ScanMetrics;
use super::plugin::{Level, Mode};
use super::report::Report;

/// What a scan says while it runs. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are described once, in js/scan/types.ts")]
pub enum ScanEvent {
    /// The first event of every scan.
    Started {
        at: f64,
        targets: Vec<String>,
        plugins: Vec<String>,
        mode: Mode,
        max_workers: u32,
        total: usize,
        resumed: usize,
    },
    /// One entry of the list that is not a target. The rest is scanned all the same.
    InvalidTarget {
        input: String,
        message: String,
        line: Option<u32>,
    },
    /// One plugin run ended.
    Result { result: Rc<PluginResult> },
    /// Every plugin run on one target ended.
    TargetDone {
        target: String,
        at: f64,
        runs: Vec<PluginRun>,
        findings: usize,
        worst: Option<Severity>,
    },
    /// How far the scan is.
    Progress {
        at: f64,
        done: usize,
        total: usize,
        targets_done: usize,
        targets: usize,
        active: usize,
        queued: usize,
        eta: Option<f64>,
        paused: bool,
        metrics: Box<ScanMetrics>,
    },
    /// A host's breaker changed.
    Breaker {
        at: f64,
        host: String,
        from: BreakerState,
        to: BreakerState,
        failures: u32,
    },
    /// No run starts until the scan is resumed.
    Paused { at: f64 },
    /// Runs start again.
    Resumed { at: f64 },
    /// The last event of every scan, a cancelled one included.
    Done {
        at: f64,
        cancelled: bool,
        report: Rc<Report>,
    },
}

/// The state of a host's breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// Requests wait: the host failed too often in a row.
    Open,
    /// One request passes, to see whether the host has recovered.
    HalfOpen,
}

/// How a plugin run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// It said what it had to say.
    Ok,
    /// It failed.
    Error,
    /// It took longer than a run may take.
    Timeout,
    /// There was nothing to do.
    Skipped,
    /// The scan was cancelled before it ended.
    Cancelled,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Error,
        Self::Timeout,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The name as reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The timing record of one plugin on one target. It exists also where the run failed before it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginRun {
    /// The plugin's name.
    pub plugin: String,
    /// The target's canonical name.
    pub target: String,
    /// When it began, or when it was refused.
    pub start: f64,
    /// From its start to its end; `None` if it never began.
    pub duration: Option<f64>,
    /// How it ended.
    pub status: RunStatus,
    /// Why it is not `ok`, in one sentence.
    pub error: Option<String>,
}

/// What one plugin has to say about one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginResult {
    /// The timing record.
    #[serde(flatten)]
    pub run: PluginRun,
    /// The pool it ran in.
    pub level: Level,
    /// How long it waited for its slot.
    pub waited: f64,
    /// One line for a list; empty where the run is not `ok`.
    pub summary: String,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What a detail view shows; `null` where the run is not `ok`.
    pub details: Value,
}

//! One plugin on one target, from its turn to its record.

use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::rc::Rc;

use super::course::Course;
use super::event::{PluginResult, PluginRun, RunStatus, ScanEvent};
use super::plugin::{Earlier, Outcome, Plugin, PluginError};
use super::scanner::panic_text;
use crate::future::{RunError, RunOptions, Runtime};
use crate::machine::time::Instant;

impl<R: Runtime> Course<R> {
    /// One run, to its record. The outcome, if it ended well, is for the plugins that need it.
    pub(super) async fn plugin(&self, target: usize, plugin: usize, earlier: Earlier) -> Option<Outcome> {
        let index = target * self.plugin_names.len() + plugin;
        if let Some(taken_over) = &self.results.borrow()[index] {
            let good = taken_over.run.status == RunStatus::Ok;
            return good.then(|| outcome_of(taken_over));
        }
        let asked = self.parts.runtime.now();
        let (begun, ended) = match self.ready(target, plugin) {
            Err(unready) => (None, unready),
            Ok(ready) => self.take_turn(index, &*ready, &earlier).await,
        };
        let outcome = self.record(index, asked, begun, ended);
        // Others have their turn between two runs, however fast the answers come.
        self.parts.runtime.yield_now().await;
        outcome
    }

    /// The plugin, if there is something for it to do here.
    fn ready(&self, target: usize, plugin: usize) -> Result<Rc<dyn Plugin>, Ended> {
        let made = self.parts.plugins[plugin].as_ref().map_err(|why| {
            let name = self.plugin_names[plugin];
            Ended::Badly(
                RunStatus::Error,
                format!("The plugin `{name}` could not be made: {why}"),
            )
        })?;
        let (target, capabilities) = (&self.parts.targets.targets[target], self.parts.ctx.capabilities());
        match catch_unwind(AssertUnwindSafe(|| made.available(target, capabilities))) {
            Ok(Ok(())) => Ok(Rc::clone(made)),
            Ok(Err(reason)) => Err(Ended::Badly(RunStatus::Skipped, reason)),
            Err(panic) => Err(Ended::Badly(RunStatus::Error, panic_text(&*panic))),
        }
    }

    /// Waits for a slot of the plugin's level and runs it there.
    async fn take_turn(
        &self,
        index: usize,
        plugin: &dyn Plugin,
        earlier: &Earlier,
    ) -> (Option<Instant>, Ended) {
        let target = &self.parts.targets.targets[index / self.plugin_names.len()];
        let level = self.parts.entries[index % self.plugin_names.len()].level;
        let options = RunOptions::new()
            .name(plugin.name())
            .weight(plugin.weight().min(self.parts.config.slots(level)));
        let begun = Cell::new(None);
        let run = |_| {
            let now = self.parts.runtime.now();
            begun.set(Some(now));
            self.begun.borrow_mut().insert(index, now);
            plugin.run(target, &self.parts.ctx, earlier)
        };
        let ended = match self.parts.levels.run(level, options, run).await {
            Ok(outcome) => Ended::Well(outcome),
            Err(RunError::Task(PluginError::Skipped(reason))) => Ended::Badly(RunStatus::Skipped, reason),
            Err(RunError::Task(PluginError::Failed(reason))) => Ended::Badly(RunStatus::Error, reason),
            Err(RunError::Timeout(late)) => Ended::Badly(RunStatus::Timeout, late.to_string()),
            Err(RunError::Panicked(text)) => Ended::Badly(RunStatus::Error, format!("It panicked: {text}")),
            Err(RunError::Closed | RunError::Cancelled) => {
                Ended::Badly(RunStatus::Cancelled, "Its level was closed.".to_owned())
            }
            Err(other) => Ended::Badly(RunStatus::Error, other.to_string()),
        };
        self.begun.borrow_mut().remove(&index);
        (begun.get(), ended)
    }

    pub(super) fn record(
        &self,
        index: usize,
        asked: Instant,
        begun: Option<Instant>,
        ended: Ended,
    ) -> Option<Outcome> {
        let now = self.parts.runtime.now();
        let (target, plugin) = (index / self.plugin_names.len(), index % self.plugin_names.len());
        let (target, plugin, level) = (
            self.target_names[target].clone(),
            self.plugin_names[plugin],
            self.parts.entries[plugin].level,
        );
        let waited = begun.map_or(0, |begun| begun.micros_since(asked));
        let taken = begun.map(|begun| now.micros_since(begun));
        let (status, error, outcome) = match ended {
            Ended::Well(outcome) => (RunStatus::Ok, None, outcome),
            Ended::Badly(status, reason) => (status, Some(reason), Outcome::default()),
        };
        let mut outcome = outcome;
        for finding in &mut outcome.findings {
            plugin.clone_into(&mut finding.plugin);
            finding.target.clone_from(&target);
        }
        self.tally.borrow_mut().ended(now, level, status, waited, taken);
        let result = Rc::new(PluginResult {
            run: PluginRun {
                plugin: plugin.to_owned(),
                target,
                start: self.calendar(begun.unwrap_or(asked)),
                duration: taken.map(|micros| micros as f64 / 1000.0),
                status,
                error,
            },
            level,
            waited: waited as f64 / 1000.0,
            summary: outcome.summary.clone(),
            findings: outcome.findings.clone(),
            details: outcome.details.clone(),
        });
        self.results.borrow_mut()[index] = Some(Rc::clone(&result));
        self.emit(ScanEvent::Result { result });
        (status == RunStatus::Ok).then_some(outcome)
    }
}

/// How a run ended.
pub(super) enum Ended {
    Well(Outcome),
    Badly(RunStatus, String),
}

fn outcome_of(result: &PluginResult) -> Outcome {
    Outcome {
        summary: result.summary.clone(),
        findings: result.findings.clone(),
        details: result.details.clone(),
        response: None,
    }
}

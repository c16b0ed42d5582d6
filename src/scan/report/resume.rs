//! Taking up an interrupted scan: what its report has already answered is not asked again.

use std::collections::HashMap;
use std::rc::Rc;

use super::Report;
use crate::scan::event::{PluginResult, RunStatus};

/// The runs of an earlier report that ended by themselves, by target and plugin.
#[derive(Clone, Debug, Default)]
pub struct Resumed(HashMap<(String, String), Rc<PluginResult>>);

impl Resumed {
    /// What there is to take over from `report`: every run but the cancelled ones.
    pub fn from_report(report: Report) -> Self {
        let ended = report
            .results
            .into_iter()
            .filter(|result| result.run.status != RunStatus::Cancelled);
        Self(
            ended
                .map(|result| ((result.run.target.clone(), result.run.plugin.clone()), result))
                .collect(),
        )
    }

    /// The earlier result of `plugin` on `target`, if it ended.
    pub fn result(&self, target: &str, plugin: &str) -> Option<&Rc<PluginResult>> {
        self.0.get(&(target.to_owned(), plugin.to_owned()))
    }
}

//! One target: its plugins in the order of their needs and priorities, so many at once. The order is an [`Orchestrator`]'s.

use std::num::NonZeroU32;
use std::rc::Rc;

use super::course::Course;
use super::plugin::{Earlier, Outcome, Plugin};
use crate::future::{self, Orchestrator, PluginsError, Runtime};
use crate::machine::graph::OnFailure;
use crate::machine::orchestrator::{Mode, RunConfig};

/// A plugin that was made, or why it could not be.
pub(super) type Made = Result<Rc<dyn Plugin>, String>;

/// The plugins of a scanner, in the order in which they visit a target.
pub(super) struct Visits<R: Runtime>(Orchestrator<R, Visit<R>, Outcome, NoOutcome>);

struct Visit<R: Runtime> {
    course: Rc<Course<R>>,
    target: usize,
}

/// What went wrong is in the run's record by then.
struct NoOutcome;

impl<R: Runtime> Visits<R> {
    /// The order of these plugins.
    pub(super) fn new<'a>(
        runtime: &R,
        plugins: impl IntoIterator<Item = (&'static str, &'a Made)>,
    ) -> Result<Self, PluginsError> {
        let mut order = Orchestrator::new(runtime);
        for (index, (name, made)) in plugins.into_iter().enumerate() {
            let run = move |visit: Rc<Visit<R>>, results| async move {
                let outcome = visit
                    .course
                    .plugin(visit.target, index, Earlier::new(results))
                    .await;
                outcome.ok_or(NoOutcome)
            };
            let plugin = future::Plugin::new(name, run);
            order.register(match made {
                Ok(made) => plugin
                    .priority(made.priority())
                    .needs(made.needs().iter().copied()),
                // It says so on every target, and nobody has to wait for that.
                Err(_) => plugin,
            })?;
        }
        Ok(Self(order))
    }

    /// Runs every plugin once on one target of a scan, `workers` at once.
    pub(super) async fn visit(&self, course: &Rc<Course<R>>, target: usize, workers: u32) {
        let config = RunConfig {
            // What the scan's own mode does not admit is not among them.
            mode: Mode::Active,
            max_workers: NonZeroU32::new(workers).unwrap_or(NonZeroU32::MIN),
            // A plugin decides by itself what it makes of a need that failed.
            on_failure: OnFailure::Run,
        };
        let course = Rc::clone(course);
        self.0.run(Visit { course, target }, config).await;
    }
}

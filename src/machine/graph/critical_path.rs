//! The critical path: the chain of dependent tasks whose running times add up to the most. No number of slots makes the
//! graph faster than it (Kelley and Walker, "Critical-path planning and scheduling", 1959).

use super::Graph;
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use std::time::Duration;

impl Graph {
    /// The names along the critical path of what has ended so far, in the order in which they ran, and the running time along it.
    pub fn critical_path(&self) -> (Vec<u32>, Duration) {
        let last = self
            .tasks
            .iter()
            .map(|(_, task)| task)
            .filter(|task| task.timing.ran_for().is_some())
            // Of equals the one with more tasks, then the first, so that the answer is whole and the same for the same run.
            .reduce(|most, task| {
                let longer = (task.path, task.steps) > (most.path, most.steps);
                if longer { task } else { most }
            });
        let Some(last) = last else {
            return (Vec::new(), Duration::ZERO);
        };
        let mut path: Vec<u32> = std::iter::successors(Some(last), |task| {
            self.find(task.via?).and_then(|ticket| self.tasks.get(ticket))
        })
        .filter(|task| task.timing.started.is_some())
        .map(|task| task.id)
        .collect();
        path.reverse();
        (path, last.path)
    }

    // At its end all its dependencies have ended, so the longest way to it is known.
    pub(super) fn trace_path(&mut self, now: Instant, ticket: Ticket) {
        let Some(task) = self.tasks.get(ticket) else {
            return;
        };
        let longest = task
            .depends_on
            .iter()
            .filter_map(|id| {
                let before = self.tasks.get(self.find(*id)?)?;
                Some(((before.path, before.steps), *id))
            })
            .reduce(|most, next| if next.0 > most.0 { next } else { most });
        let own = task
            .timing
            .started
            .map_or(Duration::ZERO, |started| now.since(started));
        if let Some(task) = self.tasks.get_mut(ticket) {
            let (path, steps) = longest.map_or((Duration::ZERO, 0), |(before, _)| before);
            task.path = own + path;
            task.steps = steps + 1;
            task.via = longest.map(|(_, id)| id);
        }
    }
}

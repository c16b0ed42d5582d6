//! The course of an execution: what becomes ready, starts, ends, and what follows from an end.

use super::{Graph, Task, TaskEnd, TaskState};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Wakes, Why};

impl Graph {
    // Makes the edges of a task that is in the slab.
    pub(super) fn tie(&mut self, ticket: Ticket, depends_on: Vec<u32>) {
        let mut open = 0;
        for dependency in &depends_on {
            match self
                .by_id
                .get(dependency)
                .and_then(|found| self.tasks.get_mut(*found))
            {
                Some(Task {
                    state: TaskState::Ended(_),
                    ..
                }) => {}
                Some(task) => {
                    task.dependents.push(ticket);
                    open += 1;
                }
                None => {
                    self.awaited.entry(*dependency).or_default().push(ticket);
                    open += 1;
                }
            }
        }
        if let Some(task) = self.tasks.get_mut(ticket) {
            task.depends_on = depends_on;
            task.state = TaskState::Waiting { dependencies: open };
        }
    }

    // A waiting task may have become ready or pointless.
    pub(super) fn look_at(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) {
        let Some(task) = self.tasks.get(ticket) else {
            return;
        };
        let TaskState::Waiting { dependencies } = task.state else {
            return;
        };
        if task.skips(self.config.on_failure)
            && let Some(because_of) = task.depends_on.iter().find_map(|id| self.root_of_failure(*id))
        {
            self.settle(now, ticket, TaskEnd::Skipped { because_of }, wakes);
        } else if dependencies == 0 {
            self.make_ready(now, ticket, wakes);
        }
    }

    // Which task is to blame if this one did not succeed.
    pub(super) fn root_of_failure(&self, id: u32) -> Option<u32> {
        match self.tasks.get(self.find(id)?)?.state {
            TaskState::Ended(TaskEnd::Failed | TaskEnd::Cancelled) => Some(id),
            TaskState::Ended(TaskEnd::Skipped { because_of }) => Some(because_of),
            _ => None,
        }
    }

    pub(super) fn make_ready(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) {
        let Some(task) = self.tasks.get_mut(ticket) else {
            return;
        };
        task.state = TaskState::Ready;
        task.timing.ready = Some(now);
        self.arrivals += 1;
        let rank = self.arrivals - i64::from(task.priority) * i64::from(self.config.aging);
        self.ready.push(rank, ticket);
        self.progress.waiting -= 1;
        self.progress.ready += 1;
        if self.config.tells_ready {
            wakes.push(ticket, Why::Ready);
        }
    }

    pub(super) fn start_ready(&mut self, now: Instant, wakes: &mut Wakes) {
        let slots = self.config.concurrency.get();
        loop {
            let tasks = &self.tasks;
            let is_ready = |ticket| {
                tasks
                    .get(ticket)
                    .is_some_and(|task| task.state == TaskState::Ready)
            };
            let Some((_, ticket)) = self.ready.peek(is_ready) else {
                return;
            };
            // The head waits for all its slots and blocks those behind it, so that the heavy do not starve.
            let weight = tasks.get(ticket).map_or(1, |task| task.weight.min(slots));
            if self.in_use.saturating_add(weight) > slots {
                return;
            }
            self.ready.pop(is_ready);
            if let Some(task) = self.tasks.get_mut(ticket) {
                task.state = TaskState::Running;
                task.timing.started = Some(now);
                task.holds = weight;
                self.in_use += weight;
                self.progress.ready -= 1;
                self.progress.running += 1;
                wakes.push(ticket, Why::Granted);
            }
        }
    }

    // Ends a task and carries on what follows from it, one task after the other: chains may be long.
    pub(super) fn settle(&mut self, now: Instant, ticket: Ticket, end: TaskEnd, wakes: &mut Wakes) {
        let mut open = vec![(ticket, end)];
        while let Some((ticket, end)) = open.pop() {
            if matches!(self.state(ticket), Some(TaskState::Ended(_))) {
                // Reached by two ways.
                continue;
            }
            if matches!(end, TaskEnd::Skipped { .. }) {
                wakes.push(ticket, Why::Failed);
            }
            let dependents = self.mark_ended(now, ticket, end);
            let because_of = match end {
                TaskEnd::Succeeded => None,
                TaskEnd::Failed | TaskEnd::Cancelled => self.id(ticket),
                TaskEnd::Skipped { because_of } => Some(because_of),
            };
            // Pushed in reverse, so that they are carried on in order.
            let mut pointless = Vec::new();
            for dependent in dependents {
                let usual = self.config.on_failure;
                let Some(task) = self.tasks.get_mut(dependent) else {
                    continue;
                };
                let skips = task.skips(usual);
                let TaskState::Waiting { dependencies } = &mut task.state else {
                    continue;
                };
                *dependencies = dependencies.saturating_sub(1);
                match because_of {
                    Some(because_of) if skips => {
                        pointless.push((dependent, TaskEnd::Skipped { because_of }));
                    }
                    _ if *dependencies == 0 && self.begun => self.make_ready(now, dependent, wakes),
                    _ => {}
                }
            }
            open.extend(pointless.into_iter().rev());
        }
    }

    pub(super) fn mark_ended(&mut self, now: Instant, ticket: Ticket, end: TaskEnd) -> Vec<Ticket> {
        let Some(before) = self.state(ticket) else {
            return Vec::new();
        };
        self.trace_path(now, ticket);
        let progress = &mut self.progress;
        *match before {
            TaskState::Waiting { .. } => &mut progress.waiting,
            TaskState::Ready => &mut progress.ready,
            TaskState::Running => &mut progress.running,
            TaskState::Ended(_) => return Vec::new(),
        } -= 1;
        *match end {
            TaskEnd::Succeeded => &mut progress.succeeded,
            TaskEnd::Failed => &mut progress.failed,
            TaskEnd::Cancelled => &mut progress.cancelled,
            TaskEnd::Skipped { .. } => &mut progress.skipped,
        } += 1;
        let Some(task) = self.tasks.get_mut(ticket) else {
            return Vec::new();
        };
        task.state = TaskState::Ended(end);
        task.timing.ended = Some(now);
        self.in_use -= std::mem::take(&mut task.holds);
        if before == TaskState::Ready {
            let tasks = &self.tasks;
            self.ready.left(|ticket| {
                tasks
                    .get(ticket)
                    .is_some_and(|task| task.state == TaskState::Ready)
            });
        }
        self.tasks
            .get_mut(ticket)
            .map(|task| std::mem::take(&mut task.dependents))
            .unwrap_or_default()
    }
}

//! An execution of a graph: what was decided is carried out, what ended is told, until all have ended.

use super::kin::Waiting;
use super::{GraphReport, Results, Start, State, Task, TaskGraph, TaskGraphError, TaskResult};
use crate::future::in_flight::InFlight;
use crate::future::owner::{DeadlockStep, Owner};
use crate::future::runtime::Runtime;
use crate::machine::graph::{Outcome, TaskEnd, TaskState as Place};
use crate::machine::ticket::Ticket;
use crate::machine::wakes::Why;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

impl<R: Runtime, T: 'static, E: 'static> TaskGraph<R, T, E> {
    pub(super) async fn execute_below(
        &self,
        parent: Option<Owner>,
    ) -> Result<GraphReport<T, E>, TaskGraphError> {
        let began = self.0.runtime.now();
        let parker = self.0.runtime.park();
        let open: Vec<Ticket> = {
            let state = &mut *self.0.state.borrow_mut();
            if state.executor.is_some() {
                return Err(TaskGraphError::Executing);
            }
            let begun = state.graph.begin(began, &mut state.wakes);
            begun.map_err(|error| state.named(error))?;
            state.executor = Some(parker.clone());
            let unstarted = |task: &Task<T, E>| matches!(task, Task::Unstarted(_));
            let open = state.tasks.iter().filter(|(_, task)| unstarted(task));
            open.map(|(ticket, _)| *ticket).collect()
        };
        let _execution = Execution(self);
        if let Some(kin) = self.kin() {
            kin.begin(parent, &parker);
        }
        // Before anything starts, so that whoever closes a circle then has the youngest wait.
        self.tell_of(open);
        let mut running = InFlight::new();
        poll_fn(|context| self.poll_execute(context, &parker, &mut running)).await;
        Ok(self.report(began))
    }

    fn poll_execute(
        &self,
        context: &mut Context<'_>,
        parker: &R::Parker,
        running: &mut InFlight<Result<T, E>>,
    ) -> Poll<()> {
        loop {
            self.carry_out(running);
            if self.progress().is_over() {
                return Poll::Ready(());
            }
            if let Some((ticket, result)) = ready!(running.poll(context, parker)) {
                self.ended(ticket, result);
            } else if let Some(kin) = self.kin() {
                for (ticket, chain) in kin.given_up() {
                    self.give_up(ticket, chain);
                }
            }
        }
    }

    // Starts, skips and drops what the graph has decided. What is dropped is dropped outside the borrow: it may come back in here.
    fn carry_out(&self, running: &mut InFlight<Result<T, E>>) {
        loop {
            let mut changed = false;
            loop {
                let (ticket, decided) = {
                    let state = &mut *self.0.state.borrow_mut();
                    let Some(wake) = state.wakes.pop() else {
                        break;
                    };
                    (wake.ticket, state.carry_out(wake.ticket, wake.why))
                };
                changed = true;
                match decided {
                    Decided::Start(start, results) => {
                        if let Some(kin) = self.kin() {
                            kin.started(ticket);
                        }
                        running.start(ticket, start(results));
                    }
                    Decided::Over(dropped) => {
                        running.stop(ticket);
                        drop(dropped);
                        if let Some(kin) = self.kin() {
                            kin.ended(ticket);
                        }
                    }
                    Decided::Nothing => {}
                }
            }
            if !changed {
                return;
            }
            self.tell_progress();
        }
    }

    fn ended(&self, ticket: Ticket, result: Result<T, E>) {
        let now = self.0.runtime.now();
        let before = {
            let state = &mut *self.0.state.borrow_mut();
            let (outcome, result) = match result {
                Ok(value) => (Outcome::Succeeded, TaskResult::Succeeded(Rc::new(value))),
                Err(error) => (Outcome::Failed, TaskResult::Failed(Rc::new(error))),
            };
            match state.graph.end(now, ticket, outcome, &mut state.wakes) {
                Ok(()) => state.tasks.insert(ticket, Task::Over(result)),
                // It was cancelled in the very poll in which it ended.
                Err(_) => None,
            }
        };
        drop(before);
        if let Some(kin) = self.kin() {
            kin.ended(ticket);
        }
        self.tell_progress();
    }

    // Tells the wait-for graph of tasks that wait to be started.
    pub(super) fn tell_of(&self, tickets: impl IntoIterator<Item = Ticket>) {
        let Some(kin) = self.kin() else { return };
        for ticket in tickets {
            let waiting = self.0.state.borrow().waiting(ticket);
            let Some(waiting) = waiting else { continue };
            if let Err(chain) = kin.waits(ticket, &waiting) {
                self.give_up(ticket, chain);
            }
        }
    }

    fn give_up(&self, ticket: Ticket, chain: Vec<DeadlockStep>) {
        let now = self.0.runtime.now();
        let state = &mut *self.0.state.borrow_mut();
        if state.graph.cancel(now, ticket, &mut state.wakes).is_ok() {
            state.given_up.insert(ticket, chain.into());
        }
    }

    fn tell_progress(&self) {
        let listener = self.0.on_progress.borrow().clone();
        if let Some(listener) = listener {
            listener(self.progress());
        }
    }
}

enum Decided<T, E> {
    Start(Start<T, E>, Results<T>),
    Over(Option<Task<T, E>>),
    Nothing,
}

impl<R: Runtime, T, E> State<R, T, E> {
    fn carry_out(&mut self, ticket: Ticket, why: Why) -> Decided<T, E> {
        match why {
            Why::Granted => match self.tasks.insert(ticket, Task::Running) {
                Some(Task::Unstarted(start)) => Decided::Start(start, self.results(ticket)),
                other => Decided::Over(other),
            },
            Why::Revoked => {
                let result = match self.given_up.remove(&ticket) {
                    Some(chain) => TaskResult::Deadlocked { chain },
                    None => TaskResult::Cancelled,
                };
                Decided::Over(self.tasks.insert(ticket, Task::Over(result)))
            }
            // Nobody is told when a task has become ready.
            Why::Ready => Decided::Nothing,
            _ => {
                let because_of = match self.graph.state(ticket) {
                    Some(Place::Ended(TaskEnd::Skipped { because_of })) => self.name(because_of),
                    _ => Rc::from(""),
                };
                let skipped = Task::Over(TaskResult::Skipped { because_of });
                Decided::Over(self.tasks.insert(ticket, skipped))
            }
        }
    }

    fn waiting(&self, ticket: Ticket) -> Option<Waiting> {
        if !matches!(self.tasks.get(&ticket), Some(Task::Unstarted(_))) {
            return None;
        }
        let is_open = |id: &&u32| {
            let place = self.graph.find(**id).and_then(|ticket| self.graph.state(ticket));
            !matches!(place, Some(Place::Ended(_)))
        };
        let open = self.graph.dependencies(ticket).iter().filter(is_open);
        let dependencies = open.map(|id| self.name(*id)).collect();
        let (slots, capacity) = self.graph.slots_of(ticket);
        Some(Waiting {
            name: self.name(self.graph.id(ticket)?),
            dependencies,
            slots,
            capacity,
        })
    }
}

/// An execution under way. When it is dropped before its end, nothing that it has not run will run.
struct Execution<'a, R: Runtime, T: 'static, E: 'static>(&'a TaskGraph<R, T, E>);

impl<R: Runtime, T: 'static, E: 'static> Drop for Execution<'_, R, T, E> {
    fn drop(&mut self) {
        self.0.0.state.borrow_mut().executor = None;
        if !self.0.progress().is_over() {
            self.0.cancel_all();
            self.0.carry_out(&mut InFlight::new());
        }
        self.0.0.state.borrow_mut().graph.rest();
    }
}

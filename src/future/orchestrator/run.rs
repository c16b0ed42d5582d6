//! A run of the plugins over a target: what was decided is carried out, and each result is told as it comes.

use super::{Names, Orchestrator, Plugin, PluginEnd, PluginResult, Tally, name_of};
use crate::future::in_flight::InFlight;
use crate::future::runtime::{Parker, Runtime};
use crate::future::task::words_of;
use crate::machine::graph::Outcome;
use crate::machine::orchestrator::{Run, Status};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{Wakes, Why};
use futures::future::FutureExt;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A run that has begun.
#[must_use = "nothing runs before `finish` is polled"]
pub struct PluginRun<R: Runtime, A, T, E> {
    runtime: R,
    target: Rc<A>,
    plugins: BTreeMap<u32, Rc<Plugin<A, T, E>>>,
    names: Names,
    tally: Rc<Tally>,
    shared: Rc<Shared<R>>,
}

/// Steers a run while it goes; clones steer the same run.
pub struct RunHandle<R: Runtime>(Rc<Shared<R>>);

struct Shared<R: Runtime> {
    runtime: R,
    parker: R::Parker,
    state: RefCell<State>,
}

struct State {
    machine: Run,
    wakes: Wakes,
}

enum Done<T, E> {
    Ended(Result<T, E>),
    Panicked(Rc<str>),
}

impl<R: Runtime, A: 'static, T: 'static, E: 'static> PluginRun<R, A, T, E> {
    pub(super) fn begun(of: &Orchestrator<R, A, T, E>, target: Rc<A>, machine: Run, wakes: Wakes) -> Self {
        let runtime = of.runtime.clone();
        Self {
            shared: Rc::new(Shared {
                parker: runtime.park(),
                runtime: runtime.clone(),
                state: RefCell::new(State { machine, wakes }),
            }),
            runtime,
            target,
            plugins: of.plugins.clone(),
            names: Rc::clone(&of.names),
            tally: Rc::clone(&of.tally),
        }
    }

    /// What steers it while [`finish`](Self::finish) is awaited.
    pub fn handle(&self) -> RunHandle<R> {
        RunHandle(Rc::clone(&self.shared))
    }

    /// Runs the plugins to their ends. `seen` is told each result as it comes, one at a time; all of them are returned in the order of registration.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the plugins that run; the results so far are lost.
    pub async fn finish(self, mut seen: impl FnMut(&PluginResult<T, E>)) -> Vec<PluginResult<T, E>> {
        let mut work = Working {
            counted: Counted::begin(&self.tally),
            run: self,
            running: InFlight::new(),
            ended: BTreeMap::new(),
            values: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        poll_fn(|context| work.poll(context, &mut seen)).await;
        let mut told = std::mem::take(&mut work.told);
        let state = work.run.shared.state.borrow();
        let order = state.machine.records().map(|record| record.plugin);
        order.filter_map(|id| told.remove(&id)).collect()
    }
}

struct Working<R: Runtime, A, T, E> {
    counted: Counted,
    run: PluginRun<R, A, T, E>,
    running: InFlight<Done<T, E>>,
    ended: BTreeMap<u32, PluginEnd<T, E>>,
    values: BTreeMap<u32, Rc<T>>,
    told: BTreeMap<u32, PluginResult<T, E>>,
}

impl<R: Runtime, A: 'static, T: 'static, E: 'static> Working<R, A, T, E> {
    fn poll(&mut self, context: &mut Context<'_>, seen: &mut impl FnMut(&PluginResult<T, E>)) -> Poll<()> {
        loop {
            self.carry_out();
            self.tell(seen);
            self.counted.is_at(self.running.len());
            if self.run.shared.state.borrow().machine.is_over() {
                return Poll::Ready(());
            }
            if let Some((ticket, done)) = ready!(self.running.poll(context, &self.run.shared.parker)) {
                self.end(ticket, done);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some((ticket, why)) = self.next_wake() {
            match why {
                Why::Granted => self.start(ticket),
                _ => self.running.stop(ticket),
            }
        }
    }

    fn next_wake(&self) -> Option<(Ticket, Why)> {
        let wake = self.run.shared.state.borrow_mut().wakes.pop()?;
        Some((wake.ticket, wake.why))
    }

    fn start(&mut self, ticket: Ticket) {
        let (id, results) = {
            let state = self.run.shared.state.borrow();
            let value = |id: &u32| Some((self.name(*id), Rc::clone(self.values.get(id)?)));
            let results = state.machine.needs(ticket).iter().filter_map(value).collect();
            (state.machine.plugin(ticket), results)
        };
        let Some(plugin) = id.and_then(|id| self.run.plugins.get(&id)).cloned() else {
            return;
        };
        let target = Rc::clone(&self.run.target);
        // Called inside, so that a panic before its first await is caught as well.
        let work = AssertUnwindSafe(async move { (plugin.run)(target, results).await }).catch_unwind();
        self.running.start(ticket, async move {
            match work.await {
                Ok(result) => Done::Ended(result),
                Err(panic) => Done::Panicked(words_of(panic).into()),
            }
        });
    }

    fn end(&mut self, ticket: Ticket, done: Done<T, E>) {
        let (outcome, end) = match done {
            Done::Ended(Ok(value)) => (Outcome::Succeeded, PluginEnd::Succeeded(Rc::new(value))),
            Done::Ended(Err(error)) => (Outcome::Failed, PluginEnd::Failed(Rc::new(error))),
            Done::Panicked(words) => (Outcome::Failed, PluginEnd::Panicked(words)),
        };
        let now = self.run.runtime.now();
        let state = &mut *self.run.shared.state.borrow_mut();
        let plugin = state.machine.plugin(ticket);
        if state.machine.end(now, ticket, outcome, &mut state.wakes).is_ok()
            && let Some(plugin) = plugin
        {
            if let PluginEnd::Succeeded(value) = &end {
                self.values.insert(plugin, Rc::clone(value));
            }
            self.ended.insert(plugin, end);
        }
    }

    // Tells what has come to its end since, in the order of registration.
    fn tell(&mut self, seen: &mut impl FnMut(&PluginResult<T, E>)) {
        let fresh: Vec<_> = {
            let state = self.run.shared.state.borrow();
            let pending = |id: &u32| !self.told.contains_key(id);
            state
                .machine
                .records()
                .filter(|record| record.status != Status::Pending && pending(&record.plugin))
                .collect()
        };
        for record in fresh {
            let end = match record.status {
                Status::Pending => continue,
                Status::Succeeded | Status::Failed => match self.ended.remove(&record.plugin) {
                    Some(end) => end,
                    None => continue,
                },
                Status::Skipped { because_of } => PluginEnd::Skipped {
                    because_of: self.name(because_of),
                },
                Status::Unavailable => PluginEnd::Unavailable,
                Status::Cancelled => PluginEnd::Cancelled,
            };
            let result = PluginResult {
                plugin: self.name(record.plugin),
                end,
                start: record.start,
                duration: record.duration,
            };
            self.run.tally.note(&result.end);
            seen(&result);
            self.told.insert(record.plugin, result);
        }
    }

    fn name(&self, id: u32) -> Rc<str> {
        name_of(&self.run.names, id)
    }
}

/// A run under way, as the orchestrator counts it until this is dropped.
struct Counted {
    tally: Rc<Tally>,
    running: usize,
}

impl Counted {
    fn begin(tally: &Rc<Tally>) -> Self {
        tally.runs.set(tally.runs.get() + 1);
        Self {
            tally: Rc::clone(tally),
            running: 0,
        }
    }

    fn is_at(&mut self, running: usize) {
        let all = self.tally.running.get() - self.running + running;
        self.tally.running.set(all);
        self.running = running;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.is_at(0);
        self.tally.runs.set(self.tally.runs.get() - 1);
    }
}

impl<R: Runtime> RunHandle<R> {
    /// Changes the number of workers; 0 counts as 1. Plugins above a lower number run on.
    pub fn set_max_workers(&self, workers: u32) {
        let workers = NonZeroU32::new(workers).unwrap_or(NonZeroU32::MIN);
        self.steer(|run, now, wakes| run.set_max_workers(now, workers, wakes));
    }

    /// Cancels every plugin that has not ended: those that run are dropped.
    pub fn cancel(&self) {
        self.steer(|run, now, wakes| run.cancel_all(now, wakes));
    }

    /// How many of how many plugins have ended.
    pub fn progress(&self) -> (u32, u32) {
        self.0.state.borrow().machine.progress()
    }

    fn steer(&self, change: impl FnOnce(&mut Run, Instant, &mut Wakes)) {
        let now = self.0.runtime.now();
        {
            let state = &mut *self.0.state.borrow_mut();
            change(&mut state.machine, now, &mut state.wakes);
        }
        self.0.parker.unpark();
    }
}

impl<R: Runtime> Clone for RunHandle<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for RunHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunHandle").field(&self.progress()).finish()
    }
}

impl<R: Runtime, A, T, E> fmt::Debug for PluginRun<R, A, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginRun")
            .field("plugins", &self.plugins.len())
            .finish()
    }
}

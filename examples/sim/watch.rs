//! What must hold, as seen from inside the tasks and from the outside.

use futures::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{Instant, Runtime, VirtualRuntime};

/// Collects the first thing that broke, and counts what must come out even.
#[derive(Clone, Default)]
pub(crate) struct Watch(Rc<Seen>);

#[derive(Default)]
struct Seen {
    broken: RefCell<Option<String>>,
    clients: Cell<u64>,
    at_work: Cell<u64>,
    clients_ever: Cell<u64>,
    works_ever: Cell<u64>,
    // Stands for everything that was seen, in its order.
    trace: Cell<u64>,
}

impl Watch {
    pub(crate) fn broken(&self, what: impl FnOnce() -> String) {
        self.0.broken.borrow_mut().get_or_insert_with(what);
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.0.broken.borrow_mut().take().map_or(Ok(()), Err)
    }

    pub(crate) fn saw(&self, what: u64) {
        // FNV-1a over the words.
        let trace = (self.0.trace.get() ^ what).wrapping_mul(0x0100_0000_01B3);
        self.0.trace.set(trace);
    }

    pub(crate) fn trace(&self) -> u64 {
        self.0.trace.get()
    }

    /// One more client; it must end, whatever becomes of what it does.
    pub(crate) fn client(&self) -> Client {
        self.0.clients.set(self.0.clients.get() + 1);
        self.0.clients_ever.set(self.0.clients_ever.get() + 1);
        Client(self.clone())
    }

    /// How many clients there ever were, and how often something was at work.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.0.clients_ever.get(), self.0.works_ever.get())
    }

    pub(crate) fn left(&self) -> Result<(), String> {
        match (self.0.clients.get(), self.0.at_work.get()) {
            (0, 0) => Ok(()),
            (clients, tasks) => Err(format!(
                "{clients} clients wait for ever, {tasks} tasks are still at work"
            )),
        }
    }
}

pub(crate) struct Client(Watch);

impl Drop for Client {
    fn drop(&mut self) {
        let clients = &self.0.0.clients;
        clients.set(clients.get() - 1);
    }
}

/// Does something for so long, and leaves in the middle of it when the time has come.
pub(crate) async fn leaving_after<T>(
    runtime: &VirtualRuntime,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    // The clock is looked at first, so that some leave in the very turn in which they are served.
    match select(pin!(nap(runtime, patience)), pin!(work)).await {
        Either::Left(_) => None,
        Either::Right((done, _)) => Some(done),
    }
}

/// Sleeps for so long and then to the next stroke of the clock: what strokes end falls together.
pub(crate) async fn nap(runtime: &VirtualRuntime, length: Duration) {
    const STROKE: u64 = 2_000;
    let end = (runtime.now() + length).as_micros();
    runtime
        .sleep_until(Instant::from_micros(end.div_ceil(STROKE).saturating_mul(STROKE)))
        .await;
}

/// The bound of one pool or semaphore, watched from inside of what it bounds.
#[derive(Clone)]
pub(crate) struct Bound(Rc<BoundSeen>);

struct BoundSeen {
    watch: Watch,
    name: String,
    slots: Cell<u32>,
    // What had its slots when the bound shrank keeps them, so the largest bound so far is what always holds.
    most: Cell<u32>,
}

impl Bound {
    pub(crate) fn new(watch: &Watch, name: impl Into<String>, most: u32) -> Self {
        Self(Rc::new(BoundSeen {
            watch: watch.clone(),
            name: name.into(),
            slots: Cell::new(0),
            most: Cell::new(most),
        }))
    }

    pub(crate) fn raise(&self, most: u32) {
        self.0.most.set(self.0.most.get().max(most));
    }

    pub(crate) fn slots(&self) -> u32 {
        self.0.slots.get()
    }

    /// Slots are in use for as long as the guard lives. `excused` says whether work that was given up may still be about to be dropped.
    pub(crate) fn enter(&self, slots: u32, excused: impl FnOnce() -> bool) -> AtWork {
        let seen = &self.0;
        seen.slots.set(seen.slots.get() + slots);
        let tasks = &seen.watch.0.at_work;
        tasks.set(tasks.get() + 1);
        let ever = &seen.watch.0.works_ever;
        ever.set(ever.get() + 1);
        let (now, most) = (seen.slots.get(), seen.most.get());
        if now > most && now > slots && !excused() {
            seen.watch
                .broken(|| format!("{}: {now} slots at work, {most} allowed", seen.name));
        }
        AtWork(self.clone(), slots)
    }
}

pub(crate) struct AtWork(Bound, u32);

impl Drop for AtWork {
    fn drop(&mut self) {
        let seen = &self.0.0;
        seen.slots.set(seen.slots.get() - self.1);
        let tasks = &seen.watch.0.at_work;
        tasks.set(tasks.get() - 1);
    }
}

/// A rate watched from the outside: no window of `per` may ever hold more than `limit`.
#[derive(Clone)]
pub(crate) struct Passes(Rc<PassesSeen>);

struct PassesSeen {
    watch: Watch,
    limit: u32,
    per: u64,
    recent: RefCell<VecDeque<(u64, u32)>>,
}

impl Passes {
    pub(crate) fn new(watch: &Watch, limit: u32, per: u64) -> Self {
        Self(Rc::new(PassesSeen {
            watch: watch.clone(),
            limit,
            per,
            recent: RefCell::default(),
        }))
    }

    pub(crate) fn pass(&self, now: u64, cost: u32) {
        let mut recent = self.0.recent.borrow_mut();
        while recent.front().is_some_and(|(at, _)| at + self.0.per <= now) {
            recent.pop_front();
        }
        recent.push_back((now, cost));
        let sum: u32 = recent.iter().map(|(_, cost)| cost).sum();
        if sum > self.0.limit {
            let Self(seen) = self;
            seen.watch
                .broken(|| format!("{sum} passed within {} µs, {} allowed", seen.per, seen.limit));
        }
    }
}

/// Who is inside of what excludes others, by name. One who is inside may come in again.
#[derive(Clone)]
pub(crate) struct Holders {
    watch: Watch,
    inside: Rc<RefCell<BTreeMap<&'static str, (u64, u32)>>>,
}

impl Holders {
    pub(crate) fn new(watch: &Watch) -> Self {
        Self {
            watch: watch.clone(),
            inside: Rc::default(),
        }
    }

    pub(crate) fn enter(&self, who: u64, names: &BTreeSet<&'static str>) -> Inside {
        let mut inside = self.inside.borrow_mut();
        for name in names {
            let (holder, times) = inside.entry(name).or_insert((who, 0));
            *times += 1;
            if *holder != who {
                let other = *holder;
                self.watch
                    .broken(|| format!("{who} is inside `{name}` together with {other}"));
            }
        }
        Inside(self.clone(), names.clone())
    }
}

pub(crate) struct Inside(Holders, BTreeSet<&'static str>);

impl Drop for Inside {
    fn drop(&mut self) {
        let mut inside = self.0.inside.borrow_mut();
        for name in &self.1 {
            if let Some((_, times)) = inside.get_mut(name) {
                *times -= 1;
                if *times == 0 {
                    inside.remove(name);
                }
            }
        }
    }
}

//! What can be observed: every number of every pool, breaker and rate of one host, counters of your own, and alerts.

use super::host::Host;
use super::openmetrics;
use super::readings::Readings;
use super::runtime::{Parker, Runtime};
use super::subscription::Subscription;
use crate::machine::breaker::{BreakerCounts, BreakerState};
use crate::machine::histogram::Histogram;
use crate::machine::limiter::LimiterCounts;
use crate::machine::permits::{Counts, Permits};
use crate::machine::time::Instant;
use crate::machine::wakes::MachineId;
use crate::machine::world::World;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// The registry of one host: whatever was made from the host is in it, under the name it was given.
///
/// Reading costs nothing until it is done: the numbers are those that the machines keep anyway, in bounded memory.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, Metrics, Pool, PoolOptions, RunOptions, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let host = Host::new(runtime.clone());
/// let pool = Pool::new(&host, PoolOptions::new(2).name("probes"))?;
/// runtime.block_on(pool.run(RunOptions::new(), |_| async { Ok::<_, ()>(()) })).ok();
/// let metrics = Metrics::new(&host);
/// assert_eq!(metrics.snapshot().pools[0].tasks.completed, 1);
/// assert!(metrics.to_openmetrics().contains(r#"tidegate_pool_tasks_total{pool="probes",outcome="completed"} 1"#));
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct Metrics<R: Runtime> {
    host: Host<R>,
    counters: Rc<RefCell<Counters>>,
    alerts: Rc<RefCell<BTreeMap<u64, Rc<Alert>>>>,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Instant,
    /// The pools, by name.
    pub pools: Vec<PoolMetrics>,
    /// The breakers, by name.
    pub breakers: Vec<BreakerMetrics>,
    /// The rate limiters, by name.
    pub rates: Vec<RateMetrics>,
    /// Caches, channels, events, barriers, locks, objects, states, counters, graphs, orchestrators, sinks and pools of workers, by kind and name.
    pub others: Vec<Readings>,
    /// Counters of your own, by name.
    pub counters: Vec<(Rc<str>, u64)>,
}

/// The numbers of a pool.
#[derive(Clone, Debug)]
pub struct PoolMetrics {
    /// Its name.
    pub name: Rc<str>,
    /// Slots there are.
    pub concurrency: u32,
    /// Slots taken.
    pub in_use: u32,
    /// Tasks that hold slots.
    pub active: u32,
    /// Tasks in the queue.
    pub queued: u32,
    /// How many tasks the queue takes; `None` is unbounded.
    pub queue_capacity: Option<u32>,
    /// Tasks that wait outside the queue.
    pub waiting_for_room: u32,
    /// Tasks whose slots are free and that have not ended yet.
    pub abandoned: u32,
    /// How long the oldest running task has been at it.
    pub oldest_run: Duration,
    /// What became of tasks.
    pub tasks: Counts,
    /// Microseconds from asking to starting.
    pub wait: Histogram,
    /// Microseconds from start to end.
    pub run: Histogram,
}

/// The numbers of a breaker.
#[derive(Clone, Debug)]
pub struct BreakerMetrics {
    /// Its name.
    pub name: Rc<str>,
    /// Its state.
    pub state: BreakerState,
    /// What it has seen.
    pub calls: BreakerCounts,
}

/// The numbers of a rate limiter.
#[derive(Clone, Debug)]
pub struct RateMetrics {
    /// Its name.
    pub name: Rc<str>,
    /// How many stand in line.
    pub waiting: usize,
    /// What it has seen.
    pub requests: LimiterCounts,
}

/// A counter of your own.
#[derive(Clone, Debug)]
pub struct MetricsCounter(Rc<Cell<u64>>);

impl MetricsCounter {
    /// Counts `by` more, and returns how many there are then.
    pub fn add(&self, by: u64) -> u64 {
        self.0.set(self.0.get().saturating_add(by));
        self.0.get()
    }

    /// How many there are.
    pub fn value(&self) -> u64 {
        self.0.get()
    }
}

type Counters = BTreeMap<Rc<str>, Rc<Cell<u64>>>;

/// When to say something about the numbers, and to whom.
struct Alert {
    when: Box<dyn Fn(&Snapshot) -> bool>,
    lasting: Duration,
    notify: Box<dyn Fn(AlertChange)>,
    state: Cell<AlertState>,
}

#[derive(Clone, Copy)]
enum AlertState {
    Quiet,
    Pending { since: Instant },
    Raised,
}

/// What became of an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlertChange {
    /// Its condition has held for as long as it was to.
    Raised,
    /// Its condition no longer holds.
    Cleared,
}

impl<R: Runtime> Metrics<R> {
    /// The registry of `host`.
    pub fn new(host: &Host<R>) -> Self {
        Self {
            host: host.clone(),
            counters: Rc::default(),
            alerts: Rc::default(),
        }
    }

    /// Everything at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            at: self.host.runtime().now(),
            pools: Vec::new(),
            breakers: Vec::new(),
            rates: Vec::new(),
            others: Vec::new(),
            counters: Vec::new(),
        };
        let mut names = self.host.names();
        names.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        let named = names.clone();
        self.host.call(|world, now| {
            for (id, name) in names {
                snapshot.read(world, now, id, name);
            }
        });
        for (id, name) in named {
            let Some((kind, all)) = self.host.count(id) else {
                continue;
            };
            let mut others = snapshot.others.iter_mut();
            match others.find(|other| other.kind == kind && other.name == name) {
                Some(machine) => machine.all.extend(all),
                None => snapshot.others.push(Readings { kind, name, all }),
            }
        }
        // One family after another: those of a kind stand together.
        snapshot.others.sort_by_key(|readings| readings.kind);
        let counters = self.counters.borrow();
        snapshot.counters = counters
            .iter()
            .map(|(name, count)| (Rc::clone(name), count.get()))
            .collect();
        snapshot
    }

    /// Everything at this moment as OpenMetrics text, the format that Prometheus reads (OpenMetrics 1.0.0).
    pub fn to_openmetrics(&self) -> String {
        openmetrics::render(&self.snapshot())
    }

    /// A counter of your own, exported as `tidegate_user_total{counter="name"}`. The same name is the same counter.
    pub fn counter(&self, name: impl Into<Rc<str>>) -> MetricsCounter {
        MetricsCounter(Rc::clone(
            self.counters.borrow_mut().entry(name.into()).or_default(),
        ))
    }

    /// Tells `notify` when `when` has held for `lasting`, and when it no longer does. It is looked at on each [`check`](Self::check), and so by each
    /// [`subscribe`](Self::subscribe), until the subscription is dropped.
    pub fn alert(
        &self,
        lasting: Duration,
        when: impl Fn(&Snapshot) -> bool + 'static,
        notify: impl Fn(AlertChange) + 'static,
    ) -> Subscription {
        let number = self.host.number();
        let alert = Rc::new(Alert {
            when: Box::new(when),
            lasting,
            notify: Box::new(notify),
            state: Cell::new(AlertState::Quiet),
        });
        self.alerts.borrow_mut().insert(number, alert);
        let alerts = Rc::downgrade(&self.alerts);
        Subscription::new(move || {
            let removed = alerts
                .upgrade()
                .and_then(|alerts| alerts.borrow_mut().remove(&number));
            drop(removed);
        })
    }

    /// Looks at every alert now.
    pub fn check(&self) -> Snapshot {
        let snapshot = self.snapshot();
        let alerts: Vec<_> = self.alerts.borrow().values().cloned().collect();
        for alert in alerts {
            alert.look(&snapshot);
        }
        snapshot
    }

    /// Calls `listener` with everything, and looks at every alert, once every `every` until the subscription is dropped.
    pub fn subscribe(&self, every: Duration, listener: impl Fn(&Snapshot) + 'static) -> Subscription {
        let runtime = self.host.runtime().clone();
        let parker = runtime.park();
        let (own, end) = (self.clone(), parker.clone());
        runtime.clone().spawn(async move {
            let mut next = runtime.now() + every;
            loop {
                let mut sleep = pin!(runtime.sleep_until(next));
                let ended = poll_fn(|context| {
                    if parker.poll_parked(context).is_ready() {
                        return Poll::Ready(true);
                    }
                    sleep.as_mut().poll(context).map(|()| false)
                })
                .await;
                if ended {
                    return;
                }
                listener(&own.check());
                // A host that slept through several turns takes one.
                next = (next + every).max(runtime.now());
            }
        });
        Subscription::new(move || end.unpark())
    }
}

impl Snapshot {
    fn read(&mut self, world: &mut World, now: Instant, id: MachineId, name: Rc<str>) {
        if let Some(permits) = world.pool(id) {
            self.pools.push(PoolMetrics::of(name, permits, now));
        } else if let Some(state) = world.breaker_state(now, id) {
            let calls = world
                .breaker(id)
                .map(|breaker| *breaker.counts())
                .unwrap_or_default();
            self.breakers.push(BreakerMetrics { name, state, calls });
        } else if let Some(limiter) = world.limiter(id) {
            self.rates.push(RateMetrics {
                name,
                waiting: limiter.waiting(),
                requests: *limiter.counts(),
            });
        } else if let Some(readings) = Readings::of(world, id, &name) {
            self.others.push(readings);
        }
    }
}

impl PoolMetrics {
    fn of(name: Rc<str>, permits: &Permits, now: Instant) -> Self {
        Self {
            name,
            concurrency: permits.capacity(),
            in_use: permits.in_use(),
            active: permits.active(),
            queued: permits.queued(),
            queue_capacity: permits.queue_capacity(),
            waiting_for_room: permits.waiting_for_room(),
            abandoned: permits.abandoned(),
            oldest_run: Duration::from_micros(permits.oldest_run(now)),
            tasks: permits.counts.clone(),
            wait: permits.waited.clone(),
            run: permits.ran.clone(),
        }
    }
}

impl Alert {
    fn look(&self, snapshot: &Snapshot) {
        let holds = (self.when)(snapshot);
        let since = match (self.state.get(), holds) {
            (AlertState::Quiet, true) => snapshot.at,
            (AlertState::Pending { since }, true) => since,
            (AlertState::Raised, true) | (AlertState::Quiet, false) => return,
            (AlertState::Pending { .. }, false) => return self.state.set(AlertState::Quiet),
            (AlertState::Raised, false) => {
                self.state.set(AlertState::Quiet);
                return (self.notify)(AlertChange::Cleared);
            }
        };
        if snapshot.at - since >= self.lasting {
            self.state.set(AlertState::Raised);
            (self.notify)(AlertChange::Raised);
        } else {
            self.state.set(AlertState::Pending { since });
        }
    }
}

impl<R: Runtime> Clone for Metrics<R> {
    fn clone(&self) -> Self {
        Self {
            host: self.host.clone(),
            counters: Rc::clone(&self.counters),
            alerts: Rc::clone(&self.alerts),
        }
    }
}

impl<R: Runtime> fmt::Debug for Metrics<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

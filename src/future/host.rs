//! The host of one world: it owns the clock, carries out what the machines decide and keeps their one timer.

use super::acquire_error::AcquireError;
use super::flow_event::FlowEvent;
use super::ledger::{Ledger, Seat};
use super::owner::DeadlockStep;
use super::readings::Reading;
use super::runtime::{Parker, Runtime};
use super::subscription::Subscription;
use crate::machine::adaptive::Scaled;
use crate::machine::breaker::Transition;
use crate::machine::time::Instant;
use crate::machine::wait_for::{Resource, Waiter};
use crate::machine::wakes::{MachineId, Refusal, Wake, Why};
use crate::machine::world::World;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, ready};

/// Where pools, rates, breakers and locks live. What is made from one host shares one world: one admission can cover a
/// pool, its rates and a breaker it shares with another, and all of it keeps a single timer.
///
/// A host is a cheap handle. Making one touches neither clock nor randomness, so that it may be made at the top level of a
/// module where hosts forbid both.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, RunOptions, Semaphore, VirtualRuntime};
///
/// let host = Host::new(VirtualRuntime::new());
/// let semaphore = Semaphore::new(&host, 2)?;
/// let permit = semaphore.try_acquire(RunOptions::new())?;
/// assert!(permit.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Host<R: Runtime>(Rc<Shared<R>>);

struct Shared<R: Runtime> {
    runtime: R,
    world: RefCell<World>,
    seeded: Cell<bool>,
    ledgers: RefCell<BTreeMap<MachineId, Rc<Ledger<R::Parker>>>>,
    watchers: RefCell<BTreeMap<u64, R::Parker>>,
    sweepers: RefCell<BTreeMap<MachineId, Rc<dyn Fn()>>>,
    listeners: RefCell<BTreeMap<(MachineId, u64), Listener>>,
    labels: RefCell<BTreeMap<MachineId, Label>>,
    counts: RefCell<BTreeMap<MachineId, Count>>,
    deadlock: RefCell<Option<Vec<DeadlockStep>>>,
    names: RefCell<BTreeMap<MachineId, Rc<str>>>,
    logger: RefCell<Option<Logger>>,
    numbers: Cell<u64>,
    draining: Cell<bool>,
    driver: RefCell<Driver<R::Parker>>,
}

/// What is counted of something that no machine of the world counts: its kind and its numbers.
type Count = Rc<dyn Fn() -> Option<(&'static str, Vec<Reading>)>>;

/// What a part of a machine is called in words.
type Label = Rc<dyn Fn(u32) -> String>;

pub(crate) type Listener = Rc<dyn Fn(Transition)>;
/// What hears of a host's events.
pub type Logger = Rc<dyn Fn(&FlowEvent)>;

/// The task that keeps the one timer. There is none while no machine wants to be called.
enum Driver<P> {
    None,
    Sleeping { until: Instant, parker: P },
}

impl<R: Runtime> Host<R> {
    /// An empty world on `runtime`.
    pub fn new(runtime: R) -> Self {
        Self(Rc::new(Shared {
            runtime,
            world: RefCell::new(World::new(0)),
            seeded: Cell::new(false),
            ledgers: RefCell::default(),
            watchers: RefCell::default(),
            sweepers: RefCell::default(),
            listeners: RefCell::default(),
            labels: RefCell::default(),
            counts: RefCell::default(),
            deadlock: RefCell::default(),
            names: RefCell::default(),
            logger: RefCell::default(),
            numbers: Cell::new(0),
            draining: Cell::new(false),
            driver: RefCell::new(Driver::None),
        }))
    }

    /// The runtime it lives on.
    pub fn runtime(&self) -> &R {
        &self.0.runtime
    }

    /// Sends whatever happens in this host's pools and breakers to `logger`, in the place of any set before; with `None` it is silent again, as it is at first.
    /// The logger runs with no borrow held and may call back in.
    pub fn set_logger(&self, logger: Option<Logger>) {
        let before = self.0.logger.replace(logger);
        drop(before);
    }

    /// Sends an event to the logger; it is made only if there is one. `event` is given the name of the machine.
    pub(crate) fn log(&self, machine: MachineId, event: impl FnOnce(Rc<str>) -> FlowEvent) {
        let logger = self.0.logger.borrow().clone();
        let Some(logger) = logger else { return };
        logger(&event(self.name_of(machine)));
    }

    /// Logs that a pool turned a task away. Whoever only tried hears of it anyway.
    pub(crate) fn log_refusal(
        &self,
        machine: MachineId,
        task: Option<Rc<str>>,
        refusal: Refusal,
        now: Instant,
    ) {
        if refusal == Refusal::NotNow || self.look(|world, _| world.pool(machine).is_none()) {
            return;
        }
        let error = AcquireError::new(refusal, now);
        self.log(machine, |pool| FlowEvent::Refused { pool, task, error });
    }

    /// The next of the numbers by which tasks are told apart.
    pub(crate) fn number(&self) -> u64 {
        let number = self.0.numbers.get() + 1;
        self.0.numbers.set(number);
        number
    }

    /// Enters a machine into the registry, under its name or one made up.
    pub(crate) fn register(&self, machine: MachineId, kind: &str, name: Option<Rc<str>>) {
        let name = name.unwrap_or_else(|| format!("{kind}-{}", self.number()).into());
        self.0.names.borrow_mut().insert(machine, name);
    }

    /// Puts a machine into the registry under a name made of its kind and its place in the world: no two alive have the same, and no
    /// number of a task is spent on it.
    pub(crate) fn enrol(&self, machine: MachineId, kind: &str) {
        let name = format!("{kind}-{}", machine.0 & 0xff_ffff).into();
        self.register(machine, kind, Some(name));
    }

    /// Takes a machine that is gone out of the registry.
    pub(crate) fn unregister(&self, machine: MachineId) {
        self.0.names.borrow_mut().remove(&machine);
    }

    /// The name under which a machine is in the registry.
    pub(crate) fn name_of(&self, machine: MachineId) -> Rc<str> {
        let names = self.0.names.borrow();
        names.get(&machine).cloned().unwrap_or_else(|| "".into())
    }

    /// What is in the registry.
    pub(crate) fn names(&self) -> Vec<(MachineId, Rc<str>)> {
        let names = self.0.names.borrow();
        names.iter().map(|(id, name)| (*id, Rc::clone(name))).collect()
    }

    /// Calls into the world, then carries out what it decided. No code of the caller's runs inside the borrow.
    pub(crate) fn call<T>(&self, event: impl FnOnce(&mut World, Instant) -> T) -> T {
        let outcome = self.call_quietly(event);
        self.drain();
        outcome
    }

    /// Calls into the world and leaves what it decided in the ring: the caller still has something to put down before
    /// [`drain`](Self::drain).
    pub(crate) fn call_quietly<T>(&self, event: impl FnOnce(&mut World, Instant) -> T) -> T {
        let now = self.0.runtime.now();
        event(&mut self.0.world.borrow_mut(), now)
    }

    /// Seeds the world's generator, once. Not when the host is made: at the top level of a module randomness may be forbidden.
    pub(crate) fn seed(&self) {
        if !self.0.seeded.replace(true) {
            let seed = self.0.runtime.seed();
            self.0.world.borrow_mut().reseed(seed);
        }
    }

    /// Looks at the world; nothing can have been decided by that.
    pub(crate) fn look<T>(&self, glance: impl FnOnce(&World, Instant) -> T) -> T {
        glance(&self.0.world.borrow(), self.0.runtime.now())
    }

    /// Carries out what time has brought. Called by the timer, and by waiters that were woken for no reason they know.
    pub(crate) fn tick(&self) {
        self.call(|world, now| world.on_deadline(now));
    }

    /// Opens the books of a machine: from here on its wakes find their seats.
    pub(crate) fn open_ledger(&self, machine: MachineId) -> Rc<Ledger<R::Parker>> {
        let ledger = Rc::new(Ledger::default());
        self.0.ledgers.borrow_mut().insert(machine, Rc::clone(&ledger));
        ledger
    }

    /// Closes the books of a machine that is gone.
    pub(crate) fn close_ledger(&self, machine: MachineId) {
        self.0.ledgers.borrow_mut().remove(&machine);
        self.0.sweepers.borrow_mut().remove(&machine);
        self.0.labels.borrow_mut().remove(&machine);
        self.0.counts.borrow_mut().remove(&machine);
    }

    /// Says what to call when time has left something to drop at a machine, until [`close_ledger`](Self::close_ledger).
    pub(crate) fn sweep_with(&self, machine: MachineId, sweep: impl Fn() + 'static) {
        self.0.sweepers.borrow_mut().insert(machine, Rc::new(sweep));
    }

    /// Says how to count what no machine of the world counts, until [`close_ledger`](Self::close_ledger).
    pub(crate) fn count_with(
        &self,
        machine: MachineId,
        count: impl Fn() -> Option<(&'static str, Vec<Reading>)> + 'static,
    ) {
        self.0.counts.borrow_mut().insert(machine, Rc::new(count));
    }

    /// Counts it.
    pub(crate) fn count(&self, machine: MachineId) -> Option<(&'static str, Vec<Reading>)> {
        let count = self.0.counts.borrow().get(&machine).cloned();
        count.and_then(|count| count())
    }

    /// Says what the parts of a machine are called where deadlocks are told.
    pub(crate) fn label(&self, machine: MachineId, label: impl Fn(u32) -> String + 'static) {
        self.0.labels.borrow_mut().insert(machine, Rc::new(label));
    }

    pub(crate) fn label_of(&self, resource: Resource) -> String {
        let label = self.0.labels.borrow().get(&resource.machine).cloned();
        match (label, self.0.names.borrow().get(&resource.machine)) {
            (Some(label), _) => label(resource.part),
            (None, Some(name)) => format!("a slot of pool {name:?}"),
            (None, None) => "a slot of a pool".to_owned(),
        }
    }

    /// Keeps the chain of a deadlock for which a task was turned away.
    pub(crate) fn note_deadlock(&self, of: Option<Waiter>) {
        if let Some(chain) = self.chain(of) {
            self.0.deadlock.replace(Some(chain));
        }
    }

    /// Takes the chain of a deadlock, in words: of one that was given up, or the latest refused at once.
    pub(crate) fn chain(&self, of: Option<Waiter>) -> Option<Vec<DeadlockStep>> {
        let links = self.call_quietly(|world, _| world.take_chain(of))?;
        Some(DeadlockStep::chain(&links, |resource| self.label_of(resource)))
    }

    /// Who waited for whom in the latest deadlock for which a task was refused with
    /// [`AcquireError::Deadlock`]; the refused one comes first. Locks put the chain into
    /// their error instead.
    pub fn take_deadlock(&self) -> Option<Vec<DeadlockStep>> {
        self.0.deadlock.take()
    }

    /// Waits until `done` says so of the world; it is asked after every event, so this is for rare occasions.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the watch.
    pub(crate) async fn watch<T>(&self, done: impl Fn(&World) -> Option<T>) -> T {
        let parker = self.0.runtime.park();
        let number = self.number();
        self.0.watchers.borrow_mut().insert(number, parker.clone());
        let _watch = Watch { host: self, number };
        poll_fn(|context| {
            loop {
                if let Some(outcome) = self.look(|world, _| done(world)) {
                    return Poll::Ready(outcome);
                }
                ready!(parker.poll_parked(context));
            }
        })
        .await
    }

    /// Calls `listener` with each change of a breaker.
    pub(crate) fn on_breaker_change(&self, breaker: MachineId, listener: Listener) -> Subscription {
        let number = self.number();
        self.0.listeners.borrow_mut().insert((breaker, number), listener);
        let shared = Rc::downgrade(&self.0);
        Subscription::new(move || {
            let removed = shared
                .upgrade()
                .and_then(|shared| shared.listeners.borrow_mut().remove(&(breaker, number)));
            drop(removed);
        })
    }

    /// Carries out what the world decided. Unparking can run code that comes back in here: then the inner call leaves its decisions in
    /// the ring, and this one, the outermost, carries them out in their order.
    pub(crate) fn drain(&self) {
        if self.0.draining.get() {
            return;
        }
        {
            let _outermost = Draining::begin(&self.0.draining);
            loop {
                if let Some(wake) = self.next_wake() {
                    if let Some(seat) = self.seat_of(&wake) {
                        seat.decide(wake.why, self.0.runtime.now());
                        seat.parker.unpark();
                        if let Why::Refused(refusal) = wake.why {
                            let now = self.0.runtime.now();
                            self.log_refusal(wake.machine, seat.name.clone(), refusal, now);
                        }
                    }
                } else if let Some((breaker, transition)) = self.next_breaker_change() {
                    for listener in self.listeners_of(breaker) {
                        listener(transition);
                    }
                    let Transition { from, to } = transition;
                    self.log(breaker, |breaker| FlowEvent::BreakerChanged { breaker, from, to });
                } else if let Some((pool, Scaled { from, to })) = self.next_scale() {
                    self.log(pool, |pool| FlowEvent::Scaled { pool, from, to });
                } else if let Some(sweep) = self.next_errand() {
                    sweep();
                } else {
                    break;
                }
            }
        }
        self.keep_timer();
        let watchers: Vec<_> = self.0.watchers.borrow().values().cloned().collect();
        for watcher in watchers {
            watcher.unpark();
        }
    }

    fn next_errand(&self) -> Option<Rc<dyn Fn()>> {
        loop {
            let machine = self.0.world.borrow_mut().errand()?;
            if let Some(sweep) = self.0.sweepers.borrow().get(&machine) {
                return Some(Rc::clone(sweep));
            }
        }
    }

    fn next_wake(&self) -> Option<Wake> {
        self.0.world.borrow_mut().wake()
    }

    fn next_breaker_change(&self) -> Option<(MachineId, Transition)> {
        self.0.world.borrow_mut().breaker_change()
    }

    fn next_scale(&self) -> Option<(MachineId, Scaled)> {
        self.0.world.borrow_mut().pool_scaled()
    }

    fn listeners_of(&self, breaker: MachineId) -> Vec<Listener> {
        let listeners = self.0.listeners.borrow();
        let of_breaker = listeners.range((breaker, 0)..=(breaker, u64::MAX));
        of_breaker.map(|(_, listener)| Rc::clone(listener)).collect()
    }

    fn seat_of(&self, wake: &Wake) -> Option<Rc<Seat<R::Parker>>> {
        let ledgers = self.0.ledgers.borrow();
        let ledger = ledgers.get(&wake.machine)?;
        ledger.note(wake.ticket, wake.why);
        ledger.seat(wake.ticket)
    }

    /// Sees to it that the driver sleeps no longer than until the next deadline, and not at all if there is none.
    fn keep_timer(&self) {
        let next = self.0.world.borrow().next_deadline();
        let stir = {
            let mut driver = self.0.driver.borrow_mut();
            match (&mut *driver, next) {
                (Driver::None, None) => None,
                (Driver::None, Some(until)) => {
                    let parker = self.0.runtime.park();
                    *driver = Driver::Sleeping {
                        until,
                        parker: parker.clone(),
                    };
                    let task = drive(self.0.runtime.clone(), Rc::downgrade(&self.0), parker);
                    self.0.runtime.spawn(task);
                    None
                }
                (Driver::Sleeping { until, .. }, Some(next)) if *until <= next => None,
                (Driver::Sleeping { parker, .. }, _) => Some(parker.clone()),
            }
        };
        if let Some(parker) = stir {
            parker.unpark();
        }
    }
}

/// Sleeps until the next deadline and calls the world, until no machine wants to be called or the host is gone.
async fn drive<R: Runtime>(runtime: R, shared: Weak<Shared<R>>, parker: R::Parker) {
    loop {
        let Some(host) = shared.upgrade().map(Host) else {
            return;
        };
        let Some(next) = host.0.world.borrow().next_deadline() else {
            *host.0.driver.borrow_mut() = Driver::None;
            return;
        };
        if let Driver::Sleeping { until, .. } = &mut *host.0.driver.borrow_mut() {
            *until = next;
        }
        if next <= runtime.now() {
            host.tick();
            drop(host);
            // A host may have to let others run before anything changes.
            runtime.yield_now().await;
            continue;
        }
        drop(host);
        let mut sleep = pin!(runtime.sleep_until(next));
        poll_fn(|context| {
            if parker.poll_parked(context).is_ready() {
                return Poll::Ready(());
            }
            sleep.as_mut().poll(context)
        })
        .await;
    }
}

impl<R: Runtime> Drop for Shared<R> {
    fn drop(&mut self) {
        if let Driver::Sleeping { parker, .. } = self.driver.get_mut() {
            parker.unpark();
        }
    }
}

struct Watch<'a, R: Runtime> {
    host: &'a Host<R>,
    number: u64,
}

impl<R: Runtime> Drop for Watch<'_, R> {
    fn drop(&mut self) {
        self.host.0.watchers.borrow_mut().remove(&self.number);
    }
}

/// Says that somebody drains, also if a waker of the caller's panics.
struct Draining<'a>(&'a Cell<bool>);

impl<'a> Draining<'a> {
    fn begin(draining: &'a Cell<bool>) -> Self {
        draining.set(true);
        Self(draining)
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<R: Runtime> Clone for Host<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for Host<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

//! The theorem of cancellation over the futures of the policies that share no admission with pools: whatever is begun, polled,
//! dropped, released and timed out in whatever order, nobody is inside with another, nobody who is served goes unwoken, and what
//! is dropped is free in the same step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::channel::oneshot;
use futures::future::{FutureExt, LocalBoxFuture};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tidegate::{
    Barrier, Cache, CacheConfig, Channel, ConnectionPool, Event, Host, LockGuard, LockOptions, LockSet,
    ObjectOptions, Pooled, StateConfig, VersionedState, VirtualRuntime,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type R = VirtualRuntime;

/// What one policy adds to the walk.
trait Policy {
    /// A call that waits, for so many milliseconds at most where that is said.
    fn begin(self: &Rc<Self>, what: usize, patience: Option<Duration>) -> LocalBoxFuture<'static, ()>;
    /// Something that happens at once: a release, a close, a result.
    fn act(&self, what: usize);
    /// What holds after every step.
    fn check(&self);
    /// What holds once nobody waits any more, in the very step in which the last one left.
    fn nobody_waits(&self);
    /// Gives up what is held, so that whoever waits is served; whether there was anything.
    fn give_up(&self) -> bool;
}

#[derive(Clone, Debug)]
enum Step {
    Begin(usize, Option<u64>),
    Poll(usize),
    Drop(usize),
    Act(usize),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let patience = prop_oneof![2 => Just(None), 1 => (0u64..20).prop_map(Some)];
    let step = prop_oneof![
        6 => (any::<usize>(), patience).prop_map(|(what, patience)| Step::Begin(what, patience)),
        8 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::Drop),
        4 => any::<usize>().prop_map(Step::Act),
        2 => (1u64..15).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..100)
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Call {
    future: LocalBoxFuture<'static, ()>,
    woken: Arc<Flag>,
}

/// Polls one of those who were woken; nobody else is ever polled, so a wake that is lost is a call that never ends.
fn poll_one(calls: &mut Vec<Call>, which: usize) -> bool {
    let woken: Vec<usize> = (0..calls.len())
        .filter(|at| calls[*at].woken.0.load(Ordering::Relaxed))
        .collect();
    let Some(at) = woken.get(which % woken.len().max(1)).copied() else {
        return false;
    };
    let call = &mut calls[at];
    call.woken.0.store(false, Ordering::Relaxed);
    let waker = Waker::from(Arc::clone(&call.woken));
    if call.future.poll_unpin(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
        drop(calls.remove(at));
    }
    true
}

fn walk(runtime: &R, policy: &Rc<impl Policy>, steps: Vec<Step>, drops_all: bool) {
    let mut calls: Vec<Call> = Vec::new();
    for step in steps {
        match step {
            Step::Begin(what, patience) => {
                let future = policy.begin(what, patience.map(Duration::from_millis));
                let woken = Arc::new(Flag(AtomicBool::new(true)));
                calls.push(Call { future, woken });
            }
            Step::Poll(which) => {
                poll_one(&mut calls, which);
            }
            Step::Drop(which) if !calls.is_empty() => drop(calls.remove(which % calls.len())),
            Step::Drop(_) => {}
            Step::Act(what) => policy.act(what),
            Step::Advance(millis) => runtime.advance(Duration::from_millis(millis)),
        }
        policy.check();
    }
    if drops_all {
        calls.clear();
        policy.nobody_waits();
    }
    while poll_one(&mut calls, 0) || policy.give_up() {
        policy.check();
    }
    assert!(
        calls.is_empty(),
        "{} were served and not woken, or not served",
        calls.len()
    );
    policy.nobody_waits();
    // The host's one timer is a task, which has its turn first.
    runtime.settle();
    assert_eq!(runtime.pending_timers(), 0, "no timer remains");
}

const NAMES: [&str; 3] = ["a", "b", "c"];

struct Locks {
    locks: LockSet<R>,
    held: RefCell<Vec<(BTreeSet<&'static str>, LockGuard<R>)>>,
}

impl Policy for Locks {
    fn begin(self: &Rc<Self>, what: usize, patience: Option<Duration>) -> LocalBoxFuture<'static, ()> {
        let own = Rc::clone(self);
        let names: BTreeSet<&str> = [NAMES[what % 3], NAMES[what / 3 % 3]].into();
        let options = match patience {
            Some(patience) => LockOptions::new().timeout(patience),
            None => LockOptions::new().no_timeout(),
        };
        async move {
            let taken = if (what / 9).is_multiple_of(3) {
                own.locks.reserve(&names, options).await
            } else {
                own.locks.acquire(&names, options).await
            };
            if let Ok(guard) = taken {
                for (others, _) in own.held.borrow().iter() {
                    assert!(
                        others.is_disjoint(&names),
                        "{others:?} are held, and {names:?} were given"
                    );
                }
                own.held.borrow_mut().push((names, guard));
            }
        }
        .boxed_local()
    }

    fn act(&self, what: usize) {
        let mut held = self.held.borrow_mut();
        if !held.is_empty() {
            let at = what % held.len();
            drop(held.remove(at));
        }
    }

    fn check(&self) {
        for (names, _) in self.held.borrow().iter() {
            assert!(names.iter().all(|name| self.locks.is_held(name)));
        }
    }

    fn nobody_waits(&self) {
        let held: BTreeSet<&str> = self
            .held
            .borrow()
            .iter()
            .flat_map(|(names, _)| names.clone())
            .collect();
        for name in NAMES {
            assert_eq!(
                (self.locks.is_held(name), self.locks.waiting(name)),
                (held.contains(name), 0)
            );
        }
    }

    fn give_up(&self) -> bool {
        self.held.borrow_mut().pop().is_some()
    }
}

struct Line {
    channel: Channel<R, u64>,
    next: Cell<u64>,
    sent: RefCell<Vec<u64>>,
    received: RefCell<BTreeSet<u64>>,
    left: Rc<Cell<usize>>,
}

impl Policy for Line {
    fn begin(self: &Rc<Self>, what: usize, patience: Option<Duration>) -> LocalBoxFuture<'static, ()> {
        let own = Rc::clone(self);
        async move {
            if what.is_multiple_of(2) {
                let value = own.next.get();
                own.next.set(value + 1);
                let sent = match patience {
                    Some(patience) => own.channel.send_within(value, patience).await.is_ok(),
                    None => own.channel.send(value).await.is_ok(),
                };
                if sent {
                    own.sent.borrow_mut().push(value);
                }
            } else {
                let mut leaving = Leaving(Rc::clone(&own.left), false);
                let received = match patience {
                    Some(patience) => own.channel.receive_within(patience).await.ok().flatten(),
                    None => own.channel.receive().await,
                };
                leaving.1 = true;
                own.took(received);
            }
        }
        .boxed_local()
    }

    fn act(&self, what: usize) {
        match what % 8 {
            0 => self.channel.close(),
            1..=4 => self.took(self.channel.try_receive().ok()),
            _ => {}
        }
    }

    fn check(&self) {
        // What was handed to one who left before it was told is there again.
        let most = self.channel.capacity() as usize + self.left.get();
        assert!(
            self.channel.len() <= most,
            "{} values, at most {most}",
            self.channel.len()
        );
    }

    fn nobody_waits(&self) {
        assert_eq!(
            (self.channel.waiting_to_send(), self.channel.waiting_to_receive()),
            (0, 0)
        );
        // What nobody received is still there: taken out here, and then all that was sent has come.
        while let Ok(value) = self.channel.try_receive() {
            self.took(Some(value));
        }
        let received = self.received.borrow();
        assert!(
            self.sent.borrow().iter().all(|value| received.contains(value)),
            "no value is lost"
        );
    }

    fn give_up(&self) -> bool {
        let was_open = !self.channel.is_closed();
        self.channel.close();
        was_open
    }
}

impl Line {
    fn took(&self, value: Option<u64>) {
        if let Some(value) = value {
            assert!(
                self.received.borrow_mut().insert(value),
                "{value} was received twice"
            );
        }
    }
}

struct Meetings {
    event: Event<R>,
    barrier: Barrier<R>,
    waiting: Rc<Cell<usize>>,
    passed: Cell<usize>,
    left: Rc<Cell<usize>>,
}

/// Counts one who came and did not pass.
struct Leaving(Rc<Cell<usize>>, bool);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.set(self.0.get() + usize::from(!self.1));
    }
}

impl Policy for Meetings {
    fn begin(self: &Rc<Self>, what: usize, patience: Option<Duration>) -> LocalBoxFuture<'static, ()> {
        let own = Rc::clone(self);
        async move {
            if what.is_multiple_of(2) {
                match patience {
                    Some(patience) => drop(own.event.wait_within(patience).await),
                    None => drop(own.event.wait().await),
                }
                return;
            }
            let mut leaving = Leaving(Rc::clone(&own.left), false);
            own.waiting.set(own.waiting.get() + 1);
            leaving.1 = match patience {
                Some(patience) => own.barrier.wait_within(patience).await.is_ok(),
                None => own.barrier.wait().await.is_ok(),
            };
            own.passed.set(own.passed.get() + usize::from(leaving.1));
        }
        .boxed_local()
    }

    fn act(&self, what: usize) {
        match what % 2 {
            0 => self.event.set(),
            _ => self.event.clear(),
        }
    }

    fn check(&self) {
        assert!(self.barrier.waiting() < self.barrier.parties() as usize);
        // All who passed did so in full rounds; of the last one some may not have been polled yet, or were dropped before.
        let rounds = self.barrier.generation() as usize;
        assert!(self.passed.get() <= rounds * self.barrier.parties() as usize);
        assert!(self.barrier.waiting() + self.passed.get() <= self.waiting.get());
    }

    fn nobody_waits(&self) {
        assert_eq!((self.event.waiting(), self.barrier.waiting()), (0, 0));
    }

    fn give_up(&self) -> bool {
        // One more and one more pass until nobody is left.
        let was_set = self.event.is_set();
        self.event.set();
        if self.barrier.waiting() > 0 {
            let missing = self.barrier.parties() as usize - self.barrier.waiting();
            let mut others: Vec<_> = (0..missing).map(|_| Box::pin(self.barrier.wait())).collect();
            for other in &mut others {
                let _ = other.poll_unpin(&mut Context::from_waker(Waker::noop()));
            }
            return true;
        }
        !was_set
    }
}

struct Thing {
    key: u8,
    alive: Rc<[Cell<u32>; 2]>,
}

impl Drop for Thing {
    fn drop(&mut self) {
        let alive = &self.alive[usize::from(self.key)];
        alive.set(alive.get() - 1);
    }
}

struct Objects {
    pool: ConnectionPool<R, u8, Thing, &'static str>,
    making: Rc<RefCell<Vec<oneshot::Sender<bool>>>>,
    alive: Rc<[Cell<u32>; 2]>,
    max: u32,
    used: RefCell<Vec<Pooled<R, Thing>>>,
}

impl Policy for Objects {
    fn begin(self: &Rc<Self>, what: usize, patience: Option<Duration>) -> LocalBoxFuture<'static, ()> {
        let own = Rc::clone(self);
        let key = (what % 2) as u8;
        async move {
            let taken = match patience {
                Some(patience) => own.pool.acquire_within(key, patience).await,
                None => own.pool.acquire(key).await,
            };
            if let Ok(one) = taken {
                assert_eq!(one.key, key);
                own.used.borrow_mut().push(one);
            }
        }
        .boxed_local()
    }

    fn act(&self, what: usize) {
        if what.is_multiple_of(2) {
            let asked = self.making.borrow_mut().pop();
            let _ = asked.map(|asked| asked.send(!what.is_multiple_of(3)));
        } else {
            self.give_up_one();
        }
    }

    fn check(&self) {
        for alive in self.alive.iter() {
            assert!(alive.get() <= self.max, "{} objects of {}", alive.get(), self.max);
        }
    }

    fn nobody_waits(&self) {
        assert_eq!(self.pool.waiting(), 0);
        // What exists is idle, used, or still being made for whoever comes.
        assert!(self.pool.len() >= self.pool.idle() + self.used.borrow().len());
    }

    fn give_up(&self) -> bool {
        let asked = self.making.borrow_mut().pop();
        match asked {
            Some(asked) => asked.send(true).is_ok() || !self.making.borrow().is_empty() || self.give_up_one(),
            None => self.give_up_one(),
        }
    }
}

impl Objects {
    fn give_up_one(&self) -> bool {
        self.used.borrow_mut().pop().is_some()
    }
}

type Answer = Result<u64, &'static str>;

struct Loads {
    cache: Cache<R, u8, u64>,
    asked: Rc<RefCell<Vec<oneshot::Sender<Answer>>>>,
    running: Rc<Cell<u32>>,
}

/// One that runs, until it ends or is dropped.
struct Running(Rc<Cell<u32>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Policy for Loads {
    fn begin(self: &Rc<Self>, _: usize, _: Option<Duration>) -> LocalBoxFuture<'static, ()> {
        let own = Rc::clone(self);
        async move {
            let (asked, running) = (Rc::clone(&own.asked), Rc::clone(&own.running));
            let loader = move || async move {
                running.set(running.get() + 1);
                let _running = Running(Rc::clone(&running));
                let (tell, told) = oneshot::channel();
                asked.borrow_mut().push(tell);
                told.await.unwrap_or(Err("nobody answers"))
            };
            drop(own.cache.load(0, loader).await);
        }
        .boxed_local()
    }

    fn act(&self, what: usize) {
        let _ = match what % 6 {
            0 => self.cache.invalidate(&0) > 0,
            1..=3 => self.answer(Ok(7)),
            _ => self.answer(Err("broken")),
        };
    }

    fn check(&self) {
        assert!(self.cache.len() <= 1);
    }

    fn nobody_waits(&self) {
        assert_eq!(self.running.get(), 0, "who is dropped loads no more");
    }

    fn give_up(&self) -> bool {
        self.answer(Ok(7))
    }
}

impl Loads {
    fn answer(&self, answer: Answer) -> bool {
        let mut asked = self.asked.borrow_mut();
        asked.retain(|one| !one.is_canceled());
        asked.pop().is_some_and(|one| one.send(answer).is_ok())
    }
}

struct Sums {
    state: VersionedState<R, u64>,
    computing: Rc<RefCell<Vec<oneshot::Sender<()>>>>,
    added: Cell<u64>,
}

impl Policy for Sums {
    fn begin(self: &Rc<Self>, _: usize, _: Option<Duration>) -> LocalBoxFuture<'static, ()> {
        let own = Rc::clone(self);
        async move {
            let computing = Rc::clone(&own.computing);
            let compute = move |seen: Option<u64>| {
                let (tell, told) = oneshot::channel();
                computing.borrow_mut().push(tell);
                async move {
                    let _ = told.await;
                    seen.unwrap_or(0) + 1
                }
            };
            if own.state.update("sum", compute).await.is_ok() {
                own.added.set(own.added.get() + 1);
            }
        }
        .boxed_local()
    }

    fn act(&self, what: usize) {
        self.compute(what);
    }

    fn check(&self) {
        let sum = self.state.get("sum").map_or(0, |seen| seen.value);
        assert_eq!(
            sum,
            self.added.get(),
            "no update is lost, and none is made that nobody hears of"
        );
    }

    fn nobody_waits(&self) {
        self.check();
    }

    fn give_up(&self) -> bool {
        self.compute(0)
    }
}

impl Sums {
    /// One of those who compute is done; false where there is none.
    fn compute(&self, which: usize) -> bool {
        let mut computing = self.computing.borrow_mut();
        computing.retain(|one| !one.is_canceled());
        let at = which % computing.len().max(1);
        at < computing.len() && computing.remove(at).send(()).is_ok()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn locks_exclude_and_are_free_in_the_step_in_which_they_are_dropped(steps in steps(), drops_all: bool) {
        let runtime = R::new();
        let locks = LockSet::new(&Host::new(runtime.clone())).unwrap();
        walk(&runtime, &Rc::new(Locks { locks, held: RefCell::default() }), steps, drops_all);
    }

    #[test]
    fn a_channel_loses_no_value_and_gives_none_twice(steps in steps(), drops_all: bool, capacity in 0u32..3) {
        let runtime = R::new();
        let channel = Channel::new(&Host::new(runtime.clone()), capacity).unwrap();
        let line = Line { channel, next: Cell::new(0), sent: RefCell::default(), received: RefCell::default(), left: Rc::default() };
        walk(&runtime, &Rc::new(line), steps, drops_all);
    }

    #[test]
    fn events_and_barriers_leave_nobody_behind(steps in steps(), drops_all: bool, parties in 1u32..4) {
        let runtime = R::new();
        let host = Host::new(runtime.clone());
        let meetings = Meetings {
            event: Event::new(&host).unwrap(),
            barrier: Barrier::new(&host, parties).unwrap(),
            waiting: Rc::default(),
            passed: Cell::new(0),
            left: Rc::default(),
        };
        walk(&runtime, &Rc::new(meetings), steps, drops_all);
    }

    #[test]
    fn objects_stay_within_their_bound_and_come_back(steps in steps(), drops_all: bool, max in 1u32..3) {
        let runtime = R::new();
        let alive: Rc<[Cell<u32>; 2]> = Rc::default();
        let making: Rc<RefCell<Vec<oneshot::Sender<bool>>>> = Rc::default();
        let (lives, asked) = (Rc::clone(&alive), Rc::clone(&making));
        let create = move |key: &u8| {
            let (key, alive, asked) = (*key, Rc::clone(&lives), Rc::clone(&asked));
            async move {
                let (tell, told) = oneshot::channel();
                asked.borrow_mut().push(tell);
                if told.await != Ok(true) {
                    return Err("refused");
                }
                alive[usize::from(key)].set(alive[usize::from(key)].get() + 1);
                Ok(Thing { key, alive })
            }
        };
        let options = ObjectOptions::new().max(max);
        let pool = ConnectionPool::new(&Host::new(runtime.clone()), options, create).unwrap();
        let objects = Objects { pool, making, alive, max, used: RefCell::default() };
        walk(&runtime, &Rc::new(objects), steps, drops_all);
    }

    #[test]
    fn a_load_is_handed_on_until_somebody_brings_the_value(steps in steps(), drops_all: bool) {
        let runtime = R::new();
        let cache = Cache::new(&Host::new(runtime.clone()), CacheConfig::default()).unwrap();
        let loads = Rc::new(Loads { cache, asked: Rc::default(), running: Rc::default() });
        walk_without_values(&runtime, &loads, steps, drops_all);
    }

    #[test]
    fn no_update_is_lost_whoever_is_dropped_in_the_middle_of_it(steps in steps(), drops_all: bool) {
        let runtime = R::new();
        let state = VersionedState::with(&Host::new(runtime.clone()), StateConfig::default()).unwrap();
        let sums = Sums { state, computing: Rc::default(), added: Cell::new(0) };
        walk(&runtime, &Rc::new(sums), steps, drops_all);
    }
}

/// A value in the cache has a timer of its own, which goes with it.
fn walk_without_values(runtime: &R, loads: &Rc<Loads>, steps: Vec<Step>, drops_all: bool) {
    let clearing = Rc::new(Clearing(Rc::clone(loads)));
    walk(runtime, &clearing, steps, drops_all);
}

struct Clearing(Rc<Loads>);

impl Policy for Clearing {
    fn begin(self: &Rc<Self>, what: usize, patience: Option<Duration>) -> LocalBoxFuture<'static, ()> {
        self.0.begin(what, patience)
    }
    fn act(&self, what: usize) {
        self.0.act(what);
    }
    fn check(&self) {
        self.0.check();
    }
    fn nobody_waits(&self) {
        self.0.nobody_waits();
        self.0.cache.clear();
    }
    fn give_up(&self) -> bool {
        self.0.give_up()
    }
}

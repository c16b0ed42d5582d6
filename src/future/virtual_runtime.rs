//! A runtime for tests: one thread, a clock that jumps, the same order every time.

use super::runtime::{Runtime, TaskParker};
use crate::machine::random::Random;
use crate::machine::time::Instant;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Runs futures on this thread, in virtual time: when nothing can run, the clock jumps to the next timer.
///
/// An hour of waiting takes no time, and two runs with the same seed take the same steps. Tasks run in the order in which they
/// were woken, or, [`shuffled`](Self::shuffled), in an order that the seed decides, to look for mistakes that only show under
/// another interleaving. It is public so that you can test your own code with it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::{Runtime, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// runtime.block_on(runtime.sleep(Duration::from_secs(3600)));
/// assert_eq!(runtime.now().as_micros(), 3_600_000_000);
/// ```
#[derive(Clone)]
pub struct VirtualRuntime(Rc<Core>);

struct Core {
    now: Cell<Instant>,
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    next_timer: Cell<u64>,
    tasks: RefCell<HashMap<TaskId, Task>>,
    next_task: Cell<TaskId>,
    runnable: Arc<Runnable>,
    random: RefCell<Random>,
    order: Order,
}

type TaskId = u64;

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Arc<TaskWaker>,
}

enum Order {
    AsWoken,
    Shuffled,
}

impl VirtualRuntime {
    /// A runtime at time zero, with seed 0, that runs tasks in the order in which they were woken.
    pub fn new() -> Self {
        Self::with_order(0, Order::AsWoken)
    }

    /// The same with a seed of your own, for whatever draws its randomness from the runtime.
    pub fn seeded(seed: u64) -> Self {
        Self::with_order(seed, Order::AsWoken)
    }

    /// A runtime that lets the seed decide which of the runnable tasks runs next.
    pub fn shuffled(seed: u64) -> Self {
        Self::with_order(seed, Order::Shuffled)
    }

    /// Runs `future` to its end, and all spawned tasks as far as they get meanwhile.
    ///
    /// # Panics
    ///
    /// When nothing can run any more and no timer is pending: a hang, which a test should hear of.
    /// [`try_block_on`](Self::try_block_on) returns it instead.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.try_block_on(future) {
            Ok(value) => value,
            #[expect(clippy::panic, reason = "documented: a test that hangs must fail")]
            Err(stalled) => panic!("{stalled}"),
        }
    }

    /// Runs `future` to its end, or as far as it gets.
    ///
    /// # Errors
    ///
    /// [`Stalled`] when nothing can run any more and no timer is pending.
    pub fn try_block_on<F: Future>(&self, future: F) -> Result<F::Output, Stalled> {
        let mut future = pin!(future);
        let task = self.0.new_waker();
        let (id, waker) = (task.id, Waker::from(Arc::clone(&task)));
        task.schedule();
        loop {
            while let Some(next) = self.0.next_runnable() {
                if next != id {
                    self.0.run(next);
                } else if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Ok(value);
                }
            }
            if !self.0.fire_next_timer(Instant::FAR_FUTURE) {
                return Err(Stalled {
                    waiting: self.0.tasks.borrow().len(),
                });
            }
        }
    }

    /// Moves the clock on by `duration`, firing each timer at its time and running what it wakes, and at the end everything
    /// that can run.
    pub fn advance(&self, duration: Duration) {
        let end = self.now() + duration;
        self.settle();
        while self.0.fire_next_timer(end) {
            self.settle();
        }
        self.0.now.set(end);
        self.settle();
    }

    /// Runs everything that can run, without moving the clock.
    pub fn settle(&self) {
        while let Some(next) = self.0.next_runnable() {
            self.0.run(next);
        }
    }

    /// Moves the clock to any reading, back included, without firing timers: some hosts' clocks do that.
    pub fn set_clock(&self, now: Instant) {
        self.0.now.set(now);
    }

    /// How many timers are pending. Zero after everything has ended, or something leaks.
    pub fn pending_timers(&self) -> usize {
        self.0.timers.borrow().len()
    }

    /// How many spawned tasks have not ended.
    pub fn pending_tasks(&self) -> usize {
        self.0.tasks.borrow().len()
    }

    fn with_order(seed: u64, order: Order) -> Self {
        Self(Rc::new(Core {
            now: Cell::new(Instant::ZERO),
            timers: RefCell::default(),
            next_timer: Cell::new(0),
            tasks: RefCell::default(),
            next_task: Cell::new(0),
            runnable: Arc::default(),
            random: RefCell::new(Random::new(seed)),
            order,
        }))
    }
}

impl Default for VirtualRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for VirtualRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualRuntime")
            .field("now", &self.0.now.get())
            .field("timers", &self.pending_timers())
            .field("tasks", &self.pending_tasks())
            .finish()
    }
}

impl Runtime for VirtualRuntime {
    type Sleep = VirtualSleep;
    type Yield = VirtualYield;
    type Parker = TaskParker;

    fn now(&self) -> Instant {
        self.0.now.get()
    }

    fn sleep_until(&self, deadline: Instant) -> VirtualSleep {
        VirtualSleep {
            core: Rc::clone(&self.0),
            deadline,
            timer: None,
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let waker = self.0.new_waker();
        let task = Task {
            future: Box::pin(task),
            waker: Arc::clone(&waker),
        };
        self.0.tasks.borrow_mut().insert(waker.id, task);
        waker.schedule();
    }

    fn yield_now(&self) -> VirtualYield {
        VirtualYield { yielded: false }
    }

    fn park(&self) -> TaskParker {
        TaskParker::new()
    }

    fn seed(&self) -> u64 {
        self.0.random.borrow_mut().bits()
    }
}

/// Nothing can run any more and no timer is pending, but the future has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stalled {
    /// How many spawned tasks wait as well.
    pub waiting: usize,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stalled: the future waits, {} spawned tasks wait, nothing can run and no timer is pending",
            self.waiting
        )
    }
}

impl std::error::Error for Stalled {}

impl Core {
    fn new_waker(&self) -> Arc<TaskWaker> {
        let id = self.next_task.get();
        self.next_task.set(id + 1);
        Arc::new(TaskWaker {
            id,
            scheduled: AtomicBool::new(false),
            runnable: Arc::clone(&self.runnable),
        })
    }

    fn next_runnable(&self) -> Option<TaskId> {
        match self.order {
            Order::AsWoken => self.runnable.take(|_| 0),
            Order::Shuffled => {
                let mut random = self.random.borrow_mut();
                self.runnable.take(|len| random.up_to(len as u64 - 1) as usize)
            }
        }
    }

    fn run(&self, id: TaskId) {
        // The task is out of the map while it runs, for it may spawn others.
        let Some(mut task) = self.tasks.borrow_mut().remove(&id) else {
            return;
        };
        let waker = Waker::from(Arc::clone(&task.waker));
        if task
            .future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
        {
            self.tasks.borrow_mut().insert(id, task);
        }
    }

    fn fire_next_timer(&self, until: Instant) -> bool {
        let mut timers = self.timers.borrow_mut();
        let Some(first) = timers.first_entry() else {
            return false;
        };
        let (due, _) = *first.key();
        if due > until {
            return false;
        }
        let waker = first.remove();
        drop(timers);
        self.now.set(self.now.get().max(due));
        waker.wake();
        true
    }
}

/// A timer of a [`VirtualRuntime`]; one for the far future never fires.
pub struct VirtualSleep {
    core: Rc<Core>,
    deadline: Instant,
    timer: Option<u64>,
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.core.now.get() >= this.deadline {
            this.remove_timer();
            return Poll::Ready(());
        }
        if this.deadline == Instant::FAR_FUTURE {
            return Poll::Pending;
        }
        let number = *this.timer.get_or_insert_with(|| {
            let number = this.core.next_timer.get();
            this.core.next_timer.set(number + 1);
            number
        });
        this.core
            .timers
            .borrow_mut()
            .insert((this.deadline, number), context.waker().clone());
        Poll::Pending
    }
}

impl VirtualSleep {
    fn remove_timer(&mut self) {
        if let Some(number) = self.timer.take() {
            self.core.timers.borrow_mut().remove(&(self.deadline, number));
        }
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        self.remove_timer();
    }
}

impl fmt::Debug for VirtualSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualSleep")
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// A turn given up to the other tasks of a [`VirtualRuntime`].
#[derive(Debug)]
pub struct VirtualYield {
    yielded: bool,
}

impl Future for VirtualYield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The tasks that may run, oldest wake first. Behind a `Mutex` only because a [`Waker`] must be `Send`.
#[derive(Default)]
struct Runnable(Mutex<VecDeque<Arc<TaskWaker>>>);

impl Runnable {
    fn take(&self, choose: impl FnOnce(usize) -> usize) -> Option<TaskId> {
        let mut queue = self.queue();
        let task = match queue.len() {
            0 => None,
            len => queue.swap_remove_front(choose(len)),
        }?;
        task.scheduled.store(false, Ordering::Relaxed);
        Some(task.id)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<TaskWaker>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TaskWaker {
    id: TaskId,
    scheduled: AtomicBool,
    runnable: Arc<Runnable>,
}

impl TaskWaker {
    /// Puts the task among the runnable ones, where it is at most once.
    fn schedule(self: &Arc<Self>) {
        if !self.scheduled.swap(true, Ordering::Relaxed) {
            self.runnable.queue().push_back(Arc::clone(self));
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.schedule();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.schedule();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn timers_fire_in_the_order_of_their_times() {
        let runtime = VirtualRuntime::new();
        let log = Rc::new(RefCell::new(Vec::new()));
        for delay in [30, 10, 20, 10] {
            let (rt, log) = (runtime.clone(), Rc::clone(&log));
            runtime.spawn(async move {
                rt.sleep(millis(delay)).await;
                log.borrow_mut().push((delay, rt.now().as_micros() / 1000));
            });
        }
        runtime.block_on(runtime.sleep(millis(100)));
        assert_eq!(*log.borrow(), [(10, 10), (10, 10), (20, 20), (30, 30)]);
    }

    #[test]
    fn advance_fires_what_is_due_and_nothing_else() {
        let runtime = VirtualRuntime::new();
        let fired = Rc::new(Cell::new(0));
        for delay in [5, 10, 11] {
            let (rt, fired) = (runtime.clone(), Rc::clone(&fired));
            runtime.spawn(async move {
                rt.sleep(millis(delay)).await;
                fired.set(fired.get() + 1);
            });
        }
        runtime.advance(millis(10));
        assert_eq!((fired.get(), runtime.pending_timers()), (2, 1));
        assert_eq!(runtime.now(), Instant::from_micros(10_000));
    }

    #[test]
    fn a_dropped_sleep_takes_its_timer_along() {
        let runtime = VirtualRuntime::new();
        let mut sleep = Box::pin(runtime.sleep(millis(5)));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert_eq!(runtime.pending_timers(), 1);
        drop(sleep);
        assert_eq!(runtime.pending_timers(), 0);
    }

    #[test]
    fn a_hang_is_an_error_not_a_hang() {
        let runtime = VirtualRuntime::new();
        assert_eq!(
            runtime.try_block_on(std::future::pending::<()>()),
            Err(Stalled { waiting: 0 })
        );
    }

    #[test]
    fn the_same_seed_takes_the_same_steps_and_another_seed_others() {
        let order_of = |runtime: VirtualRuntime| {
            let log = Rc::new(RefCell::new(Vec::new()));
            for n in 0..20 {
                let log = Rc::clone(&log);
                runtime.spawn(async move { log.borrow_mut().push(n) });
            }
            runtime.settle();
            log.take()
        };
        assert_eq!(order_of(VirtualRuntime::new()), (0..20).collect::<Vec<_>>());
        assert_eq!(
            order_of(VirtualRuntime::shuffled(1)),
            order_of(VirtualRuntime::shuffled(1))
        );
        assert_ne!(
            order_of(VirtualRuntime::shuffled(1)),
            order_of(VirtualRuntime::shuffled(2))
        );
    }

    #[test]
    fn yielding_lets_every_other_task_run_first() {
        let runtime = VirtualRuntime::new();
        let done = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let done = Rc::clone(&done);
            runtime.spawn(async move { done.set(done.get() + 1) });
        }
        runtime.block_on(async {
            runtime.yield_now().await;
            assert_eq!(done.get(), 3);
        });
    }
}

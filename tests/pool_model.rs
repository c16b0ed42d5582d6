//! The pool under random interleavings of submitting, running, dropping, cancelling, resizing, pausing and time, in an order of tasks
//! that the seed decides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use proptest::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tidegate::{
    CloseOptions, Host, OnTimeout, Overflow, Pool, PoolOptions, QueueConfig, RunError, RunOptions, Runtime,
    Submission, TaskState, VirtualRuntime,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Clone, Debug)]
enum Step {
    Submit(Task),
    Run(Task),
    Cancel(usize),
    Drop(usize),
    PollRuns,
    Resize(u32),
    Pause,
    Resume,
    CoolDown(u64),
    Advance(u64),
}

#[derive(Clone, Debug)]
struct Task {
    weight: u32,
    priority: i32,
    key: u8,
    millis: u64,
    fails: bool,
    timeout: Option<u64>,
    patience: Option<u64>,
}

fn task() -> impl Strategy<Value = Task> {
    let limits = (prop::option::of(1..60u64), prop::option::of(0..60u64));
    (1..3u32, -3..3i32, 0..3u8, 0..50u64, any::<bool>(), limits).prop_map(
        |(weight, priority, key, millis, fails, (timeout, patience))| Task {
            weight,
            priority,
            key,
            millis,
            fails,
            timeout,
            patience,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => task().prop_map(Step::Submit),
        3 => task().prop_map(Step::Run),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::Drop),
        3 => Just(Step::PollRuns),
        1 => (1..5u32).prop_map(Step::Resize),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => (0..30u64).prop_map(Step::CoolDown),
        5 => (0..40u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..100)
}

fn queue() -> impl Strategy<Value = QueueConfig> {
    let overflow = prop_oneof![
        Just(Overflow::Wait),
        Just(Overflow::DropNewest),
        Just(Overflow::DropOldest),
        Just(Overflow::Error)
    ];
    let bounds = (prop::option::of(0..5u32), prop::option::of(0..3u32));
    (overflow, bounds).prop_map(|(overflow, (capacity, max_waiters))| QueueConfig {
        capacity,
        overflow,
        max_waiters,
        aging: 2,
    })
}

/// What the tasks themselves know: who is at work, and how many were ever started and ended.
#[derive(Default)]
struct Seen {
    slots: Cell<u32>,
    started: Cell<u32>,
    ended: Cell<u32>,
}

/// Slots that are in use for as long as this lives, so for as long as the task does.
struct AtWork(Rc<Seen>, u32);

impl AtWork {
    fn begin(seen: &Rc<Seen>, slots: u32) -> Self {
        seen.slots.set(seen.slots.get() + slots);
        seen.started.set(seen.started.get() + 1);
        Self(Rc::clone(seen), slots)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.slots.set(self.0.slots.get() - self.1);
        self.0.ended.set(self.0.ended.get() + 1);
    }
}

type Outcome = Result<u64, RunError<&'static str>>;

fn options(task: &Task) -> RunOptions {
    let mut options = RunOptions::new().weight(task.weight).priority(task.priority);
    if task.key > 0 {
        options = options.key(task.key.to_string());
    }
    if let Some(millis) = task.timeout {
        options = options.timeout(Duration::from_millis(millis));
    }
    if let Some(millis) = task.patience {
        options = options.wait_timeout(Duration::from_millis(millis));
    }
    options
}

async fn work(runtime: VirtualRuntime, seen: Rc<Seen>, task: Task) -> Result<u64, &'static str> {
    let _at_work = AtWork::begin(&seen, task.weight);
    runtime.sleep(Duration::from_millis(task.millis)).await;
    if task.fails {
        Err("failed")
    } else {
        Ok(task.millis)
    }
}

fn judge(task: &Task, outcome: &Outcome) -> Result<(), TestCaseError> {
    match outcome {
        Ok(millis) => prop_assert!(!task.fails && *millis == task.millis),
        Err(RunError::Task(_)) => prop_assert!(task.fails),
        // Time counts from the grant, also while nobody polls.
        Err(RunError::Timeout(_)) => prop_assert!(task.timeout.is_some()),
        Err(RunError::Refused(_) | RunError::Cancelled | RunError::Closed) => {}
        Err(other) => prop_assert!(false, "{other:?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_every_task_settles_once_and_nothing_is_left(
        seed in any::<u64>(),
        slots in 1..4u32,
        queue in queue(),
        hold in any::<bool>(),
        steps in steps(),
    ) {
        let runtime = VirtualRuntime::shuffled(seed);
        let rule = if hold { OnTimeout::Hold } else { OnTimeout::Release };
        let config = PoolOptions::new(slots).queue(queue).on_timeout(rule);
        let pool = Pool::new(&Host::new(runtime.clone()), config).unwrap();
        let seen = Rc::new(Seen::default());
        let mut submitted: Vec<(Task, Submission<VirtualRuntime, u64, &'static str>)> = Vec::new();
        let mut runs: Vec<(Task, LocalBoxFuture<'_, Outcome>)> = Vec::new();
        // What had its slots when the bound shrank keeps them; the semaphore's model knows each bound exactly.
        let mut most = slots;

        for step in steps {
            match step {
                Step::Submit(task) => {
                    let body = work(runtime.clone(), Rc::clone(&seen), task.clone());
                    let submission = pool.submit(options(&task), move |_| body);
                    submitted.push((task, submission));
                }
                Step::Run(task) => {
                    let body = work(runtime.clone(), Rc::clone(&seen), task.clone());
                    let run = pool.run(options(&task), move |_| body).boxed_local();
                    runs.push((task, run));
                }
                Step::Cancel(at) if !submitted.is_empty() => {
                    let (_, submission) = &submitted[at % submitted.len()];
                    submission.cancel();
                }
                Step::Drop(at) if !runs.is_empty() => drop(runs.swap_remove(at % runs.len())),
                Step::PollRuns => {
                    let mut left = Vec::new();
                    for (task, mut run) in runs {
                        match (&mut run).now_or_never() {
                            Some(outcome) => judge(&task, &outcome)?,
                            None => left.push((task, run)),
                        }
                    }
                    runs = left;
                }
                Step::Resize(slots) => {
                    most = most.max(slots);
                    pool.resize(slots);
                }
                Step::Pause => pool.pause(),
                Step::Resume => pool.resume(),
                Step::CoolDown(millis) => pool.cool_down(Duration::from_millis(millis)),
                Step::Advance(millis) => runtime.advance(Duration::from_millis(millis)),
                Step::Cancel(_) | Step::Drop(_) => {}
            }
            // What is at work and not yet dropped counts as abandoned.
            let at_work = seen.slots.get();
            prop_assert!(at_work <= most || pool.abandoned() > 0, "{} slots at work, {} allowed", at_work, most);
            let listed = pool.tasks();
            let running = listed.iter().filter(|task| task.state == TaskState::Running).count();
            prop_assert_eq!(running as u32, pool.active());
        }

        pool.resume();
        let grace = CloseOptions { grace: Duration::from_secs(1), ..CloseOptions::default() };
        let left = runs;
        runtime.block_on(async {
            let waiting = futures::future::join_all(left.into_iter().map(|(task, run)| async move { (task, run.await) }));
            let (_, outcomes) = futures::future::join(pool.close(grace), waiting).await;
            outcomes.iter().try_for_each(|(task, outcome)| judge(task, outcome))
        })?;
        runtime.settle();
        for (task, submission) in submitted {
            prop_assert!(submission.is_done());
            judge(&task, &runtime.block_on(submission))?;
        }
        prop_assert_eq!(seen.started.get(), seen.ended.get());
        prop_assert_eq!((pool.active(), pool.queued(), pool.waiting_for_room(), pool.abandoned()), (0, 0, 0, 0));
        prop_assert_eq!((runtime.pending_timers(), runtime.pending_tasks(), pool.tasks().len()), (0, 0, 0));
    }
}

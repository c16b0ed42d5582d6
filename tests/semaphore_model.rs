//! The semaphore against a model: random interleavings of poll, drop, release, resize and time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::task::noop_waker_ref;
use proptest::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tidegate::{AcquireError, Host, OwnedPermit, RunOptions, Semaphore, VirtualRuntime};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Permit = OwnedPermit<VirtualRuntime>;
type Acquiring = Pin<Box<dyn Future<Output = Result<Permit, AcquireError>>>>;

#[derive(Clone, Debug)]
enum Step {
    Ask { weight: u32, patience: Option<u64> },
    Poll(usize),
    Drop(usize),
    Release(usize),
    Resize(u32),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..4u32, prop::option::of(0..40u64)).prop_map(|(weight, patience)| Step::Ask { weight, patience }),
        4 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::Drop),
        4 => any::<usize>().prop_map(Step::Release),
        1 => (1..5u32).prop_map(Step::Resize),
        2 => (0..30u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..120)
}

/// One who asked, as the model sees it.
struct Asker {
    future: Acquiring,
    weight: u32,
    gives_up: Option<u64>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Unpolled,
    Waiting,
    Granted,
    TimedOut,
    Never,
}

/// The semaphore as one would write it without a thought for speed: a list of those who wait, in the order in which they came.
struct Model {
    permits: u32,
    in_use: u32,
    now: u64,
}

impl Model {
    fn grant(&mut self, line: &mut [Asker]) {
        for asker in line.iter_mut().filter(|asker| asker.state == State::Waiting) {
            // One that asks for more than there is at the moment runs alone once the semaphore is idle.
            if asker.weight > self.permits.saturating_sub(self.in_use) {
                return;
            }
            asker.state = State::Granted;
            self.in_use += asker.weight;
        }
    }

    fn advance(&mut self, to: u64, line: &mut [Asker]) {
        while let Some(next) = line
            .iter()
            .filter(|asker| asker.state == State::Waiting)
            .filter_map(|asker| asker.gives_up)
            .filter(|at| *at <= to)
            .min()
        {
            for asker in line.iter_mut() {
                if asker.state == State::Waiting && asker.gives_up == Some(next) {
                    asker.state = State::TimedOut;
                }
            }
            self.grant(line);
        }
        self.now = to;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_grants_whom_the_model_grants_and_loses_nothing(start in 1..5u32, steps in steps()) {
        let runtime = VirtualRuntime::new();
        let semaphore = Semaphore::new(&Host::new(runtime.clone()), start).unwrap();
        let mut model = Model { permits: start, in_use: 0, now: 0 };
        // In the order of their first poll, which is when they ask.
        let mut line: Vec<Asker> = Vec::new();
        let mut held: Vec<(Permit, u32)> = Vec::new();

        for step in steps {
            match step {
                Step::Ask { weight, patience } => {
                    let mut options = RunOptions::new().weight(weight);
                    if let Some(patience) = patience {
                        options = options.wait_timeout(Duration::from_millis(patience));
                    }
                    let own = semaphore.clone();
                    let future: Acquiring = Box::pin(async move { own.acquire_owned(options).await });
                    line.push(Asker { future, weight, gives_up: patience, state: State::Unpolled });
                }
                Step::Poll(at) if !line.is_empty() => {
                    let at = at % line.len();
                    let mut asker = line.remove(at);
                    let first = asker.state == State::Unpolled;
                    if first {
                        asker.gives_up = asker.gives_up.map(|patience| model.now + patience);
                        asker.state = if asker.weight > model.permits { State::Never } else { State::Waiting };
                    }
                    // Whoever asks for the first time stands at the end of those who asked before.
                    let at = if first { line.len() } else { at };
                    line.insert(at, asker);
                    if first {
                        model.grant(&mut line);
                    }
                    let asker = &mut line[at];
                    let polled = asker.future.as_mut().poll(&mut Context::from_waker(noop_waker_ref()));
                    match (asker.state, polled) {
                        (State::Waiting, Poll::Pending) => {
                            // A wait of no time is over at the next look of the clock.
                            if asker.gives_up == Some(model.now) {
                                let now = model.now;
                                runtime.advance(Duration::ZERO);
                                model.advance(now, &mut line);
                            }
                        }
                        (State::Granted, Poll::Ready(Ok(permit))) => {
                            held.push((permit, asker.weight));
                            line.remove(at);
                        }
                        (State::TimedOut, Poll::Ready(Err(AcquireError::QueueTimeout)))
                        | (State::Never, Poll::Ready(Err(AcquireError::NeverPossible { .. }))) => {
                            line.remove(at);
                        }
                        (state, polled) => prop_assert!(false, "the model says {state:?}, the semaphore {polled:?}"),
                    }
                }
                Step::Drop(at) if !line.is_empty() => {
                    let asker = line.remove(at % line.len());
                    if asker.state == State::Granted {
                        model.in_use -= asker.weight;
                    }
                    drop(asker.future);
                    model.grant(&mut line);
                }
                Step::Release(at) if !held.is_empty() => {
                    let (permit, weight) = held.swap_remove(at % held.len());
                    drop(permit);
                    model.in_use -= weight;
                    model.grant(&mut line);
                }
                Step::Resize(permits) => {
                    semaphore.resize(permits);
                    model.permits = permits;
                    for asker in &mut line {
                        if asker.state == State::Waiting && asker.weight > permits {
                            asker.state = State::Never;
                        }
                    }
                    model.grant(&mut line);
                }
                Step::Advance(millis) => {
                    runtime.advance(Duration::from_millis(millis));
                    let to = model.now + millis;
                    model.advance(to, &mut line);
                }
                Step::Poll(_) | Step::Drop(_) | Step::Release(_) => {}
            }
            let waiting = line.iter().filter(|asker| asker.state == State::Waiting).count();
            prop_assert_eq!(semaphore.queued() as usize, waiting);
            prop_assert_eq!(semaphore.available(), model.permits.saturating_sub(model.in_use));
        }

        drop((line, held));
        runtime.settle();
        prop_assert_eq!(semaphore.available(), semaphore.permits());
        prop_assert_eq!((semaphore.queued(), runtime.pending_timers(), runtime.pending_tasks()), (0, 0, 0));
    }
}

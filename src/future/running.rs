//! A task in its place: it waits for its slots, runs, and ends one way or another.

use super::flow_event::FlowEvent;
use super::place::{Ended, Place};
use super::run_options::RunOptions;
use super::runtime::Runtime;
use super::task::{RunError, TaskContext};
use super::timeout::TimeoutError;
use crate::machine::gate::Outcome;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Hears of a result before the task has ended: one that ran out of time but goes on in its slots.
pub(crate) type Early<T, E> = Box<dyn FnOnce(Result<T, RunError<E>>)>;

/// Waits for the slots of `place` and runs `task` in them. Dropping the future drops the task first and gives the place back after.
pub(crate) async fn run_in<R, F, Fut, T, E>(
    place: Place<R>,
    options: &RunOptions,
    task: F,
    judge: impl FnOnce(&Result<T, E>) -> Outcome,
    mut early: Option<Early<T, E>>,
) -> Result<T, RunError<E>>
where
    R: Runtime,
    F: FnOnce(TaskContext) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    place.granted().await?;
    if place.came_too_late() {
        return Err(timed_out(&place, options, limit(&place, options)));
    }
    // From here on the task's function has been called: tokens are spent, and what is dropped says nothing about its target.
    place.ends_with(Outcome::Ignored);
    let limit = limit(&place, options);
    let context = TaskContext {
        id: place.seat().id,
        name: options.name.clone(),
        attempt: 1,
        deadline: options.deadline,
        place: Some(place.as_waiter()),
    };
    let ended = {
        let future = match contain(|| task(context)) {
            Ok(future) => future,
            Err(panic) => {
                panicked(&place, options);
                return Err(panic);
            }
        };
        let mut future = pin!(future);
        poll_fn(|cx| {
            match contain(|| future.as_mut().poll(cx)) {
                Ok(Poll::Ready(result)) => return Poll::Ready(End::Result(result)),
                Err(panic) => return Poll::Ready(End::Panic(panic)),
                Ok(Poll::Pending) => {}
            }
            loop {
                match place.poll_ended(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(ended) if !place.holds_on(ended) => return Poll::Ready(End::Taken(ended)),
                    Poll::Ready(_) => {
                        // It runs on in its slots; only its caller stops waiting.
                        place.hold_on();
                        match early.take() {
                            Some(early) => early(Err(timed_out(&place, options, limit))),
                            None => return Poll::Ready(End::Taken(Ended::Expired)),
                        }
                    }
                }
            }
        })
        .await
    };
    match ended {
        End::Result(result) => {
            place.ends_with(judge(&result));
            result.map_err(RunError::Task)
        }
        End::Panic(panic) => {
            panicked(&place, options);
            Err(panic)
        }
        End::Taken(Ended::Expired) => {
            place.ends_with(Outcome::Failure);
            Err(timed_out(&place, options, limit))
        }
        End::Taken(Ended::Revoked) => Err(RunError::Closed),
    }
}

enum End<T, E> {
    Result(Result<T, E>),
    Panic(RunError<E>),
    Taken(Ended),
}

/// What it may take: its time-out, or what its deadline leaves of it. The machine takes the slots back at the earlier of the two.
fn limit<R: Runtime>(place: &Place<R>, options: &RunOptions) -> Duration {
    let timeout = options.timeout.unwrap_or(Duration::MAX);
    let seat = place.seat();
    match options.deadline {
        Some(deadline) if seat.started_at().unwrap_or(seat.queued_at) + timeout > deadline => {
            deadline - seat.queued_at
        }
        _ => timeout,
    }
}

fn timed_out<R: Runtime, E>(place: &Place<R>, options: &RunOptions, limit: Duration) -> RunError<E> {
    let (machine, task) = (&place.machine, options.name.clone());
    machine
        .host
        .log(machine.id, |pool| FlowEvent::TimedOut { pool, task });
    let operation = match &options.name {
        Some(name) => name.to_string(),
        None => format!("task {}", place.seat().id),
    };
    RunError::Timeout(TimeoutError::new(operation, limit))
}

fn panicked<R: Runtime>(place: &Place<R>, options: &RunOptions) {
    place.ends_with(Outcome::Failure);
    let (machine, task) = (&place.machine, options.name.clone());
    machine
        .host
        .log(machine.id, |pool| FlowEvent::Panicked { pool, task });
}

/// On the host a panic is the task's own error. What it leaves half done is the task's own too, hence the assertion.
fn contain<T, E>(code: impl FnOnce() -> T) -> Result<T, RunError<E>> {
    catch_unwind(AssertUnwindSafe(code)).map_err(RunError::from_panic)
}

//! A task that was handed over to a pool: accepted at one time, done at another.

use super::acquire_error::AcquireError;
use super::ledger::{Seat, Stage};
use super::place::Place;
use super::running::Early;
use super::runtime::{Parker, Runtime};
use super::task::RunError;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A task that was handed over to a pool. It is itself the future of the task's result.
///
/// Dropping it lets the task go on; [`cancel`](Self::cancel) ends it.
///
/// # Errors
///
/// As [`Pool::run`](super::Pool::run), and [`RunError::Cancelled`].
///
/// # Cancel safety
///
/// Polling it is cancel-safe; a result that was taken is not given twice, and a poll after it stays pending.
#[must_use = "a submission tells whether the task was accepted and how it ended"]
pub struct Submission<R: Runtime, T, E> {
    job: Rc<Job<R, T, E>>,
    parker: R::Parker,
}

struct Job<R: Runtime, T, E> {
    runtime: R,
    work: RefCell<Option<Work<T, E>>>,
    state: RefCell<State<T, E>>,
    accepted: Cell<Option<Result<(), AcquireError>>>,
    cancelled: Cell<bool>,
    id: Cell<Option<u64>>,
    // The runner's own, then those who wait for acceptance or the end.
    runner: R::Parker,
    waiting: RefCell<Vec<R::Parker>>,
}

type Work<T, E> = Pin<Box<dyn Future<Output = Result<T, RunError<E>>>>>;

enum State<T, E> {
    Open,
    Done(Result<T, RunError<E>>),
    Taken,
}

impl<R: Runtime, T: 'static, E: 'static> Submission<R, T, E> {
    pub(crate) fn start(
        runtime: &R,
        place: Place<R>,
        run: impl FnOnce(Place<R>, Early<T, E>) -> Work<T, E>,
    ) -> Self {
        let job = Job::new(runtime);
        let seat = Rc::clone(place.seat());
        job.id.set(Some(seat.id));
        let early: Early<T, E> = {
            let job = Rc::downgrade(&job);
            Box::new(move |result| {
                if let Some(job) = job.upgrade() {
                    job.end(result);
                }
            })
        };
        *job.work.borrow_mut() = Some(run(place, early));
        job.note_acceptance(&seat);
        runtime.spawn(Rc::clone(&job).run(seat));
        Self::of(job)
    }

    pub(crate) fn refused(runtime: &R, error: AcquireError) -> Self {
        let job = Job::new(runtime);
        job.accepted.set(Some(Err(error)));
        job.end(Err(RunError::Refused(error)));
        Self::of(job)
    }

    /// Waits until the task has a place: in the queue or in its slots.
    ///
    /// # Errors
    ///
    /// When it was turned away before it had one; [`AcquireError::Closed`] also when it was cancelled before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn accepted(&self) -> Result<(), AcquireError> {
        let parker = self.job.runtime.park();
        self.job.waiting.borrow_mut().push(parker.clone());
        poll_fn(|context| {
            loop {
                if let Some(accepted) = self.job.accepted.get() {
                    return Poll::Ready(accepted);
                }
                ready!(parker.poll_parked(context));
            }
        })
        .await
    }

    /// Ends it: its place is free in this call, and if it runs it is dropped. `false` if it had ended before.
    pub fn cancel(&self) -> bool {
        if !matches!(*self.job.state.borrow(), State::Open) {
            return false;
        }
        self.job.cancelled.set(true);
        if self.job.accepted.get().is_none() {
            self.job.accepted.set(Some(Err(AcquireError::Closed)));
        }
        // A task that cancels itself is being polled: then the runner drops it, right after.
        let work = self.job.work.borrow_mut().take();
        drop(work);
        self.job.end(Err(RunError::Cancelled));
        self.job.runner.unpark();
        true
    }

    /// The number by which lists of tasks know it; `None` if it was turned away at once.
    pub fn id(&self) -> Option<u64> {
        self.job.id.get()
    }

    /// Whether its result is there.
    pub fn is_done(&self) -> bool {
        !matches!(*self.job.state.borrow(), State::Open)
    }

    fn of(job: Rc<Job<R, T, E>>) -> Self {
        let parker = job.runtime.park();
        job.waiting.borrow_mut().push(parker.clone());
        Self { job, parker }
    }
}

impl<R: Runtime, T, E> Unpin for Submission<R, T, E> {}

impl<R: Runtime, T, E> Future for Submission<R, T, E> {
    type Output = Result<T, RunError<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(result) = self.job.take_result() {
                return Poll::Ready(result);
            }
            ready!(self.parker.poll_parked(context));
        }
    }
}

impl<R: Runtime, T: 'static, E: 'static> Job<R, T, E> {
    fn new(runtime: &R) -> Rc<Self> {
        Rc::new(Self {
            runtime: runtime.clone(),
            work: RefCell::new(None),
            state: RefCell::new(State::Open),
            accepted: Cell::new(None),
            cancelled: Cell::new(false),
            id: Cell::new(None),
            runner: runtime.park(),
            waiting: RefCell::default(),
        })
    }

    async fn run(self: Rc<Self>, seat: Rc<Seat<R::Parker>>) {
        poll_fn(|context| self.step(&seat, context)).await;
    }

    /// One poll of the work. It is out of its cell meanwhile, for it may cancel itself.
    fn step(&self, seat: &Seat<R::Parker>, context: &mut Context<'_>) -> Poll<()> {
        let _woken = self.runner.poll_parked(context);
        let work = self.work.borrow_mut().take();
        let Some(mut work) = work else {
            return Poll::Ready(());
        };
        let polled = work.as_mut().poll(context);
        if self.cancelled.get() {
            return Poll::Ready(());
        }
        match polled {
            Poll::Ready(result) => {
                drop(work);
                self.note_acceptance(seat);
                self.end(result);
                Poll::Ready(())
            }
            Poll::Pending => {
                *self.work.borrow_mut() = Some(work);
                self.note_acceptance(seat);
                Poll::Pending
            }
        }
    }

    fn note_acceptance(&self, seat: &Seat<R::Parker>) {
        if self.accepted.get().is_some() {
            return;
        }
        let accepted = match seat.stage() {
            Stage::Outside | Stage::Ready | Stage::Failed => return,
            Stage::Refused(refusal) => Err(AcquireError::new(refusal, self.runtime.now())),
            Stage::Queued | Stage::Holding | Stage::Expired | Stage::Revoked => Ok(()),
        };
        self.accepted.set(Some(accepted));
        self.tell();
    }
}

impl<R: Runtime, T, E> Job<R, T, E> {
    fn end(&self, result: Result<T, RunError<E>>) {
        {
            let mut state = self.state.borrow_mut();
            if !matches!(*state, State::Open) {
                return;
            }
            *state = State::Done(result);
        }
        self.tell();
    }

    fn tell(&self) {
        let waiting = self.waiting.borrow().clone();
        for parker in waiting {
            parker.unpark();
        }
    }

    fn take_result(&self) -> Option<Result<T, RunError<E>>> {
        let mut state = self.state.borrow_mut();
        match &*state {
            State::Done(_) => match std::mem::replace(&mut *state, State::Taken) {
                State::Done(result) => Some(result),
                State::Open | State::Taken => None,
            },
            State::Open | State::Taken => None,
        }
    }
}

impl<R: Runtime, T, E> fmt::Debug for Submission<R, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission").finish_non_exhaustive()
    }
}

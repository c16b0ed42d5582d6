//! What a host has and a machine must not have: a clock, timers, tasks, a way to park, a source of seeds.

use crate::machine::time::Instant;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The place where futures run: a clock, timers, tasks and parking, for one thread.
///
/// A runtime is a cheap handle; clones share one clock. It makes no promise beyond one thread: nothing here is `Send`.
/// The crate brings three, `WebRuntime` for every JavaScript host, `WorkerdRuntime` for requests that share an isolate and
/// [`VirtualRuntime`](super::VirtualRuntime) for tests; bring your own by implementing this.
pub trait Runtime: Clone + 'static {
    /// Ends when its time has come; dropping it removes the timer.
    type Sleep: Future<Output = ()> + 'static;
    /// Ends after everything else that could run has had its turn.
    type Yield: Future<Output = ()> + 'static;
    /// How a waiter waits for somebody else's decision.
    type Parker: Parker;

    /// The reading of the clock. It may stand still and it may step back; nobody here minds.
    fn now(&self) -> Instant;

    /// Waits until the clock reads `deadline`; one that has passed ends at the first poll.
    fn sleep_until(&self, deadline: Instant) -> Self::Sleep;

    /// Runs a task beside the caller. It starts after the caller has yielded, never inside this call.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// Lets the host do other work (paint, answer events, run other tasks) before going on.
    fn yield_now(&self) -> Self::Yield;

    /// A fresh place to park, made in the context of the task that will wait in it.
    fn park(&self) -> Self::Parker;

    /// A number to seed generators with: fresh on the web, the same for the same run in tests.
    fn seed(&self) -> u64;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.sleep_until(self.now() + duration)
    }
}

/// A place where one task waits until another calls [`unpark`](Self::unpark). Clones are handles of the same place.
///
/// The seam exists because not every host can wake any task from anywhere. Where it can, a parked waiter is a
/// [`Waker`]. On Cloudflare's workerd a task belongs to a request, a request that waits without I/O of its own is
/// killed, and a task woken from another request resumes in the wrong context; there, a parked waiter is a promise
/// made in its own request, with a timer of its own. So parking may end without an `unpark`: whoever was parked looks at
/// the shared state again and, if nothing was decided, parks again.
pub trait Parker: Clone + 'static {
    /// Ready once after each `unpark`, or earlier where the host needs the waiter to look for itself.
    fn poll_parked(&self, context: &mut Context<'_>) -> Poll<()>;

    /// Lets the waiter go on. Called with no borrow held, for it may run other code of the program.
    fn unpark(&self);
}

/// Parking for hosts where any task can wake any other: a flag and the task's [`Waker`].
#[derive(Clone, Debug, Default)]
pub struct TaskParker(Rc<RefCell<Parked>>);

#[derive(Debug, Default)]
enum Parked {
    #[default]
    Nobody,
    Waiting(Waker),
    Unparked,
}

impl TaskParker {
    /// A place with nobody in it.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Parker for TaskParker {
    fn poll_parked(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        match &mut *state {
            Parked::Unparked => {
                *state = Parked::Nobody;
                Poll::Ready(())
            }
            Parked::Waiting(waker) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
            Parked::Nobody => {
                *state = Parked::Waiting(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn unpark(&self) {
        // The borrow ends before the waker runs: a waker may poll, and a poll comes back in here.
        let before = self.0.replace(Parked::Unparked);
        if let Parked::Waiting(waker) = before {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_unpark_before_the_first_poll_is_not_lost() {
        let parker = TaskParker::new();
        parker.unpark();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(parker.poll_parked(&mut context), Poll::Ready(()));
        assert_eq!(parker.poll_parked(&mut context), Poll::Pending);
    }

    #[test]
    fn many_unparks_before_a_poll_are_one() {
        let runtime = super::super::VirtualRuntime::new();
        let parker = runtime.park();
        let other = parker.clone();
        runtime.spawn(async move {
            other.unpark();
            other.unpark();
        });
        runtime.block_on(async {
            poll_fn(|cx| parker.poll_parked(cx)).await;
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(parker.poll_parked(&mut context), Poll::Pending);
        });
    }
}

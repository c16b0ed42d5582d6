//! What the workers of a pool say.

use super::error::WorkerError;
use super::inner::Inner;
use super::kernels::KernelError;
use super::workers::Hears;
use crate::future::runtime::Runtime;
use crate::machine::dispatch::Answer;
use crate::machine::ticket::Ticket;
use std::rc::Weak;
use std::time::Duration;

/// What is heard of one worker.
pub(super) struct Listener<R: Runtime> {
    pub(super) inner: Weak<Inner<R>>,
    pub(super) worker: Ticket,
}

impl<R: Runtime> Hears for Listener<R> {
    fn ready(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.tell(|dispatch, now| dispatch.ready(now, self.worker));
        }
    }

    fn answered(&self, task: u64, result: Result<Vec<u8>, KernelError>, ran: Duration) {
        let Some(inner) = self.inner.upgrade() else {
            return;
        };
        let ticket = Ticket::from_bits(task);
        let answer = inner.tell(|dispatch, now| dispatch.answered(now, self.worker, ticket, Some(ran)));
        if let Some(Ok(Answer::Deliver)) = answer {
            inner.settle(ticket, |_| result.map_err(WorkerError::Kernel));
        }
        // One flush for all answers that come together.
        inner.flush_soon();
    }

    fn trapped(&self, task: u64) {
        if let Some(inner) = self.inner.upgrade() {
            let ticket = Ticket::from_bits(task);
            let known = inner.tell(|dispatch, now| dispatch.trapped(now, self.worker, ticket));
            if let (Some(Ok(())), Some(link)) = (known, inner.unlink(self.worker)) {
                link.terminate();
            }
        }
    }

    fn died(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.unlink(self.worker);
            inner.tell(|dispatch, now| dispatch.crashed(now, self.worker));
        }
    }

    fn spawn(&self, task: futures::future::LocalBoxFuture<'static, ()>) {
        if let Some(inner) = self.inner.upgrade() {
            inner.room.host.runtime().spawn(task);
        }
    }
}

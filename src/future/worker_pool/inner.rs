//! A pool of workers behind its handles: asks the machine, and does what it orders.

use super::error::WorkerError;
use super::kernels::Kernels;
use super::listener::Listener;
use super::workers::{Worker, WorkerEars, WorkerTask, Workers};
use crate::future::acquire_error::AcquireError;
use crate::future::readings::Reading;
use crate::future::runtime::{Parker, Runtime};
use crate::future::turn::Room;
use crate::machine::dispatch::{Dispatch, DispatchCounts, Fault, Order};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::Refusal;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

pub(super) struct Inner<R: Runtime> {
    pub(super) room: Rc<Room<R>>,
    pub(super) kernels: Kernels,
    pub(super) workers: Box<dyn Workers>,
    pub(super) max: u32,
    pub(super) grace: Duration,
    pub(super) links: RefCell<HashMap<u64, Rc<dyn Worker>>>,
    pub(super) calls: RefCell<HashMap<u64, Rc<Call<R>>>>,
    pub(super) started: Cell<u64>,
    pub(super) carrying: Cell<bool>,
    pub(super) flush_due: Cell<bool>,
    /// Those who wait for the end of everything.
    pub(super) closing: RefCell<Vec<R::Parker>>,
}

/// A call that has not been answered.
pub(super) struct Call<R: Runtime> {
    pub(super) task: WorkerTask,
    pub(super) timeout: Option<Duration>,
    pub(super) outcome: RefCell<Option<Result<Vec<u8>, WorkerError>>>,
    pub(super) parker: R::Parker,
}

impl<R: Runtime> Inner<R> {
    pub(super) fn look_or<T>(&self, otherwise: T, glance: impl FnOnce(&Dispatch) -> T) -> T {
        self.room
            .look(|world, id| world.dispatch(id).map(glance))
            .unwrap_or(otherwise)
    }

    pub(super) fn readings(&self) -> Vec<Reading> {
        let of = |dispatch: &Dispatch| {
            let DispatchCounts {
                submitted,
                completed,
                cancelled,
                timed_out,
                crashed,
                retried,
                moved,
                messages,
                spawned,
                deaths,
                recycled,
            } = dispatch.counts;
            vec![
                Reading::now("cooperative", usize::from(dispatch.runs_here())),
                Reading::now("configured", self.max as usize),
                Reading::now("active", dispatch.workers()),
                Reading::now("busy", dispatch.busy()),
                Reading::now("idle", dispatch.idle()),
                Reading::now("queued", dispatch.queued()),
                Reading::now("running", dispatch.running()),
                Reading::outcome("tasks", "completed", completed),
                Reading::outcome("tasks", "cancelled", cancelled),
                Reading::outcome("tasks", "timeout", timed_out),
                Reading::outcome("tasks", "crashed", crashed),
                Reading::ever("submitted", submitted),
                Reading::ever("retried", retried),
                Reading::ever("moved", moved),
                Reading::ever("messages", messages),
                Reading::ever("spawned", spawned),
                Reading::ever("deaths", deaths),
                Reading::ever("recycled", recycled),
            ]
        };
        self.look_or(Vec::new(), of)
    }

    pub(super) fn refused(&self, refusal: Refusal) -> WorkerError {
        match refusal {
            Refusal::Closed => WorkerError::Closed,
            other => WorkerError::Refused(self.room.error(other)),
        }
    }

    /// Tells the machine something, and does what it then orders.
    pub(super) fn tell<T>(self: &Rc<Self>, event: impl FnOnce(&mut Dispatch, Instant) -> T) -> Option<T> {
        let id = self.room.id;
        let told = self
            .room
            .host
            .call_quietly(|world, now| world.at_dispatch(id, |dispatch| event(dispatch, now)));
        self.carry_out();
        told
    }

    /// Does what the machine orders, one order after the other; what comes of it meanwhile is done by the outermost.
    pub(super) fn carry_out(self: &Rc<Self>) {
        if self.carrying.replace(true) {
            return;
        }
        let id = self.room.id;
        let next = || {
            let order = self
                .room
                .host
                .call_quietly(|world, _| world.at_dispatch(id, Dispatch::pop_order));
            order.flatten()
        };
        while let Some(order) = next() {
            self.obey(order);
        }
        self.carrying.set(false);
        self.room.host.drain();
        if self.is_over() {
            for parker in self.closing.take() {
                parker.unpark();
            }
        }
    }

    fn obey(self: &Rc<Self>, order: Order) {
        match order {
            Order::Spawn(worker) => self.start(worker),
            Order::Send { worker, tasks } => {
                let tasks = {
                    let calls = self.calls.borrow();
                    let task = |ticket: &Ticket| calls.get(&ticket.to_bits()).map(|call| call.task.clone());
                    tasks.iter().filter_map(task).collect()
                };
                if let Some(link) = self.link(worker) {
                    link.send(tasks);
                }
            }
            Order::Retire(worker) => {
                if let Some(link) = self.unlink(worker) {
                    link.retire();
                }
            }
            Order::Terminate(worker) => {
                if let Some(link) = self.unlink(worker) {
                    link.terminate();
                }
            }
            Order::Reject { task, fault } => {
                let error = |call: &Call<R>| match fault {
                    Fault::Crashed => WorkerError::Crashed,
                    Fault::TimedOut => WorkerError::TimedOut(call.timeout),
                    Fault::Closed => WorkerError::Closed,
                    Fault::Dropped => WorkerError::Refused(AcquireError::Dropped { queued: 0 }),
                };
                self.settle(task, |call| Err(error(call)));
            }
            Order::RunHere(task) => self.run_here(task),
        }
    }

    fn start(self: &Rc<Self>, worker: Ticket) {
        self.started.set(self.started.get() + 1);
        let name = format!("{} {}", self.room.host.name_of(self.room.id), self.started.get());
        let ears = WorkerEars::new(Rc::new(Listener {
            inner: Rc::downgrade(self),
            worker,
        }));
        let ends = match self.workers.start(&name, &self.kernels, ears) {
            Some(link) => {
                self.links.borrow_mut().insert(worker.to_bits(), link);
                return;
            }
            None => |dispatch: &mut Dispatch, _| dispatch.give_up(),
        };
        self.tell(ends);
    }

    pub(super) fn link(&self, worker: Ticket) -> Option<Rc<dyn Worker>> {
        self.links.borrow().get(&worker.to_bits()).cloned()
    }

    pub(super) fn unlink(&self, worker: Ticket) -> Option<Rc<dyn Worker>> {
        self.links.borrow_mut().remove(&worker.to_bits())
    }

    pub(super) fn settle(
        &self,
        task: Ticket,
        outcome: impl FnOnce(&Call<R>) -> Result<Vec<u8>, WorkerError>,
    ) {
        let call = self.calls.borrow_mut().remove(&task.to_bits());
        if let Some(call) = call {
            let outcome = outcome(&call);
            call.outcome.replace(Some(outcome));
            call.parker.unpark();
        }
    }

    /// Without workers: on this thread, when others have had their turn.
    fn run_here(self: &Rc<Self>, task: Ticket) {
        let inner = Rc::downgrade(self);
        let turn = self.room.host.runtime().yield_now();
        self.room.host.runtime().spawn(async move {
            turn.await;
            let Some(inner) = inner.upgrade() else { return };
            let awaited = inner.calls.borrow().get(&task.to_bits()).cloned();
            if let Some(call) = awaited {
                let outcome = inner.kernels.run(&call.task);
                inner.settle(task, |_| outcome.map_err(WorkerError::Kernel));
            }
        });
    }

    /// Busy workers get what has gathered when the caller's turn is over.
    pub(super) fn flush_soon(self: &Rc<Self>) {
        if self.flush_due.replace(true) {
            return;
        }
        let inner = Rc::downgrade(self);
        self.room.host.runtime().spawn(async move {
            if let Some(inner) = inner.upgrade() {
                inner.flush_due.set(false);
                inner.tell(Dispatch::flush);
            }
        });
    }

    pub(super) fn is_over(&self) -> bool {
        self.calls.borrow().is_empty() && self.look_or(0, Dispatch::workers) == 0
    }
}

impl<R: Runtime> Drop for Inner<R> {
    fn drop(&mut self) {
        for link in self.links.take().into_values() {
            link.terminate();
        }
    }
}

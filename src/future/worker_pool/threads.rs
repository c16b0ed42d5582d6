//! Workers that are threads of the operating system.

use super::kernels::{KernelError, Kernels};
use super::workers::{Worker, WorkerEars, WorkerTask, Workers};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream::StreamExt;
use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Workers that are threads of the operating system: they share the kernels, and bytes are copied to them and moved back.
///
/// A thread cannot be ended from outside. One that is given up, because its task runs too long or nobody waits for it any
/// more, finishes that task unheard and is gone then; another is started in its place at once.
///
/// The pool's executor has to take wakes from other threads, as any does that honours `Waker`; a `VirtualRuntime`, which
/// jumps over what nobody waits for in its own time, does not see threads at work.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadWorkers;

impl Workers for ThreadWorkers {
    fn start(&self, name: &str, kernels: &Kernels, ears: WorkerEars) -> Option<Rc<dyn Worker>> {
        let (orders, inbox) = channel();
        let (said, mut heard) = unbounded();
        let (kernels, forgotten) = (kernels.clone(), Arc::<Forgotten>::default());
        let skipped = Arc::clone(&forgotten);
        let started = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&kernels, &inbox, &said, &skipped));
        started.ok()?;
        let listening = ears.clone();
        ears.spawn(async move {
            while let Some(message) = heard.next().await {
                match message {
                    Said::Ready => listening.ready(),
                    Said::Answer(task, result, ran) => listening.answered(task, result, ran),
                    Said::Panicked(task) => listening.trapped(task),
                }
            }
            listening.died();
        });
        Some(Rc::new(Thread {
            orders: RefCell::new(Some(orders)),
            forgotten,
        }))
    }
}

type Order = (u64, Box<str>, Vec<Box<[u8]>>);

/// Tasks that need not be begun.
type Forgotten = Mutex<HashSet<u64>>;

enum Said {
    Ready,
    Answer(u64, Result<Vec<u8>, KernelError>, Duration),
    Panicked(u64),
}

struct Thread {
    orders: RefCell<Option<Sender<Order>>>,
    forgotten: Arc<Forgotten>,
}

impl Worker for Thread {
    fn send(&self, tasks: Vec<WorkerTask>) {
        if let Some(orders) = &*self.orders.borrow() {
            for WorkerTask { id, kernel, args } in tasks {
                let args = args.iter().map(|arg| Box::from(&**arg)).collect();
                // If it has ended, that is told by other means.
                let _ = orders.send((id, Box::from(&*kernel), args));
            }
        }
    }

    fn cancel(&self, task: u64) {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        forgotten.insert(task);
    }

    fn retire(&self) {
        self.orders.take();
    }

    fn terminate(&self) {
        self.orders.take();
    }
}

fn work(kernels: &Kernels, inbox: &Receiver<Order>, said: &UnboundedSender<Said>, forgotten: &Forgotten) {
    // Whoever hears nothing any more has gone; then there is nothing left to do.
    if said.unbounded_send(Said::Ready).is_err() {
        return;
    }
    while let Ok((task, kernel, args)) = inbox.recv() {
        let skip = forgotten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&task);
        #[allow(
            clippy::disallowed_methods,
            reason = "it measures what a task costs; nothing is decided by it here"
        )]
        let began = std::time::Instant::now();
        let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
        let result = match skip {
            true => Ok(Err(KernelError::new("nobody waits for it"))),
            false => catch_unwind(AssertUnwindSafe(|| kernels.call(&kernel, &args))),
        };
        let message = match result {
            Ok(result) => Said::Answer(task, result, began.elapsed()),
            Err(_) => Said::Panicked(task),
        };
        let broken = matches!(message, Said::Panicked(_));
        if said.unbounded_send(message).is_err() || broken {
            return;
        }
    }
}

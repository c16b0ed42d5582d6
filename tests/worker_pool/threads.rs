//! A pool of workers that are threads, on an executor that other threads can wake.
#![allow(clippy::disallowed_methods, reason = "threads work in real time")]

use futures::future::{LocalBoxFuture, join_all};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant as Real};
use tidegate::{
    Host, Instant, KernelError, Kernels, Runtime, TaskParker, ThreadWorkers, WorkerError, WorkerPool,
    WorkerPoolOptions, WorkerRunOptions, parallel_map, parallel_reduce,
};

/// The least that a runtime can be: it polls everything when it is woken, and now and then for those who sleep.
#[derive(Clone)]
struct Plain {
    began: Real,
    spawned: Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>,
}

struct Sleep(Real);

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Real::now() >= self.0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

struct Bell(Thread, AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::SeqCst);
        self.0.unpark();
    }
}

impl Plain {
    fn new() -> Self {
        Self {
            began: Real::now(),
            spawned: Rc::default(),
        }
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let bell = Arc::new(Bell(thread::current(), AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&bell));
        let mut context = Context::from_waker(&waker);
        let mut future = std::pin::pin!(future);
        loop {
            if !bell.1.swap(false, Ordering::SeqCst) {
                thread::park_timeout(Duration::from_millis(2));
            }
            if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                return result;
            }
            let tasks = self.spawned.take();
            for mut task in tasks {
                if task.as_mut().poll(&mut context).is_pending() {
                    self.spawned.borrow_mut().push(task);
                }
            }
        }
    }
}

impl Runtime for Plain {
    type Sleep = Sleep;
    type Yield = LocalBoxFuture<'static, ()>;
    type Parker = TaskParker;

    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }
    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep(self.began + Duration::from_micros(deadline.as_micros()))
    }
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(task));
    }
    fn yield_now(&self) -> Self::Yield {
        let mut yielded = false;
        Box::pin(std::future::poll_fn(move |context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut yielded, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }
    fn park(&self) -> TaskParker {
        TaskParker::new()
    }
    fn seed(&self) -> u64 {
        1
    }
}

fn pool(kernels: Kernels, options: WorkerPoolOptions) -> (Plain, WorkerPool<Plain>) {
    let runtime = Plain::new();
    let pool = WorkerPool::new(&Host::new(runtime.clone()), kernels, ThreadWorkers, options).unwrap();
    (runtime, pool)
}

#[test]
fn threads_share_a_map_and_leave_this_thread_alone() {
    let threads: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let kernels = Kernels::new().with("who", move |args| {
        let name = thread::current().name().unwrap_or_default().to_owned();
        seen.lock().unwrap().insert(name);
        Ok(args[0].to_vec())
    });
    let (runtime, pool) = pool(kernels, WorkerPoolOptions::new().name("divers").min(2).max(2));
    let inputs: Vec<Vec<u8>> = (0..2000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
    let options = WorkerRunOptions::new();
    let mapped = runtime.block_on(parallel_map(
        &pool,
        "who",
        inputs.iter().map(Vec::as_slice),
        &options,
    ));
    assert_eq!(mapped.unwrap(), inputs);
    let threads = threads.lock().unwrap().clone();
    assert!(
        threads
            .iter()
            .all(|name| ["divers 1", "divers 2"].contains(&name.as_str())),
        "{threads:?}"
    );
    assert!(!pool.runs_here());
    runtime.block_on(pool.close(Duration::from_secs(30)));
    assert_eq!(pool.workers(), 0);
}

#[test]
fn a_reduce_over_threads_keeps_the_order() {
    let kernels = Kernels::new().with("join", |args| Ok(args.concat()));
    let (runtime, pool) = pool(kernels, WorkerPoolOptions::new().max(3));
    let inputs: Vec<[u8; 1]> = (0..=255).map(|n| [n]).collect();
    let inputs = inputs.iter().map(<[u8; 1]>::as_slice);
    let reduced = runtime.block_on(parallel_reduce(
        &pool,
        "join",
        "join",
        inputs,
        &WorkerRunOptions::new(),
    ));
    assert_eq!(reduced.unwrap().unwrap(), (0..=255).collect::<Vec<u8>>());
}

#[test]
fn a_kernel_that_panics_costs_its_thread_and_nobody_elses_task() {
    let kernels = Kernels::new()
        .with("panic", |_| panic!("told to"))
        .with("fail", |_| Err(KernelError::new("no")))
        .with("echo", |args| Ok(args[0].to_vec()));
    let (runtime, pool) = pool(kernels, WorkerPoolOptions::new().max(1));
    let options = WorkerRunOptions::new();
    let (panicked, behind) = runtime.block_on(async {
        let one = pool.run("panic", [&b""[..]], &options);
        let behind = join_all((0..50).map(|_| pool.run("echo", [&b"tide"[..]], &options)));
        futures::join!(one, behind)
    });
    assert_eq!(panicked, Err(WorkerError::Crashed));
    assert!(
        behind.iter().all(|end| end.as_deref() == Ok(b"tide")),
        "none of those behind had begun"
    );
    let failed = runtime.block_on(pool.run("fail", [&b""[..]], &options));
    assert_eq!(failed, Err(WorkerError::Kernel(KernelError::new("no"))));
}

#[test]
fn a_thread_that_does_not_come_back_is_replaced() {
    let held = Arc::new(AtomicUsize::new(0));
    let hold = Arc::clone(&held);
    let kernels = Kernels::new()
        .with("hold", move |_| {
            hold.fetch_add(1, Ordering::SeqCst);
            while hold.load(Ordering::SeqCst) < 100 {
                thread::yield_now();
            }
            Ok(Vec::new())
        })
        .with("echo", |args| Ok(args[0].to_vec()));
    let (runtime, pool) = pool(kernels, WorkerPoolOptions::new().max(1));
    let limit = Duration::from_millis(50);
    let hung = runtime.block_on(pool.run("hold", [&b""[..]], &WorkerRunOptions::new().timeout(limit)));
    assert_eq!(hung, Err(WorkerError::TimedOut(Some(limit))));
    let echoed = runtime.block_on(pool.run("echo", [&b"tide"[..]], &WorkerRunOptions::new()));
    assert_eq!(echoed.unwrap(), b"tide");
    held.store(100, Ordering::SeqCst);
}

use super::*;
use crate::future::acquire_error::AcquireError;
use crate::future::virtual_runtime::VirtualRuntime;
use crate::machine::random::Random;
use futures::FutureExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::{join_all, pending};
use futures::stream::StreamExt;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const START: Duration = Duration::from_millis(20);
const COST: Duration = Duration::from_millis(5);

/// Workers of virtual time: they take a while to start and for each task, die of `crash` and of `flaky` now and then, and
/// never come back from `hang`.
#[derive(Clone)]
struct Simulated {
    runtime: VirtualRuntime,
    random: Rc<RefCell<Random>>,
    alive: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
    ran: Rc<RefCell<Vec<String>>>,
}

struct Remote {
    inbox: RefCell<Option<UnboundedSender<WorkerTask>>>,
    ended: Rc<Cell<bool>>,
    alive: Rc<Cell<usize>>,
}

impl Simulated {
    fn new(runtime: &VirtualRuntime) -> Self {
        Self {
            runtime: runtime.clone(),
            random: Rc::new(RefCell::new(Random::new(7))),
            alive: Rc::default(),
            most: Rc::default(),
            ran: Rc::default(),
        }
    }

    fn ran(&self) -> usize {
        self.ran.borrow().len()
    }
}

impl Workers for Simulated {
    fn start(&self, _name: &str, kernels: &Kernels, ears: WorkerEars) -> Option<Rc<dyn Worker>> {
        let (sender, mut inbox) = unbounded::<WorkerTask>();
        let remote = Rc::new(Remote {
            inbox: RefCell::new(Some(sender)),
            ended: Rc::default(),
            alive: Rc::clone(&self.alive),
        });
        self.alive.set(self.alive.get() + 1);
        self.most.set(self.most.get().max(self.alive.get()));
        let (this, kernels, link, own) = (self.clone(), kernels.clone(), Rc::clone(&remote), ears.clone());
        ears.spawn(async move {
            let ears = own;
            this.runtime.sleep(START).await;
            ears.ready();
            while let Some(task) = inbox.next().await {
                this.ran.borrow_mut().push(task.kernel.to_string());
                let dies = match &*task.kernel {
                    "crash" => true,
                    "flaky" => this.random.borrow_mut().bits() % 4 == 0,
                    "hang" => pending().await,
                    _ => false,
                };
                this.runtime.sleep(COST).await;
                if link.ended.get() {
                    return;
                }
                if dies {
                    link.end();
                    return ears.died();
                }
                ears.answered(task.id, kernels.run(&task), COST);
            }
            link.end();
        });
        Some(remote)
    }
}

impl Remote {
    fn end(&self) {
        if !self.ended.replace(true) {
            self.alive.set(self.alive.get() - 1);
        }
        self.inbox.take();
    }
}

impl Worker for Remote {
    fn send(&self, tasks: Vec<WorkerTask>) {
        for task in tasks {
            if let Some(inbox) = &*self.inbox.borrow() {
                inbox.unbounded_send(task).unwrap();
            }
        }
    }

    fn retire(&self) {
        self.inbox.take();
    }

    fn terminate(&self) {
        self.end();
    }
}

fn kernels() -> Kernels {
    let same = |args: &[&[u8]]| Ok(args.concat());
    Kernels::new()
        .with("echo", same)
        .with("crash", same)
        .with("flaky", same)
        .with("hang", same)
        .with("fail", |_| Err(KernelError::new("the tide is out")))
}

fn pool(options: WorkerPoolOptions) -> (VirtualRuntime, WorkerPool<VirtualRuntime>, Simulated) {
    let runtime = VirtualRuntime::new();
    let simulated = Simulated::new(&runtime);
    let pool = WorkerPool::new(&Host::new(runtime.clone()), kernels(), simulated.clone(), options).unwrap();
    (runtime, pool, simulated)
}

fn options() -> WorkerPoolOptions {
    WorkerPoolOptions::new().max(2)
}

async fn run(pool: &WorkerPool<VirtualRuntime>, kernel: &str) -> Result<Vec<u8>, WorkerError> {
    pool.run(kernel, [&b"tide"[..]], &WorkerRunOptions::new()).await
}

#[test]
fn a_kernel_gives_its_result_or_its_own_error() {
    let (runtime, pool, _) = pool(options());
    assert_eq!(runtime.block_on(run(&pool, "echo")).unwrap(), b"tide");
    let failed = runtime.block_on(run(&pool, "fail")).unwrap_err();
    assert_eq!(
        (failed.to_string().as_str(), failed.code()),
        ("the tide is out", "KERNEL")
    );
    let unknown = runtime.block_on(run(&pool, "echoes"));
    assert_eq!(unknown, Err(WorkerError::UnknownKernel("echoes".to_owned())));
    assert_eq!(pool.counts().completed, 2);
}

#[test]
fn workers_come_with_the_work_share_it_and_leave_when_idle() {
    let (runtime, pool, simulated) = pool(options().idle(Some(Duration::from_secs(1))));
    assert_eq!(pool.workers(), 0, "none before there is work");
    let all = runtime.block_on(join_all((0..40).map(|_| run(&pool, "echo"))));
    assert!(all.iter().all(Result::is_ok));
    assert_eq!((simulated.most.get(), pool.counts().spawned), (2, 2));
    assert!(
        runtime.now().as_micros() < 200_000,
        "two at once: {:?}",
        runtime.now()
    );
    runtime.block_on(runtime.sleep(Duration::from_secs(3)));
    assert_eq!((pool.workers(), simulated.alive.get()), (0, 0));
}

#[test]
fn a_task_that_may_run_once_is_not_run_twice_and_another_worker_takes_over() {
    let (runtime, pool, simulated) = pool(options());
    assert_eq!(runtime.block_on(run(&pool, "crash")), Err(WorkerError::Crashed));
    assert_eq!(simulated.ran(), 1);
    assert_eq!(runtime.block_on(run(&pool, "echo")).unwrap(), b"tide");
}

#[test]
fn whatever_dies_every_task_settles_and_only_idempotent_ones_run_again() {
    let (runtime, pool, simulated) = pool(options().retries(50));
    let again = WorkerRunOptions::new().idempotent();
    let once = WorkerRunOptions::new();
    let mut tasks = Vec::new();
    for n in 0..200 {
        let options = if n % 2 == 0 { &again } else { &once };
        tasks.push(pool.run("flaky", [&b"x"[..]], options));
    }
    let ends = runtime.block_on(join_all(tasks));
    let (idempotent, others): (Vec<_>, Vec<_>) = ends.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    assert!(idempotent.iter().all(|(_, end)| end.is_ok()));
    assert!(
        others
            .iter()
            .all(|(_, end)| end.is_ok() || **end == Err(WorkerError::Crashed))
    );
    assert!(others.iter().any(|(_, end)| end.is_err()) && pool.counts().retried > 0);
    assert_eq!(pool.queued(), 0);
    // What went down with a worker need not have begun there.
    assert!(simulated.ran() >= ends.iter().filter(|end| end.is_ok()).count());
}

#[test]
fn a_task_that_hangs_costs_its_worker_at_t_and_not_before() {
    let (runtime, pool, simulated) = pool(options().max(1));
    let limit = Duration::from_secs(2);
    let hang = WorkerRunOptions::new().timeout(limit);
    let hanging = pool.run("hang", [&b""[..]], &hang);
    let behind = run(&pool, "echo");
    let (hung, behind) = runtime.block_on(async { futures::join!(hanging, behind) });
    assert_eq!(hung, Err(WorkerError::TimedOut(Some(limit))));
    assert_eq!(behind.unwrap(), b"tide");
    let spent = runtime.now().as_micros();
    assert!((2_020_000..2_100_000).contains(&spent), "{spent}");
    assert_eq!((pool.counts().spawned, simulated.alive.get()), (2, 1));
}

#[test]
fn a_dropped_call_is_taken_back_and_one_that_runs_on_costs_its_worker() {
    let (runtime, pool, simulated) = pool(options().max(1).grace(Duration::from_secs(1)));
    let mut hanging = run(&pool, "hang").boxed_local();
    let mut queued = run(&pool, "echo").boxed_local();
    assert!((&mut hanging).now_or_never().is_none() && (&mut queued).now_or_never().is_none());
    runtime.block_on(runtime.sleep(START * 2));
    drop(queued);
    drop(hanging);
    assert_eq!(pool.queued(), 0);
    assert_eq!(runtime.block_on(run(&pool, "echo")).unwrap(), b"tide");
    assert_eq!(
        (simulated.ran(), pool.counts().cancelled),
        (2, 2),
        "the one that was queued never ran"
    );
    let untouched = run(&pool, "echo").boxed_local();
    drop(untouched);
    assert_eq!(
        pool.counts().submitted,
        3,
        "a call that was never polled asks nothing"
    );
}

#[test]
fn without_workers_the_same_calls_run_here_in_turns() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let pool = WorkerPool::new(&host, kernels(), NoWorkers, WorkerPoolOptions::new()).unwrap();
    let ends = runtime.block_on(join_all((0..20).map(|_| run(&pool, "echo"))));
    assert!(ends.iter().all(|end| end.as_deref() == Ok(b"tide")));
    assert!(pool.runs_here());
    assert!(runtime.block_on(run(&pool, "fail")).is_err());
}

#[test]
fn closing_finishes_what_was_taken_in_and_refuses_what_comes() {
    let (runtime, pool, simulated) = pool(options());
    let work = join_all((0..10).map(|_| run(&pool, "echo")));
    let (ends, late) = runtime.block_on(async {
        let closing = async {
            runtime.yield_now().await;
            pool.close(Duration::from_secs(30)).await;
            run(&pool, "echo").await
        };
        futures::join!(work, closing)
    });
    assert!(ends.iter().all(Result::is_ok));
    assert_eq!(late, Err(WorkerError::Closed));
    runtime.settle();
    assert_eq!((pool.workers(), simulated.alive.get()), (0, 0));
}

#[test]
fn closing_gives_up_what_outlasts_its_grace() {
    let (runtime, pool, simulated) = pool(options());
    let (hung, ()) = runtime.block_on(async {
        let closing = async {
            runtime.sleep(START * 2).await;
            pool.close(Duration::from_secs(3)).await;
        };
        futures::join!(run(&pool, "hang"), closing)
    });
    assert_eq!((hung, simulated.alive.get()), (Err(WorkerError::Closed), 0));
}

#[test]
fn the_last_handle_takes_the_workers_along() {
    let (runtime, pool, simulated) = pool(options().min(2));
    runtime.block_on(runtime.sleep(START * 2));
    assert_eq!((pool.workers(), simulated.alive.get()), (2, 2));
    let other = pool.clone();
    drop(pool);
    assert_eq!(simulated.alive.get(), 2);
    drop(other);
    assert_eq!(simulated.alive.get(), 0);
}

#[test]
fn a_full_queue_refuses_and_options_that_cannot_be_are_told() {
    let (runtime, pool, _) = pool(options().max(1).capacity(1));
    let ends = runtime.block_on(join_all((0..2000).map(|_| run(&pool, "echo"))));
    let refused = |end: &&Result<_, WorkerError>| {
        matches!(end, Err(WorkerError::Refused(AcquireError::QueueFull { .. })))
    };
    let count = ends.iter().filter(refused).count();
    assert!(count > 0 && ends.iter().filter(|end| end.is_ok()).count() == 2000 - count);
    let host = Host::new(VirtualRuntime::new());
    let none = WorkerPool::new(&host, kernels(), NoWorkers, WorkerPoolOptions::new().max(0));
    assert!(none.unwrap_err().to_string().contains("size.max"));
}

#[test]
fn a_map_keeps_the_order_and_ends_at_the_first_failure() {
    let (runtime, pool, simulated) = pool(options());
    let inputs: Vec<Vec<u8>> = (0..100).map(|n| vec![n]).collect();
    let options = WorkerRunOptions::new();
    let mapped = parallel_map(&pool, "echo", inputs.iter().map(Vec::as_slice), &options);
    assert_eq!(runtime.block_on(mapped).unwrap(), inputs);
    assert_eq!(simulated.most.get(), 2);
    let failed = parallel_map(&pool, "fail", inputs.iter().map(Vec::as_slice), &options);
    assert!(matches!(runtime.block_on(failed), Err(WorkerError::Kernel(_))));
    assert_eq!(pool.queued(), 0, "what was not begun is taken back");
    let none = runtime.block_on(parallel_map(&pool, "echo", [], &options));
    assert_eq!(none, Ok(Vec::new()));
}

#[test]
fn a_reduce_merges_neighbours_in_their_order() {
    let (runtime, pool, _) = pool(options());
    for count in [0_u8, 1, 2, 3, 7, 32, 33] {
        let inputs: Vec<[u8; 1]> = (0..count).map(|n| [n]).collect();
        let inputs = inputs.iter().map(<[u8; 1]>::as_slice);
        let options = WorkerRunOptions::new();
        let reduced = runtime
            .block_on(parallel_reduce(&pool, "echo", "echo", inputs, &options))
            .unwrap();
        let expected: Vec<u8> = (0..count).collect();
        assert_eq!(reduced, (count > 0).then_some(expected));
    }
}

#[test]
fn a_pool_of_workers_stands_in_the_registry_under_its_name() {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let named = options().name("divers");
    let pool = WorkerPool::new(&host, kernels(), Simulated::new(&runtime), named).unwrap();
    runtime.block_on(run(&pool, "echo")).unwrap();
    let snapshot = crate::Metrics::new(&host).snapshot();
    let readings = snapshot
        .others
        .iter()
        .find(|readings| &*readings.name == "divers")
        .unwrap();
    assert_eq!(readings.kind, "workers");
    assert_eq!(readings.value("tasks", Some("completed")), Some(1));
    assert_eq!(readings.value("active", None), Some(1));
}

#[cfg(feature = "kernels")]
#[test]
fn the_kernels_of_the_crate_are_registered_under_their_names() {
    use crate::kernels::sha256;
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let pool = WorkerPool::new(&host, Kernels::built_in(), NoWorkers, WorkerPoolOptions::new()).unwrap();
    let options = WorkerRunOptions::new();
    let inputs = ["ebb", "flood", "slack"].map(str::as_bytes);
    let hashes = runtime
        .block_on(parallel_map(&pool, "sha256", inputs, &options))
        .unwrap();
    assert_eq!(hashes[1], sha256::digest(b"flood"));
    let counts = parallel_reduce(&pool, "byteHistogram", "mergeByteHistograms", inputs, &options);
    let counts = runtime.block_on(counts).unwrap().unwrap();
    assert_eq!(counts[4 * usize::from(b'b')], 2);
    let print = runtime
        .block_on(pool.run("fingerprint", [&b"high water"[..]], &options))
        .unwrap();
    let alike = runtime
        .block_on(pool.run("similarity", [&print[..], &print], &options))
        .unwrap();
    assert_eq!(alike, 1.0_f64.to_le_bytes());
    assert!(
        runtime
            .block_on(pool.run("similarity", [&print[..]], &options))
            .is_err()
    );
}

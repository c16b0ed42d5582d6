//! What programs do: small random programs over the policies, with faults.

use crate::watch::{Bound, Passes, Watch, leaving_after};
use futures::StreamExt;
use std::rc::Rc;
use std::time::Duration;
use tidegate::machine::random::Random;
use tidegate::{
    Advice, BatchOptions, CircuitBreaker, GraphTask, Metrics, Outcome, Pool, RateLimiter, Retry, RunError,
    RunOptions, Runtime, Semaphore, Submission, TaskGraph, Transient, VirtualRuntime, as_completed, batch,
    gather,
};

type R = VirtualRuntime;

/// Everything that clients share.
pub(crate) struct Shared {
    pub(crate) runtime: R,
    pub(crate) watch: Watch,
    pub(crate) breaker: CircuitBreaker<R>,
    pub(crate) pools: Vec<(Pool<R>, Bound)>,
    pub(crate) semaphore: Semaphore<R>,
    pub(crate) permits: Bound,
    pub(crate) limiter: RateLimiter<R>,
    pub(crate) passes: Passes,
    pub(crate) in_line: Bound,
    pub(crate) retry: Retry<R>,
    pub(crate) metrics: Metrics<R>,
}

/// What goes wrong in a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Busy,
    Broken,
}

impl Transient for Fault {
    fn advice(&self) -> Advice {
        match self {
            Self::Busy => Advice::Again,
            Self::Broken => Advice::Never,
        }
    }
}

/// A task as it will go, decided before it is submitted.
#[derive(Clone)]
pub(crate) struct Task {
    pool: usize,
    weight: u32,
    options: RunOptions,
    micros: u64,
    end: End,
    nested: bool,
}

#[derive(Clone, Copy)]
enum End {
    Well,
    Fault(Fault),
    Panic,
    Never,
}

pub(crate) fn some_task(random: &mut Random, shared: &Shared, pool: usize) -> Task {
    let weight = 1 + (random.up_to(5) == 0) as u32 + (random.up_to(20) == 0) as u32;
    let mut options = RunOptions::new().weight(weight);
    options = options
        .priority(random.up_to(6) as i32 - 3)
        .cost(random.up_to(2) as u32);
    if random.up_to(2) == 0 {
        options = options.key(random.up_to(3).to_string());
    }
    if random.up_to(3) == 0 {
        options = options.timeout(Duration::from_micros(random.up_to(20_000)));
    }
    if random.up_to(3) == 0 {
        options = options.wait_timeout(Duration::from_micros(random.up_to(30_000)));
    }
    if random.up_to(5) == 0 {
        options = options.deadline(shared.runtime.now() + Duration::from_micros(random.up_to(50_000)));
    }
    let end = match random.up_to(30) {
        0..5 => End::Fault(Fault::Busy),
        5..8 => End::Fault(Fault::Broken),
        8 => End::Panic,
        9 => End::Never,
        _ => End::Well,
    };
    let micros = if random.up_to(4) == 0 {
        0
    } else {
        random.up_to(15_000)
    };
    Task {
        pool,
        weight,
        options,
        micros,
        end,
        nested: random.up_to(15) == 0,
    }
}

impl Task {
    fn of_weight(self, weight: u32) -> Self {
        Self {
            weight,
            options: self.options.clone().weight(weight),
            ..self
        }
    }

    pub(crate) fn submit(self, shared: &Rc<Shared>) -> Submission<R, u64, Fault> {
        let body = self.clone().body(Rc::clone(shared));
        shared.pools[self.pool].0.submit(self.options, move |_| body)
    }

    async fn run(self, shared: Rc<Shared>) -> Result<u64, RunError<Fault>> {
        let body = self.clone().body(Rc::clone(&shared));
        shared.pools[self.pool].0.run(self.options, move |_| body).await
    }

    async fn body(self, shared: Rc<Shared>) -> Result<u64, Fault> {
        let (pool, bound) = &shared.pools[self.pool];
        bound.raise(pool.concurrency());
        let _at_work = bound.enter(self.weight, || pool.abandoned() > 0);
        if self.nested {
            // A crawler that feeds its own pool, and does not wait for what it found.
            let found = Task {
                nested: false,
                ..self.clone()
            };
            drop(found.submit(&shared));
        }
        if self.micros > 0 {
            shared.runtime.sleep(Duration::from_micros(self.micros)).await;
        } else {
            shared.runtime.yield_now().await;
        }
        match self.end {
            End::Well => Ok(self.micros),
            End::Fault(fault) => Err(fault),
            // A panic without the hook's report.
            End::Panic => std::panic::resume_unwind(Box::new("fault")),
            End::Never => std::future::pending().await,
        }
    }
}

/// Spawns a client that does one of many things and may be dropped in the middle of it.
pub(crate) fn spawn_some(random: &mut Random, shared: &Rc<Shared>, pool: usize) {
    let client = shared.watch.client();
    let patience = Duration::from_micros(if random.up_to(2) == 0 {
        random.up_to(20_000)
    } else {
        120_000_000
    });
    let kind = random.up_to(10);
    let tasks: Vec<_> = (0..1 + random.up_to(4))
        .map(|_| some_task(random, shared, pool))
        .collect();
    let micros = Duration::from_micros(random.up_to(10_000));
    let number = 1 + random.up_to(2) as u32;
    let shared = Rc::clone(shared);
    shared.runtime.clone().spawn(async move {
        let runtime = shared.runtime.clone();
        let work = do_one(kind, Rc::clone(&shared), tasks, micros, number);
        let ended = leaving_after(&runtime, patience, work).await;
        shared.watch.saw(kind << 32 | u64::from(ended.is_some()));
        drop(client);
    });
}

async fn do_one(kind: u64, shared: Rc<Shared>, mut tasks: Vec<Task>, micros: Duration, number: u32) {
    let first = tasks[0].clone();
    match kind {
        0 | 1 => drop(first.run(shared).await),
        2 => hold_a_permit(&shared, micros, number).await,
        3 => {
            let in_line = shared.in_line.enter(1, || true);
            let passed = shared.limiter.acquire(number).await.is_ok();
            drop(in_line);
            if passed {
                shared.passes.pass(shared.runtime.now().as_micros(), number);
            }
        }
        4 => {
            let judge = |result: &Result<u64, Fault>| match result {
                Ok(_) => Outcome::Success,
                Err(Fault::Busy) => Outcome::Failure,
                Err(Fault::Broken) => Outcome::Ignored,
            };
            let bound = Bound::new(&shared.watch, "breaker", u32::MAX);
            let work = async || {
                let _at_work = bound.enter(1, || false);
                shared.runtime.sleep(micros).await;
                if number == 1 { Err(Fault::Busy) } else { Ok(0) }
            };
            drop(shared.breaker.run_judged(work, judge).await);
        }
        5 => drop(shared.retry.run(|_| first.clone().run(Rc::clone(&shared))).await),
        6 => drop(
            gather(tasks.into_iter().map(|task| task.run(Rc::clone(&shared))))
                .concurrency(2)
                .await,
        ),
        7 => {
            let some =
                as_completed(tasks.into_iter().map(|task| task.run(Rc::clone(&shared)))).concurrency(3);
            some.take(2).for_each(async |_| ()).await;
        }
        8 => {
            let options = BatchOptions {
                batch_size: 2,
                batch_timeout: Some(micros),
                ..BatchOptions::default()
            };
            let own = Rc::clone(&shared);
            let run = move |task: Task| task.run(Rc::clone(&own));
            batch(&shared.runtime, tasks, run, options)
                .for_each(async |_| ())
                .await;
        }
        9 => {
            let pool = shared.pools[first.pool].0.clone();
            let weight = first.weight;
            let source = futures::stream::iter(tasks.drain(..).map(|task| task.of_weight(weight)));
            let mapped = pool.map(source, |task, _| task.body(Rc::clone(&shared)));
            mapped
                .options(first.options.clone())
                .take(3)
                .for_each(async |_| ())
                .await;
        }
        _ => a_graph(&shared, tasks).await,
    }
}

async fn hold_a_permit(shared: &Shared, micros: Duration, number: u32) {
    let options = RunOptions::new().weight(number);
    if let Ok(permit) = shared.semaphore.acquire(options).await {
        let at_work = shared.permits.enter(number, || false);
        shared.runtime.sleep(micros).await;
        if !permit.is_held() {
            shared
                .watch
                .broken(|| "a permit without a lease was taken back".to_owned());
        }
        drop(at_work);
    }
}

async fn a_graph(shared: &Rc<Shared>, tasks: Vec<Task>) {
    let graph = TaskGraph::new(&shared.runtime);
    for (number, task) in tasks.into_iter().enumerate() {
        let before: Vec<String> = (0..number).map(|before| before.to_string()).collect();
        let shared = Rc::clone(shared);
        let run = async move |_| task.run(shared).await;
        let added = graph.add(GraphTask::new(number.to_string(), run).depends_on(before));
        crate::epoch::setup(added);
    }
    drop(graph.execute().await);
}

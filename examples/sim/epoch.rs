//! One world: it is made, driven for some steps, and brought to its end, where nothing may be left.

use crate::clients::{self, Shared};
use crate::families::Families;
use crate::keyed::Keyed;
use crate::meetings::Meetings;
use crate::plugins::Plugins;
use crate::sharing::Sharing;
use crate::watch::{Bound, Passes, Watch};
use std::rc::Rc;
use std::time::Duration;
use tidegate::machine::random::Random;
use tidegate::{
    AdaptiveConfig, Algorithm, BreakerConfig, CircuitBreaker, CloseOptions, Host, Isolation, Metrics,
    OnTimeout, Overflow, Pool, PoolOptions, QueueConfig, Queued, RateConfig, RateLimiter, Retry, RetryConfig,
    Runtime, Semaphore, Submission, VirtualRuntime,
};

/// How far a pool that finds its own size may go.
const MOST_ADAPTED: u32 = 5;

pub(crate) struct Epoch {
    random: Random,
    shared: Rc<Shared>,
    meetings: Rc<Meetings>,
    sharing: Rc<Sharing>,
    families: Rc<Families>,
    plugins: Rc<Plugins>,
    keyed: Rc<Keyed>,
    submissions: Vec<Submission<VirtualRuntime, u64, clients::Fault>>,
    isolations: Vec<Isolation<VirtualRuntime>>,
}

/// What an epoch came to.
pub(crate) struct Ended {
    pub(crate) trace: u64,
    pub(crate) clients: u64,
    pub(crate) works: u64,
}

impl Epoch {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let runtime = VirtualRuntime::shuffled(random.bits());
        let host = Host::new(runtime.clone());
        let watch = Watch::default();
        let breaker = setup(CircuitBreaker::new(&host, some_breaker(&mut random)));
        let mut pools = Vec::new();
        for number in 0..3 {
            let options = some_pool(&mut random).name(format!("pool {number}"));
            let pool = match random.up_to(2) {
                0 => setup(Pool::with_breaker(options, &breaker)),
                1 => setup(Pool::new(&host, options.breaker(some_breaker(&mut random)))),
                _ => setup(Pool::new(&host, options)),
            };
            let bound = Bound::new(
                &watch,
                format!("pool {number}"),
                pool.concurrency().max(MOST_ADAPTED),
            );
            pools.push((pool, bound));
        }
        let permits = 1 + random.up_to(4) as u32;
        let (limit, per) = (1 + random.up_to(5) as u32, 5_000 + random.up_to(50_000));
        let rule = setup(RateConfig::sliding_window(limit, Duration::from_micros(per)));
        let shared = Shared {
            semaphore: setup(Semaphore::new(&host, permits)),
            permits: Bound::new(&watch, "semaphore", permits),
            limiter: setup(RateLimiter::new(&host, [rule])),
            passes: Passes::new(&watch, limit, per),
            in_line: Bound::new(&watch, "line of the rate", u32::MAX),
            retry: Retry::new(&runtime, RetryConfig::default()),
            metrics: Metrics::new(&host),
            runtime,
            watch,
            breaker,
            pools,
        };
        let meetings = Rc::new(Meetings::new(&host, &shared.watch, &mut random));
        let sharing = Rc::new(Sharing::new(&host, &shared.watch, &mut random));
        let families = Rc::new(Families::new(&host, &shared.watch, &mut random));
        let plugins = Rc::new(Plugins::new(&shared.runtime, &shared.watch, &mut random));
        let keyed = Rc::new(Keyed::new(&host, &shared.watch, &mut random));
        Self {
            random,
            meetings,
            sharing,
            families,
            plugins,
            keyed,
            shared: Rc::new(shared),
            submissions: Vec::new(),
            isolations: Vec::new(),
        }
    }

    /// Does one thing that a program might do, and looks whether everything still holds.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let choice = self.random.up_to(99);
        let micros = Duration::from_micros(self.random.up_to(20_000));
        let at = self.random.up_to(2) as usize;
        let shared = Rc::clone(&self.shared);
        let (pool, bound) = &shared.pools[at];
        match choice {
            0..22 => {
                let task = clients::some_task(&mut self.random, &shared, at);
                let before = pool.active() + pool.queued() + pool.waiting_for_room();
                let submission = task.submit(&shared);
                if !submission.is_done()
                    && pool.active() + pool.queued() + pool.waiting_for_room() == 0
                    && before == 0
                {
                    shared
                        .watch
                        .broken(|| format!("pool {at}: a submission is nowhere"));
                }
                self.submissions.push(submission);
            }
            22..33 => self.meetings.spawn_some(&mut self.random),
            33..41 => self.sharing.spawn_some(&mut self.random),
            41..44 => self.families.spawn_some(&mut self.random),
            44..46 => self.plugins.spawn_some(&mut self.random),
            46 => self.sharing.disturb(),
            47..49 => self.keyed.spawn_some(&mut self.random),
            49..55 => clients::spawn_some(&mut self.random, &shared, at),
            55..63 => self.cancel_one(),
            63..66 => {
                let slots = 1 + self.random.up_to(5) as u32;
                bound.raise(slots);
                pool.resize(slots);
            }
            66..68 => pool.pause(),
            68..72 => pool.resume(),
            72..74 => pool.cool_down(micros),
            74 => {
                let permits = 1 + self.random.up_to(5) as u32;
                shared.permits.raise(permits);
                shared.semaphore.resize(permits);
            }
            75 => shared.limiter.cool_down(micros),
            76 => self.isolations.push(shared.breaker.isolate()),
            77..80 => drop(self.isolations.pop()),
            80..82 => self.look(at),
            82 => shared.runtime.settle(),
            _ => shared.runtime.advance(micros),
        }
        if shared.limiter.waiting() > shared.in_line.slots() as usize {
            shared
                .watch
                .broken(|| "one who left the line of the rate still stands in it".to_owned());
        }
        self.sharing.look();
        shared
            .watch
            .saw(choice ^ shared.runtime.now().as_micros().rotate_left(16) ^ (u64::from(pool.active()) << 8));
        shared.watch.check()
    }

    /// Lets everything come to its end: then nobody may wait, nothing may run, no timer and no task may be left.
    pub(crate) fn end(mut self) -> Result<Ended, String> {
        self.isolations.clear();
        let shared = Rc::clone(&self.shared);
        let runtime = &shared.runtime;
        let options = CloseOptions {
            grace: Duration::from_secs(5),
            queued: if self.random.up_to(3) == 0 {
                Queued::Reject
            } else {
                Queued::Finish
            },
        };
        for (pool, _) in &shared.pools {
            pool.resume();
            let pool = pool.clone();
            runtime.spawn(async move {
                pool.close(options).await;
            });
        }
        // Long enough for every wait, every grace, every back-off and every open breaker.
        runtime.advance(Duration::from_secs(600));
        self.meetings.dismiss();
        runtime.settle();
        self.meetings.end();
        self.sharing.end();
        self.families.end();
        self.keyed.end();
        for (number, submission) in self.submissions.drain(..).enumerate() {
            if !submission.is_done() {
                shared
                    .watch
                    .broken(|| format!("submission {number} has never settled"));
            }
        }
        for (pool, _) in &shared.pools {
            let left = (
                pool.active(),
                pool.queued(),
                pool.waiting_for_room(),
                pool.abandoned(),
                pool.tasks().len(),
            );
            if left != (0, 0, 0, 0, 0) {
                shared
                    .watch
                    .broken(|| format!("{:?} is left with {left:?}", pool.name()));
            }
        }
        if shared.semaphore.available() != shared.semaphore.permits() || shared.semaphore.queued() != 0 {
            shared
                .watch
                .broken(|| format!("{:?} has lost permits", shared.semaphore));
        }
        if shared.limiter.waiting() != 0 {
            shared
                .watch
                .broken(|| "somebody still waits for the rate".to_owned());
        }
        let left = (runtime.pending_timers(), runtime.pending_tasks());
        if left != (0, 0) {
            shared
                .watch
                .broken(|| format!("{left:?} timers and tasks are left"));
        }
        shared.watch.left()?;
        shared.watch.check()?;
        let (clients, works) = shared.watch.totals();
        Ok(Ended {
            trace: shared.watch.trace(),
            clients,
            works,
        })
    }

    fn cancel_one(&mut self) {
        if self.submissions.is_empty() {
            return;
        }
        let at = self.random.up_to(self.submissions.len() as u64 - 1) as usize;
        let submission = self.submissions.swap_remove(at);
        let listed = |id: u64| {
            self.shared
                .pools
                .iter()
                .any(|(pool, _)| pool.tasks().iter().any(|task| task.id == id))
        };
        if submission.cancel() && submission.id().is_some_and(listed) {
            self.shared
                .watch
                .broken(|| "a cancelled submission still has its place".to_owned());
        }
        self.submissions.push(submission);
    }

    fn look(&self, at: usize) {
        let snapshot = self.shared.metrics.snapshot();
        let tasks = &snapshot.pools[at].tasks;
        if tasks.started > tasks.accepted {
            self.shared
                .watch
                .broken(|| format!("pool {at}: more started than accepted: {tasks:?}"));
        }
        if !self.shared.metrics.to_openmetrics().ends_with("# EOF\n") {
            self.shared.watch.broken(|| "the metrics do not end".to_owned());
        }
    }
}

fn some_pool(random: &mut Random) -> PoolOptions {
    let mut options = if random.up_to(4) == 0 {
        let algorithms = [
            Algorithm::Aimd,
            Algorithm::Gradient,
            Algorithm::Vegas,
            Algorithm::Threshold,
        ];
        let algorithm = algorithms[random.up_to(3) as usize];
        PoolOptions::adaptive(setup(AdaptiveConfig::new(algorithm, 1, MOST_ADAPTED)))
    } else {
        PoolOptions::new(1 + random.up_to(4) as u32)
    };
    let overflows = [
        Overflow::Wait,
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Error,
    ];
    let bound = |random: &mut Random| (random.up_to(1) == 0).then(|| random.up_to(8) as u32);
    options = options.queue(QueueConfig {
        capacity: bound(random),
        overflow: overflows[random.up_to(3) as usize],
        max_waiters: bound(random),
        aging: random.up_to(16) as u32,
    });
    if random.up_to(2) == 0 {
        options = options.timeout(Duration::from_micros(1 + random.up_to(30_000)));
    }
    if random.up_to(2) == 0 {
        options = options.wait_timeout(Duration::from_micros(random.up_to(60_000)));
    }
    if random.up_to(3) == 0 {
        options = options.on_timeout(OnTimeout::Hold);
    }
    if random.up_to(2) == 0 {
        let rate = RateConfig::token_bucket(
            1 + random.up_to(9) as u32,
            Duration::from_micros(1000 + random.up_to(20_000)),
            None,
        );
        options = options.rate(setup(rate));
    }
    options
}

fn some_breaker(random: &mut Random) -> BreakerConfig {
    let config = setup(BreakerConfig::default().consecutive(1 + random.up_to(5) as u32));
    setup(config.open_for(Duration::from_micros(1 + random.up_to(100_000))))
}

/// Options that are made here are right, or the simulation is wrong.
#[expect(clippy::panic, reason = "a simulation that is wrong says nothing")]
pub(crate) fn setup<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the simulation itself is wrong: {error}"),
    }
}

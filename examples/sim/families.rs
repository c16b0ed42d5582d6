//! Tasks that await tasks of other pools and locks, and say so. No wait in here has a time-out, so that all of them end only if every
//! deadlock is seen; and in half of the epochs no deadlock is possible, so that none may be seen.

use crate::epoch::setup;
use crate::watch::{Bound, Holders, Watch, leaving_after, nap};
use futures::future::{FutureExt, LocalBoxFuture};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tidegate::machine::random::Random;
use tidegate::{
    AcquireError, Host, LockError, LockOptions, LockSet, Pool, PoolOptions, RunError, RunOptions, Runtime,
    TaskContext, VirtualRuntime,
};

type R = VirtualRuntime;

const NAMES: [&str; 3] = ["a", "b", "c"];

pub(crate) struct Families {
    runtime: R,
    watch: Watch,
    pools: Vec<(Pool<R>, Bound)>,
    locks: LockSet<R>,
    inside: Holders,
    /// Calls only go to later pools, locks are taken last and in their order: no circle can close.
    in_order: bool,
}

/// What a task does, decided before it is submitted.
#[derive(Clone)]
enum Act {
    Sleep(Duration),
    Call(usize, Vec<Act>),
    Lock(usize, Vec<Act>),
}

/// It was part of a circle, or somebody it called was.
#[derive(Debug)]
struct Circle;

impl Families {
    pub(crate) fn new(host: &Host<R>, watch: &Watch, random: &mut Random) -> Self {
        let pools = (0..3).map(|number| {
            let slots = 1 + random.up_to(2) as u32;
            let pool = setup(Pool::new(host, PoolOptions::new(slots)));
            (pool, Bound::new(watch, format!("family pool {number}"), slots))
        });
        Self {
            pools: pools.collect(),
            runtime: host.runtime().clone(),
            watch: watch.clone(),
            locks: setup(LockSet::new(host)),
            inside: Holders::new(watch),
            in_order: random.up_to(1) == 0,
        }
    }

    pub(crate) fn spawn_some(self: &Rc<Self>, random: &mut Random) {
        let client = self.watch.client();
        let patience = match random.up_to(3) {
            0 => Duration::from_millis(random.up_to(60)),
            _ => Duration::MAX,
        };
        let pool = random.up_to(2) as usize;
        let acts = self.some_acts(random, pool, 3);
        let own = Rc::clone(self);
        self.runtime.spawn(async move {
            let work = Rc::clone(&own).run(None, pool, acts);
            let ended = leaving_after(&own.runtime, patience, work).await;
            own.watch.saw(1 << 48 | u64::from(matches!(ended, Some(Ok(())))));
            drop(client);
        });
    }

    /// What must hold when everybody has gone.
    pub(crate) fn end(&self) {
        for (pool, _) in &self.pools {
            if pool.active() + pool.queued() > 0 {
                self.watch.broken(|| format!("{pool:?} is left with tasks"));
            }
        }
        for name in NAMES {
            if self.locks.is_held(name) || self.locks.waiting(name) > 0 {
                self.watch
                    .broken(|| format!("a family still stands at lock `{name}`"));
            }
        }
    }

    fn some_acts(&self, random: &mut Random, floor: usize, depth: u32) -> Vec<Act> {
        let some = 1 + random.up_to(1);
        let act = |_| match random.up_to(3) {
            1 | 2 if depth > 0 => {
                let lowest = if self.in_order { floor + 1 } else { 0 };
                let all = self.pools.len() + NAMES.len();
                if lowest >= all {
                    return Act::Sleep(Duration::ZERO);
                }
                let next = lowest + random.up_to((all - lowest - 1) as u64) as usize;
                let acts = self.some_acts(random, next, depth - 1);
                match next.checked_sub(self.pools.len()) {
                    None => Act::Call(next, acts),
                    Some(lock) => Act::Lock(lock, acts),
                }
            }
            _ => Act::Sleep(Duration::from_millis(random.up_to(20))),
        };
        (0..some).map(act).collect()
    }

    fn run(
        self: Rc<Self>,
        parent: Option<TaskContext>,
        pool: usize,
        acts: Vec<Act>,
    ) -> LocalBoxFuture<'static, Result<(), Circle>> {
        async move {
            let mut options = RunOptions::new();
            if let Some(parent) = &parent {
                options = options.parent(parent);
            }
            let own = Rc::clone(&self);
            let task = move |context: TaskContext| async move {
                let (pool, bound) = &own.pools[pool];
                let _at_work = bound.enter(1, || pool.abandoned() > 0);
                Rc::clone(&own).follow(context, acts).await
            };
            match self.pools[pool].0.run(options, task).await {
                Ok(()) => Ok(()),
                Err(RunError::Task(circle)) => Err(circle),
                Err(RunError::Refused(AcquireError::Deadlock)) => Err(self.circle()),
                Err(other) => {
                    self.watch
                        .broken(|| format!("a family task ended with {other:?}"));
                    Err(Circle)
                }
            }
        }
        .boxed_local()
    }

    fn follow(
        self: Rc<Self>,
        context: TaskContext,
        acts: Vec<Act>,
    ) -> LocalBoxFuture<'static, Result<(), Circle>> {
        async move {
            for act in acts {
                match act {
                    Act::Sleep(micros) => nap(&self.runtime, micros).await,
                    Act::Call(pool, acts) => {
                        Rc::clone(&self).run(Some(context.clone()), pool, acts).await?;
                    }
                    Act::Lock(lock, acts) => {
                        let options = LockOptions::new().owner(&context).no_timeout();
                        let name = NAMES[lock];
                        match self.locks.acquire([name], options).await {
                            Ok(guard) => {
                                let inside = self.inside.enter(context.id(), &BTreeSet::from([name]));
                                let done = Rc::clone(&self).follow(context.clone(), acts).await;
                                drop((inside, guard));
                                done?;
                            }
                            Err(LockError::Deadlock { .. }) => return Err(self.circle()),
                            Err(other) => self
                                .watch
                                .broken(|| format!("a family lock ended with {other:?}")),
                        }
                    }
                }
            }
            Ok(())
        }
        .boxed_local()
    }

    fn circle(&self) -> Circle {
        if self.in_order {
            self.watch
                .broken(|| "a deadlock was seen where none is possible".to_owned());
        }
        Circle
    }
}

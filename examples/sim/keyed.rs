//! Pools by key that come and go, streams through them that are left early, time limits, and one sink that writes in order.

use crate::epoch::setup;
use crate::watch::{Bound, Watch, leaving_after, nap};
use futures::StreamExt;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tidegate::machine::random::Random;
use tidegate::{
    BreakerConfig, BreakerGroup, Host, Pool, PoolGroup, PoolOptions, RunOptions, Runtime, Sink,
    VirtualRuntime, timeout,
};

type R = VirtualRuntime;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

pub(crate) struct Keyed {
    runtime: R,
    watch: Watch,
    pools: PoolGroup<R>,
    bounds: Vec<Bound>,
    breakers: BreakerGroup<R>,
    sink: Sink<R, u64, &'static str>,
    written: Rc<RefCell<Vec<u64>>>,
    given: Cell<u64>,
}

impl Keyed {
    pub(crate) fn new(host: &Host<R>, watch: &Watch, random: &mut Random) -> Self {
        let runtime = host.runtime().clone();
        let slots = 1 + random.up_to(2) as u32;
        let bound = |key: &&str| Bound::new(watch, format!("pool of key {key}"), slots);
        let written: Rc<RefCell<Vec<u64>>> = Rc::default();
        let (clock, lines, at_once) = (runtime.clone(), Rc::clone(&written), Rc::new(Cell::new(false)));
        let seen = watch.clone();
        let sink = Sink::new(&runtime, move |item: u64| {
            let (clock, lines, at_once) = (clock.clone(), Rc::clone(&lines), Rc::clone(&at_once));
            if at_once.replace(true) {
                seen.broken(|| format!("item {item} is written while another is"));
            }
            async move {
                clock.sleep(Duration::from_micros(item % 300)).await;
                at_once.set(false);
                lines.borrow_mut().push(item);
                if item.is_multiple_of(7) {
                    Err("full")
                } else {
                    Ok(())
                }
            }
        });
        Self {
            pools: PoolGroup::new(host, PoolOptions::new(slots)).max_keys(2),
            bounds: KEYS.iter().map(bound).collect(),
            breakers: BreakerGroup::new(host, BreakerConfig::default()).max_keys(2),
            sink,
            written,
            given: Cell::new(0),
            runtime,
            watch: watch.clone(),
        }
    }

    /// Spawns a client that may be dropped in the middle of what it does.
    pub(crate) fn spawn_some(self: &Rc<Self>, random: &mut Random) {
        let client = self.watch.client();
        let patience = Duration::from_millis(match random.up_to(1) {
            0 => random.up_to(20),
            _ => u64::MAX,
        });
        let (kind, at) = (random.up_to(4), random.up_to(3) as usize);
        let millis = Duration::from_millis(random.up_to(12));
        let own = Rc::clone(self);
        self.runtime.spawn(async move {
            let work = Rc::clone(&own).do_one(kind, at, millis);
            let ended = leaving_after(&own.runtime, patience, work).await;
            own.watch.saw(kind << 52 | u64::from(ended.is_some()));
            drop(client);
        });
    }

    /// What must hold when everybody has gone.
    pub(crate) fn end(&self) {
        for key in KEYS {
            let pool = setup(self.pools.get(key));
            if pool.active() + pool.queued() + pool.waiting_for_room() > 0 {
                self.watch
                    .broken(|| format!("the pool of key {key} is left with tasks"));
            }
        }
        // They may have outgrown their bound while all were at work; the next one finds nobody at it.
        drop((setup(self.pools.get("next")), setup(self.breakers.get("next"))));
        if self.pools.len() > 2 || self.breakers.len() > 2 {
            let (pools, breakers) = (self.pools.len(), self.breakers.len());
            self.watch.broken(|| {
                format!("{pools} pools and {breakers} breakers are remembered, 2 of each at most")
            });
        }
        let written = self.written.borrow();
        if self.sink.waiting() > 0 || !written.iter().copied().eq(0..self.given.get()) {
            let (left, given) = (self.sink.waiting(), self.given.get());
            self.watch.broken(|| {
                format!(
                    "of {given} items {} are written in order and {left} wait",
                    written.len()
                )
            });
        }
    }

    async fn do_one(self: Rc<Self>, kind: u64, at: usize, millis: Duration) {
        match kind {
            0 | 1 => {
                let (pool, own) = (setup(self.pools.get(KEYS[at])), Rc::clone(&self));
                let inner = pool.clone();
                let ended = pool.run(RunOptions::new(), move |_| async move {
                    own.at_work(&inner, at, millis).await;
                    if at == 3 { Err("broken") } else { Ok(()) }
                });
                drop(ended.await);
            }
            2 => {
                let (pool, own) = (setup(self.pools.get(KEYS[at])), Rc::clone(&self));
                let inner = pool.clone();
                let source = futures::stream::iter(0..6u64);
                let results = pool.map(source, move |item, _| {
                    let (own, inner) = (Rc::clone(&own), inner.clone());
                    async move {
                        own.at_work(&inner, at, millis / 4).await;
                        Ok::<u64, &str>(item)
                    }
                });
                // Some leave in the middle of it.
                let seen: Vec<_> = results.take(2 + at * 2).collect().await;
                if !seen
                    .iter()
                    .map(|one| one.as_ref().ok().copied())
                    .eq((0..seen.len() as u64).map(Some))
                {
                    self.watch.broken(|| format!("a stream gave {seen:?}"));
                }
            }
            3 => {
                let item = self.given.get();
                self.given.set(item + 1);
                drop(self.sink.write(item).await);
            }
            _ => {
                let breaker = setup(self.breakers.get(KEYS[at]));
                let clock = self.runtime.clone();
                let slow = breaker.run(move || async move {
                    clock.sleep(millis).await;
                    Ok::<(), &str>(())
                });
                let limit = Duration::from_millis(6);
                let before = self.runtime.now();
                let late = timeout(&self.runtime, limit, "keyed", slow).await.is_err();
                if late && self.runtime.now() < before + limit {
                    self.watch.broken(|| "a time limit was over too early".to_owned());
                }
            }
        }
    }

    async fn at_work(&self, pool: &Pool<R>, at: usize, length: Duration) {
        let _at_work = self.bounds[at].enter(1, || pool.abandoned() > 0);
        nap(&self.runtime, length).await;
    }
}

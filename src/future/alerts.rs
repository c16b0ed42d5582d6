//! Alerts that come built in: the sizes at which pools of the kind this crate is for have been seen to be in trouble.

use super::metrics::{AlertChange, Metrics, Snapshot};
use super::readings::Readings;
use super::runtime::Runtime;
use super::subscription::Subscription;
use std::rc::Rc;
use std::time::Duration;

/// Before so many requests a hit ratio says little: the first of each object is always a miss.
const ENOUGH_REQUESTS: u64 = 20;

type Rule = fn(&Snapshot) -> bool;

const RULES: [(&str, Rule); 8] = [
    ("pool-busy", |snapshot| any_pool_runs_more_than(snapshot, 100)),
    ("pool-very-busy", |snapshot| {
        any_pool_runs_more_than(snapshot, 200)
    }),
    ("queue-nearly-full", |snapshot| {
        snapshot.pools.iter().any(|pool| {
            let queued = u64::from(pool.queued) * 10;
            pool.queue_capacity
                .is_some_and(|capacity| queued > u64::from(capacity) * 8)
        })
    }),
    ("tasks-abandoned", |snapshot| {
        snapshot.pools.iter().any(|pool| pool.abandoned > 0)
    }),
    ("lock-crowded", |snapshot| {
        let waiting = |locks: &Readings| locks.value("most_waiting", None).unwrap_or(0);
        of_kind(snapshot, "locks").any(|locks| waiting(locks) > 50)
    }),
    ("channels-rarely-reused", |snapshot| {
        rarely_reused(snapshot, "channels", 85)
    }),
    ("messages-rarely-reused", |snapshot| {
        rarely_reused(snapshot, "messages", 80)
    }),
    ("responses-rarely-reused", |snapshot| {
        rarely_reused(snapshot, "responses", 70)
    }),
];

impl<R: Runtime> Metrics<R> {
    /// Tells `notify`, by name, of what usually means trouble, and when it is over, until the subscription is dropped; looked at as every
    /// [`alert`](Self::alert) is.
    ///
    /// | name | holds while |
    /// |---|---|
    /// | `pool-busy`, `pool-very-busy` | a pool runs more than 100, or 200, tasks at once |
    /// | `queue-nearly-full` | a bounded queue is above 80 % |
    /// | `tasks-abandoned` | work goes on whose slots are free |
    /// | `lock-crowded` | more than 50 wait for one lock |
    /// | `channels-…`, `messages-…`, `responses-rarely-reused` | an object pool with that word in its name hits below 85, 80 or 70 %, from 20 requests on |
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate::{AlertChange, Host, Metrics, Pool, PoolOptions, RunOptions, VirtualRuntime};
    ///
    /// let runtime = VirtualRuntime::new();
    /// let host = Host::new(runtime.clone());
    /// let (pool, metrics) = (Pool::new(&host, PoolOptions::new(500))?, Metrics::new(&host));
    /// let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    /// let heard = told.clone();
    /// let _alerts = metrics.alert_built_in(move |name, change| heard.borrow_mut().push((name, change)));
    /// let held: Vec<_> = (0..101).map(|_| pool.try_acquire(RunOptions::new())).collect::<Result<_, _>>()?;
    /// metrics.check();
    /// assert_eq!(*told.borrow(), [("pool-busy", AlertChange::Raised)]);
    /// drop(held);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn alert_built_in(&self, notify: impl Fn(&'static str, AlertChange) + 'static) -> Subscription {
        let notify = Rc::new(notify);
        let alerts = RULES.map(|(name, when)| {
            let notify = Rc::clone(&notify);
            self.alert(Duration::ZERO, when, move |change| notify(name, change))
        });
        Subscription::new(move || drop(alerts))
    }
}

fn any_pool_runs_more_than(snapshot: &Snapshot, tasks: u32) -> bool {
    snapshot.pools.iter().any(|pool| pool.active > tasks)
}

fn of_kind<'a>(snapshot: &'a Snapshot, kind: &'a str) -> impl Iterator<Item = &'a Readings> {
    snapshot
        .others
        .iter()
        .filter(move |readings| readings.kind == kind)
}

fn rarely_reused(snapshot: &Snapshot, what: &str, percent: u64) -> bool {
    of_kind(snapshot, "objects").any(|objects| {
        let many = |outcome| objects.value("requests", Some(outcome)).unwrap_or(0);
        let (hits, requests) = (many("hit"), many("hit") + many("miss"));
        let is_named_so = objects.name.to_lowercase().contains(what);
        is_named_so && requests >= ENOUGH_REQUESTS && hits * 100 < requests * percent
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::host::Host;
    use crate::future::locks::{LockOptions, LockSet};
    use crate::future::object_pool::{ObjectOptions, ObjectPool};
    use crate::future::pool::Pool;
    use crate::future::pool_options::PoolOptions;
    use crate::future::run_options::RunOptions;
    use crate::future::virtual_runtime::VirtualRuntime;
    use crate::machine::queue::QueueConfig;
    use futures::FutureExt;
    use std::cell::RefCell;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    type Told = Rc<RefCell<Vec<(&'static str, AlertChange)>>>;

    fn house() -> (
        VirtualRuntime,
        Host<VirtualRuntime>,
        Metrics<VirtualRuntime>,
        Told,
        Subscription,
    ) {
        let runtime = VirtualRuntime::new();
        let host = Host::new(runtime.clone());
        let metrics = Metrics::new(&host);
        let told = Told::default();
        let heard = Rc::clone(&told);
        let alerts = metrics.alert_built_in(move |name, change| heard.borrow_mut().push((name, change)));
        (runtime, host, metrics, told, alerts)
    }

    fn changes(metrics: &Metrics<VirtualRuntime>, told: &Told) -> Vec<(&'static str, AlertChange)> {
        metrics.check();
        told.take()
    }

    #[test]
    fn more_than_a_hundred_and_than_two_hundred_tasks_at_once_in_one_pool() {
        let (_, host, metrics, told, alerts) = house();
        let pool = Pool::new(&host, PoolOptions::new(500)).unwrap();
        let take = |many| (0..many).map(|_| pool.try_acquire(RunOptions::new()).unwrap());
        let hundred: Vec<_> = take(100).collect();
        assert_eq!(changes(&metrics, &told), []);
        let one: Vec<_> = take(1).collect();
        assert_eq!(changes(&metrics, &told), [("pool-busy", AlertChange::Raised)]);
        let another: Vec<_> = take(100).collect();
        assert_eq!(
            changes(&metrics, &told),
            [("pool-very-busy", AlertChange::Raised)]
        );
        drop((one, another));
        let cleared = [
            ("pool-busy", AlertChange::Cleared),
            ("pool-very-busy", AlertChange::Cleared),
        ];
        assert_eq!(changes(&metrics, &told), cleared);
        drop(alerts);
        let _more: Vec<_> = take(200).collect();
        assert_eq!(changes(&metrics, &told), []);
        drop(hundred);
    }

    #[test]
    fn a_queue_above_eighty_percent_and_not_one_at_it() {
        let (_, host, metrics, told, _alerts) = house();
        let queue = QueueConfig {
            capacity: Some(10),
            ..QueueConfig::default()
        };
        let pool = Pool::new(&host, PoolOptions::new(1).queue(queue)).unwrap();
        let _running = pool.try_acquire(RunOptions::new()).unwrap();
        let mut waiting: Vec<_> = (0..9)
            .map(|_| Box::pin(pool.acquire(RunOptions::new())))
            .collect();
        for wait in waiting.iter_mut().take(8) {
            assert!(wait.as_mut().now_or_never().is_none());
        }
        assert_eq!(changes(&metrics, &told), []);
        assert!(waiting[8].as_mut().now_or_never().is_none());
        assert_eq!(
            changes(&metrics, &told),
            [("queue-nearly-full", AlertChange::Raised)]
        );
    }

    #[test]
    fn more_than_fifty_who_wait_for_one_lock_and_not_sixty_for_several() {
        let (_, host, metrics, told, _alerts) = house();
        let locks = LockSet::new(&host).unwrap();
        let _held = locks.try_acquire(["a", "b"], LockOptions::new());
        let wait = |name: &'static str| {
            let mut wait = Box::pin(locks.acquire([name], LockOptions::new()));
            assert!(wait.as_mut().now_or_never().is_none());
            wait
        };
        let _sixty: Vec<_> = (0..60).map(|n| wait(if n < 50 { "a" } else { "b" })).collect();
        assert_eq!(changes(&metrics, &told), []);
        let _one = wait("a");
        assert_eq!(changes(&metrics, &told), [("lock-crowded", AlertChange::Raised)]);
    }

    #[test]
    fn hit_ratios_below_85_80_and_70_percent_from_twenty_requests_on() {
        for (what, percent) in [("channels", 85), ("messages", 80), ("responses", 70)] {
            let (runtime, host, metrics, told, _alerts) = house();
            let create = || async { Ok::<_, ()>(()) };
            let objects = ObjectPool::new(&host, ObjectOptions::new(), create)
                .unwrap()
                .named(format!("Open {what}"));
            // As many misses at once as leave exactly so many percent of 20 requests.
            let misses = 20 - 20 * percent / 100;
            let held: Vec<_> = (0..misses + 1)
                .map(|_| runtime.block_on(objects.acquire()).unwrap())
                .collect();
            assert_eq!(changes(&metrics, &told), [], "too few requests");
            drop(held);
            for _ in misses + 1..20 {
                drop(runtime.block_on(objects.acquire()).unwrap());
            }
            let [(name, AlertChange::Raised)] = changes(&metrics, &told)[..] else {
                panic!("{what}");
            };
            assert!(name.starts_with(what));
            for _ in 0..20 {
                drop(runtime.block_on(objects.acquire()).unwrap());
            }
            assert_eq!(changes(&metrics, &told), [(name, AlertChange::Cleared)]);
        }
    }
}

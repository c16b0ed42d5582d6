//! What a pool is made of.

use super::pool::health::HealthCheck;
use crate::machine::adaptive::AdaptiveConfig;
use crate::machine::breaker::BreakerConfig;
use crate::machine::queue::QueueConfig;
use crate::machine::rate::RateConfig;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// What a pool is made of: slots, and what stands before them.
///
/// ```
/// use std::time::Duration;
/// use tidegate::{Overflow, PoolOptions, QueueConfig};
///
/// let options = PoolOptions::new(10)
///     .name("introspection")
///     .queue(QueueConfig { capacity: Some(100), overflow: Overflow::Wait, ..QueueConfig::default() })
///     .wait_timeout(Duration::from_secs(10))
///     .timeout(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct PoolOptions {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) histograms: Option<bool>,
    pub(crate) concurrency: u32,
    pub(crate) queue: QueueConfig,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_timeout: OnTimeout,
    pub(crate) lease_timeout: Option<Duration>,
    pub(crate) rates: Vec<RateConfig>,
    pub(crate) breaker: Option<BreakerConfig>,
    pub(crate) adaptive: Option<AdaptiveConfig>,
    pub(crate) health_check: Option<HealthCheck>,
}

/// What happens to the slots of a submitted task that runs out of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnTimeout {
    /// The task is dropped, and its slots are free in that step: a slot that a dead task could hold for ever is worse than work cut short.
    #[default]
    Release,
    /// Its caller gets the error, and the task goes on to its end in its slots: the bound also holds over work that cannot be cut short.
    Hold,
}

impl PoolOptions {
    /// So many slots, an unbounded queue, no limits.
    pub fn new(concurrency: u32) -> Self {
        Self {
            name: None,
            histograms: None,
            concurrency,
            queue: QueueConfig::default(),
            wait_timeout: None,
            timeout: None,
            on_timeout: OnTimeout::default(),
            lease_timeout: None,
            rates: Vec::new(),
            breaker: None,
            adaptive: None,
            health_check: None,
        }
    }

    /// As many slots as the tasks themselves show to be right, within bounds; an unbounded queue, no limits.
    pub fn adaptive(config: AdaptiveConfig) -> Self {
        Self {
            adaptive: Some(config),
            ..Self::new(1)
        }
    }

    /// The name by which errors and metrics know it.
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether waits and runs are measured, some kilobytes a pool. Default: yes, and no in a `PoolGroup`, where there may be a pool for each
    /// of a thousand keys. Counts are kept either way.
    pub fn histograms(mut self, measured: bool) -> Self {
        self.histograms = Some(measured);
        self
    }

    /// The queue before the slots; unbounded unless set.
    pub fn queue(mut self, queue: QueueConfig) -> Self {
        self.queue = queue;
        self
    }

    /// How long a task waits for its start, unless it says otherwise; as long as it takes unless set.
    pub fn wait_timeout(mut self, wait: Duration) -> Self {
        self.wait_timeout = Some(wait);
        self
    }

    /// How long a task may run, unless it says otherwise; as long as it takes unless set.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// What happens to the slots of a submitted task that runs out of time.
    pub fn on_timeout(mut self, rule: OnTimeout) -> Self {
        self.on_timeout = rule;
        self
    }

    /// A rate that starts keep to, beside those set before: a task takes its slots and its tokens together or waits for both.
    pub fn rate(mut self, rate: RateConfig) -> Self {
        self.rates.push(rate);
        self
    }

    /// A breaker of its own before the slots; for one that several pools share see [`Pool::with_breaker`](super::Pool::with_breaker).
    pub fn breaker(mut self, breaker: BreakerConfig) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// How the pool finds out whether what it calls is there: `look` is called at its first use and at every interval from then on, one at a
    /// time, and what is not `Ok` is not well. It makes [`Pool::ready`](super::Pool::ready) and [`Pool::health`](super::Pool::health); tasks run
    /// all the same. One that has not come back after ten intervals is given up. An interval of zero counts as a millisecond.
    pub fn health_check<F, Fut, T, E>(mut self, every: Duration, look: F) -> Self
    where
        F: Fn() -> Fut + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
    {
        self.health_check = Some(HealthCheck::new(every.max(Duration::from_millis(1)), look));
        self
    }

    /// How long an acquired permit is held without renewal; as long as it takes unless set.
    pub fn lease_timeout(mut self, lease: Duration) -> Self {
        self.lease_timeout = Some(lease);
        self
    }
}

/// How a pool closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloseOptions {
    /// How long queued and running work may take to finish: 30 s, then the queue is refused and running work dropped.
    pub grace: Duration,
    /// What happens to the queue.
    pub queued: Queued,
}

/// What happens to the queue of a closing pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Queued {
    /// It finishes.
    #[default]
    Finish,
    /// It is refused at once.
    Reject,
}

impl Default for CloseOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            queued: Queued::Finish,
        }
    }
}

//! What a pool of workers and its calls can be told.

use crate::machine::config::ConfigError;
use crate::machine::dispatch::{DispatchConfig, Job, Overflow};
use crate::machine::time::micros;
use std::rc::Rc;
use std::time::Duration;

/// What a pool of workers is made of.
#[derive(Clone, Debug)]
pub struct WorkerPoolOptions {
    pub(super) name: Option<Rc<str>>,
    min: u32,
    max: Option<u32>,
    idle: Option<Duration>,
    task_timeout: Option<Duration>,
    recycle_after: Option<u32>,
    retries: u32,
    capacity: Option<u32>,
    pub(super) grace: Duration,
}

impl WorkerPoolOptions {
    /// As many workers as there is work for, up to the number of cores (4 where nobody says); they come when there is work and
    /// leave after a minute without, tasks run as long as they like, an idempotent one is tried twice more after a crash, and
    /// a cancelled one that runs on for a second ends its worker.
    pub fn new() -> Self {
        Self {
            name: None,
            min: 0,
            max: None,
            idle: Some(Duration::from_secs(60)),
            task_timeout: None,
            recycle_after: None,
            retries: 2,
            capacity: None,
            grace: Duration::from_secs(1),
        }
    }

    /// The name by which metrics and workers know it.
    #[must_use]
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// So many workers are started at once and stay.
    #[must_use]
    pub fn min(mut self, workers: u32) -> Self {
        self.min = workers;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn max(mut self, workers: u32) -> Self {
        self.max = Some(workers);
        self
    }

    /// A worker above the minimum exits after so long without work; `None` keeps it.
    #[must_use]
    pub fn idle(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// How long a task may run; its worker is ended then, as nothing else stops a loop.
    #[must_use]
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.task_timeout = Some(limit);
        self
    }

    /// Replaces a worker after so many tasks.
    #[must_use]
    pub fn recycle_after(mut self, tasks: u32) -> Self {
        self.recycle_after = Some(tasks);
        self
    }

    /// How often an idempotent task whose worker died is tried again.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Bounds how many tasks may wait beside those that a worker could take at once; one more is refused.
    #[must_use]
    pub fn capacity(mut self, tasks: u32) -> Self {
        self.capacity = Some(tasks);
        self
    }

    /// How long a task that was dropped may run on before its worker is ended.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub(super) fn most(&self) -> u32 {
        const USUAL: u32 = 4;
        let cores = || {
            std::thread::available_parallelism()
                .map_or(USUAL, |cores| u32::try_from(cores.get()).unwrap_or(USUAL))
        };
        self.max.unwrap_or_else(|| self.min.max(cores()))
    }

    pub(super) fn config(&self) -> Result<DispatchConfig, ConfigError> {
        let mut config = DispatchConfig::new(self.min, self.most())?.with_retries(self.retries);
        if let Some(idle) = self.idle {
            config = config.with_idle(idle);
        }
        if let Some(limit) = self.task_timeout {
            config = config.with_task_timeout(limit);
        }
        if let Some(tasks) = self.recycle_after {
            config = config.with_recycle_after(tasks)?;
        }
        if let Some(capacity) = self.capacity {
            config = config.with_capacity(capacity, Overflow::Error);
        }
        Ok(config)
    }
}

impl Default for WorkerPoolOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What one call can be told.
#[derive(Clone, Debug, Default)]
pub struct WorkerRunOptions {
    priority: i32,
    key: Option<u32>,
    idempotent: bool,
    pub(super) timeout: Option<Duration>,
}

impl WorkerRunOptions {
    /// Priority 0, no key, not to be run twice, for as long as the pool allows.
    pub fn new() -> Self {
        Self::default()
    }

    /// −100 to 100, higher first; what is beyond counts as the bound.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority.clamp(-100, 100);
        self
    }

    /// Calls of one key go to one worker while it can keep up.
    #[must_use]
    pub fn key(mut self, key: u32) -> Self {
        self.key = Some(key);
        self
    }

    /// It may run again when its worker dies.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// How long it may run.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    pub(super) fn job(&self, kind: u32) -> Job {
        Job {
            kind,
            priority: self.priority,
            key: self.key,
            idempotent: self.idempotent,
            timeout: self.timeout.map(micros),
        }
    }
}

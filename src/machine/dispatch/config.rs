//! What a worker pool is set to.

use crate::machine::config::ConfigError;
use core::time::Duration;

/// The options of a [`Dispatch`](super::Dispatch), checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DispatchConfig {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) turn: Turn,
    pub(super) idle: Option<Duration>,
    pub(super) task_timeout: Option<Duration>,
    pub(super) recycle_after: Option<u32>,
    pub(super) high_water: Option<u64>,
    pub(super) retries: u32,
    pub(super) reports_start: bool,
    pub(super) fallback: bool,
    pub(super) capacity: Option<u32>,
    pub(super) overflow: Overflow,
}

/// What happens to a task that finds the queue full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// It is refused.
    #[default]
    Error,
    /// It is dropped.
    DropNewest,
    /// The longest queued of the lowest priority is dropped, unless all are of a higher one.
    DropOldest,
}

/// Which worker gets a task that no key ties to one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Turn {
    /// The one with the least work, by what its tasks have cost so far; decided as late as possible.
    #[default]
    LeastBusy,
    /// One after the other, decided on arrival.
    RoundRobin,
}

impl DispatchConfig {
    /// Between `min` and `max` workers. Workers never exit idle, tasks have no time limit, an idempotent task is tried
    /// twice more after a crash, and where no worker ever starts the host runs the tasks itself.
    ///
    /// # Errors
    ///
    /// No workers at all, or a minimum above the maximum.
    pub fn new(min: u32, max: u32) -> Result<Self, ConfigError> {
        if max == 0 {
            return Err(ConfigError::integer("size.max", "an integer ≥ 1", 0));
        }
        if min > max {
            return Err(ConfigError::integer(
                "size.min",
                "at most `size.max`",
                u64::from(min),
            ));
        }
        Ok(Self {
            min,
            max,
            turn: Turn::default(),
            idle: None,
            task_timeout: None,
            recycle_after: None,
            high_water: None,
            retries: 2,
            reports_start: false,
            fallback: true,
            capacity: None,
            overflow: Overflow::default(),
        })
    }

    /// Chooses who gets a task.
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// Lets workers above the minimum exit after they had nothing to do for so long.
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Bounds the run of each task that brings no bound of its own.
    pub fn with_task_timeout(mut self, timeout: Duration) -> Self {
        self.task_timeout = Some(timeout);
        self
    }

    /// Replaces a worker after so many tasks.
    pub fn with_recycle_after(mut self, tasks: u32) -> Result<Self, ConfigError> {
        if tasks == 0 {
            return Err(ConfigError::integer("recycle.tasks", "an integer ≥ 1", 0));
        }
        self.recycle_after = Some(tasks);
        Ok(self)
    }

    /// Replaces a worker that reports so many bytes of memory: linear memory never shrinks.
    pub fn with_high_water(mut self, bytes: u64) -> Self {
        self.high_water = Some(bytes);
        self
    }

    /// How often an idempotent task that was running when its worker died is tried again.
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Says that the workers report when a task begins. Then a crash touches only those that had begun, and time
    /// limits are exact; without it all that were sent may have begun, and the oldest one's limit runs from when the
    /// one before it ended.
    pub fn with_start_reports(mut self) -> Self {
        self.reports_start = true;
        self
    }

    /// Bounds how many tasks wait beside those that a worker could take at once.
    pub fn with_capacity(mut self, capacity: u32, overflow: Overflow) -> Self {
        self.capacity = Some(capacity);
        self.overflow = overflow;
        self
    }

    /// Says that the host cannot run tasks itself: without workers they wait.
    pub fn without_fallback(mut self) -> Self {
        self.fallback = false;
        self
    }
}

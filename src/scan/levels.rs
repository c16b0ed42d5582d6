//! The levels: one pool each, shared by everything a scanner does.

use core::cell::Cell;
use core::fmt;

use super::config::ScanConfig;
use super::plugin::Level;
use crate::future::{AcquireError, Host, Pool, PoolOptions, RunError, RunOptions, Runtime, TaskContext};
use crate::machine::config::ConfigError;
use crate::machine::queue::{Overflow, QueueConfig};
use core::time::Duration;

/// Runs that may be queued in a level; more wait outside for room.
const QUEUE: u32 = 100;
/// How long one run waits before it goes back to the end of the line.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Five pools.
pub(super) struct Levels<R: Runtime>([Place<R>; Level::ALL.len()]);

struct Place<R: Runtime> {
    pool: Pool<R>,
    rejected: Cell<u64>,
}

/// A level, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LevelNow {
    pub(super) limit: u32,
    pub(super) active: u32,
    pub(super) queued: u32,
    pub(super) waiting: u32,
    pub(super) rejected: u64,
}

impl<R: Runtime> Levels<R> {
    pub(super) fn new(host: &Host<R>, config: &ScanConfig) -> Result<Self, ConfigError> {
        let open = |level: Level| {
            let queue = QueueConfig {
                capacity: Some(QUEUE),
                overflow: Overflow::Wait,
                ..QueueConfig::default()
            };
            let options = PoolOptions::new(config.slots(level))
                .name(level.name())
                .queue(queue);
            let options = options.wait_timeout(LONGEST_WAIT);
            let options = match level {
                // A batch and the monitor take as long as what they watch.
                Level::Batch | Level::Monitor => options,
                Level::Discovery | Level::Introspection | Level::Analysis => {
                    options.timeout(config.task_timeout)
                }
            };
            Ok(Place {
                pool: Pool::new(host, options)?,
                rejected: Cell::new(0),
            })
        };
        let [discovery, batch, introspection, analysis, monitor] = Level::ALL.map(open);
        Ok(Self([discovery?, batch?, introspection?, analysis?, monitor?]))
    }

    /// Runs `task` in a slot of `level`, however long it takes to get one: a run that waited too long is counted as
    /// turned away and asks again, for a scan loses nothing.
    pub(super) async fn run<T, E, F>(
        &self,
        level: Level,
        options: RunOptions,
        task: impl Fn(TaskContext) -> F,
    ) -> Result<T, RunError<E>>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Debug,
    {
        let place = &self.0[level as usize];
        loop {
            match place.pool.run(options.clone(), &task).await {
                Err(RunError::Refused(AcquireError::QueueTimeout | AcquireError::QueueFull { .. })) => {
                    place.rejected.set(place.rejected.get() + 1);
                }
                ended => return ended,
            }
        }
    }

    /// While paused nothing starts; what runs goes on.
    pub(super) fn pause(&self, paused: bool) {
        for level in [Level::Discovery, Level::Introspection, Level::Analysis] {
            let pool = &self.0[level as usize].pool;
            if paused {
                pool.pause();
            } else {
                pool.resume();
            }
        }
    }

    pub(super) fn now(&self, level: Level) -> LevelNow {
        let Place { pool, rejected } = &self.0[level as usize];
        LevelNow {
            limit: pool.concurrency(),
            active: pool.active(),
            queued: pool.queued(),
            waiting: pool.waiting_for_room(),
            rejected: rejected.get(),
        }
    }
}

//! The Rust host of the machines: the same policies as futures, on one thread, with no `Send` anywhere.
//!
//! A [`Runtime`] gives what a host has and a machine must not have: a clock, timers, tasks and a way to park. On the
//! web that is `WebRuntime`; in tests it is [`VirtualRuntime`], whose clock jumps.

pub mod acquire_error;
pub mod adaptive_limit;
mod alerts;
pub mod barrier;
pub mod batch;
pub mod breaker;
pub mod cache;
pub mod channel;
pub mod counter;
pub mod event;
pub mod flow_event;
pub mod gather;
pub mod graph;
pub mod group;
pub mod host;
mod in_flight;
mod interned;
mod ledger;
pub mod locks;
pub mod metrics;
pub mod object_pool;
mod openmetrics;
pub mod orchestrator;
pub mod owner;
mod place;
pub mod pool;
pub mod pool_map;
pub mod pool_options;
pub mod pressure_monitor;
pub mod rate_limiter;
mod readings;
pub mod retry;
pub mod run_options;
mod running;
pub mod runtime;
mod seated;
pub mod select;
pub mod semaphore;
pub mod sink;
pub mod state;
pub mod submission;
pub mod subscription;
pub mod task;
pub mod timeout;
mod turn;
pub mod virtual_runtime;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub mod web_runtime;
pub mod worker_pool;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub mod workerd_runtime;

pub use crate::machine::adaptive::{
    AdaptiveConfig, Algorithm, Ending, Optimal, Prediction, Sample, Scaled, Strategy, optimal_concurrency,
    predict,
};
pub use crate::machine::backoff::{Backoff, Jitter};
pub use crate::machine::batch::AdaptiveSize;
pub use crate::machine::breaker::{
    BreakerConfig, BreakerCounts, BreakerSnapshot, BreakerState, Transition, Window,
};
pub use crate::machine::cache::{CacheConfig, CacheStats};
pub use crate::machine::config::ConfigError;
pub use crate::machine::gate::Outcome;
pub use crate::machine::graph::{GraphConfig, GraphProgress, OnFailure, TaskTiming};
pub use crate::machine::histogram::Histogram;
pub use crate::machine::limiter::LimiterCounts;
pub use crate::machine::objects::ObjectCounts;
pub use crate::machine::orchestrator::{Mode, RunConfig};
pub use crate::machine::permits::Counts;
pub use crate::machine::pressure::{
    Pressed, PressureAlert, PressureChange, PressureConfig, PressureLevel, PressureReading, PressureSample,
    PressureSource,
};
pub use crate::machine::queue::{Overflow, QueueConfig};
pub use crate::machine::rate::RateConfig;
pub use crate::machine::retry::{RetryBudget, RetryConfig};
pub use crate::machine::state::{StateConfig, StateStats, VersionConflict};
pub use crate::machine::time::Instant;
pub use acquire_error::AcquireError;
pub use adaptive_limit::AdaptiveLimit;
pub use barrier::{Barrier, Passed};
pub use batch::{BatchError, BatchOptions, BatchResult, Batches, batch};
pub use breaker::{CircuitBreaker, Isolation};
pub use cache::{Cache, EntryOptions, LoadError};
pub use channel::{Channel, Messages, SendError};
pub use counter::Counter;
pub use event::Event;
pub use flow_event::FlowEvent;
pub use gather::{AsCompleted, Gather, Partition, TryGather, as_completed, gather, partition, try_gather};
pub use graph::{GraphReport, GraphTask, Results, TaskGraph, TaskGraphError, TaskReport, TaskResult};
pub use group::{BreakerGroup, PoolGroup};
pub use host::{Host, Logger};
pub use locks::{LockError, LockGuard, LockInversion, LockOptions, LockSet};
pub use metrics::{AlertChange, BreakerMetrics, Metrics, MetricsCounter, PoolMetrics, RateMetrics, Snapshot};
pub use object_pool::{
    About, ConnectionPool, Durations, ObjectError, ObjectOptions, ObjectPool, ObjectTimes, Pooled,
};
pub use orchestrator::{Orchestrator, Plugin, PluginEnd, PluginResult, PluginRun, PluginsError, RunHandle};
pub use owner::{DeadlockStep, Owner};
pub use pool::{Health, Pool};
pub use pool_map::PoolMap;
pub use pool_options::{CloseOptions, OnTimeout, PoolOptions, Queued};
pub use pressure_monitor::PressureMonitor;
pub use rate_limiter::RateLimiter;
pub use readings::{Reading, Readings};
pub use retry::{Advice, Retry, RetryCounts, Transient, retry};
pub use run_options::RunOptions;
pub use runtime::{Parker, Runtime, TaskParker};
pub use select::Select;
pub use semaphore::{OwnedPermit, Permit, Semaphore};
pub use sink::{Sink, SinkError, Written};
pub use state::{StateChange, Versioned, VersionedState, WaitOptions};
pub use submission::Submission;
pub use subscription::Subscription;
pub use task::{RunError, TaskContext, TaskInfo, TaskState};
pub use timeout::{TimeoutError, timeout};
pub use virtual_runtime::{Stalled, VirtualRuntime};
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub use web_runtime::WebRuntime;
pub use worker_pool::*;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub use workerd_runtime::WorkerdRuntime;

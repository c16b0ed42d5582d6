/** The public surface of `tidegate`. */

export {
  type AdaptiveEvents,
  AdaptiveLimit,
  type AdaptiveMetrics,
  type AdaptiveSample,
} from "./adaptive.js";
export type { AdaptiveOptions, Pressed } from "./adaptive-options.js";
export type { AlertRule } from "./alerts.js";
export { asCompleted } from "./as-completed.js";
export type { Backoff } from "./backoff.js";
export { Barrier, type BarrierEvents, type BarrierMetrics } from "./barrier.js";
export { type BatchOptions, type BatchResult, batch } from "./batch.js";
export {
  type BreakerEvents,
  type BreakerMetrics,
  type BreakerSnapshot,
  type BreakerState,
  CircuitBreaker,
} from "./breaker.js";
export { BreakerGroup, type BreakerGroupOptions } from "./breaker-group.js";
export type { BreakerOptions } from "./breaker-options.js";
export { Cache, type CacheEvents, type CacheMetrics } from "./cache.js";
export type { CacheOptions, EntryOptions, LoadContext, Loader, LoadOptions } from "./cache-options.js";
export { Channel, type ChannelEvents, type ChannelMetrics } from "./channel.js";
export { type CooperateOptions, cooperate } from "./cooperate.js";
export { Counter, type CounterEvents, type CounterMetrics } from "./counter.js";
export * from "./errors.js";
export { Event, type EventEvents, type EventMetrics } from "./event.js";
export type { Disposer } from "./events.js";
export { type GatherOptions, gather, partition } from "./gather.js";
export {
  type ExecuteOptions,
  type GraphEvents,
  type GraphMetrics,
  type GraphReport,
  type GraphTask,
  type GraphTaskReport,
  type GraphTaskState,
  type Results,
  TaskGraph,
} from "./graph.js";
export type { Health, HealthCheckOptions } from "./health.js";
export type { KeyedEvents, KeyedOptions } from "./keyed.js";
export {
  type LockEvents,
  type LockLease,
  type LockMetrics,
  type LockOptions,
  type LockOwner,
  LockSet,
  type LockSetOptions,
  type LockTimeout,
} from "./locks.js";
export { type LogEvent, setLogger } from "./log.js";
export { type Alert, type CounterMetric, Metrics, type MetricsSnapshot } from "./metrics.js";
export {
  ConnectionPool,
  type ConnectionPoolOptions,
  type Durations,
  type ObjectEvents,
  type ObjectMetrics,
  type ObjectOptions,
  ObjectPool,
  type ObjectPoolOptions,
  type Pooled,
} from "./object-pool.js";
export type { Observable } from "./observed.js";
export {
  Orchestrator,
  type OrchestratorEvents,
  type OrchestratorMetrics,
  type OrchestratorRunOptions,
  type Plugin,
  type PluginResult,
} from "./orchestrator.js";
export {
  type Optimal,
  type OptimalOptions,
  optimalConcurrency,
  type Prediction,
  type PredictOptions,
  predict,
} from "./plan.js";
export { type Policy, type PolicyOptions, policy } from "./policy.js";
export { Pool, type PoolEvents, type Submission } from "./pool.js";
export { PoolGroup, type PoolGroupOptions } from "./pool-group.js";
export type { Settled } from "./pool-map.js";
export type { PoolMetrics, Summary } from "./pool-metrics.js";
export type { Overflow, PoolOptions, QueueOptions, RunOptions } from "./pool-options.js";
export {
  type PressureAlert,
  type PressureEvents,
  type PressureMetrics,
  PressureMonitor,
  type PressureOptions,
  type PressureSample,
} from "./pressure.js";
export {
  type PressureLevel,
  type PressureReading,
  type PressureSource,
  platformSources,
} from "./pressure-sources.js";
export { type RateEvents, RateLimiter, type RateMetrics } from "./rate.js";
export type { RateOptions } from "./rate-options.js";
export { type RetryMetrics, type RetryOptions, retry } from "./retry.js";
export { type SelectCase, type Selected, select } from "./select.js";
export { Sink, type SinkEvents, type SinkMetrics, type SinkOptions } from "./sink.js";
export {
  type StateChange,
  type StateEvents,
  type StateMetrics,
  type StateOptions,
  type Versioned,
  VersionedState,
  type WaitForOptions,
} from "./state.js";
export type { Strategy } from "./strategy.js";
export { withTimeout } from "./timeout.js";
export type { WaitOptions } from "./waiting.js";
export type { Lease, Task, TaskContext, TaskInfo } from "./work.js";

/** The public surface of `tidegate`. */
export * from "./errors.js";
export type { Disposer } from "./events.js";
export { type LogEvent, setLogger } from "./log.js";
export { Pool, type PoolEvents, type Submission } from "./pool.js";
export type { PoolMetrics, Summary } from "./pool-metrics.js";
export type { Overflow, PoolOptions, QueueOptions, RunOptions } from "./pool-options.js";
export type { Lease, Task, TaskContext, TaskInfo } from "./work.js";

/** The public surface of `tidegate/workers`. */

export type { Functions, WorkerContext } from "./call.js";
export { callOutside } from "./call-outside.js";
export { type ExposeOptions, expose } from "./expose.js";
export type { Histogram, Kernels, SecretMatch, Statistics } from "./kernels.js";
export type { WorkerLike, WorkerPoolOptions, WorkerRunOptions } from "./options.js";
export {
  type NumberArray,
  type ParallelMapOptions,
  type ParallelOptions,
  type ParallelReduceOptions,
  parallelMap,
  parallelReduce,
} from "./parallel.js";
export { transfer } from "./transfer.js";
export type { WorkerEvents, WorkerMetrics } from "./worker-metrics.js";
export { WorkerPool } from "./worker-pool.js";

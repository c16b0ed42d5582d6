/**
 * What a worker on the edge needs beside the policies: limits, rates, locks, values and breakers that hold across isolates, and which targets may
 * be contacted.
 */

export {
  type AccessIdentity,
  type AccessRefusal,
  AccessRefusedError,
  CloudflareAccess,
  type CloudflareAccessOptions,
  isAccessRefusedError,
} from "./access.js";
export { AccessUnreachableError, isAccessUnreachableError } from "./access-keys.js";
export type { CallerMetrics } from "./caller-counts.js";
export type { CallersOptions } from "./callers.js";
export {
  type Coordinator,
  type CoordinatorNamespace,
  CoordinatorUnreachableError,
  type DurableCoordinatorOptions,
  durableCoordinator,
  isCoordinatorUnreachableError,
  localCoordinator,
  type Unreachable,
} from "./coordinator.js";
export {
  isTargetRefusedError,
  TargetGuard,
  type TargetGuardOptions,
  type TargetRefusal,
  TargetRefusedError,
} from "./guard.js";
export type {
  Answers,
  BreakerAnswer,
  BreakerRequest,
  CoordinatorRequest,
  LockAnswer,
  LockRequest,
  PermitsAnswer,
  PermitsRequest,
  RateAnswer,
  RateRequest,
  ReadRequest,
  StateAnswer,
  UnlockRequest,
  WriteRequest,
} from "./ledger.js";
export { CoordinatorObject, type ObjectState } from "./object.js";
export { type QueueConsumerOptions, queueConsumer, type ScanBatch } from "./queue-consumer.js";
export type { Allowance, QuotaOptions } from "./quotas.js";
export { resolveOverHttps } from "./resolve.js";
export type { ReportWriters } from "./scan-formats.js";
export { type ScanHandlerOptions, type ScannerClass, scanHandler } from "./scan-handler.js";
export { type ScanJobEnvironment, ScanJobObject, type ScanJobState, type ScanQueue } from "./scan-job.js";
export type { ScanStatus } from "./scan-journal.js";
export type { RefusedTarget, ShardMessage } from "./scan-plan.js";
export type { Sql, SqlStorage } from "./scan-shards.js";
export type { ScansOptions } from "./scans.js";
export { SharedBreaker, type SharedBreakerOptions } from "./shared-breaker.js";
export { type SharedLock, SharedLocks, type SharedLocksOptions } from "./shared-locks.js";
export { SharedPool, type SharedPoolMetrics, type SharedPoolOptions } from "./shared-pool.js";
export { SharedRate, type SharedRateOptions } from "./shared-rate.js";
export { SharedState, type SharedValue } from "./shared-state.js";

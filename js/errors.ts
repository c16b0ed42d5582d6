/**
 * The errors of every policy: classes with a stable `code`, numbers that a caller can act on, and guards that hold
 * across bundles, copies and workers, because they look for a mark from the global symbol registry and not for a class.
 */

import { duration } from "./duration.js";

const MARK = Symbol.for("tidegate.error");

/** The stable codes, one for each class. */
export type ErrorCode =
  | "QUEUE_FULL"
  | "DROPPED"
  | "QUEUE_TIMEOUT"
  | "TIMEOUT"
  | "BROKEN_CIRCUIT"
  | "RATE_LIMITED"
  | "CLOSED"
  | "NEVER_POSSIBLE"
  | "DEADLOCK"
  | "CYCLE"
  | "CONFLICT"
  | "WORKER_CRASHED"
  | "RUNTIME_TRAP"
  | "NOT_INITIALISED";

/**
 * What every error of this package has in common. Ask with the guards (`isTimeoutError`, …) or compare `code`:
 * `instanceof` fails between two copies of the package and across workers.
 *
 * @example
 * ```ts
 * import { isQueueFullError, Pool } from "tidegate";
 *
 * const pool = new Pool({ concurrency: 1, queue: { capacity: 0, overflow: "error" } });
 * const busy = pool.run(() => new Promise((resolve) => setTimeout(resolve, 1)));
 * await pool.run(() => "never runs").catch((error: unknown) => {
 *   if (isQueueFullError(error)) console.log(error.code, error.limit); // → QUEUE_FULL 0
 * });
 * await busy;
 * ```
 */
export abstract class TidegateError extends Error {
  /** Stable: compare this, not the message. */
  abstract readonly code: ErrorCode;
  /** Milliseconds after which it is worth trying again; absent where time does not heal it. */
  declare readonly retryAfterMs?: number;

  constructor(message: string, options?: { cause?: unknown; retryAfterMs?: number | undefined }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    Object.defineProperty(this, MARK, { value: true });
    if (options?.retryAfterMs !== undefined && Number.isFinite(options.retryAfterMs)) {
      this.retryAfterMs = options.retryAfterMs;
    }
  }
}

function named(prototype: Error, name: string, code: ErrorCode): void {
  Object.defineProperty(prototype, "name", { value: name, configurable: true, writable: true });
  Object.defineProperty(prototype, "code", { value: code, enumerable: true });
}

function guard<T extends TidegateError>(code: ErrorCode): (error: unknown) => error is T {
  return (error): error is T =>
    typeof error === "object" &&
    error !== null &&
    (error as Record<symbol, unknown>)[MARK] === true &&
    (error as { code?: unknown }).code === code;
}

/** The queue, and the room for those who wait outside it, are full. */
export class QueueFullError extends TidegateError {
  declare readonly code: "QUEUE_FULL";
  /** How many were queued. */
  readonly queued: number;
  /** How many the queue takes. */
  readonly limit: number;
  constructor(
    message: string,
    numbers: { queued: number; limit: number; retryAfterMs?: number | undefined },
  ) {
    super(message, numbers);
    this.queued = numbers.queued;
    this.limit = numbers.limit;
  }
}

/** An overflow rule sacrificed the task. */
export class DroppedError extends TidegateError {
  declare readonly code: "DROPPED";
  /** How many were queued. */
  readonly queued: number;
  /** How many the queue takes. */
  readonly limit: number;
  constructor(
    message: string,
    numbers: { queued: number; limit: number; retryAfterMs?: number | undefined },
  ) {
    super(message, numbers);
    this.queued = numbers.queued;
    this.limit = numbers.limit;
  }
}

/** The task waited as long as it was willing to, or could not have started before its deadline. */
export class QueueTimeoutError extends TidegateError {
  declare readonly code: "QUEUE_TIMEOUT";
  /** How long it was willing to wait, in milliseconds. */
  readonly limit: number;
  /** When it would have started, in milliseconds from the call, where the pool turned it away by its own estimate. */
  declare readonly estimateMs?: number;
  constructor(
    message: string,
    numbers: { limit: number; estimateMs?: number; retryAfterMs?: number | undefined },
  ) {
    super(message, numbers);
    this.limit = numbers.limit;
    if (numbers.estimateMs !== undefined) this.estimateMs = numbers.estimateMs;
  }
}

/** An operation took longer than it may. */
export class TimeoutError extends TidegateError {
  declare readonly code: "TIMEOUT";
  /** What took too long. */
  readonly operation: string;
  /** How long it may take, in milliseconds. */
  readonly limit: number;
  constructor(operation: string, limit: number) {
    super(`Operation "${operation}" timed out after ${duration(limit)}`);
    this.operation = operation;
    this.limit = limit;
  }
}

/** The breaker is open, or half-open with all its probes out. */
export class BrokenCircuitError extends TidegateError {
  declare readonly code: "BROKEN_CIRCUIT";
}

/** The rate has no tokens within the time that the caller would wait. */
export class RateLimitedError extends TidegateError {
  declare readonly code: "RATE_LIMITED";
}

/** The handle is closed. */
export class ClosedError extends TidegateError {
  declare readonly code: "CLOSED";
}

/** More was asked than there can ever be: waiting would be for ever. */
export class NeverPossibleError extends TidegateError {
  declare readonly code: "NEVER_POSSIBLE";
  /** The most there can be. */
  readonly limit: number;
  constructor(message: string, limit: number) {
    super(message);
    this.limit = limit;
  }
}

/** Waiting would have closed a cycle of those who wait for each other. */
export class DeadlockError extends TidegateError {
  declare readonly code: "DEADLOCK";
  /** Who waits for whom, back to the first. */
  readonly chain: readonly string[];
  constructor(message: string, chain: readonly string[]) {
    super(message);
    this.chain = chain;
  }
}

/** Tasks depend on each other in a circle. */
export class CycleError extends TidegateError {
  declare readonly code: "CYCLE";
  /** The circle, back to the first. */
  readonly cycle: readonly string[];
  constructor(message: string, cycle: readonly string[]) {
    super(message);
    this.cycle = cycle;
  }
}

/** Part of an all-or-nothing request is held by somebody else. */
export class ConflictError extends TidegateError {
  declare readonly code: "CONFLICT";
  /** What is held. */
  readonly held: readonly string[];
  constructor(message: string, held: readonly string[]) {
    super(message);
    this.held = held;
  }
}

/** The worker that ran the task is gone. */
export class WorkerCrashedError extends TidegateError {
  declare readonly code: "WORKER_CRASHED";
}

/** The wasm module trapped. Waiters are rejected with this; handles stay usable and bounds hold. */
export class RuntimeTrapError extends TidegateError {
  declare readonly code: "RUNTIME_TRAP";
}

/** `tidegate/slim` was used before `init`. */
export class NotInitialisedError extends TidegateError {
  declare readonly code: "NOT_INITIALISED";
}

named(QueueFullError.prototype, "QueueFullError", "QUEUE_FULL");
named(DroppedError.prototype, "DroppedError", "DROPPED");
named(QueueTimeoutError.prototype, "QueueTimeoutError", "QUEUE_TIMEOUT");
named(TimeoutError.prototype, "TimeoutError", "TIMEOUT");
named(BrokenCircuitError.prototype, "BrokenCircuitError", "BROKEN_CIRCUIT");
named(RateLimitedError.prototype, "RateLimitedError", "RATE_LIMITED");
named(ClosedError.prototype, "ClosedError", "CLOSED");
named(NeverPossibleError.prototype, "NeverPossibleError", "NEVER_POSSIBLE");
named(DeadlockError.prototype, "DeadlockError", "DEADLOCK");
named(CycleError.prototype, "CycleError", "CYCLE");
named(ConflictError.prototype, "ConflictError", "CONFLICT");
named(WorkerCrashedError.prototype, "WorkerCrashedError", "WORKER_CRASHED");
named(RuntimeTrapError.prototype, "RuntimeTrapError", "RUNTIME_TRAP");
named(NotInitialisedError.prototype, "NotInitialisedError", "NOT_INITIALISED");

/** Whether an error, of whichever copy of this package, is a {@link QueueFullError}. */
export const isQueueFullError = /* @__PURE__ */ guard<QueueFullError>("QUEUE_FULL");
/** Whether an error, of whichever copy of this package, is a {@link DroppedError}. */
export const isDroppedError = /* @__PURE__ */ guard<DroppedError>("DROPPED");
/** Whether an error, of whichever copy of this package, is a {@link QueueTimeoutError}. */
export const isQueueTimeoutError = /* @__PURE__ */ guard<QueueTimeoutError>("QUEUE_TIMEOUT");
/** Whether an error, of whichever copy of this package, is a {@link TimeoutError}. */
export const isTimeoutError = /* @__PURE__ */ guard<TimeoutError>("TIMEOUT");
/** Whether an error, of whichever copy of this package, is a {@link BrokenCircuitError}. */
export const isBrokenCircuitError = /* @__PURE__ */ guard<BrokenCircuitError>("BROKEN_CIRCUIT");
/** Whether an error, of whichever copy of this package, is a {@link RateLimitedError}. */
export const isRateLimitedError = /* @__PURE__ */ guard<RateLimitedError>("RATE_LIMITED");
/** Whether an error, of whichever copy of this package, is a {@link ClosedError}. */
export const isClosedError = /* @__PURE__ */ guard<ClosedError>("CLOSED");
/** Whether an error, of whichever copy of this package, is a {@link NeverPossibleError}. */
export const isNeverPossibleError = /* @__PURE__ */ guard<NeverPossibleError>("NEVER_POSSIBLE");
/** Whether an error, of whichever copy of this package, is a {@link DeadlockError}. */
export const isDeadlockError = /* @__PURE__ */ guard<DeadlockError>("DEADLOCK");
/** Whether an error, of whichever copy of this package, is a {@link CycleError}. */
export const isCycleError = /* @__PURE__ */ guard<CycleError>("CYCLE");
/** Whether an error, of whichever copy of this package, is a {@link ConflictError}. */
export const isConflictError = /* @__PURE__ */ guard<ConflictError>("CONFLICT");
/** Whether an error, of whichever copy of this package, is a {@link WorkerCrashedError}. */
export const isWorkerCrashedError = /* @__PURE__ */ guard<WorkerCrashedError>("WORKER_CRASHED");
/** Whether an error, of whichever copy of this package, is a {@link RuntimeTrapError}. */
export const isRuntimeTrapError = /* @__PURE__ */ guard<RuntimeTrapError>("RUNTIME_TRAP");
/** Whether an error, of whichever copy of this package, is a {@link NotInitialisedError}. */
export const isNotInitialisedError = /* @__PURE__ */ guard<NotInitialisedError>("NOT_INITIALISED");

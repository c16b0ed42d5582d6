/** From the code of a refusal to the error that says it. */

import { now } from "./clock.js";
import { duration } from "./duration.js";
import {
  BrokenCircuitError,
  ClosedError,
  ConflictError,
  DeadlockError,
  DroppedError,
  NeverPossibleError,
  QueueFullError,
  QueueTimeoutError,
  RateLimitedError,
  type TidegateError,
} from "./errors.js";
import type { Pool } from "./pool.js";
import type { Extra } from "./work.js";

export const NOT_NOW = 0;
export const QUEUE_FULL = 1;
export const DROPPED = 2;
export const QUEUE_TIMEOUT = 3;
export const SHED = 4;
export const BROKEN_CIRCUIT = 5;
export const RATE_LIMITED = 6;
export const CLOSED = 7;
export const NEVER_POSSIBLE = 8;
export const DEADLOCK = 9;
export const CONFLICT = 10;

/** The error of a refusal by a pool; `detail` is the number that came with the code. */
export function refusalError(
  pool: Pool,
  code: number,
  detail: number,
  extra: Extra | undefined,
): TidegateError {
  // A pool without a bound is how breakers and compositions run: nobody who uses them knows of a pool.
  const bounded = pool.concurrency < 4_294_967_294;
  const who = `${bounded ? "Pool" : "Policy"} "${pool.name}"`;
  const what = extra?.name === undefined ? "the task" : `task "${extra.name}"`;
  switch (code) {
    case QUEUE_FULL:
      return new QueueFullError(`${who} refused ${what}: its queue of ${detail} is full`, {
        queued: detail,
        limit: detail,
        retryAfterMs: pool.turnover,
      });
    case DROPPED:
      return new DroppedError(`${who} dropped ${what}: its queue of ${detail} is full`, {
        queued: detail,
        limit: detail,
        retryAfterMs: pool.turnover,
      });
    case QUEUE_TIMEOUT: {
      const limit = extra?.patience ?? pool.waitTimeout;
      return new QueueTimeoutError(
        Number.isFinite(limit)
          ? `${who} could not start ${what} within ${duration(limit)}`
          : `${who} could not start ${what} before its deadline`,
        { limit, retryAfterMs: pool.turnover },
      );
    }
    case SHED: {
      const estimateMs = Math.max(0, detail - now());
      return new QueueTimeoutError(
        `${who} refused ${what}: it could not start before its deadline, but in about ${duration(estimateMs)}`,
        { limit: Math.max(0, (extra?.deadline ?? 0) - Date.now()), estimateMs, retryAfterMs: estimateMs },
      );
    }
    case BROKEN_CIRCUIT:
      return broken(`${bounded ? who : `Breaker "${pool.name}"`} refused ${what}`, detail);
    case RATE_LIMITED:
      return limited(`${who} refused ${what}`, detail);
    case NEVER_POSSIBLE: {
      const { weight = 1, cost = 1 } = extra ?? {};
      const asks =
        weight > Math.max(pool.concurrency, detail) ? `its weight is ${weight}` : `its cost is ${cost}`;
      return new NeverPossibleError(
        `${who} can never run ${what}: ${asks}, and the limit is ${detail}`,
        detail,
      );
    }
    case DEADLOCK:
      return new DeadlockError(`${who} refused ${what}: it would wait for itself`, []);
    case CONFLICT:
      return new ConflictError(`${who} refused ${what}: somebody else holds what it needs`, []);
    default:
      return new ClosedError(`${who} is closed`);
  }
}

/** The error of an open breaker; `retryAt` is a reading of the clock, infinite where only a person can close it. */
export function broken(what: string, retryAt: number): BrokenCircuitError {
  const retryAfterMs = Math.max(0, retryAt - now());
  return new BrokenCircuitError(
    Number.isFinite(retryAfterMs)
      ? `${what}: its circuit is open, the next probe may pass in ${duration(retryAfterMs)}`
      : `${what}: its circuit is isolated`,
    { retryAfterMs },
  );
}

/** The error of an empty rate; `retryAt` is a reading of the clock. */
export function limited(what: string, retryAt: number): RateLimitedError {
  const retryAfterMs = Math.max(0, retryAt - now());
  return new RateLimitedError(`${what}: its rate has no room for another ${duration(retryAfterMs)}`, {
    retryAfterMs,
  });
}

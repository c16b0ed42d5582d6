/** The limit of an adaptive pool: each end of a task is a sample, and what the limit becomes is the size of the pool. */

import type { AdaptiveConfig } from "./adaptive-options.js";
import { isRuntimeTrapError, isTimeoutError } from "./errors.js";
import { type AdaptiveSample, Limit } from "./limit.js";
import { reportError } from "./log.js";
import type { Pool } from "./pool.js";
import type { Seek } from "./seeking.js";

// As the pool says them to the machine.
const SUCCESS = 0;
const IGNORED = 2;

/** A limit under the pool's name, which the pool follows. */
export function follow(pool: Pool, config: AdaptiveConfig): Seek {
  const limit = new Limit(config, pool.name);
  const { queueCapacity } = pool.metrics();
  let size = config.initial;
  const resize = () => {
    if (limit.limit === size) return;
    size = limit.limit;
    pool.resize(size);
  };
  resize();

  return (work, outcome, error) => {
    if (outcome === IGNORED) return;
    const [latency, inFlight] = pool.stand(work);
    const sample: AdaptiveSample = {
      latency: Math.max(0, latency),
      inFlight,
      ok: outcome === SUCCESS,
      dropped: outcome !== SUCCESS && isOverload(error),
      queued: pool.queued,
      queueCapacity,
    };
    // A resize starts tasks, and whoever is told of it may do anything: not inside another task's end.
    queueMicrotask(() => {
      try {
        limit.take(sample);
        resize();
      } catch (error) {
        // A trap has been answered: the limit goes on from where it was.
        if (!isRuntimeTrapError(error)) reportError(error);
      }
    });
  };
}

/** Whether an error speaks of too much load: time that ran out, or a target that says so (RFC 6585 and RFC 9110). */
function isOverload(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { name, status, statusCode, overloaded } = error as Record<string, unknown>;
  const said = status ?? statusCode;
  return (
    overloaded === true || said === 429 || said === 503 || name === "TimeoutError" || isTimeoutError(error)
  );
}

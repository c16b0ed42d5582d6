import { object, reject } from "./options.js";
import { Pool } from "./pool.js";
import type { PoolOptions } from "./pool-options.js";

/** What a policy is composed of: everything that a pool has, and slots only if asked for. */
export type PolicyOptions = Omit<PoolOptions, "concurrency"> & {
  /** Slots. @default unbounded, so that a retry, a breaker or a timeout holds nobody back */
  concurrency?: PoolOptions["concurrency"];
};

/** Several policies as one: see {@link policy}. */
export type Policy = Pick<
  Pool,
  "name" | "run" | "on" | "metrics" | "close" | typeof Symbol.dispose | typeof Symbol.asyncDispose
>;

/**
 * Composes policies in the one order in which they work well together, from outside to inside: deadline → retry →
 * admission (closed, never possible, breaker, shedding, then queue, rate and slot together) → timeout → task.
 *
 * Each attempt is admitted anew, gives its slot back during backoff, counts once in the breaker, and has the whole
 * timeout. Aborts, drops and refusals by the policy itself are not the target's failures and are not tried again.
 *
 * @throws TypeError where an option is not what it should be; the message names it
 * @example
 * ```ts
 * import { policy } from "tidegate";
 *
 * const careful = policy({
 *   name: "api",
 *   timeout: 2_000,
 *   retry: { attempts: 3, backoff: { initial: 1, max: 10 } },
 *   breaker: { consecutive: 5 },
 *   rate: { kind: "token-bucket", limit: 100, per: 1_000 },
 * });
 * const answer = await careful.run(({ attempt }) => {
 *   if (attempt === 1) throw Object.assign(new Error("busy"), { status: 503 });
 *   return `attempt ${attempt}`;
 * });
 * console.log(answer); // → attempt 2
 * ```
 */
export function policy(options: PolicyOptions): Policy {
  if (object("options", options) === undefined) reject("options", "an object", options);
  const { name = "policy", concurrency = 4_294_967_294 } = options;
  return new Pool({ ...options, name, concurrency });
}

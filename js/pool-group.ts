import { CircuitBreaker } from "./breaker.js";
import { parseBreakerOptions } from "./breaker-options.js";
import { asyncDispose, dispose } from "./dispose.js";
import { Group, Keyed, type KeyedOptions, perKeyOf } from "./keyed.js";
import { reject } from "./options.js";
import { Pool } from "./pool.js";
import type { PoolMetrics } from "./pool-metrics.js";
import { type PoolOptions, parsePoolOptions } from "./pool-options.js";
import type { TaskInfo } from "./work.js";

/** The options of each pool of a group, how many pools it keeps, and what differs by key. */
export interface PoolGroupOptions extends PoolOptions, KeyedOptions {
  /** What is different for a key. Called once each time a pool is made. @default nothing */
  perKey?(key: string): Partial<PoolOptions>;
}

/**
 * A pool for each key: a tenant, a host, a user. What one key does, holds or breaks is nothing to another.
 *
 * Each has slots, a queue, rates, a retry budget and a breaker of its own (a `CircuitBreaker` given as `breaker` is
 * shared: say `perKey` to have several). A pool that goes for want of room is forgotten with what its rates and its
 * breaker remember. Paused pools count as at work. How long tasks of a key wait and run is measured only where
 * `histograms` asks for it.
 *
 * @example
 * ```ts
 * import { PoolGroup } from "tidegate";
 *
 * const hosts = new PoolGroup({
 *   name: "hosts",
 *   concurrency: 2,
 *   perKey: (host) => (host === "big.example" ? { concurrency: 8 } : {}),
 * });
 * console.log(await hosts.get("big.example").run(() => "done")); // → done
 * console.log(hosts.get("big.example").concurrency, hosts.get("small.example").concurrency); // → 8 2
 * ```
 */
export class PoolGroup extends Group<Pool> {
  #closed: readonly Pool[] | undefined;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: PoolGroupOptions) {
    const { name = "pools" } = parsed(options);
    const perKey = perKeyOf(options);
    super(
      new Keyed(
        "pool group",
        name,
        options,
        (key) =>
          new Pool({
            ...options,
            histograms: options.histograms ?? false,
            ...perKey(key),
            name: `${name}/${key}`,
          }),
        (pool) => !pool.isIdle || pool.isPaused,
      ),
    );
  }

  /** Every number of every pool that is kept. */
  metrics(): { name: string; keys: number; pools: (PoolMetrics & { key: string })[] } {
    const pools = [...this.keyed.entries()].map(([key, pool]) => ({ ...pool.metrics(), key }));
    return { name: this.name, keys: pools.length, pools };
  }

  /**
   * Closes every pool as {@link Pool.close} does, and gives out no more. Resolves with what was abandoned in any of them.
   *
   * @default grace 30 s; queued "finish"
   */
  close(options?: { grace?: number; queued?: "finish" | "reject" }): Promise<{ abandoned: TaskInfo[] }> {
    this.#closed ??= this.keyed.close();
    return Promise.all(this.#closed.map((pool) => pool.close(options))).then((ends) => ({
      abandoned: ends.flatMap(({ abandoned }) => abandoned),
    }));
  }

  /** Closes without grace. */
  [dispose](): void {
    void this.close({ grace: 0, queued: "reject" });
  }

  /** Closes with the default grace. */
  async [asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Judges what all keys have in common at once, not when the first of them comes. */
function parsed(options: PoolGroupOptions): PoolGroupOptions {
  if (typeof options !== "object" || options === null)
    reject("options", "an object with `concurrency`", options);
  const { breaker, retry: _, ...rest } = options;
  parsePoolOptions(rest);
  if (breaker !== undefined && !(breaker instanceof CircuitBreaker)) parseBreakerOptions(breaker);
  return options;
}

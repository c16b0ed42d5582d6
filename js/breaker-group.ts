import { type BreakerMetrics, CircuitBreaker } from "./breaker.js";
import { type BreakerOptions, parseBreakerOptions } from "./breaker-options.js";
import { dispose } from "./dispose.js";
import { Group, Keyed, type KeyedOptions, perKeyOf } from "./keyed.js";

/** The options of each breaker of a group, how many it keeps, and what differs by key. */
export interface BreakerGroupOptions extends BreakerOptions, KeyedOptions {
  /** What is different for a key. Called once each time a breaker is made. @default nothing */
  perKey?(key: string): Partial<BreakerOptions>;
}

/**
 * A breaker for each key, so that one target that is down does not close the way to the others.
 *
 * A breaker that is not closed counts as at work: it stays until it has recovered, for to forget it would be to call
 * what is known to be down.
 *
 * @example
 * ```ts
 * import { BreakerGroup } from "tidegate";
 *
 * const hosts = new BreakerGroup({ consecutive: 1 });
 * await hosts.get("a.example").run(() => Promise.reject(new Error("down"))).catch(() => {});
 * console.log(hosts.get("a.example").state, hosts.get("b.example").state); // → open closed
 * ```
 */
export class BreakerGroup extends Group<CircuitBreaker> {
  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: BreakerGroupOptions = {}) {
    parseBreakerOptions(options);
    const name = options.name ?? "breakers";
    const perKey = perKeyOf(options);
    super(
      new Keyed(
        "breaker group",
        name,
        options,
        (key) => new CircuitBreaker({ ...options, ...perKey(key), name: `${name}/${key}` }),
        (breaker) => breaker.state !== "closed",
      ),
    );
  }

  /** Every number of every breaker that is kept. */
  metrics(): { name: string; keys: number; breakers: (BreakerMetrics & { key: string })[] } {
    const breakers = [...this.keyed.entries()].map(([key, breaker]) => ({ ...breaker.metrics(), key }));
    return { name: this.name, keys: breakers.length, breakers };
  }

  /** Gives out no more. Breakers that are in use work on. */
  close(): void {
    this.keyed.close();
  }

  /** The same as {@link close}. */
  [dispose](): void {
    this.close();
  }
}

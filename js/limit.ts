/**
 * A limit with its machine. A file of its own, because a pool fetches it where it needs it: what the index names and a pool
 * fetches, esbuild takes for a part of every application, and the store module with it.
 */

import type { AdaptiveConfig, AdaptiveOptions } from "./adaptive-options.js";
import { now } from "./clock.js";
import { coresHere } from "./cores.js";
import { dispose } from "./dispose.js";
import { bindings } from "./generated/store_bg.js";
import type { Handle } from "./instance.js";
import { ask, open, register, unregister } from "./store.js";
import type { Strategy } from "./strategy.js";

/** Every number of a limit. */
export interface AdaptiveMetrics {
  readonly name: string;
  /** How many calls may run, now. */
  readonly limit: number;
  /** The lowest it gets. */
  readonly min: number;
  /** The highest it gets. */
  readonly max: number;
  /** How often it went up. */
  readonly ups: number;
  /** How often it went down. */
  readonly downs: number;
}

/** How one call went. */
export interface AdaptiveSample {
  /** Milliseconds it took. 0, which is what a clock that stands still measures, moves nothing. */
  latency: number;
  /** How many calls ran when it ended, itself included. */
  inFlight: number;
  /** Whether it went well. A call that went badly, but not because of load, says nothing. */
  ok: boolean;
  /** Whether it went badly because of load: refused by the target, timed out, throttled. @default false */
  dropped?: boolean;
  /** How many calls waited for a slot. @default 0 */
  queued?: number;
  /** How many can wait. @default any number */
  queueCapacity?: number;
}

/** What {@link AdaptiveLimit} and an adaptive pool have in common: a limit that follows what it is told. */
export class Limit implements Handle {
  /** @internal */
  readonly kind = "adaptive";
  readonly #name: string;
  readonly #config: AdaptiveConfig;
  #limit: number;
  // 0 is none.
  #ceiling = 0;
  #ups = 0;
  #downs = 0;
  // −1 once it is done with.
  #id: number;

  constructor(config: AdaptiveConfig, name: string) {
    this.#config = config;
    this.#name = name;
    this.#limit = config.initial;
    this.#id = open("adaptive limits", () => this.#open());
    register(this, this.#id, bindings.adaptive_drop);
    const { strategy } = config;
    if (strategy === undefined) return;
    this.#limit = this.#holdAt(
      ask(() => bindings.pressed_concurrency(STRATEGIES[strategy], coresHere(), -1, -1)),
    );
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /** How many calls may run at once, now. */
  get limit(): number {
    return this.#limit;
  }

  /** @internal Takes how a call went into account: a sample that is judged already. */
  take({ latency, inFlight, ok, dropped, queued = 0, queueCapacity = Infinity }: AdaptiveSample): number {
    if (this.#id < 0) return this.#limit;
    this.#press();
    // Somebody who was told of that may have ended it.
    if (this.#id < 0) return this.#limit;
    const ending = dropped === true ? 2 : ok ? 0 : 1;
    const at = now();
    this.#become(
      ask(() => bindings.adaptive_sample(this.#id, at, latency, inFlight, queued, queueCapacity, ending)),
    );
    return this.#limit;
  }

  /** Every number of this limit. */
  metrics(): AdaptiveMetrics {
    const { min, max } = this.#config;
    return { name: this.#name, limit: this.#limit, min, max, ups: this.#ups, downs: this.#downs };
  }

  /** @internal Told of each change, once it has happened. */
  scaled?(from: number, to: number): void;

  /** Stays where it is from now on. */
  [dispose](): void {
    if (this.#id < 0) return;
    unregister(this, this.#id);
    ask(() => bindings.adaptive_drop(this.#id));
    this.#id = -1;
  }

  /** @internal Nobody waits at it. */
  wake(): void {}

  /** @internal Goes on after a trap from where it was; what it knew of latencies it learns again. */
  rebuild(): () => void {
    this.#id = this.#open();
    register(this, this.#id, bindings.adaptive_drop);
    if (this.#ceiling > 0) bindings.adaptive_ceiling(this.#id, this.#ceiling);
    return () => {};
  }

  #open(): number {
    const { algorithm, min, max, interval, target, upAbove, downBelow, factor } = this.#config;
    return bindings.adaptive_open(
      ALGORITHMS[algorithm],
      min,
      max,
      this.#limit,
      interval,
      target,
      upAbove,
      downBelow,
      factor,
    );
  }

  /** Follows the pressure on this machine, which latencies do not show. */
  #press(): void {
    const { pressure, strategy } = this.#config;
    if (pressure === undefined) return;
    const ceiling =
      strategy !== undefined || pressure.shouldThrottle()
        ? pressure.concurrency(strategy ?? "conservative")
        : 0;
    if (ceiling !== this.#ceiling) this.#become(this.#holdAt(ceiling));
  }

  #holdAt(ceiling: number): number {
    this.#ceiling = ceiling;
    return ask(() => bindings.adaptive_ceiling(this.#id, ceiling));
  }

  #become(limit: number): void {
    const from = this.#limit;
    if (limit === from) return;
    this.#limit = limit;
    if (limit > from) this.#ups += 1;
    else this.#downs += 1;
    this.scaled?.(from, limit);
  }
}

// By the numbers that the machine knows them by.
const ALGORITHMS: Record<AdaptiveOptions["algorithm"], number> = {
  aimd: 0,
  gradient: 1,
  vegas: 2,
  threshold: 3,
};
const STRATEGIES: Record<Strategy, number> = { conservative: 0, balanced: 1, aggressive: 2 };

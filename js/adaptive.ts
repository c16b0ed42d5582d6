import { type AdaptiveConfig, type AdaptiveOptions, parseAdaptive } from "./adaptive-options.js";
import { now } from "./clock.js";
import { dispose } from "./dispose.js";
import { type Disposer, Events } from "./events.js";
import * as bindings from "./generated/store_bg.js";
import type { Handle } from "./instance.js";
import { boolean, integer, milliseconds, nameOf, object, reject } from "./options.js";
import { ask, open, register, unregister } from "./store.js";
import { coresHere, STRATEGIES } from "./strategy.js";

/** What a limit tells those who listen. */
export interface AdaptiveEvents {
  /** The limit changed. */
  scale: { from: number; to: number };
}

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

/**
 * A number of calls that may run at once and that follows how they go. A {@link Pool} does all this by itself when its
 * `concurrency` is given as {@link AdaptiveOptions}; this is for whoever has no pool.
 *
 * Calls that the limit did not hold back do not raise it, latency at rest does not drift up with a queue that the limit
 * itself built, and nobody is turned away to probe for it.
 *
 * @example
 * ```ts
 * import { AdaptiveLimit } from "tidegate";
 *
 * const limit = new AdaptiveLimit({ algorithm: "aimd", min: 1, max: 20, initial: 10 });
 * limit.on("scale", ({ from, to }) => console.log(from, to)); // → 10 9
 * limit.sample({ latency: 50, inFlight: 10, ok: false, dropped: true });
 * console.log(limit.limit); // → 9
 * ```
 */
export class AdaptiveLimit implements Handle {
  /** @internal */
  readonly kind = "adaptive";
  readonly #name: string;
  readonly #config: AdaptiveConfig;
  readonly #events: Events<AdaptiveEvents>;
  #limit: number;
  // 0 is none.
  #ceiling = 0;
  #ups = 0;
  #downs = 0;
  // −1 once it is done with.
  #id: number;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: AdaptiveOptions & { name?: string }) {
    this.#config = parseAdaptive(options);
    this.#name = nameOf(options, "adaptive");
    this.#events = new Events("adaptive", this.#name);
    this.#limit = this.#config.initial;
    this.#id = open("adaptive limits", () => this.#open());
    register(this, this.#id, bindings.adaptive_drop);
    const { strategy } = this.#config;
    if (strategy !== undefined) this.#limit = this.#holdAt(strategyHere(STRATEGIES.indexOf(strategy)));
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /** How many calls may run at once, now. */
  get limit(): number {
    return this.#limit;
  }

  /**
   * Takes how a call went into account, and gives the limit from now on.
   *
   * @throws TypeError where a part of the sample is not what it should be
   */
  sample(sample: AdaptiveSample): number {
    if (object("sample", sample) === undefined) reject("sample", "an object", sample);
    const { latency, inFlight, ok, dropped = false, queued = 0, queueCapacity = Infinity } = sample;
    milliseconds("latency", latency);
    integer("inFlight", inFlight, 0, 4_294_967_295);
    integer("queued", queued, 0, 4_294_967_295);
    if (queueCapacity !== Infinity) integer("queueCapacity", queueCapacity, 0, 4_294_967_295);
    const ending = boolean("dropped", dropped) ? 2 : boolean("ok", ok) ? 0 : 1;
    if (this.#id < 0) return this.#limit;
    this.#press();
    // Somebody who was told of that may have ended it.
    if (this.#id < 0) return this.#limit;
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

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof AdaptiveEvents>(event: K, fn: (detail: AdaptiveEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

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
      algorithm,
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
    this.#events.emit("scale", { from, to: limit });
  }
}

function strategyHere(strategy: number): number {
  return ask(() => bindings.strategy_concurrency(strategy, coresHere()));
}

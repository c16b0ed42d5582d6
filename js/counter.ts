import { dispose } from "./dispose.js";
import { type Disposer, Events } from "./events.js";
import { observe } from "./observed.js";
import { integer, nameOf, reject } from "./options.js";

/** What a counter tells those who listen. */
export interface CounterEvents {
  /** A key was counted. */
  change: { key: string; by: number; value: number };
}

/** Every number of a counter but those it counts. */
export interface CounterMetrics {
  readonly name: string;
  /** Keys that were counted. */
  readonly keys: number;
  /** All values together. */
  readonly sum: number;
}

/**
 * Whole numbers by key: additions that cannot be lost, because nothing happens between reading and writing.
 *
 * @example
 * ```ts
 * import { Counter } from "tidegate";
 *
 * const hits = new Counter();
 * console.log(hits.increment("/"), hits.increment("/", 2), hits.get("/about")); // → 1 3 0
 * ```
 */
export class Counter {
  /** @internal */
  readonly kind = "counter";
  readonly #values = new Map<string, number>();
  readonly #name: string;
  readonly #events: Events<CounterEvents>;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: { name?: string } = {}) {
    this.#name = nameOf(options, "counter");
    this.#events = new Events("counter", this.#name);
    observe(this);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /**
   * Adds to a counter and gives what it is then. It stops at ±(2^53 − 1), the last whole numbers that can be told apart.
   *
   * @default by 1
   * @throws TypeError where `by` is not an integer
   */
  increment(key: string, by = 1): number {
    if (typeof key !== "string") reject("key", "a string", key);
    integer("by", by, Number.MIN_SAFE_INTEGER);
    const sum = (this.#values.get(key) ?? 0) + by;
    const value = Math.min(Number.MAX_SAFE_INTEGER, Math.max(Number.MIN_SAFE_INTEGER, sum));
    this.#values.set(key, value);
    if (this.#events.heard("change")) this.#events.emit("change", { key, by, value });
    return value;
  }

  /** What a counter is; 0 where nothing was counted. */
  get(key: string): number {
    return this.#values.get(key) ?? 0;
  }

  /** Forgets a counter and gives what it was. */
  reset(key: string): number {
    const value = this.get(key);
    this.#values.delete(key);
    return value;
  }

  /** Every counter that has moved. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#values);
  }

  /** Every number of this counter but those it counts. */
  metrics(): CounterMetrics {
    let sum = 0;
    for (const value of this.#values.values()) sum += value;
    return { name: this.#name, keys: this.#values.size, sum };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof CounterEvents>(event: K, fn: (detail: CounterEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** Forgets every count. */
  [dispose](): void {
    this.#values.clear();
  }
}

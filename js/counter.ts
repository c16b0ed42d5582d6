import { integer, reject } from "./options.js";

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
  readonly #values = new Map<string, number>();

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
}

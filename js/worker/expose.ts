import { inside } from "#worker-inside";
import type { Functions } from "./call.js";
import { type ExposeOptions, exposeOn } from "./expose-on.js";

export type { ExposeOptions } from "./expose-on.js";

/**
 * Offers functions to the pool that this worker belongs to: sync, async and generator functions. One task runs at a time.
 * A function that is no arrow finds `signal` and `name` in `this`.
 *
 * On the main thread it offers them to pools that find no workers there: a pool whose `fallback` imports the worker's module
 * does the same work in slices.
 *
 * @throws TypeError where what it is given is not an object of functions
 * @example
 * ```ts no-run
 * import { expose } from "tidegate/workers";
 *
 * expose({
 *   sum: (numbers: number[]) => numbers.reduce((a, b) => a + b, 0),
 *   *countTo(last: number) {
 *     for (let n = 1; n <= last; n += 1) yield n;
 *   },
 * });
 * ```
 */
export function expose(functions: Functions, options: ExposeOptions = {}): void {
  exposeOn(inside, functions, options);
}

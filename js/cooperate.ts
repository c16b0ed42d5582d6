import { abortSignal, callable, integer, milliseconds, object, reject } from "./options.js";
import { isWorkerd, yieldToHost } from "./yield.js";

/** How long the work may have the thread for itself. */
export interface CooperateOptions {
  /** Milliseconds after which a slice ends, once the item at hand is done. @default 8, half a frame: the other half is the page's */
  budget?: number;
  /** Items after which a slice ends where the clock stands still while work runs, as on workerd. @default 1,000 */
  operations?: number;
  /** Ends the work before the next item. */
  signal?: AbortSignal;
}

/**
 * Calls `fn` with each item, in slices: after `budget` milliseconds the thread is given to everything else that wants it
 * (by `scheduler.yield`, else a `MessageChannel`, else `setImmediate`, else a timer), then the work goes on. Resolves with
 * what `fn` returned, in order.
 *
 * One item is never cut: an item that takes longer than the budget holds the thread for as long as it takes. For work
 * that waits use a `Pool`; for work too heavy for slices, a `WorkerPool`.
 *
 * @throws what `fn` or the iterable throws; after an abort `signal.reason`. All by rejection; the iterable is closed
 * @example
 * ```ts
 * import { cooperate } from "tidegate";
 *
 * const lengths = await cooperate(["one", "three", "seventeen"], (word) => word.length, { budget: 4 });
 * console.log(lengths); // → [ 3, 5, 9 ]
 * ```
 */
export async function cooperate<T, R>(
  items: Iterable<T>,
  fn: (item: T, index: number) => R,
  options?: CooperateOptions,
): Promise<R[]> {
  if (typeof (items as Iterable<T> | null | undefined)?.[Symbol.iterator] !== "function")
    reject("items", "iterable", items);
  callable("fn", fn);
  const { budget = 8, operations = 1000, signal } = object("options", options) ?? {};
  milliseconds("budget", budget);
  integer("operations", operations, 1);
  abortSignal("signal", signal);
  signal?.throwIfAborted();
  const results: R[] = [];
  let began = performance.now();
  let left = operations;
  for (const item of items) {
    if (isWorkerd ? left === 0 : performance.now() - began >= budget && results.length > 0) {
      await yieldToHost();
      signal?.throwIfAborted();
      began = performance.now();
      left = operations;
    }
    results.push(fn(item, results.length));
    left -= 1;
  }
  return results;
}

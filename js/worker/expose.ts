import { platform } from "#worker-platform";
import { callable, object, reject } from "../options.js";
import type { Functions } from "./call.js";
import { Server } from "./server.js";

/** What is exposed where this is no worker, for pools that find none. */
export const exposedHere = new Map<string, (...args: unknown[]) => unknown>();

let server: Server | undefined;

/** What {@link expose} can be told. */
export interface ExposeOptions {
  /** Bytes that the worker has taken, where the platform does not say or says too little: for `recycle.memory` of the pool. @default what Node says; elsewhere nothing */
  memory?: () => number;
}

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
  if (object("functions", functions) === undefined) reject("functions", "an object of functions", functions);
  for (const [name, fn] of Object.entries(functions)) callable(`functions.${name}`, fn);
  if (options.memory !== undefined) callable("options.memory", options.memory);
  const inside = server === undefined ? platform.inside() : undefined;
  if (inside !== undefined) server = new Server(inside);
  const offered = server?.functions ?? exposedHere;
  for (const [name, fn] of Object.entries(functions))
    offered.set(name, fn as (...args: unknown[]) => unknown);
  if (server !== undefined && options.memory !== undefined) server.memory = options.memory;
}

/** The server of this worker, if it is one. */
export function ownServer(): Server | undefined {
  return server;
}

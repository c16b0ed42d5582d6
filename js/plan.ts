/** Reckoning ahead: how much at once, and how long it will take. */

import { bindings } from "./generated/store_bg.js";
import { LIST } from "./instance.js";
import { integer, milliseconds, number, object, reject } from "./options.js";
import { area, ask, ready } from "./store.js";

/** What {@link optimalConcurrency} goes by. */
export interface OptimalOptions {
  /** Calls a second that the target allows. */
  rateLimit: number;
  /** Milliseconds that a call takes. */
  latency: number;
  /** The share of calls that is done once more, from 0 to 1. @default 0 */
  errorRate?: number;
}

/** What {@link optimalConcurrency} recommends. */
export interface Optimal {
  /** How many calls at once use the rate up, retries included; at least 1. */
  readonly concurrency: number;
  /** How many results to buffer: three times as many. */
  readonly buffer: number;
  /** Milliseconds after which to give a call up: twice its latency. */
  readonly timeout: number;
}

/**
 * How many calls at once it takes to use a rate up: as many as begin while one runs. It is a start; what the target really
 * takes is what an {@link AdaptiveLimit} finds.
 *
 * @throws TypeError where an option is not what it should be; the message names it
 * @example
 * ```ts
 * import { optimalConcurrency } from "tidegate";
 *
 * const { concurrency, buffer, timeout } = optimalConcurrency({ rateLimit: 100, latency: 500, errorRate: 0.1 });
 * console.log(concurrency, buffer, timeout); // → 55 165 1000
 * ```
 */
export function optimalConcurrency(options: OptimalOptions): Optimal {
  if (object("options", options) === undefined) reject("options", "an object", options);
  const { rateLimit, latency, errorRate = 0 } = options;
  number("rateLimit", rateLimit, 0);
  milliseconds("latency", latency);
  number("errorRate", errorRate, 0, 1);
  const [concurrency, buffer, timeout] = three(() => bindings.optimal_for(rateLimit, latency, errorRate));
  return { concurrency, buffer, timeout };
}

/** What {@link predict} goes by. */
export interface PredictOptions {
  /** How many there are to do. */
  items: number;
  /** Milliseconds that one takes. */
  latency: number;
  /** How many are done at once. */
  concurrency: number;
}

/** What {@link predict} expects. */
export interface Prediction {
  /** Milliseconds that all of them take. */
  readonly duration: number;
  /** How many end in a second. */
  readonly throughput: number;
  /** Milliseconds that one waits on average before it begins. */
  readonly wait: number;
}

/**
 * How long so many items take, by Little's law: what is done at once is the throughput times what one takes.
 *
 * @throws TypeError where an option is not what it should be; the message names it
 * @example
 * ```ts
 * import { predict } from "tidegate";
 *
 * const { duration, throughput, wait } = predict({ items: 100, latency: 200, concurrency: 10 });
 * console.log(duration, throughput, wait); // → 2000 50 900
 * ```
 */
export function predict(options: PredictOptions): Prediction {
  if (object("options", options) === undefined) reject("options", "an object", options);
  const { items, latency, concurrency } = options;
  integer("items", items, 0);
  milliseconds("latency", latency);
  integer("concurrency", concurrency, 1, 4_294_967_295);
  const [duration, throughput, wait] = three(() => bindings.predict_for(items, latency, concurrency));
  return { duration, throughput, wait };
}

function three(call: () => void): [number, number, number] {
  ready();
  ask(call);
  const cells = area();
  return [cells[LIST] as number, cells[LIST + 1] as number, cells[LIST + 2] as number];
}

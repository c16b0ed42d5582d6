/** Long lists over many workers: cut into chunks by what an item has cost so far. */

import { abortSignal, callable, integer, object, reject as refuse } from "../options.js";
import { iterable } from "../pool-map.js";
import { onAbort } from "../signals.js";
import type { WorkerRunOptions } from "./options.js";
import { MAP, REDUCE } from "./protocol.js";
import { WorkerPool } from "./worker-pool.js";

/** How {@link parallelMap} and {@link parallelReduce} go about it. */
export interface ParallelOptions {
  /** Gives everything up; the promise rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** −100 to 100, higher first. @default 0 */
  priority?: number;
  /** Whether a chunk may run again when its worker dies. @default false */
  idempotent?: boolean;
  /** Items a task. @default as many as take 20 ms, and no more than half a fair share of what is left, so that all workers end together */
  chunk?: number;
  /** Called after each chunk with the items that are done, and of how many where that is known. */
  onProgress?(done: number, total?: number): void;
}

/** How {@link parallelMap} goes about it. */
export interface ParallelMapOptions extends ParallelOptions {
  /** Lets items that are buffers, or views of buffers of their own, go along instead of copies of them; the caller has them no longer. @default false */
  transfer?: boolean;
}

/** How {@link parallelReduce} goes about it. */
export interface ParallelReduceOptions<F, A> extends ParallelOptions {
  /** The exposed function that makes of each item what is then reduced. @default the item itself */
  map?: keyof F & string;
  /** What stands before the first item. @default none: the first item is the first sum */
  initial?: A;
}

/** Typed arrays whose items are numbers. */
export type NumberArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array;

type Source<T> = Iterable<T> | AsyncIterable<T>;
type AnyFunctions = { [name: string]: (...args: never[]) => unknown };
type MapOf<F, K extends keyof F> = F[K] extends (...args: never[]) => infer R ? Awaited<R> : unknown;

/**
 * Calls an exposed function for each item, in all the workers of a pool, and gives the results in the order of the items; of a
 * typed array a typed array of the same kind, as its own `map` does.
 *
 * Items travel in chunks. Of a typed array each chunk is copied once and then transferred, and so is its result; where its
 * memory is shared nothing is copied. Other items are cloned, unless `transfer` lets their buffers go along. The function gets
 * the item and its index.
 *
 * @default priority 0, idempotent false, chunk by measured cost, transfer false
 * @throws the first error of the function; what `WorkerPool.run` throws; after an abort `signal.reason`
 * @example
 * ```ts
 * import { expose, parallelMap, WorkerPool } from "tidegate/workers";
 *
 * // What `my-worker.js` does; here it stands in for workers that cannot be had.
 * const functions = { square: (n: number) => n * n };
 * expose(functions);
 * const pool = new WorkerPool<typeof functions>({
 *   worker: () => { throw new Error("none here"); }, // () => new Worker(new URL("./my-worker.js", import.meta.url), { type: "module" })
 * });
 * console.log(await parallelMap(pool, "square", [1, 2, 3])); // → [ 1, 4, 9 ]
 * console.log(await parallelMap(pool, "square", Float32Array.of(0.5, 1.5))); // → Float32Array(2) [ 0.25, 2.25 ]
 * await pool.close();
 * ```
 */
export async function parallelMap<
  F extends { [K in keyof F]: (...args: never[]) => unknown },
  K extends keyof F & string,
  S extends NumberArray | Source<unknown>,
>(
  pool: WorkerPool<F>,
  name: K,
  items: S,
  options: ParallelMapOptions = {},
): Promise<S extends NumberArray ? S : MapOf<F, K>[]> {
  const run = parse(pool as unknown as WorkerPool<AnyFunctions>, name, items, options);
  const gives = options.transfer === true;
  const total = lengthOf(items);
  const typed = isNumbers(items);
  const results = typed ? new (items.constructor as new (n: number) => NumberArray)(items.length) : [];
  await overChunks(run, items, {
    how: MAP,
    args: (chunk, first) => [chunk, first],
    transfer: (chunk) => (gives && !typed ? buffersOf(chunk as unknown[]) : []),
    done(value, first) {
      if (typed) (results as NumberArray).set(value as NumberArray, first);
      else for (const [at, each] of (value as unknown[]).entries()) (results as unknown[])[first + at] = each;
    },
    total,
  });
  return results as S extends NumberArray ? S : MapOf<F, K>[];
}

/**
 * Reduces items to one value in all the workers of a pool: each chunk to one value by an exposed function of two, and those to
 * one by the same function. So it must be associative: `f(f(a, b), c)` what `f(a, f(b, c))` is. The order is kept.
 *
 * @default priority 0, idempotent false, chunk by measured cost, no map, no initial
 * @throws TypeError where there is no item and no `initial`; otherwise as {@link parallelMap}
 * @example
 * ```ts
 * import { expose, parallelReduce, WorkerPool } from "tidegate/workers";
 *
 * // What `my-worker.js` does; here it stands in for workers that cannot be had.
 * const functions = { add: (a: number, b: number) => a + b, length: (text: string) => text.length };
 * expose(functions);
 * const pool = new WorkerPool<typeof functions>({
 *   worker: () => { throw new Error("none here"); }, // () => new Worker(new URL("./my-worker.js", import.meta.url), { type: "module" })
 * });
 * console.log(await parallelReduce(pool, "add", ["tide", "gate"], { map: "length" })); // → 8
 * await pool.close();
 * ```
 */
export async function parallelReduce<
  F extends { [K in keyof F]: (...args: never[]) => unknown },
  K extends keyof F & string,
  T,
>(
  pool: WorkerPool<F>,
  name: K,
  items: NumberArray | Source<T>,
  options: ParallelReduceOptions<F, MapOf<F, K>> = {},
): Promise<MapOf<F, K>> {
  const run = parse(pool as unknown as WorkerPool<AnyFunctions>, name, items, options);
  const { map } = options;
  if (map !== undefined && typeof map !== "string") refuse("map", "a string", map);
  const sums = new Map<number, unknown>();
  await overChunks(run, items, {
    how: REDUCE,
    args: (chunk) => (map === undefined ? [chunk] : [chunk, map]),
    transfer: () => [],
    done: (value, first) => sums.set(first, value),
    total: lengthOf(items),
  });
  const inOrder = [...sums].sort(([one], [other]) => one - other).map(([, sum]) => sum);
  if ("initial" in options) inOrder.unshift(options.initial);
  if (inOrder.length === 0) throw new TypeError("Expected `items` or `initial`: there is nothing to reduce");
  if (inOrder.length === 1) return inOrder[0] as MapOf<F, K>;
  return (await run.submit(REDUCE, [inOrder], undefined)).value as MapOf<F, K>;
}

/** One call, judged. */
interface Run {
  readonly chunkOf: (left: number, itemMs: number) => number;
  readonly atOnce: number;
  readonly abort: AbortController;
  readonly signal: AbortSignal | undefined;
  readonly idempotent: boolean;
  readonly onProgress: ((done: number, total?: number) => void) | undefined;
  submit(
    how: number,
    args: readonly unknown[],
    transfer: Transferable[] | undefined,
  ): Promise<{ value: unknown; ran: number }>;
}

/** What is done with chunks. */
interface Work {
  readonly how: number;
  readonly total: number | undefined;
  args(chunk: NumberArray | unknown[], first: number): readonly unknown[];
  transfer(chunk: NumberArray | unknown[]): Transferable[];
  done(value: unknown, first: number): void;
}

function parse(
  pool: WorkerPool<AnyFunctions>,
  name: string,
  items: unknown,
  options: ParallelMapOptions,
): Run {
  if (!(pool instanceof WorkerPool)) refuse("pool", "a WorkerPool", pool);
  if (typeof name !== "string") refuse("name", "a string", name);
  iterable("items", items);
  if (object("options", options) === undefined) refuse("options", "an object", options);
  const { chunk, priority = 0, idempotent = false, onProgress } = options;
  const signal = abortSignal("signal", options.signal);
  if (chunk !== undefined) integer("chunk", chunk, 1);
  if (onProgress !== undefined) callable("onProgress", onProgress);
  const abort = new AbortController();
  return {
    chunkOf: (left, itemMs) => (chunk === undefined ? pool.chunk(left, itemMs) : Math.min(chunk, left)),
    // One that runs and one at hand for each.
    atOnce: pool.size * 2,
    abort,
    signal,
    idempotent,
    onProgress,
    submit: (how, args, transfer) =>
      new Promise((resolve, reject) => {
        const each: WorkerRunOptions = { signal: abort.signal, priority, idempotent };
        if (transfer !== undefined && transfer.length > 0) each.transfer = transfer;
        pool.submit(name, how, args, each, (value, ran) => resolve({ value, ran }), reject);
      }),
  };
}

/** Runs chunk after chunk, so many at once; the first error ends all. */
async function overChunks(run: Run, items: NumberArray | Source<unknown>, work: Work): Promise<void> {
  const { abort, signal } = run;
  signal?.throwIfAborted();
  const unwatch = signal && onAbort(signal, () => abort.abort(signal.reason));
  const reader = readerOf(items);
  let itemMs = -1;
  let taken = 0;
  let done = 0;
  let isOver = false;
  const one = async (): Promise<void> => {
    while (!isOver) {
      const left = work.total === undefined ? Number.POSITIVE_INFINITY : work.total - taken;
      const wanted = run.chunkOf(left, itemMs);
      const reading = wanted === 0 ? [] : reader.take(wanted);
      const chunk = reading instanceof Promise ? await reading : reading;
      if (chunk.length === 0) {
        isOver = true;
        return;
      }
      const first = taken;
      taken += chunk.length;
      const transfer = run.idempotent ? [] : work.transfer(chunk);
      if (isNumbers(chunk) && !run.idempotent && !isShared(chunk)) transfer.push(chunk.buffer as ArrayBuffer);
      const { value, ran } = await run.submit(work.how, work.args(chunk, first), transfer);
      work.done(value, first);
      if (ran >= 0) {
        const cost = ran / chunk.length;
        // What chunks cost may drift along the list: the latest says as much as all before.
        itemMs = itemMs < 0 ? cost : (itemMs + cost) / 2;
      }
      done += chunk.length;
      run.onProgress?.(done, work.total);
    }
  };
  try {
    await Promise.all(Array.from({ length: run.atOnce }, one));
  } catch (error) {
    isOver = true;
    abort.abort(error);
    await reader.leave();
    throw error;
  } finally {
    unwatch?.();
  }
}

/** Takes items from their source, so many at a time. */
interface Reader {
  take(count: number): NumberArray | unknown[] | Promise<unknown[]>;
  /** Nothing more is wanted. */
  leave(): unknown;
}

function readerOf(items: NumberArray | Source<unknown>): Reader {
  let next = 0;
  if (isNumbers(items)) {
    const cut = (from: number, to: number) =>
      isShared(items) ? items.subarray(from, to) : items.slice(from, to);
    return {
      take(count) {
        next += count;
        return cut(next - count, next);
      },
      leave() {},
    };
  }
  if (Array.isArray(items)) {
    return {
      take(count) {
        next += count;
        return items.slice(next - count, next);
      },
      leave() {},
    };
  }
  if (Symbol.asyncIterator in items) return laterReader(items);
  const iterator = (items as Iterable<unknown>)[Symbol.iterator]();
  return {
    take(count) {
      const chunk: unknown[] = [];
      while (chunk.length < count) {
        const { done, value } = iterator.next();
        if (done) break;
        chunk.push(value);
      }
      return chunk;
    },
    leave: () => iterator.return?.(),
  };
}

/** One reads at a time, so that the items of a chunk are neighbours. */
function laterReader(items: AsyncIterable<unknown>): Reader {
  const iterator = items[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  const read = async (count: number) => {
    const chunk: unknown[] = [];
    while (chunk.length < count) {
      const { done, value } = await iterator.next();
      if (done) break;
      chunk.push(value);
    }
    return chunk;
  };
  return {
    take(count) {
      const mine = last.then(() => read(count));
      last = mine;
      return mine;
    },
    leave: () => iterator.return?.(),
  };
}

function isNumbers(items: unknown): items is NumberArray {
  return ArrayBuffer.isView(items) && !(items instanceof DataView) && typeof items[0 as never] !== "bigint";
}

function isShared(items: NumberArray): boolean {
  return typeof SharedArrayBuffer === "function" && items.buffer instanceof SharedArrayBuffer;
}

function lengthOf(items: unknown): number | undefined {
  return Array.isArray(items) || isNumbers(items) ? (items as unknown[]).length : undefined;
}

/** The buffers of items, each once; a view that is a part of a larger buffer is copied all the same. */
function buffersOf(items: readonly unknown[]): Transferable[] {
  const buffers = new Set<Transferable>();
  for (const item of items) {
    if (item instanceof ArrayBuffer) buffers.add(item);
    else if (
      ArrayBuffer.isView(item) &&
      item.buffer instanceof ArrayBuffer &&
      item.byteLength === item.buffer.byteLength
    )
      buffers.add(item.buffer);
  }
  return [...buffers];
}

import { asError } from "./failure.js";
import { abortSignal, boolean, callable, integer, object, reject, show } from "./options.js";
import { Pool } from "./pool.js";
import { iterable, type Settled, stream } from "./pool-map.js";
import type { Task } from "./work.js";

/** How {@link gather} goes about it. */
export interface GatherOptions {
  /** Tasks at once. @default 10, enough to hide latency and few enough for one origin */
  concurrency?: number;
  /** Puts errors in the place of results instead of throwing the first. @default false, as `Promise.all` */
  returnExceptions?: boolean;
  /** Cancels everything, what runs and what waits; then `gather` rejects with `signal.reason`, whatever `returnExceptions` says. */
  signal?: AbortSignal;
  /** Called after each task. `total` is absent while the source is still being read. */
  onProgress?(done: number, total?: number): void;
}

// Which places of a result are failures: an `Error` may as well be a value.
const failures = new WeakMap<object, Set<number>>();

/**
 * Runs tasks, so many at once, and resolves with their results in the order of the tasks. Without `returnExceptions` the
 * first error rejects and aborts the rest; with it, errors stand in the place of results ({@link partition} takes them apart).
 *
 * @throws the first error, unless `returnExceptions`; after an abort always `signal.reason`
 * @example
 * ```ts
 * import { gather, partition } from "tidegate";
 *
 * const tasks = [1, 0, 3].map((n) => () => (n === 0 ? Promise.reject(new Error("no")) : 12 / n));
 * const { values, errors } = partition(await gather(tasks, { concurrency: 2, returnExceptions: true }));
 * console.log(values, errors.length); // → [ 12, 4 ] 1
 * ```
 */
export async function gather<T>(
  tasks: Iterable<Task<T>> | AsyncIterable<Task<T>>,
  options: GatherOptions = {},
): Promise<(Awaited<T> | Error)[]> {
  if (object("options", options) === undefined) reject("options", "an object", options);
  const concurrency =
    options.concurrency === undefined ? 10 : integer("concurrency", options.concurrency, 1, 4_294_967_294);
  const signal = abortSignal("signal", options.signal);
  if (options.onProgress !== undefined) callable("onProgress", options.onProgress);
  if (options.returnExceptions !== undefined) boolean("returnExceptions", options.returnExceptions);
  iterable("tasks", tasks, " of functions");
  const pool = new Pool({ name: "gather", concurrency });
  const results: (Awaited<T> | Error)[] = [];
  const failed = new Set<number>();
  const place = (settled: Settled<Awaited<T>>): void => {
    if (signal?.aborted === true) throw signal.reason;
    if ("error" in settled) {
      if (options.returnExceptions !== true) throw settled.error;
      failed.add(settled.index);
      results[settled.index] = asError(settled.error);
    } else results[settled.index] = settled.value;
  };
  try {
    if (Array.isArray(tasks)) await gatherArray(pool, tasks, signal, place, options.onProgress);
    else {
      let done = 0;
      const run = (task: Task<T>, ctx: Parameters<Task<T>>[0]) => task(ctx);
      const source = checked(tasks);
      for await (const settled of stream(pool, source, run, {
        ordered: false,
        resultBuffer: Number.MAX_SAFE_INTEGER,
        signal,
      })) {
        place(settled);
        options.onProgress?.(++done);
      }
    }
  } finally {
    await pool.close({ grace: 0, queued: "reject" });
  }
  failures.set(results, failed);
  return results;
}

/**
 * Takes the results of a {@link gather} apart, each kind in its order; an `Error` that was a value stays one. Of an array
 * that did not come from `gather`, every `Error` counts as a failure.
 *
 * @example
 * ```ts
 * import { gather, partition } from "tidegate";
 *
 * const tasks = [() => new Error("a value"), () => new Error("another")];
 * console.log(partition(await gather(tasks, { returnExceptions: true })).errors.length); // → 0
 * ```
 */
export function partition<T>(results: readonly (T | Error)[]): { values: T[]; errors: Error[] } {
  const failed = failures.get(results);
  const values: T[] = [];
  const errors: Error[] = [];
  results.forEach((result, index) => {
    const isFailure = failed === undefined ? result instanceof Error : failed.has(index);
    if (isFailure) errors.push(result as Error);
    else values.push(result as T);
  });
  return { values, errors };
}

/** An array needs no pulling: all tasks stand in line at once. */
function gatherArray<T>(
  pool: Pool,
  tasks: readonly Task<T>[],
  signal: AbortSignal | undefined,
  place: (settled: Settled<Awaited<T>>) => void,
  onProgress: GatherOptions["onProgress"],
): Promise<void> {
  for (const [index, task] of tasks.entries()) check(task, index);
  if (signal?.aborted === true) return Promise.reject(signal.reason);
  if (tasks.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const options = signal === undefined ? undefined : { signal };
    let done = 0;
    const settled = (outcome: Settled<Awaited<T>>) => {
      try {
        place(outcome);
        done += 1;
        onProgress?.(done, tasks.length);
      } catch (error) {
        reject(error);
        return;
      }
      if (done === tasks.length) resolve();
    };
    tasks.forEach((task, index) => {
      pool.run(task, options).then(
        (value) => settled({ index, value }),
        (error: unknown) => settled({ index, error }),
      );
    });
  });
}

/** Tasks as they come, each looked at first. */
export async function* checked<T>(
  tasks: Iterable<Task<T>> | AsyncIterable<Task<T>>,
): AsyncGenerator<Task<T>> {
  let index = 0;
  if (Symbol.asyncIterator in tasks) {
    for await (const task of tasks) {
      check(task, index++);
      yield task;
    }
    return;
  }
  // Not `for await`: it would wait for a promise that stands where a task belongs.
  for (const task of tasks) {
    check(task, index++);
    yield task;
  }
}

function check(task: unknown, index: number): void {
  if (typeof task === "function") return;
  const hint = task instanceof Promise ? ": its work has already started, so nothing can hold it back" : "";
  const got = task instanceof Promise ? "a promise" : show(task);
  throw new TypeError(`Expected \`tasks[${index}]\` to be a function, got ${got}${hint}`);
}

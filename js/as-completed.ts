import { ready } from "./core.js";
import { TimeoutError } from "./errors.js";
import { checked } from "./gather.js";
import { abortSignal, integer, milliseconds, object, reject } from "./options.js";
import { Pool } from "./pool.js";
import { iterable, type Settled, stream } from "./pool-map.js";
import { onAbort } from "./signals.js";
import type { Task, TaskContext } from "./work.js";

/**
 * Runs tasks, so many at once, and yields what became of each as it ends, with its index. At most `resultBuffer` results
 * are started and unread, then nothing more starts. When the reader leaves, what runs is aborted.
 *
 * @default concurrency 10; resultBuffer 50; timeout none
 * @throws TimeoutError when `timeout` milliseconds for all of it are over; after an abort `signal.reason`
 * @example
 * ```ts
 * import { asCompleted } from "tidegate";
 *
 * const after = (ms: number) => () => new Promise<number>((resolve) => setTimeout(resolve, ms, ms));
 * for await (const done of asCompleted([after(50), after(1)])) {
 *   if ("value" in done) console.log(done.index, done.value); // → 1 1
 *   break; // the first answer is enough: the rest is aborted
 * }
 * ```
 */
export function asCompleted<T>(
  tasks: Iterable<Task<T>> | AsyncIterable<Task<T>>,
  options: { concurrency?: number; timeout?: number; resultBuffer?: number; signal?: AbortSignal } = {},
): AsyncGenerator<Settled<Awaited<T>>, void, undefined> {
  ready();
  if (object("options", options) === undefined) reject("options", "an object", options);
  const { concurrency = 10, resultBuffer = 50, timeout = Number.POSITIVE_INFINITY, signal } = options;
  return settle(iterable("tasks", tasks, " of functions"), {
    concurrency: integer("concurrency", concurrency, 1, 4_294_967_294),
    resultBuffer: integer("resultBuffer", resultBuffer, 1),
    timeout: milliseconds("timeout", timeout),
    signal: abortSignal("signal", signal),
  });
}

async function* settle<T>(
  tasks: Iterable<Task<T>> | AsyncIterable<Task<T>>,
  options: { concurrency: number; timeout: number; resultBuffer: number; signal: AbortSignal | undefined },
): AsyncGenerator<Settled<Awaited<T>>, void, undefined> {
  const { concurrency, resultBuffer, timeout, signal } = options;
  if (signal?.aborted === true) throw signal.reason;
  const pool = new Pool({ name: "asCompleted", concurrency });
  const stop = new AbortController();
  const unfollow = onAbort(signal, () => stop.abort(signal?.reason));
  const timer =
    timeout > 2 ** 31 - 1
      ? undefined
      : setTimeout(() => stop.abort(new TimeoutError("asCompleted", timeout)), timeout);
  try {
    const run = (task: Task<T>, ctx: TaskContext) => task(ctx);
    yield* stream(pool, checked(tasks), run, { ordered: false, resultBuffer, signal: stop.signal });
  } finally {
    clearTimeout(timer);
    unfollow();
    await pool.close({ grace: 0, queued: "reject" });
  }
}

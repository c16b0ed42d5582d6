import { abortSignal, boolean, callable, integer, object, reject } from "./options.js";
import type { Pool } from "./pool.js";
import { onAbort } from "./signals.js";
import type { TaskContext } from "./work.js";

/** What happened to one item: its place in the source, and its value or error. */
export type Settled<R> = { index: number; value: R } | { index: number; error: unknown };

/** How {@link stream} goes about it. */
export interface StreamOptions {
  ordered: boolean;
  resultBuffer: number;
  signal: AbortSignal | undefined;
}

/** `Pool.map`: results as an async iterable that throws the first error. */
export function mapThrough<T, R>(
  pool: Pool,
  source: Iterable<T> | AsyncIterable<T>,
  fn: (item: T, ctx: TaskContext) => R | PromiseLike<R>,
  options: { ordered?: boolean; resultBuffer?: number; signal?: AbortSignal } = {},
): AsyncGenerator<Awaited<R>, void, undefined> {
  callable("fn", fn);
  iterable("source", source);
  if (object("options", options) === undefined) reject("options", "an object", options);
  const { ordered, resultBuffer, signal } = options;
  return values(
    stream(pool, source, fn, {
      ordered: ordered === undefined ? true : boolean("ordered", ordered),
      resultBuffer: resultBuffer === undefined ? 50 : integer("resultBuffer", resultBuffer, 1),
      signal: abortSignal("signal", signal),
    }),
  );
}

async function* values<R>(results: AsyncIterable<Settled<R>>): AsyncGenerator<R, void, undefined> {
  for await (const settled of results) {
    if ("error" in settled) throw settled.error;
    yield settled.value;
  }
}

/** Something to iterate over, at once or as it comes. */
export function iterable<T>(name: string, value: T, of = ""): T {
  const { [Symbol.iterator]: each, [Symbol.asyncIterator]: eachLater } = Object(value) as Record<
    symbol,
    unknown
  >;
  if (typeof value === "string" || (typeof each !== "function" && typeof eachLater !== "function"))
    reject(name, `an iterable or async iterable${of}`, value);
  return value;
}

/**
 * Runs `fn` for each item and yields what became of it. An item is pulled inside a slot, one at a time, so that nothing
 * is taken from the source that cannot run at once; at most `resultBuffer` results are started and unread. When the
 * reader leaves, what still runs is aborted and the source is closed.
 */
export async function* stream<T, R>(
  pool: Pool,
  source: Iterable<T> | AsyncIterable<T>,
  fn: (item: T, ctx: TaskContext) => R | PromiseLike<R>,
  { ordered, resultBuffer, signal }: StreamOptions,
): AsyncGenerator<Settled<Awaited<R>>, void, undefined> {
  const iterator = iteratorOf(source);
  const stop = new AbortController();
  if (signal?.aborted === true) throw signal.reason;
  const unfollow = onAbort(signal, () => stop.abort(signal?.reason));

  const ready: Settled<Awaited<R>>[] = [];
  let wakeReader: (() => void) | undefined;
  let pulled = 0;
  let unread = 0;
  let running = 0;
  let exhausted = false;
  let failure: { error: unknown } | undefined;
  let pulling = false;
  let asking = false;

  const put = (settled: Settled<Awaited<R>>) => {
    ready.push(settled);
    wakeReader?.();
  };

  // One launch at a time waits for a slot and pulls inside it; the next is launched once the pull is over.
  const launch = () => {
    if (pulling || exhausted || failure !== undefined || unread >= resultBuffer || stop.signal.aborted)
      return;
    pulling = true;
    unread += 1;
    running += 1;
    let index = -1;
    let item: T;
    const pull = async (): Promise<boolean> => {
      let step: IteratorResult<T>;
      asking = true;
      try {
        step = await iterator.next();
      } catch (error) {
        failure = { error };
        exhausted = true;
        return false;
      } finally {
        asking = false;
        pulling = false;
      }
      if (step.done === true) exhausted = true;
      // Nothing starts for a reader who has left.
      if (exhausted || stop.signal.aborted) return false;
      item = step.value;
      index = pulled++;
      launch();
      return true;
    };
    pool
      .run(
        // Another attempt is one at the same item.
        async (ctx) => (index >= 0 || (await pull()) ? await fn(item, ctx) : undefined),
        { signal: stop.signal },
      )
      .then(
        (value) => {
          running -= 1;
          if (index >= 0) put({ index, value: value as Awaited<R> });
          else unread -= 1;
          wakeReader?.();
        },
        (error: unknown) => {
          running -= 1;
          pulling &&= index >= 0;
          if (index >= 0) put({ index, error });
          else {
            unread -= 1;
            failure ??= { error };
          }
          wakeReader?.();
        },
      );
  };

  stop.signal.addEventListener("abort", () => wakeReader?.());

  let next = 0;
  try {
    for (;;) {
      if (stop.signal.aborted) throw stop.signal.reason;
      launch();
      const at = ordered ? ready.findIndex(({ index }) => index === next) : ready.length > 0 ? 0 : -1;
      if (at >= 0) {
        const [settled] = ready.splice(at, 1);
        unread -= 1;
        next += 1;
        if (settled !== undefined) yield settled;
        continue;
      }
      if (running === 0 && !pulling) {
        if (failure !== undefined) throw failure.error;
        if (exhausted) return;
      }
      await new Promise<void>((resolve) => {
        wakeReader = resolve;
        if (stop.signal.aborted) resolve();
      });
      wakeReader = undefined;
    }
  } finally {
    unfollow();
    if (!stop.signal.aborted) stop.abort(new DOMException("The reader has left", "AbortError"));
    // A source that is asked for its next item cannot close before it has answered, which may be never.
    if (asking) Promise.resolve(iterator.return?.()).catch(() => {});
    else if (!exhausted) await iterator.return?.();
  }
}

function iteratorOf<T>(source: Iterable<T> | AsyncIterable<T>): AsyncIterator<T> | Iterator<T> {
  const any = source as AsyncIterable<T> & Iterable<T>;
  return typeof any[Symbol.asyncIterator] === "function"
    ? any[Symbol.asyncIterator]()
    : any[Symbol.iterator]();
}

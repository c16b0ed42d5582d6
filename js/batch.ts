import { now } from "./clock.js";
import { type RuntimeTrapError, TimeoutError } from "./errors.js";
import { asError } from "./failure.js";
import { bindings } from "./generated/store_bg.js";
import { EXPIRED, GRANTED, type Handle, LIST, READY } from "./instance.js";
import { reportError } from "./log.js";
import { abortSignal, callable, integer, milliseconds, object, reject } from "./options.js";
import { Pool } from "./pool.js";
import { iterable } from "./pool-map.js";
import { attendant } from "./presence.js";
import { onAbort } from "./signals.js";
import { area, ask, detail, hold, open, register, settle, unregister } from "./store.js";
import type { TaskContext } from "./work.js";

/** How {@link batch} cuts and runs. */
export interface BatchOptions {
  /** Items at once within a batch. @default 10 */
  concurrency?: number;
  /** Items in a batch, or a size from 1 to 1,000 that finds itself, so that a batch takes about a second. @default 100: few enough to lose little with one, enough to make one worth while */
  batchSize?: number | "adaptive";
  /** Batches at once. @default 10 */
  batchConcurrency?: number;
  /** Results that nobody has read, before nothing more is started. @default 50 */
  resultBuffer?: number;
  /** Milliseconds for one batch, so that all take at most that times their number: what is not done by then fails with `TimeoutError`. @default none */
  batchTimeout?: number;
  /** Called with each item that failed, as it fails. */
  onError?(item: unknown, error: unknown): void;
  /** Called after each item. `total` is absent where the source does not say how many there are. */
  onProgress?(done: number, total?: number): void;
  /** A `PressureMonitor`, or something else to ask: while it says yes, drawing another batch waits, and an adaptive size is halved. */
  pressure?: { shouldThrottle(): boolean };
  /** How many milliseconds drawing waits under pressure before it goes ahead all the same. @default 5,000 */
  pressureWait?: number;
  /** Gives up everything; the iteration throws its reason. */
  signal?: AbortSignal;
}

/** What came out of one batch. */
export interface BatchResult<R> {
  /** Unique in this copy of the package. */
  readonly id: number;
  /** Which batch it is, in the order of the items, from 0. */
  readonly index: number;
  /** A result for each item, in their order; an error stands where one failed. */
  readonly results: readonly (R | Error)[];
  /** The errors, each with its item's place in the batch: never fooled by a value that is an `Error`. */
  readonly errors: readonly { readonly index: number; readonly error: unknown }[];
  /** Milliseconds it took. */
  readonly duration: number;
}

/** Pressure is looked at again after so long: it is sampled no more often. */
const LOOK_AGAIN = 1000;

let results = 0;

/**
 * Cuts `items` into batches, runs `processor` over them and yields a result for each batch as it completes. A failing item is
 * one error in its batch; a batch that runs out of time loses its unfinished items and nobody else's.
 *
 * Items are drawn only as there is room for another batch. When the reader leaves, what runs is aborted and the source closed.
 *
 * @throws what the source throws; after an abort `signal.reason`
 * @example
 * ```ts
 * import { batch } from "tidegate";
 *
 * const lengths = batch(["a", "bb", "ccc"], async (text) => text.length, { batchSize: 2, batchConcurrency: 1 });
 * for await (const { index, results } of lengths) console.log(index, results.join("+")); // → 0 1+2, 1 3
 * ```
 */
export function batch<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  processor: (item: T, ctx: TaskContext) => R | PromiseLike<R>,
  options: BatchOptions = {},
): AsyncGenerator<BatchResult<Awaited<R>>, void, undefined> {
  iterable("items", items);
  callable("processor", processor);
  return new Run(items, processor, options).read();
}

/** A batch that is not read yet. */
interface Open<T, R> {
  readonly items: readonly T[];
  readonly results: (R | Error | undefined)[];
  readonly errors: { index: number; error: unknown }[];
  // Which items have ended: a result may well be `undefined`.
  readonly ended: boolean[];
  readonly stop: AbortController;
}

class Run<T, R> implements Handle {
  readonly #iterator: Iterator<T> | AsyncIterator<T>;
  readonly #processor: (item: T, ctx: TaskContext) => R | PromiseLike<R>;
  readonly #pool: Pool;
  readonly #total: number | undefined;
  readonly #timeout: number;
  readonly #onError: BatchOptions["onError"];
  readonly #onProgress: BatchOptions["onProgress"];
  readonly #pressure: BatchOptions["pressure"];
  readonly #signal: AbortSignal | undefined;
  readonly #open = new Map<number, Open<T, Awaited<R>>>();
  readonly #ended: number[] = [];
  readonly #begin: () => number;
  #done = 0;
  #pulling = false;
  #exhausted = false;
  #stopped = false;
  #failure: { error: unknown } | undefined;
  #look: ReturnType<typeof setTimeout> | undefined;
  #wakeReader: (() => void) | undefined;
  #unwatch = () => {};
  #closed: Promise<unknown> | undefined;
  #id = -1;

  constructor(
    items: Iterable<T> | AsyncIterable<T>,
    processor: (item: T, ctx: TaskContext) => R | PromiseLike<R>,
    options: BatchOptions,
  ) {
    if (object("options", options) === undefined) reject("options", "an object", options);
    const { concurrency = 10, batchSize = 100, batchConcurrency = 10, resultBuffer = 50 } = options;
    const { batchTimeout, pressureWait = 5000, onError, onProgress, pressure, signal } = options;
    const most = 65_535;
    integer("concurrency", concurrency, 1, most);
    integer("batchConcurrency", batchConcurrency, 1, most);
    integer("resultBuffer", resultBuffer, 1, 4_294_967_294);
    const size = batchSize === "adaptive" ? 0 : integer("batchSize", batchSize, 1, 4_294_967_294);
    milliseconds("pressureWait", pressureWait);
    this.#timeout =
      batchTimeout === undefined ? Number.POSITIVE_INFINITY : milliseconds("batchTimeout", batchTimeout);
    this.#onError = onError === undefined ? undefined : callable("onError", onError);
    this.#onProgress = onProgress === undefined ? undefined : callable("onProgress", onProgress);
    if (pressure !== undefined) callable("pressure.shouldThrottle", pressure?.shouldThrottle);
    this.#pressure = pressure;
    this.#signal = abortSignal("signal", signal);
    this.#processor = processor;
    this.#total = totalOf(items);
    this.#iterator = iteratorOf(items);
    this.#begin = () =>
      bindings.batches_open(size, concurrency, batchConcurrency, resultBuffer, this.#timeout, pressureWait);
    // The machine says which items run; the pool gives them their context.
    this.#pool = new Pool({ name: "batch", concurrency: concurrency * batchConcurrency });
  }

  async *read(): AsyncGenerator<BatchResult<Awaited<R>>, void, undefined> {
    this.#signal?.throwIfAborted();
    this.#id = open("runs of batches", this.#begin);
    register(this, this.#id, bindings.batches_drop);
    hold(this.#id, this);
    attendant?.dwell(this);
    this.#unwatch = onAbort(this.#signal, () => this.#fail(this.#signal?.reason));
    try {
      for (;;) {
        void this.#draw();
        if (this.#failure !== undefined) throw this.#failure.error;
        const ticket = this.#ended.shift();
        if (ticket !== undefined) {
          const result = this.#collect(ticket);
          if (result !== undefined) yield result;
          continue;
        }
        if (!this.#pulling && ask(() => bindings.batches_over(this.#id)) === 1) return;
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    } finally {
      this.#stop(this.#failure?.error ?? new DOMException("The reader has left", "AbortError"));
      await this.#closed;
    }
  }

  /** @internal Carries out a decision about a batch. */
  wake(ticket: number, why: number): void {
    const one = this.#open.get(ticket);
    if (one === undefined) return;
    if (why === GRANTED) {
      this.#start(ticket, one);
    } else if (why === READY) {
      this.#ended.push(ticket);
    } else if (why === EXPIRED) {
      const error = new TimeoutError("batch", this.#timeout);
      for (const [index, item] of one.items.entries()) {
        if (one.ended[index] !== true) this.#note(one, index, item, { error });
      }
      one.stop.abort(error);
      this.#ended.push(ticket);
    }
    this.#wakeReader?.();
  }

  /** @internal A run does not outlive the instance that knew which items were under way. */
  rebuild(error: RuntimeTrapError): () => void {
    this.#id = -1;
    this.#stopped = true;
    return () => this.#fail(error);
  }

  /** Draws as many batches as may be drawn. */
  async #draw(): Promise<void> {
    if (this.#pulling || this.#exhausted || this.#stopped) return;
    this.#pulling = true;
    try {
      while (!this.#exhausted && !this.#stopped) {
        const pressed = this.#pressure?.shouldThrottle() === true ? 1 : 0;
        if (this.#stopped) return;
        const wanted = ask(() => bindings.batches_next(this.#id, now(), pressed));
        if (wanted === -2) this.#lookAgain(detail());
        if (wanted < 1) return;
        const items: T[] = [];
        while (items.length < wanted && !this.#exhausted && !this.#stopped) {
          const step = this.#iterator.next();
          const { done, value } = "then" in step ? await step : step;
          if (done === true) this.#exhausted = true;
          else items.push(value);
        }
        if (!this.#stopped) this.#submit(items);
      }
    } catch (error) {
      this.#exhausted = true;
      this.#fail(error);
    } finally {
      this.#pulling = false;
      this.#wakeReader?.();
    }
  }

  #submit(items: readonly T[]): void {
    const last = this.#exhausted ? 1 : 0;
    const ticket = ask(() => bindings.batches_begin(this.#id, now(), items.length, last));
    if (ticket >= 0) {
      const stop = new AbortController();
      const ended = items.map(() => false);
      this.#open.set(ticket, { items, results: items.map(() => undefined), errors: [], ended, stop });
    }
    settle();
  }

  #start(ticket: number, one: Open<T, Awaited<R>>): void {
    // What an item does may be to end it all.
    while (!this.#stopped) {
      const index = ask(() => bindings.batches_item(this.#id, ticket));
      if (index < 0) return;
      const item = one.items[index] as T;
      this.#pool
        .run((ctx) => this.#processor(item, ctx), { signal: one.stop.signal })
        .then(
          (value) => this.#itemEnded(ticket, one, index, { value: value as Awaited<R> }),
          (error: unknown) => this.#itemEnded(ticket, one, index, { error }),
        );
    }
  }

  #itemEnded(
    ticket: number,
    one: Open<T, Awaited<R>>,
    index: number,
    end: { value: Awaited<R> } | { error: unknown },
  ): void {
    if (this.#stopped || one.ended[index] === true) return;
    this.#note(one, index, one.items[index] as T, end);
    if (this.#stopped) return;
    ask(() => bindings.batches_end_item(this.#id, now(), ticket, "error" in end ? 1 : 0));
    this.#start(ticket, one);
    settle();
    this.#wakeReader?.();
  }

  #note(
    one: Open<T, Awaited<R>>,
    index: number,
    item: T,
    end: { value: Awaited<R> } | { error: unknown },
  ): void {
    one.ended[index] = true;
    this.#done += 1;
    if ("error" in end) {
      one.results[index] = asError(end.error);
      one.errors.push({ index, error: end.error });
    } else {
      one.results[index] = end.value;
    }
    // What a listener throws is its own failure, not the item's.
    try {
      if ("error" in end) this.#onError?.(item, end.error);
      this.#onProgress?.(this.#done, this.#total);
    } catch (error) {
      reportError(error);
    }
  }

  #collect(ticket: number): BatchResult<Awaited<R>> | undefined {
    const one = this.#open.get(ticket);
    this.#open.delete(ticket);
    if (one === undefined || ask(() => bindings.batches_read(this.#id, now(), ticket)) === 0)
      return undefined;
    const [index, duration] = [area()[LIST] as number, area()[LIST + 1] as number];
    settle();
    results += 1;
    const errors = one.errors.sort((a, b) => a.index - b.index);
    return { id: results, index, results: one.results as (Awaited<R> | Error)[], errors, duration };
  }

  #lookAgain(until: number): void {
    if (this.#look !== undefined) clearTimeout(this.#look);
    const ms = Math.min(LOOK_AGAIN, Math.max(0, Math.ceil(until - now())));
    this.#look = setTimeout(() => {
      this.#look = undefined;
      void this.#draw();
    }, ms);
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    // At once: its reader may be long in coming, or never come again.
    this.#stop(this.#failure.error);
    this.#wakeReader?.();
  }

  /** Gives up what is under way, in this tick; where all is over already, nothing is. */
  #stop(reason: unknown): void {
    this.#unwatch();
    clearTimeout(this.#look);
    if (this.#closed !== undefined) return;
    this.#stopped = true;
    attendant?.rise(this, -1);
    for (const { stop } of this.#open.values()) stop.abort(reason);
    if (this.#id >= 0) {
      unregister(this, this.#id);
      ask(() => bindings.batches_drop(this.#id));
      settle();
    }
    void this.#pool.close({ grace: 0, queued: "reject" });
    this.#closed = this.#closeSource();
    // Who reads hears of it.
    this.#closed.catch(() => {});
  }

  async #closeSource(): Promise<void> {
    if (this.#exhausted) return;
    const close = () => this.#iterator.return?.();
    // A source that is asked for its next item cannot close before it has answered, which may be never.
    if (this.#pulling)
      void Promise.resolve()
        .then(close)
        .catch(() => {});
    else await close();
  }
}

function totalOf(items: object): number | undefined {
  if (Array.isArray(items)) return items.length;
  return items instanceof Set || items instanceof Map ? items.size : undefined;
}

function iteratorOf<T>(items: Iterable<T> | AsyncIterable<T>): Iterator<T> | AsyncIterator<T> {
  const any = items as AsyncIterable<T> & Iterable<T>;
  return typeof any[Symbol.asyncIterator] === "function"
    ? any[Symbol.asyncIterator]()
    : any[Symbol.iterator]();
}

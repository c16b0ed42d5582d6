import { asyncDispose, dispose } from "../dispose.js";
import type { RuntimeTrapError } from "../errors.js";
import { type Disposer, Events } from "../events.js";
import type { Handle } from "../instance.js";
import { choice, milliseconds, object } from "../options.js";
import type { Functions } from "./call.js";
import { Dispatch } from "./dispatch.js";
import type { ArgumentsOf, ItemOf, NameOf, ResultOf } from "./exposed.js";
import {
  parseWorkerPool,
  type WorkerPoolConfig,
  type WorkerPoolOptions,
  type WorkerRunOptions,
} from "./options.js";
import { CREDIT, MARK, RUN, STREAM } from "./protocol.js";
import { Inlet } from "./stream.js";
import type { Task } from "./tasks.js";
import type { WorkerEvents, WorkerMetrics } from "./worker-metrics.js";

/**
 * CPU work on other threads: tasks for named functions that workers `expose`.
 *
 * An idle worker gets a task in the tick of the call; a busy one gets what has gathered meanwhile in one message, as much as
 * it does in some milliseconds. A worker that dies, traps or runs out of time is replaced, and takes nothing with it that
 * may be tried again. Where there are no workers the same calls run on this thread, in slices.
 *
 * @example
 * ```ts
 * import { expose, WorkerPool } from "tidegate/workers";
 *
 * // What `my-worker.js` does; here it stands in for workers that cannot be had.
 * expose({ square: (n: number) => n * n });
 * const pool = new WorkerPool<{ square: (n: number) => number }>({
 *   worker: () => { throw new Error("none here"); }, // () => new Worker(new URL("./my-worker.js", import.meta.url), { type: "module" })
 * });
 * console.log(await pool.run("square", [7])); // → 49
 * console.log(pool.metrics().mode); // → cooperative
 * await pool.close();
 * ```
 */
export class WorkerPool<F extends { [K in keyof F]: (...args: never[]) => unknown } = Functions>
  implements Handle
{
  /** @internal */
  readonly kind = "workers";
  readonly #config: WorkerPoolConfig;
  readonly #events: Events<WorkerEvents>;
  readonly #dispatch: Dispatch;
  // Once there is nothing left to ask.
  #last: WorkerMetrics | undefined;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: WorkerPoolOptions = {}) {
    this.#config = parseWorkerPool(options);
    this.#events = new Events("workers", this.#config.name);
    this.#dispatch = new Dispatch(this.#config, this.#events, this);
    this.#dispatch.begin();
  }

  /** The name given at construction. */
  get name(): string {
    return this.#config.name;
  }

  /** How many workers there may be. */
  get size(): number {
    return this.#config.max;
  }

  /** Resolves when the workers that are started at once (`size.min`) have answered, or it is known that there are none. */
  get ready(): Promise<void> {
    return this.#dispatch.started();
  }

  /**
   * Calls an exposed function with these arguments; of a generator function, with all that it yields in an array.
   *
   * @throws what the function throws, with its name, message, stack, code and cause; WorkerCrashedError; TimeoutError;
   * QueueFullError, DroppedError, QueueTimeoutError; ClosedError; TypeError that names what in the arguments cannot be sent;
   * after an abort `signal.reason`. All by rejection
   */
  run<K extends NameOf<F>, R = ResultOf<F, K>>(
    name: K,
    args?: ArgumentsOf<F, K>,
    options?: WorkerRunOptions,
  ): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#dispatch.submit(
        name,
        RUN,
        args as readonly unknown[] | undefined,
        options,
        resolve as (value: unknown) => void,
        reject,
      );
    });
  }

  /**
   * Calls an exposed generator function and gives what it yields, as it yields it. At most 64 items lie unread, then the
   * generator waits; it holds its worker until it ends or the loop is left.
   *
   * @throws as `run`, from the loop
   */
  stream<K extends NameOf<F>, T = ItemOf<F, K>>(
    name: K,
    args?: ArgumentsOf<F, K>,
    options?: WorkerRunOptions,
  ): AsyncIterableIterator<T> {
    const inlet: Inlet<T> = new Inlet((tell) => {
      let stop = () => {};
      const task = this.#dispatch.submit(
        name,
        STREAM,
        args as readonly unknown[] | undefined,
        options,
        () => tell.end(),
        tell.fail,
        inlet as Inlet,
      );
      if (task !== undefined) stop = () => this.#dispatch.cancel(task, undefined, false);
      const more = (items: number) => {
        const link = task?.link;
        if (task !== undefined && link !== undefined)
          this.#dispatch.tell(link, [MARK, CREDIT, task.ticket, items]);
      };
      return { stop: () => stop(), more };
    });
    return inlet;
  }

  /** Every number of this pool. */
  metrics(): WorkerMetrics {
    return this.#last ?? this.#dispatch.metrics();
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof WorkerEvents>(event: K, fn: (detail: WorkerEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /**
   * Takes nothing more. What runs ends, and what is queued too unless it is to be rejected; then each worker is asked to exit, and
   * this resolves when all have said that they do. After `grace` milliseconds what is left is rejected with `ClosedError` and
   * the workers are ended.
   *
   * @default grace 30,000, queued "finish"
   */
  async close(options: { grace?: number; queued?: "finish" | "reject" } = {}): Promise<void> {
    const { grace = 30_000, queued = "finish" } = object("options", options) ?? {};
    milliseconds("grace", grace);
    choice("queued", queued, ["finish", "reject"]);
    const before = this.#dispatch.closed;
    this.#dispatch.shut(queued === "reject");
    await this.#dispatch.emptied(grace);
    if (before) return;
    this.#last = this.metrics();
    this.#dispatch.drop();
  }

  /** Ends the workers at once; what is left is rejected with `ClosedError`. */
  [dispose](): void {
    void this.close({ grace: 0, queued: "reject" });
  }

  /** The same as {@link close}. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Nobody waits in the ring. */
  wake(): void {}

  /** @internal Time has brought orders. */
  errand(): void {
    this.#dispatch.orders.obey();
  }

  /** @internal */
  rebuild(error: RuntimeTrapError): () => void {
    return this.#dispatch.rebuild(error);
  }

  /** @internal Takes a task in, and tells its end. Whatever is wrong is told to `reject`. */
  submit(...task: Parameters<Dispatch["submit"]>): Task | undefined {
    return this.#dispatch.submit(...task);
  }

  /** @internal How many items of so many a chunk takes, by what one has cost so far. */
  chunk(left: number, itemMs: number): number {
    return this.#dispatch.chunk(left, itemMs);
  }
}

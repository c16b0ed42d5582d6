import { asyncDispose, dispose } from "./dispose.js";
import { ClosedError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { observe } from "./observed.js";
import { callable, nameOf, object, reject } from "./options.js";
import { Pool } from "./pool.js";

/** How a {@link Sink} writes. */
export interface SinkOptions<T> {
  /** @default "sink" */
  name?: string;
  /** Called with one item at a time, again only when its promise has settled. */
  write(item: T): void | PromiseLike<void>;
}

/** What a sink tells those who listen. */
export interface SinkEvents<T> {
  /** An item could not be written. */
  error: { item: T; error: unknown };
}

/** Every number of a sink. */
export interface SinkMetrics {
  readonly name: string;
  /** Items that were given and are not written yet, the one being written included. */
  readonly waiting: number;
  /** Items that were written. */
  readonly written: number;
  /** Items that could not be. */
  readonly failed: number;
  readonly closed: boolean;
}

/**
 * One place that many write to: items are written one after the other, in the order in which they came, so that none is lost
 * and no two interleave. A write that fails is told to whoever asked for it and to `error` listeners; those after it go on.
 *
 * @example
 * ```ts
 * import { Sink } from "tidegate";
 *
 * const lines: string[] = [];
 * const sink = new Sink<string>({ write: async (line) => void lines.push(line) });
 * void sink.write("a");
 * void sink.write("b");
 * await sink.close();
 * console.log(lines.join()); // → a,b
 * ```
 */
export class Sink<T> {
  /** @internal */
  readonly kind = "sink";
  readonly #name: string;
  readonly #write: (item: T) => void | PromiseLike<void>;
  readonly #events: Events<SinkEvents<T>>;
  /** Of one slot: those who write may be requests that cannot wait for each other's promises. */
  readonly #turn: Pool;
  #waiting = 0;
  #written = 0;
  #failed = 0;
  #closed = false;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: SinkOptions<T>) {
    if (object("options", options) === undefined) reject("options", "an object", options);
    this.#name = nameOf(options, "sink");
    this.#write = callable("write", options.write).bind(options);
    this.#events = new Events("sink", this.#name);
    this.#turn = new Pool({ name: this.#name, concurrency: 1 });
    observe(this);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /**
   * Writes an item when those before it are written. Rejections are handled already where nobody awaits them.
   *
   * @throws what the writer throws; ClosedError
   */
  write(item: T): Promise<void> {
    if (this.#closed) return Promise.reject(new ClosedError(`The sink \`${this.#name}\` is closed`));
    this.#waiting += 1;
    const written = this.#turn.run(() => this.#write(item));
    written.then(
      () => {
        this.#waiting -= 1;
        this.#written += 1;
      },
      (error: unknown) => {
        this.#waiting -= 1;
        this.#failed += 1;
        this.#events.emit("error", { item, error });
      },
    );
    return written;
  }

  /** Takes nothing more; resolves when everything that was given is written. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#turn.onIdle();
  }

  /** How much was written, and how much waits. */
  metrics(): SinkMetrics {
    return {
      name: this.#name,
      waiting: this.#waiting,
      written: this.#written,
      failed: this.#failed,
      closed: this.#closed,
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof SinkEvents<T>>(event: K, fn: (detail: SinkEvents<T>[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  [dispose](): void {
    void this.close();
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }
}

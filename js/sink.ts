import { asyncDispose } from "./dispose.js";
import { ClosedError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { callable, nameOf, object, reject } from "./options.js";

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
  readonly #name: string;
  readonly #write: (item: T) => void | PromiseLike<void>;
  readonly #events: Events<SinkEvents<T>>;
  #last: Promise<void> = Promise.resolve();
  #closed = false;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: SinkOptions<T>) {
    if (object("options", options) === undefined) reject("options", "an object", options);
    this.#name = nameOf(options, "sink");
    this.#write = callable("write", options.write).bind(options);
    this.#events = new Events("sink", this.#name);
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
    const written = this.#last.then(() => this.#write(item));
    this.#last = written.catch((error: unknown) => this.#events.emit("error", { item, error }));
    return written;
  }

  /** Takes nothing more; resolves when everything that was given is written. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#last;
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof SinkEvents<T>>(event: K, fn: (detail: SinkEvents<T>[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }
}

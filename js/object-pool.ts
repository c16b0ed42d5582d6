import { asyncDispose, dispose } from "./dispose.js";
import type { Disposer } from "./events.js";
import type { ObjectEvents, ObjectMetrics, ObjectOptions } from "./object-terms.js";
import { Objects, type Thing } from "./objects.js";
import { callable, object, reject } from "./options.js";
import { parseWait, type WaitOptions } from "./waiting.js";

export type { Durations, ObjectEvents, ObjectMetrics, ObjectOptions } from "./object-terms.js";

/** An object while it is used; works with `using` and `await using`. */
export interface Pooled<T> extends Disposable, AsyncDisposable {
  readonly value: T;
  /** Unique in its pool. */
  readonly id: number;
  /** When it was made, in epoch milliseconds. */
  readonly createdAt: number;
  /** How often it has been given out, this time included. */
  readonly uses: number;
  /** Gives it back; resolves when it is reset. A second call does nothing. */
  release(): Promise<void>;
  /** Gives it back not to be used again. */
  discard(): Promise<void>;
}

/** How an `ObjectPool` makes its objects, and what becomes of them. */
export interface ObjectPoolOptions<T> extends ObjectOptions<T> {
  create: () => T | PromiseLike<T>;
}

/** How a `ConnectionPool` makes its connections, and what becomes of them. */
export interface ConnectionPoolOptions<T> extends ObjectOptions<T> {
  create: (key: string) => T | PromiseLike<T>;
}

class Shared<T> {
  /** @internal */
  readonly kind = "objects";
  protected readonly objects: Objects<T>;

  constructor(options: ConnectionPoolOptions<T>) {
    const create = callable("create", object("options", options)?.create);
    this.objects = new Objects<T>((key) => (create as (key: string) => T)(key), options);
  }

  /** The name given at construction. */
  get name(): string {
    return this.objects.name;
  }

  /** Gives no object out any more: those who wait are rejected with `ClosedError`, idle ones are destroyed, used ones when they come back. Resolves when none is left. */
  close(): Promise<void> {
    return this.objects.close();
  }

  /** Every number of this pool. */
  metrics(): ObjectMetrics {
    return this.objects.metrics();
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof ObjectEvents>(event: K, fn: (detail: ObjectEvents[K]) => void): Disposer {
    return this.objects.events.on(event, fn);
  }

  [dispose](): void {
    void this.close();
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  protected async take(key: string, options: WaitOptions | undefined): Promise<Pooled<T>> {
    return new Taken(this.objects, await this.objects.acquire(key, parseWait(options)));
  }

  protected async run<R>(
    key: string,
    fn: (value: T) => R | PromiseLike<R>,
    options: WaitOptions | undefined,
  ): Promise<Awaited<R>> {
    callable("fn", fn);
    const pooled = await this.take(key, options);
    try {
      const result = await fn(pooled.value);
      await pooled.release();
      return result;
    } catch (error) {
      // What was interrupted may be in any state.
      await pooled.discard();
      throw error;
    }
  }
}

/**
 * Objects that are dear to make, used again: the one that came back last goes out first, so that the others grow old and leave.
 * Those who wait are served first come, first served.
 *
 * @example
 * ```ts
 * import { ObjectPool } from "tidegate";
 *
 * const buffers = new ObjectPool({ create: () => new Uint8Array(65_536), reset: (buffer) => buffer.fill(0), max: 4 });
 * console.log(await buffers.use((buffer) => buffer.length), await buffers.use((buffer) => buffer[0])); // → 65536 0
 * console.log(buffers.metrics().created); // → 1
 * ```
 */
export class ObjectPool<T> extends Shared<T> {
  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: ObjectPoolOptions<T>) {
    super(options);
  }

  /**
   * Gives an object that is made, or was there and is valid.
   *
   * @default timeout none; it covers the wait for a place, not the making
   * @throws what `create` throws; TimeoutError; ClosedError; after an abort `signal.reason`: an object that was being made stays in the pool
   */
  acquire(options?: WaitOptions): Promise<Pooled<T>> {
    return this.take("", options);
  }

  /** Calls `fn` with an object and gives it back; after an error it is not used again. @throws as `acquire`, and what `fn` throws */
  use<R>(fn: (value: T) => R | PromiseLike<R>, options?: WaitOptions): Promise<Awaited<R>> {
    return this.run("", fn, options);
  }
}

/**
 * Connections by key (where they lead to), used again: an {@link ObjectPool} for each key, under one name.
 *
 * @example
 * ```ts
 * import { ConnectionPool } from "tidegate";
 *
 * const pool = new ConnectionPool({ create: async (host) => ({ host }), max: 2 });
 * console.log(await pool.use("db:5432", ({ host }) => host)); // → db:5432
 * ```
 */
export class ConnectionPool<T> extends Shared<T> {
  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: ConnectionPoolOptions<T>) {
    super(options);
  }

  /**
   * Gives a connection of a key that is made, or was there and is valid.
   *
   * @default timeout none; it covers the wait for a place, not the making
   * @throws as {@link ObjectPool.acquire}
   */
  acquire(key: string, options?: WaitOptions): Promise<Pooled<T>> {
    return this.take(named(key), options);
  }

  /** Calls `fn` with a connection and gives it back; after an error it is not used again. @throws as `acquire`, and what `fn` throws */
  use<R>(key: string, fn: (value: T) => R | PromiseLike<R>, options?: WaitOptions): Promise<Awaited<R>> {
    return this.run(named(key), fn, options);
  }
}

function named(key: unknown): string {
  if (typeof key !== "string") reject("key", "a string", key);
  return key;
}

class Taken<T> implements Pooled<T> {
  readonly value: T;
  readonly id: number;
  readonly createdAt: number;
  readonly uses: number;
  readonly #objects: Objects<T>;
  #thing: Thing<T> | undefined;

  constructor(objects: Objects<T>, thing: Thing<T>) {
    this.value = thing.value as T;
    this.id = thing.id;
    this.createdAt = thing.createdAt;
    this.uses = thing.uses;
    this.#objects = objects;
    this.#thing = thing;
  }

  release(): Promise<void> {
    return this.#end(true);
  }

  discard(): Promise<void> {
    return this.#end(false);
  }

  [dispose](): void {
    void this.release();
  }

  [asyncDispose](): Promise<void> {
    return this.release();
  }

  async #end(reusable: boolean): Promise<void> {
    const thing = this.#thing;
    this.#thing = undefined;
    if (thing !== undefined) await this.#objects.giveBack(thing, reusable);
  }
}

import { now } from "./clock.js";
import { dispose } from "./dispose.js";
import {
  ConflictError,
  DeadlockError,
  QueueFullError,
  type RuntimeTrapError,
  TimeoutError,
} from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { GRANTED, type Handle, LIST, READY, TICKET_SPAN } from "./instance.js";
import { waitsFor } from "./kin.js";
import { attach } from "./kin-graph.js";
import { abortSignal, callable, integer, object, reject } from "./options.js";
import { attendant, inRequestOf } from "./presence.js";
import { onAbort } from "./signals.js";
import { Entries } from "./state-entries.js";
import { StateNames } from "./state-names.js";
import { Subscribers } from "./state-subscribers.js";
import {
  parseTold,
  type StateChange,
  type StateEvents,
  type StateMetrics,
  type StateOptions,
  type Told,
  type Versioned,
  type WaitForOptions,
} from "./state-terms.js";
import { StateWaiters } from "./state-waiters.js";
import { area, ask, open, register, settle } from "./store.js";
import { type ParsedWait, parseWait } from "./waiting.js";

export type {
  StateChange,
  StateEvents,
  StateMetrics,
  StateOptions,
  Versioned,
  WaitForOptions,
} from "./state-terms.js";

/**
 * Entries by key, each with a version that a write may insist on.
 *
 * `update` reads, computes, also across awaits, and writes, and does so again when somebody else wrote meanwhile: no
 * write is lost. Those who compete try again one after the other, oldest first. Subscribers hear of every change, in the
 * order of the writes; `waitFor` waits until a value is as wanted. Values stay in JavaScript.
 *
 * @example
 * ```ts
 * import { VersionedState } from "tidegate";
 *
 * const state = new VersionedState<number>();
 * const addOne = () => state.update("count", async (seen = 0) => seen + 1);
 * await Promise.all([addOne(), addOne(), addOne()]);
 * const seen = state.get("count");
 * console.log(seen?.value, state.compareAndSet("count", (seen?.version ?? 0) - 1, 0)); // → 3 false
 * ```
 */
export class VersionedState<V> implements Handle {
  /** @internal */
  readonly kind = "state";
  readonly #name: string;
  readonly #attempts: number;
  readonly #events: Events<StateEvents>;
  readonly #names = new StateNames((key, prefix) => {
    ask(() => bindings.state_join(this.#id, key, prefix));
  });
  readonly #entries = new Entries<V>();
  readonly #subscribers = new Subscribers<V>(
    () => this.#id,
    (id) => this.#ticket(ask(() => bindings.state_subscribe(this.#id, id))),
    (id, version) => this.#changeOf(id, version),
  );
  readonly #waiters = new StateWaiters(
    this,
    () => this.#id,
    (ticket, { id, reject }, reason) => {
      ask(() => bindings.state_leave(this.#id, ticket));
      reject(reason);
      this.#settle();
      this.#forgetIfIdle(id);
    },
  );
  #trap: RuntimeTrapError | undefined;
  #id: number;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: StateOptions = {}) {
    object("options", options);
    const { name = "state", attempts = 100 } = options;
    this.#name = text("name", name);
    this.#attempts = integer("attempts", attempts, 1, 4_294_967_294);
    this.#events = new Events("state", this.#name);
    this.#id = open("states", () => bindings.state_open(this.#attempts));
    register(this, this.#id, bindings.state_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /** How many entries there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key, with its version. */
  get(key: string): Versioned<V> | undefined {
    const id = this.#names.find(text("key", key));
    return id === undefined ? undefined : this.#entries.at(id);
  }

  /** Writes a value, whatever the version is, and gives the new one. */
  set(key: string, value: V): number {
    const id = this.#names.key(text("key", key));
    const version = ask(() => bindings.state_set(this.#id, id));
    return this.#written(id, value, version);
  }

  /** Writes a value if the version is still the one that was seen, 0 for no value; otherwise nothing is written and the answer is false. */
  compareAndSet(key: string, version: number, value: V): boolean {
    integer("version", version, 0);
    const id = this.#names.key(text("key", key));
    const own = this.#entries.ownOf(version);
    const written = ask(() => bindings.state_compare_and_set(this.#id, id, own));
    if (written > 0) this.#written(id, value, written);
    else this.#forgetIfIdle(id);
    return written > 0;
  }

  /** Deletes a value. Whether there was one. */
  delete(key: string): boolean {
    const id = this.#names.find(text("key", key));
    if (id === undefined) return false;
    const deleted = ask(() => bindings.state_delete(this.#id, id)) === 1;
    if (deleted) {
      this.#entries.drop(id);
      this.#settle();
    }
    this.#forgetIfIdle(id);
    return deleted;
  }

  /**
   * Computes a new value from the one there is and writes it. When somebody else wrote meanwhile, `fn` is called again
   * with what they wrote. Gives the value written. `fn` must not update the same key itself: it would never find it unchanged.
   *
   * @throws what `fn` throws, and nothing is written; ConflictError after as many attempts as the state allows; after an abort `signal.reason`
   */
  async update(
    key: string,
    fn: (value: V | undefined) => V | PromiseLike<V>,
    options: { signal?: AbortSignal } = {},
  ): Promise<V> {
    callable("fn", fn);
    const signal = abortSignal("signal", options.signal);
    signal?.throwIfAborted();
    const id = this.#names.key(text("key", key));
    const ticket = this.#ticket(ask(() => bindings.state_begin_update(this.#id, id)));
    attendant?.lease(this, ticket, attendant.leaseTimeout);
    const machine = this.#id;
    const trap = this.#trap;
    let over = false;
    const same = () => this.#id === machine && this.#trap === trap;
    try {
      for (;;) {
        const value = await abortable(Promise.resolve(fn(this.#entries.at(id)?.value)), signal);
        if (!same()) throw this.#trap;
        const step = ask(() => bindings.state_commit(this.#id, ticket));
        over = step > 0 || step < -1;
        if (step > 0) {
          this.#written(id, value, step);
          return value;
        }
        if (step < -1) {
          throw new ConflictError(
            `State "${this.#name}" could not update "${key}" in ${this.#attempts} attempts: others wrote in between`,
            [key],
          );
        }
        if (this.#events.heard("conflict")) this.#events.emit("conflict", { key });
        if (step === -1) await this.#turn(ticket, id, signal);
      }
    } finally {
      attendant?.endLease(this, ticket);
      if (same()) {
        if (!over) ask(() => bindings.state_leave(this.#id, ticket));
        this.#settle();
        this.#forgetIfIdle(id);
      }
    }
  }

  /** Calls `fn` after every change of a key, or of every key with a prefix, in the order of the writes, until the disposer is called. */
  subscribe(keyOrPrefix: string | { prefix: string }, fn: (change: StateChange<V>) => void): Disposer {
    callable("fn", fn);
    const id =
      typeof keyOrPrefix === "string"
        ? this.#names.key(keyOrPrefix)
        : this.#names.prefix(text("prefix", object("keyOrPrefix", keyOrPrefix)?.prefix));
    const subscription = this.#subscribers.add(id, fn);
    const leave = () => {
      if (!this.#subscribers.delete(subscription)) return;
      this.#settle();
      this.#forgetIfIdle(id);
    };
    const disposer = leave as unknown as Disposer;
    Object.defineProperty(disposer, dispose, { value: leave });
    return disposer;
  }

  /**
   * Waits until the value of a key is as wanted, and gives it; at once if it is already. Values that were overwritten before
   * this could look at them are not seen.
   *
   * `owner` says who waits and does nothing else meanwhile, `writers` which owners will write what is waited for; both are
   * strings or contexts of tasks, as owners of locks are. Once none of the writers can ever go on, because all of them wait
   * for the owner through locks, pools or waits that were told, the youngest of those waits rejects with `DeadlockError`.
   *
   * @default timeout none; owner and writers nobody, and nothing is guessed
   * @throws what `predicate` throws; TimeoutError; DeadlockError; after an abort `signal.reason`
   */
  waitFor(key: string, predicate: (value: V) => boolean, options: WaitForOptions = {}): Promise<V> {
    return new Promise<V>((resolve, reject) => {
      callable("predicate", predicate);
      const told = parseTold(options);
      const wait = parseWait(options);
      wait.signal?.throwIfAborted();
      this.#enter(key, predicate, wait, told, resolve, reject);
    });
  }

  #enter(
    key: string,
    predicate: (value: V) => boolean,
    wait: ParsedWait,
    told: Told | undefined,
    resolve: (value: V) => void,
    reject: (reason: unknown) => void,
  ): void {
    const seen = this.get(key);
    if (seen !== undefined && predicate(seen.value)) {
      resolve(seen.value);
      return;
    }
    const id = this.#names.key(key);
    const { timeout, signal } = wait;
    const ticket = this.#ticket(ask(() => bindings.state_wait(this.#id, id, now() + timeout)));
    const look = () => {
      const entry = this.#entries.at(id);
      if (entry === undefined || !predicate(entry.value)) return false;
      ask(() => bindings.state_leave(this.#id, ticket));
      resolve(entry.value);
      return true;
    };
    const again = () => {
      try {
        this.#enter(key, predicate, wait, told, resolve, reject);
      } catch (error) {
        reject(error);
      }
    };
    const waiter = { id, look, reject, timeout, again };
    this.#waiters.enter(ticket, waiter, signal, told && this.#tellWait(ticket, key, told));
    this.#settle();
  }

  /** All entries as they are now, by key. */
  snapshot(): ReadonlyMap<string, Versioned<V>> {
    const snapshot = new Map<string, Versioned<V>>();
    for (const [key, id] of this.#names.keys()) {
      const entry = this.#entries.at(id);
      if (entry !== undefined) snapshot.set(key, entry);
    }
    return snapshot;
  }

  /** Every number of this state. */
  metrics(): StateMetrics {
    ask(() => bindings.state_stats(this.#id));
    const at = (index: number) => area()[LIST + index] as number;
    return {
      name: this.#name,
      size: this.#entries.size,
      writes: at(0),
      conflicts: at(1),
      updates: at(2),
      timeouts: at(3),
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof StateEvents>(event: K, fn: (detail: StateEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** Takes every subscriber away. */
  [dispose](): void {
    this.#subscribers.clear();
    this.#settle();
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    const waiter = this.#waiters.find(ticket);
    if (waiter === undefined) return;
    try {
      if (why === GRANTED || why === READY) {
        if (!waiter.look(why)) return;
        this.#waiters.leave(ticket);
        this.#forgetIfIdle(waiter.id);
        return;
      }
      waiter.reject(new TimeoutError(`waitFor on state "${this.#name}"`, waiter.timeout));
    } catch (error) {
      waiter.reject(error);
      ask(() => bindings.state_leave(this.#id, ticket));
    }
    this.#waiters.leave(ticket);
    this.#forgetIfIdle(waiter.id);
  }

  /** @internal Who waits is not there any more, as far as anybody can tell. */
  forsake(ticket: number): (() => void) | undefined {
    const waiter = this.#waiters.leave(ticket);
    if (waiter === undefined) return undefined;
    ask(() => bindings.state_leave(this.#id, ticket));
    this.#settle();
    this.#forgetIfIdle(waiter.id);
    return waiter.again;
  }

  /** @internal An update has not said anything for as long as a lease lasts: the turn is the next one's. */
  lapse(ticket: number): void {
    ask(() => bindings.state_leave(this.#id, ticket));
    this.#settle();
  }

  /** @internal Starts again after a trap with the same values, under versions above all that there were. */
  rebuild(error: RuntimeTrapError): () => void {
    const waiters = this.#waiters.clear();
    this.#trap = error;
    this.#entries.renew();
    this.#id = ask(() => bindings.state_open(this.#attempts));
    register(this, this.#id, bindings.state_drop);
    const entries = [...this.snapshot()].sort(([, a], [, b]) => a.version - b.version);
    for (const [key, { value }] of entries) {
      const id = this.#names.key(key);
      this.#entries.put(id, value, bindings.state_set(this.#id, id));
    }
    this.#subscribers.renew();
    this.#names.joinAll();
    return () => {
      for (const waiter of waiters) {
        waiter.unwatch();
        waiter.reject(error);
        this.#forgetIfIdle(waiter.id);
      }
    };
  }

  #written(id: number, value: V, version: number): number {
    const written = this.#entries.put(id, value, version);
    this.#settle();
    return written;
  }

  /** Tells the subscribers, then wakes those who wait. */
  #settle(): void {
    this.#subscribers.tell();
    settle();
  }

  #changeOf(id: number, version: number): StateChange<V> | undefined {
    const key = this.#names.keyOf(id);
    if (key === undefined) return undefined;
    return { key, value: this.#entries.at(id)?.value, version: this.#entries.versionOf(version) };
  }

  #turn(ticket: number, id: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (why: number) => {
        if (why === GRANTED) resolve();
        return why === GRANTED;
      };
      signal?.throwIfAborted();
      const again = () => reject(new ConflictError(`State "${this.#name}" took an update for given up`, []));
      this.#waiters.enter(ticket, { id, look, reject, timeout: Number.POSITIVE_INFINITY, again }, signal);
      settle();
    });
  }

  /** Says to the wait-for graph who waits for whom; what is returned says that it is over. */
  #tellWait(ticket: number, key: string, { owner, writers }: Told): () => void {
    attach();
    const label = () => `"${key}" of state "${this.#name}"`;
    return waitsFor(owner, writers, label, (chain) => {
      const waiter = this.#waiters.find(ticket);
      if (waiter === undefined) return;
      const error = new DeadlockError(
        `State "${this.#name}": waiting for "${key}" would never end: ${chain.join(", ")}`,
        chain,
      );
      ask(() => bindings.state_leave(this.#id, ticket));
      inRequestOf(this, ticket, () => {
        this.#waiters.leave(ticket);
        waiter.reject(error);
        this.#forgetIfIdle(waiter.id);
      });
    });
  }

  #ticket(answer: number): number {
    if (answer < 3 * TICKET_SPAN) return answer - TICKET_SPAN;
    throw new QueueFullError(`State "${this.#name}" has no number left for another who waits`, {
      queued: this.#waiters.size,
      limit: this.#waiters.size,
    });
  }

  #forgetIfIdle(id: number): void {
    if (this.#names.has(id) && ask(() => bindings.state_forget(this.#id, id)) === 1) this.#names.forget(id);
  }
}

function text(name: string, value: unknown): string {
  if (typeof value !== "string") reject(name, "a string", value);
  return value;
}

/** The promise's end, or the abort's, whichever comes first. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const unwatch = onAbort(signal, () => {
      unwatch();
      reject(signal.reason);
    });
    promise.then(resolve, reject).finally(unwatch);
  });
}

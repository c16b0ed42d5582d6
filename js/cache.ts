import { CacheKeys } from "./cache-keys.js";
import { type Landing, Load, loadAlone, type Result, type Seat } from "./cache-load.js";
import {
  type CacheOptions,
  type EntryOptions,
  key as keyOf,
  type Loader,
  type LoadOptions,
  type ParsedEntry,
  parseCache,
  parseEntry,
} from "./cache-options.js";
import { Seats } from "./cache-seats.js";
import type { CacheEvents, CacheMetrics } from "./cache-terms.js";
import { now } from "./clock.js";
import { dispose } from "./dispose.js";
import { QueueFullError, type RuntimeTrapError, TimeoutError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { EXPIRED, FAILED, GRANTED, type Handle, LIST, LOOK, READY, TICKET_SPAN } from "./instance.js";
import { hashOf } from "./names.js";
import { callable, integer } from "./options.js";
import { attendant } from "./presence.js";
import { area, ask, detail, open, register, settle } from "./store.js";

export type { CacheEvents, CacheMetrics } from "./cache-terms.js";

const FRESH = 1;
const STALE = 2;
const WHY_GONE = ["evicted", "expired", "invalidated"] as const;
const FORGOTTEN = 3;

/**
 * Values by key, each fresh for its time, loaded once for all who ask, and dropped with what they were computed from.
 *
 * A value is gone when its time is over, read or not. A bound is kept by an eviction that weighs how often a key is asked
 * for (W-TinyLFU, with a window that finds its own size): its hit ratio is above LRU's on skewed, scanning and looping loads alike.
 *
 * Values stay in JavaScript. Keys are strings.
 *
 * @example
 * ```ts
 * import { Cache } from "tidegate";
 *
 * const cache = new Cache<string>({ max: 1000, ttl: 60_000 });
 * const user = () => cache.load("user:7", async () => "Ada", { dependsOn: ["users"] });
 * console.log(await Promise.all([user(), user()]), cache.metrics().loads); // → [ 'Ada', 'Ada' ] 1
 * console.log(cache.invalidateBy("users"), cache.get("user:7")); // → 1 undefined
 * ```
 */
export class Cache<V> implements Handle {
  /** @internal */
  readonly kind = "cache";
  readonly #name: string;
  readonly #weigh: ((value: V, key: string) => number) | undefined;
  readonly #loadTimeout: number;
  /** Loads of other requests are not waited for. */
  readonly #apart: boolean;
  // How often something was taken out, lest what was loaded before is kept after.
  #changes = 0;
  readonly #open: () => number;
  readonly #events: Events<CacheEvents>;
  readonly #seats: Seats<V>;
  #keys = new CacheKeys();
  // By the number of the key.
  #results: (Result<V> | undefined)[] = [];
  #landings: (Landing<V> | undefined)[] = [];
  #id: number;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: CacheOptions<V> = {}) {
    const { name, share, weigh, max, ttl, staleFor, negativeTtl, loadTimeout } = parseCache(options);
    this.#apart = share === "request" && attendant !== undefined;
    this.#name = name;
    this.#weigh = weigh;
    this.#loadTimeout = loadTimeout;
    this.#seats = new Seats(
      this,
      () => this.#id,
      this.#apart,
      loadTimeout,
      (ticket) => this.#call(() => bindings.cache_abandon(this.#id, now(), ticket)),
    );
    this.#open = () => bindings.cache_open(max, ttl, staleFor, negativeTtl, loadTimeout);
    this.#events = new Events("cache", this.#name);
    this.#id = open("caches", this.#open);
    register(this, this.#id, bindings.cache_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /** How many values and remembered failures there are. */
  get size(): number {
    return ask(() => bindings.cache_len(this.#id));
  }

  /** The value of a key, if it may still be served. Counts as a use. */
  get(key: string): V | undefined {
    const id = this.#keys.find(keyOf(key));
    if (id === undefined) {
      ask(() => bindings.cache_missed(this.#id, now(), hashOf(key)));
      this.#settle();
      return undefined;
    }
    const found = ask(() => bindings.cache_get(this.#id, now(), id, this.#keys.hash(id)));
    const value = this.#value(found, id);
    this.#settle();
    return value;
  }

  /** The value of a key, without counting as a use. */
  peek(key: string): V | undefined {
    const id = this.#keys.find(keyOf(key));
    if (id === undefined) return undefined;
    return this.#value(
      ask(() => bindings.cache_peek(this.#id, now(), id)),
      id,
    );
  }

  /**
   * Keeps a value, and says whether it does: one heavier than the whole cache is not kept. Values computed from the one
   * it replaces stay; call `invalidate` first if they must not. A load of the key under way no longer counts.
   */
  set(key: string, value: V, options?: EntryOptions): boolean {
    keyOf(key);
    return this.#keep(key, value, parseEntry(options));
  }

  #keep(key: string, value: V, entry: ParsedEntry): boolean {
    const weight = this.#weight(value, key);
    const id = this.#keys.number(key);
    const kept = ask(() => {
      this.#push(entry.dependsOn);
      return bindings.cache_set(this.#id, now(), id, this.#keys.hash(id), weight, entry.ttl);
    });
    if (kept === 1) this.#results[id] = { value };
    this.#settle();
    return kept === 1;
  }

  /**
   * The value of a key, loaded if it is not there. However many ask meanwhile, one of their loaders is called and all get
   * what it brings; if the one who loads gives up, the next one's is called. A value past its time that may still be
   * served is served at once, and loaded anew in the background.
   *
   * A load during which the key is written, or something that it depends on is invalidated, is handed to those who wait,
   * but not kept.
   *
   * @throws what the loader throws, to all who waited for it; TimeoutError after `loadTimeout`, to the one who loaded; after an abort `signal.reason`
   */
  load(key: string, loader: Loader<V>, options?: LoadOptions): Promise<V> {
    return new Promise<V>((resolve, reject) => {
      keyOf(key);
      callable("loader", loader);
      this.#enter(key, loader, parseEntry(options), resolve, reject);
    });
  }

  #enter(
    key: string,
    loader: Loader<V>,
    entry: ParsedEntry,
    resolve: (value: V) => void,
    reject: (reason: unknown) => void,
  ): void {
    if (entry.signal?.aborted === true) throw entry.signal.reason;
    const id = this.#keys.number(key);
    const answer = ask(() => bindings.cache_load(this.#id, now(), id, this.#keys.hash(id)));
    if (answer >= 3 * TICKET_SPAN || answer < 0) {
      this.#settle();
      throw new QueueFullError(`Cache "${this.#name}" has no number left for another who waits`, {
        queued: this.#seats.size,
        limit: this.#seats.size,
      });
    }
    if (answer < TICKET_SPAN) {
      const result = this.#results[id];
      this.#settle();
      if (result === undefined || "error" in result) reject(result?.error);
      else resolve(result.value);
      return;
    }
    const runs = answer >= 2 * TICKET_SPAN;
    const ticket = answer - (runs ? 2 : 1) * TICKET_SPAN;
    const refreshes = runs && detail() === 1;
    let landing = this.#landings[id];
    if (runs || landing === undefined)
      this.#landings[id] = landing = {
        result: undefined,
        isHere: this.#apart ? attendant?.here() : undefined,
      };
    else if (landing.isHere?.() === false) {
      this.#call(() => bindings.cache_abandon(this.#id, now(), ticket));
      // Beside the load of another request; what it brings is kept, since the other may never come back.
      const changes = this.#changes;
      const keep = (value: V) => {
        if (changes === this.#changes) this.#keep(key, value, entry);
      };
      loadAlone(key, loader, entry.signal, keep).then(resolve, reject);
      return;
    }
    if (refreshes) resolve((this.#results[id] as { value: V }).value);
    const seat: Seat<V> = {
      id,
      key,
      loader,
      entry,
      landing,
      resolve,
      reject,
      refreshes,
      unwatch: () => {},
      context: undefined,
    };
    this.#seats.enter(ticket, seat);
    this.#settle();
    if (runs) this.#run(ticket, seat);
  }

  /** Drops a value and everything computed from it, directly or through others. Says how many values it was. */
  invalidate(key: string): number {
    const id = this.#keys.number(keyOf(key));
    this.#changes += 1;
    return this.#call(() => bindings.cache_invalidate(this.#id, id));
  }

  /** Drops everything computed from a key or tag, but not the key's own value. Says how many values it was. */
  invalidateBy(dependency: string): number {
    const id = this.#keys.number(keyOf(dependency, "dependency"));
    this.#changes += 1;
    return this.#call(() => bindings.cache_invalidate_by(this.#id, id));
  }

  /** Drops one value and nothing that was computed from it. Whether there was one. */
  delete(key: string): boolean {
    const id = this.#keys.find(keyOf(key));
    this.#changes += 1;
    return id !== undefined && this.#call(() => bindings.cache_delete(this.#id, id)) === 1;
  }

  /** Drops everything. Loads under way go on, but are not kept. */
  clear(): void {
    this.#changes += 1;
    this.#call(() => bindings.cache_clear(this.#id));
  }

  /** Every number of this cache. */
  metrics(): CacheMetrics {
    ask(() => bindings.cache_stats(this.#id));
    const at = (index: number) => area()[LIST + index] as number;
    const looks = at(2) + at(3) + at(5);
    return {
      name: this.#name,
      size: at(0),
      weight: at(1),
      hits: at(2),
      misses: at(3),
      staleHits: at(4),
      negativeHits: at(5),
      hitRatio: looks === 0 ? 0 : at(2) / looks,
      evictions: at(6),
      expirations: at(7),
      invalidations: at(8),
      loads: at(9),
      loadFailures: at(10),
      coalesced: at(11),
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof CacheEvents>(event: K, fn: (detail: CacheEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** Drops everything. */
  [dispose](): void {
    this.clear();
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    const seat = this.#seats.find(ticket);
    if (seat === undefined) return;
    if (why === GRANTED) {
      this.#run(ticket, seat);
      return;
    }
    this.#seats.leave(ticket);
    if (why === READY || why === FAILED) {
      const { result } = seat.landing;
      if (result === undefined || "error" in result) seat.reject(result?.error);
      else seat.resolve(result.value);
    } else if (why === EXPIRED) {
      const error = new TimeoutError(`load of ${seat.key}`, this.#loadTimeout);
      seat.context?.end(error);
      this.#failed(seat, error);
    }
  }

  /** @internal Who loads or waits is not there any more: the load passes to the next. */
  forsake(ticket: number): (() => void) | undefined {
    const seat = this.#seats.leave(ticket);
    if (seat === undefined) return undefined;
    this.#call(() => bindings.cache_abandon(this.#id, now(), ticket));
    // One whose loader runs gets what it brings all the same.
    if (seat.context !== undefined) return undefined;
    return () => this.#enter(seat.key, seat.loader, seat.entry, seat.resolve, seat.reject);
  }

  /** @internal Drops what time has taken. */
  errand(): void {
    this.#sweep();
  }

  /** @internal Starts again after a trap, empty. Loaders that run go on for their own callers. */
  rebuild(error: RuntimeTrapError): () => void {
    const waiting = this.#seats.clear().filter((seat) => seat.context === undefined);
    this.#keys = new CacheKeys();
    this.#results = [];
    this.#landings = [];
    this.#id = this.#open();
    register(this, this.#id, bindings.cache_drop);
    return () => {
      for (const seat of waiting) {
        seat.unwatch();
        seat.reject(error);
      }
    };
  }

  #run(ticket: number, seat: Seat<V>): void {
    const context = new Load(seat.key);
    seat.context = context;
    let loading: V | PromiseLike<V>;
    try {
      loading = seat.loader(context);
    } catch (error) {
      this.#land(ticket, seat, { error });
      return;
    }
    // One turn later also where it is there at once: whoever asks in the same turn shares it, whatever the loader is.
    Promise.resolve(loading).then(
      (value) => this.#land(ticket, seat, { value }),
      (error) => this.#land(ticket, seat, { error }),
    );
  }

  #land(ticket: number, seat: Seat<V>, brought: Result<V>): void {
    // It gave up, was too late, or the instance it loaded for is gone.
    if (this.#seats.find(ticket) !== seat) {
      if (seat.context?.ended === false) this.#hand(seat, brought);
      return;
    }
    let result = brought;
    let weight = 1;
    if ("value" in result) {
      try {
        weight = this.#weight(result.value, seat.key);
      } catch (error) {
        result = { error };
      }
    }
    const kept = ask(() => {
      if ("error" in result) return bindings.cache_failed(this.#id, now(), ticket);
      this.#push(seat.entry.dependsOn);
      return bindings.cache_loaded(this.#id, now(), ticket, weight, seat.entry.ttl);
    });
    this.#seats.leave(ticket);
    if (this.#landings[seat.id] === seat.landing) this.#landings[seat.id] = undefined;
    if (kept === 1) this.#results[seat.id] = result;
    seat.landing.result = result;
    this.#hand(seat, result);
    this.#settle();
  }

  #hand(seat: Seat<V>, result: Result<V>): void {
    seat.unwatch();
    if ("error" in result) this.#failed(seat, result.error);
    else seat.resolve(result.value);
  }

  #failed(seat: Seat<V>, error: unknown): void {
    if (!seat.refreshes) seat.reject(error);
    else if (this.#events.heard("refreshFailed"))
      this.#events.emit("refreshFailed", { key: seat.key, error });
  }

  #push(names: readonly string[]): void {
    for (const name of names) bindings.push_id(this.#keys.number(name));
  }

  #value(found: number, id: number): V | undefined {
    if (found !== FRESH && found !== STALE) return undefined;
    return (this.#results[id] as { value: V }).value;
  }

  #weight(value: V, key: string): number {
    if (this.#weigh === undefined) return 1;
    return integer("weigh(value)", this.#weigh(value, key), 0, 4_294_967_294);
  }

  #call<T>(call: () => T): T {
    const answer = ask(call);
    this.#settle();
    return answer;
  }

  /** Drops what is gone before anybody hears of anything. */
  #settle(): void {
    if (area()[LOOK] !== 0) this.#sweep();
    settle();
  }

  #sweep(): void {
    for (;;) {
      const id = ask(() => bindings.cache_gone(this.#id));
      if (id < 0) return;
      const why = detail();
      if (why === FORGOTTEN) {
        this.#keys.forget(id);
        continue;
      }
      this.#results[id] = undefined;
      if (!this.#events.heard("gone")) continue;
      const key = this.#keys.name(id);
      const word = WHY_GONE[why];
      if (key !== undefined && word !== undefined) this.#events.emit("gone", { key, why: word });
    }
  }
}

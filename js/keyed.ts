import { now } from "./clock.js";
import { ClosedError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { callable, integer, milliseconds, reject } from "./options.js";

/** How many keys a group keeps, and for how long. */
export interface KeyedOptions {
  /** Keys that are kept; for one more, the one that was idle the longest goes. Keys at work never go, so more of them than this are kept for as long as they work. @default 1,000: keys often come from outside, and memory must not grow with whoever asks */
  maxKeys?: number;
  /** Milliseconds that a key may be idle before it goes. Looked at when the group is asked for a key, so no timer is needed. @default none, as `maxKeys` bounds them already */
  idle?: number;
}

/** What a group tells those who listen. */
export interface KeyedEvents {
  /** A key was asked for and made. */
  open: { key: string };
  /** A key has gone: to make room, or because it was idle for too long. */
  leave: { key: string; reason: "room" | "idle" };
}

/** Handles by key, made when first asked for. */
export class Keyed<H> {
  readonly name: string;
  readonly #policy: string;
  readonly #maxKeys: number;
  readonly #idle: number;
  readonly #make: (key: string) => H;
  readonly #isAtWork: (handle: H) => boolean;
  readonly #events: Events<KeyedEvents>;
  // In the order of last use.
  readonly #members = new Map<string, { readonly handle: H; usedAt: number }>();
  #closed = false;

  constructor(
    policy: string,
    name: string,
    options: KeyedOptions,
    make: (key: string) => H,
    isAtWork: (handle: H) => boolean,
  ) {
    const { maxKeys = 1000, idle = Number.POSITIVE_INFINITY } = options;
    this.name = name;
    this.#policy = policy;
    this.#maxKeys = integer("maxKeys", maxKeys, 1);
    this.#idle = milliseconds("idle", idle);
    this.#make = make;
    this.#isAtWork = isAtWork;
    this.#events = new Events(policy, name);
  }

  get size(): number {
    return this.#members.size;
  }

  get(key: string): H {
    if (typeof key !== "string") reject("key", "a string", key);
    if (this.#closed) throw new ClosedError(`The ${this.#policy} "${this.name}" is closed`);
    const at = now();
    const known = this.#members.get(key);
    if (known !== undefined) {
      known.usedAt = at;
      this.#members.delete(key);
      this.#members.set(key, known);
      this.#sweep(at, key);
      return known.handle;
    }
    const handle = this.#make(key);
    // Options per key are the user's code, which may have asked for the same key.
    const meanwhile = this.#members.get(key);
    if (meanwhile !== undefined) return meanwhile.handle;
    this.#members.set(key, { handle, usedAt: at });
    this.#events.emit("open", { key });
    this.#sweep(at, key);
    return handle;
  }

  *entries(): Generator<[string, H]> {
    for (const [key, { handle }] of this.#members) yield [key, handle];
  }

  on<K extends keyof KeyedEvents>(event: K, fn: (detail: KeyedEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** No key is given out from now on. The handles, for whoever ends them. */
  close(): H[] {
    this.#closed = true;
    const handles = [...this.#members.values()].map(({ handle }) => handle);
    this.#members.clear();
    return handles;
  }

  /** What was idle for too long goes, and then the longest idle until there is room. What is at work has been used just now. */
  #sweep(at: number, asked: string): void {
    for (let looks = this.#members.size; looks > 0; looks -= 1) {
      const [oldest] = this.#members;
      if (oldest === undefined || oldest[0] === asked) return;
      const [key, member] = oldest;
      const reason = at - member.usedAt >= this.#idle ? "idle" : "room";
      if (reason === "room" && this.#members.size <= this.#maxKeys) return;
      this.#members.delete(key);
      if (this.#isAtWork(member.handle)) {
        member.usedAt = at;
        this.#members.set(key, member);
      } else this.#events.emit("leave", { key, reason });
    }
  }
}

/** The methods that every group has, over its {@link Keyed}. */
export abstract class Group<H> {
  /** @internal */
  protected readonly keyed: Keyed<H>;

  /** @internal */
  constructor(keyed: Keyed<H>) {
    this.keyed = keyed;
  }

  /** The name given with the options. */
  get name(): string {
    return this.keyed.name;
  }

  /** Keys that are kept. */
  get size(): number {
    return this.keyed.size;
  }

  /**
   * The handle of a key, made when it is first asked for. Ask each time instead of keeping it: one that was idle and has
   * gone works on for whoever kept it, but the group then makes another for the key.
   *
   * @throws ClosedError after `close`; TypeError where the key, or an option for it, is wrong
   */
  get(key: string): H {
    return this.keyed.get(key);
  }

  /** The keys that are kept, those used longest ago first. */
  keys(): string[] {
    return [...this.keyed.entries()].map(([key]) => key);
  }

  /** Every number of every handle that is kept. */
  abstract metrics(): { readonly name: string; readonly keys: number };

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof KeyedEvents>(event: K, fn: (detail: KeyedEvents[K]) => void): Disposer {
    return this.keyed.on(event, fn);
  }
}

/** The function that gives options for a key, judged; without one there are none. */
export function perKeyOf<O>(options: { perKey?(key: string): O }): (key: string) => O | undefined {
  if (options.perKey === undefined) return () => undefined;
  callable("perKey", options.perKey);
  return (key) => options.perKey?.(key);
}

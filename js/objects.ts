/** The pool behind `ObjectPool` and `ConnectionPool`: objects by key, used again instead of made anew. */

import { now } from "./clock.js";
import { ClosedError, type RuntimeTrapError, TimeoutError } from "./errors.js";
import { Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { type Handle, LIST, TICKET_SPAN } from "./instance.js";
import { reportError } from "./log.js";
import { Names } from "./names.js";
import type { ObjectEvents, ObjectMetrics, ObjectOptions } from "./object-terms.js";
import { callable, integer, milliseconds, object, reject as refuse } from "./options.js";
import { attendant, own } from "./presence.js";
import { CLOSED } from "./refusal.js";
import { onAbort } from "./signals.js";
import { area, ask, open, register, settle } from "./store.js";
import { Tally } from "./tally.js";
import { type ParsedWait, Waiters } from "./waiting.js";

/** One object, whoever has it. */
export interface Thing<T> {
  ticket: number;
  readonly key: number;
  readonly id: number;
  state: "making" | "used" | "idle";
  value: T | undefined;
  createdAt: number;
  uses: number;
}

/** The objects of one handle. */
export class Objects<T> implements Handle {
  readonly kind = "objects";
  readonly name: string;
  readonly events: Events<ObjectEvents>;
  readonly #create: (key: string) => T | PromiseLike<T>;
  readonly #options: ObjectOptions<T>;
  readonly #open: () => number;
  readonly #keys = new Names();
  // Objects and waiters of each key: one without any is forgotten.
  readonly #users: number[] = [];
  readonly #things = new Map<number, Thing<T>>();
  readonly #acquiring: Tally = new Tally();
  readonly #resetting: Tally = new Tally();
  #waiting = 0;
  #made = 0;
  #closed = false;
  #empty: (() => void)[] = [];
  readonly #waiters = new Waiters(
    this,
    () => this.#id,
    (ticket) => this.#call(() => bindings.objects_cancel(this.#id, now(), ticket)),
    (code, timeout) => this.#refusal(code, timeout),
  );
  #id: number;

  constructor(create: (key: string) => T | PromiseLike<T>, options: ObjectOptions<T>) {
    object("options", options);
    const { name = "objects", max = 10, maxAge, idle, bytes = 0 } = options;
    if (typeof name !== "string") refuse("name", "a string", name);
    for (const hook of ["reset", "validate", "destroy"] as const) {
      if (options[hook] !== undefined) callable(hook, options[hook]);
    }
    integer("max", max, 1, 4_294_967_294);
    integer("bytes", bytes, 0);
    const [age, rest] = [maxAge, idle].map((limit, index) =>
      limit === undefined ? Number.POSITIVE_INFINITY : milliseconds(index === 0 ? "maxAge" : "idle", limit),
    ) as [number, number];
    this.name = name;
    this.events = new Events("objects", name);
    this.#create = create;
    this.#options = { ...options, bytes };
    this.#open = () => bindings.objects_open(max, age, rest);
    this.#id = open("pools of objects", this.#open);
    register(this, this.#id, bindings.objects_drop);
  }

  /** Gives an object of a key that is good to use. */
  async acquire(key: string, wait: ParsedWait): Promise<Thing<T>> {
    wait.signal?.throwIfAborted();
    const began = now();
    const preparing = this.#grant(key, wait).then((thing) => this.#prepare(thing));
    const thing = await this.#unlessAborted(preparing, wait.signal);
    this.#acquiring.add(now() - began);
    thing.uses += 1;
    return thing;
  }

  /** Takes an object back, to be used again or not. */
  async giveBack(thing: Thing<T>, reusable: boolean): Promise<void> {
    let good = reusable;
    const { reset } = this.#options;
    if (good && reset !== undefined) {
      const began = now();
      try {
        await reset(thing.value as T);
      } catch {
        good = false;
      }
      this.#resetting.add(now() - began);
    }
    const kept = ask(() => bindings.objects_give_back(this.#id, now(), thing.ticket, good ? 1 : 0)) === 1;
    attendant?.endLease(this, thing.ticket);
    if (kept) thing.state = "idle";
    else this.#destroy(thing);
    this.#settle();
  }

  /** Gives no object out any more; resolves when all are back and destroyed. */
  close(): Promise<void> {
    this.#closed = true;
    this.#call(() => bindings.objects_close(this.#id, now()));
    if (this.#things.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#empty.push(own(resolve)));
  }

  metrics(): ObjectMetrics {
    ask(() => bindings.objects_stats(this.#id));
    const at = (index: number) => area()[LIST + index] as number;
    const idle = [...this.#things.values()].filter(({ state }) => state === "idle").length;
    const [hits, misses] = [at(1), at(2)];
    return {
      name: this.name,
      size: this.#things.size,
      inUse: this.#things.size - idle,
      idle,
      waiting: this.#waiting,
      requests: at(0),
      hits,
      misses,
      hitRatio: hits + misses === 0 ? 0 : hits / (hits + misses),
      created: at(3),
      failed: at(4),
      returned: at(5),
      invalid: at(6),
      destroyed: at(7),
      timeouts: at(8),
      bytesSaved: hits * (this.#options.bytes ?? 0),
      acquireMs: this.#acquiring.durations(),
      resetMs: this.#resetting.durations(),
    };
  }

  keyOf(thing: Thing<T>): string {
    return this.#keys.name(thing.key) ?? "";
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    this.#waiters.wake(ticket, why);
  }

  /** @internal Who waits is not there any more: what it was given goes to the next. */
  forsake(ticket: number): (() => void) | undefined {
    return this.#waiters.forsake(ticket, undefined);
  }

  /** @internal Whoever has this object has not said anything for as long as a lease lasts: its place is free again. */
  lapse(ticket: number): void {
    const thing = this.#things.get(ticket);
    if (thing === undefined || thing.state === "idle") return;
    ask(() =>
      thing.state === "making"
        ? bindings.objects_failed(this.#id, now(), ticket)
        : bindings.objects_give_back(this.#id, now(), ticket, 0),
    );
    this.#remove(thing);
    this.#settle();
  }

  /** @internal Destroys what time has taken. */
  errand(): void {
    this.#sweep();
  }

  /** @internal Starts again after a trap with the objects that there are; their ages begin anew. */
  rebuild(error: RuntimeTrapError): () => void {
    const reject = this.#waiters.clear();
    const things = [...this.#things.values()];
    this.#things.clear();
    this.#id = this.#open();
    register(this, this.#id, bindings.objects_drop);
    for (const thing of things) {
      thing.ticket = bindings.objects_acquire(this.#id, now(), thing.key, 0) - 2 * TICKET_SPAN;
      this.#things.set(thing.ticket, thing);
      if (thing.state !== "making") bindings.objects_made(this.#id, now(), thing.ticket);
    }
    // Only when all have their places: an idle one would be given to the next that asks for a place.
    for (const { ticket, state } of things) {
      if (state === "idle") bindings.objects_give_back(this.#id, now(), ticket, 1);
    }
    if (this.#closed) bindings.objects_close(this.#id, now());
    return () => reject(error);
  }

  #grant(key: string, wait: ParsedWait): Promise<Thing<T>> {
    return new Promise((resolve, reject) => this.#enter(key, wait, resolve, reject));
  }

  #enter(
    key: string,
    wait: ParsedWait,
    resolve: (thing: Thing<T>) => void,
    reject: (reason: unknown) => void,
  ): void {
    const id = this.#keys.id(key);
    this.#use(id, 1);
    const answer = ask(() => bindings.objects_acquire(this.#id, now(), id, wait.timeout));
    const over = () => this.#use(id, -1);
    if (answer >= 3 * TICKET_SPAN) {
      reject(this.#refusal(answer - 3 * TICKET_SPAN, wait.timeout));
      over();
    } else if (answer >= TICKET_SPAN && answer < 2 * TICKET_SPAN) {
      const waiter = answer - TICKET_SPAN;
      this.#waiting += 1;
      const left = () => {
        this.#waiting -= 1;
        over();
      };
      const come = () => {
        resolve(
          this.#granted(
            ask(() => bindings.objects_claim(this.#id, waiter)),
            id,
          ),
        );
        left();
      };
      const refuse = (reason: unknown) => {
        reject(reason);
        left();
      };
      const gone = () => {
        left();
        return () => this.#enter(key, wait, resolve, reject);
      };
      this.#waiters.enter(waiter, wait, come, refuse, gone);
    } else {
      resolve(this.#granted(answer, id));
      over();
    }
    this.#settle();
  }

  #granted(answer: number, key: number): Thing<T> {
    const makes = answer >= 2 * TICKET_SPAN;
    const ticket = makes ? answer - 2 * TICKET_SPAN : answer;
    const there = this.#things.get(ticket);
    attendant?.lease(this, ticket, attendant.leaseTimeout);
    if (!makes && there !== undefined) {
      there.state = "used";
      return there;
    }
    this.#made += 1;
    const id = this.#made;
    const thing: Thing<T> = { ticket, key, id, state: "making", value: undefined, createdAt: 0, uses: 0 };
    this.#things.set(ticket, thing);
    this.#use(key, 1);
    return thing;
  }

  /** Makes an object, or sees to it that one that was there is still good. */
  async #prepare(thing: Thing<T>): Promise<Thing<T>> {
    const { validate } = this.#options;
    let one = thing;
    while (one.state !== "making") {
      if (validate === undefined || (await isGood(validate, one.value as T))) return one;
      const bad = one;
      // Its place goes on to the next one, so the key stays known.
      one = this.#granted(
        ask(() => bindings.objects_replace(this.#id, bad.ticket)),
        bad.key,
      );
      this.#destroy(bad);
      this.#settle();
    }
    try {
      one.value = await this.#create(this.keyOf(one));
    } catch (error) {
      ask(() => bindings.objects_failed(this.#id, now(), one.ticket));
      this.#remove(one);
      this.#settle();
      throw error;
    }
    ask(() => bindings.objects_made(this.#id, now(), one.ticket));
    one.state = "used";
    one.createdAt = Date.now();
    if (this.events.heard("created")) this.events.emit("created", { id: one.id, key: this.keyOf(one) });
    this.#settle();
    return one;
  }

  /** Who gives up while an object is made for it leaves the object to the others. */
  #unlessAborted(preparing: Promise<Thing<T>>, signal: AbortSignal | undefined): Promise<Thing<T>> {
    if (signal === undefined) return preparing;
    return new Promise((resolve, reject) => {
      let aborted = false;
      const unwatch = onAbort(signal, () => {
        aborted = true;
        unwatch();
        reject(signal.reason);
      });
      preparing.then(
        (thing) => {
          unwatch();
          if (aborted) void this.giveBack(thing, true);
          else resolve(thing);
        },
        (error) => {
          unwatch();
          reject(error);
        },
      );
    });
  }

  #destroy(thing: Thing<T>): void {
    if (this.events.heard("destroyed"))
      this.events.emit("destroyed", { id: thing.id, key: this.keyOf(thing) });
    this.#remove(thing);
    const { destroy } = this.#options;
    if (destroy === undefined) return;
    // Nobody waits for it, so nobody else could hear that it failed.
    new Promise((resolve) => resolve(destroy(thing.value as T))).catch(reportError);
  }

  #remove(thing: Thing<T>): void {
    // A lease that was over has taken it out before.
    if (this.#things.get(thing.ticket) !== thing) return;
    this.#things.delete(thing.ticket);
    attendant?.endLease(this, thing.ticket);
    this.#use(thing.key, -1);
    if (!this.#closed || this.#things.size > 0) return;
    for (const resolve of this.#empty.splice(0)) resolve();
  }

  #use(key: number, by: number): void {
    const users = (this.#users[key] ?? 0) + by;
    this.#users[key] = users;
    if (users === 0) this.#keys.forget(key);
  }

  #refusal(code: number, timeout: number): Error {
    return code === CLOSED
      ? new ClosedError(`Pool of objects "${this.name}" is closed`)
      : new TimeoutError(`acquire from ${this.name}`, timeout);
  }

  #call(call: () => void): void {
    ask(call);
    this.#settle();
  }

  #settle(): void {
    this.#sweep();
    settle();
  }

  #sweep(): void {
    for (;;) {
      const doomed = ask(() => bindings.objects_doomed(this.#id));
      if (doomed < 0) return;
      const thing = this.#things.get(doomed);
      if (thing !== undefined) this.#destroy(thing);
    }
  }
}

async function isGood<T>(validate: (value: T) => boolean | PromiseLike<boolean>, value: T): Promise<boolean> {
  try {
    return await validate(value);
  } catch {
    return false;
  }
}

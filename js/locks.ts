import { now } from "./clock.js";
import { dispose } from "./dispose.js";
import type { RuntimeTrapError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { type Handle, LIST, REFUSED, TICKET_SPAN } from "./instance.js";
import { judgeSoon, standAs } from "./kin.js";
import { attach, nameLocks } from "./kin-graph.js";
import { type Claim, Held } from "./lock-lease.js";
import { LockNames } from "./lock-names.js";
import { type LockOwner, numberOf, release } from "./lock-owners.js";
import { lockError, readReport } from "./lock-refusal.js";
import type { LockEvents, LockLease, LockMetrics, LockOptions, LockSetOptions } from "./lock-terms.js";
import { abortSignal, milliseconds, object, reject as refuse } from "./options.js";
import { Places, type Waits } from "./places.js";
import { attendant } from "./presence.js";
import { CLOSED, CONFLICT, DEADLOCK } from "./refusal.js";
import { onAbort } from "./signals.js";
import { area, ask, open, register, settle } from "./store.js";
import { weakly } from "./weak.js";

export type { LockOwner } from "./lock-owners.js";
export type {
  LockEvents,
  LockLease,
  LockMetrics,
  LockOptions,
  LockSetOptions,
  LockTimeout,
} from "./lock-terms.js";

interface Waiter extends Waits {
  readonly claim: Claim;
  readonly resolve: (lease: LockLease) => void;
  readonly reject: (reason: unknown) => void;
  /** Asks anew. */
  readonly again: () => void;
}

// Which set a step of a chain is about: one graph stands over all of them.
const sets = new Map<number, ReturnType<typeof weakly<LockSet>>>();

/**
 * Locks by name, several at a time, that cannot hang unseen.
 *
 * `acquire` takes its locks one after the other in one order for all callers, the declared one and then by name. `reserve`
 * takes all of them in one step or none, and holds nothing while it waits. Each lock is served first come, first served;
 * a reservation that cannot be served yet may be passed, at most 16 times.
 *
 * A cycle of owners who wait for each other is found the moment it forms, through the locks of any set, and its youngest
 * wait is rejected with `DeadlockError` and the chain. Without owners nothing is guessed.
 *
 * @example
 * ```ts
 * import { LockSet } from "tidegate";
 *
 * const locks = new LockSet();
 * {
 *   using both = await locks.acquire(["stats", "cache"]);
 *   console.log(both.names, locks.tryAcquire(["cache"])); // → [ 'cache', 'stats' ] undefined
 * }
 * console.log(locks.isHeld("cache")); // → false
 * ```
 */
export class LockSet implements Handle {
  /** @internal */
  readonly kind = "locks";
  readonly #name: string;
  readonly #order: readonly string[];
  readonly #names: LockNames;
  readonly #events: Events<LockEvents>;
  readonly #waiters: Places<Waiter> = new Places(this, () => this.#id);
  readonly #leases = new Set<Held>();
  #granted = 0;
  #timeouts = 0;
  #conflicts = 0;
  #deadlocks = 0;
  #closed = false;
  #id: number;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: LockSetOptions = {}) {
    object("options", options);
    const { name = "locks", order = [] } = options;
    if (typeof name !== "string") refuse("name", "a string", name);
    this.#name = name;
    this.#order = listOf("order", order);
    this.#names = new LockNames(this.#order);
    this.#events = new Events("locks", name);
    nameLocks(lockOf);
    this.#id = open("lock sets", () => this.#open());
    this.#register();
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /**
   * Takes locks one after the other, waiting for each, and keeps what it has while it waits for the next.
   *
   * @throws TimeoutError, which is also a {@link LockTimeout}; DeadlockError; ClosedError; after an abort `signal.reason`. Nothing is held then.
   */
  acquire(names: string | readonly string[], options?: LockOptions): Promise<LockLease> {
    return this.#wait(names, false, options, 10_000);
  }

  /** Takes locks if all of them are free now and nobody waits for them; `undefined` if waiting would help. */
  tryAcquire(names: string | readonly string[], options: { owner?: LockOwner } = {}): LockLease | undefined {
    const claim = this.#claim(names, false, options.owner, 0);
    const answer = this.#ask(claim);
    const lease = answer < TICKET_SPAN ? this.#grant(answer, claim) : undefined;
    if (lease === undefined) this.#over(claim);
    settle();
    return lease;
  }

  /**
   * Takes all of the locks in one step, as soon as all of them are free, and holds none before.
   *
   * @throws ConflictError at once for a timeout of 0; TimeoutError, which is also a {@link LockTimeout}; DeadlockError; ClosedError; after an abort `signal.reason`
   */
  reserve(names: string | readonly string[], options?: LockOptions): Promise<LockLease> {
    return this.#wait(names, true, options, 30_000);
  }

  /** Whether somebody holds a lock, or waits for it. */
  isHeld(name: string): boolean {
    return this.#waiting(name) >= 0;
  }

  /** How many wait for a lock. */
  waiting(name: string): number {
    return Math.max(0, this.#waiting(name));
  }

  /** Every number of this set. */
  metrics(): LockMetrics {
    return {
      name: this.#name,
      held: this.#leases.size,
      waiting: this.#waiters.size,
      mostWaiting: this.#mostWaiting(),
      granted: this.#granted,
      timeouts: this.#timeouts,
      conflicts: this.#conflicts,
      deadlocks: this.#deadlocks,
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof LockEvents>(event: K, fn: (detail: LockEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** Ends waiting: those who wait, and whoever asks later and would have to, are rejected with `ClosedError`. Leases stay until they are released. */
  close(): void {
    this.#closed = true;
    ask(() => bindings.locks_close(this.#id, now()));
    settle();
  }

  /** The same as {@link close}. */
  [dispose](): void {
    this.close();
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    judgeSoon();
    const waiter = this.#waiters.leave(ticket);
    if (waiter === undefined) return;
    if (why < REFUSED) {
      waiter.resolve(this.#grant(ticket, waiter.claim));
    } else {
      const error = this.#error(why - REFUSED, ticket, waiter.claim);
      this.#over(waiter.claim);
      waiter.reject(error);
    }
  }

  /** @internal Who waits is not there any more, as far as anybody can tell. */
  forsake(ticket: number): (() => void) | undefined {
    const waiter = this.#waiters.leave(ticket);
    if (waiter === undefined) return undefined;
    ask(() => bindings.locks_leave(this.#id, now(), ticket));
    this.#over(waiter.claim);
    settle();
    judgeSoon();
    return () => waiter.again();
  }

  /** @internal Whoever held these has not said anything for as long as a lease lasts. */
  lapse(ticket: number): void {
    for (const lease of this.#leases) if (lease.ticket === ticket) lease.release();
  }

  /** @internal Starts again after a trap with the same leases, closed if it was. */
  rebuild(error: RuntimeTrapError): () => void {
    const waiters = this.#waiters.clear();
    sets.delete(this.#id);
    this.#id = this.#open();
    this.#register();
    for (const lease of this.#leases) {
      // Those were held together before, so they can be now; an answer for owners or requests alike begins with the ticket.
      lease.ticket = this.#ask({ ...lease.claim, unit: true, timeout: 0 });
      attendant?.lease(this, lease.ticket, attendant.leaseTimeout);
    }
    if (this.#closed) ask(() => bindings.locks_close(this.#id, now()));
    return () => {
      for (const waiter of waiters) {
        waiter.unwatch();
        this.#over(waiter.claim);
        waiter.reject(error);
      }
    };
  }

  #wait(
    names: string | readonly string[],
    unit: boolean,
    options: LockOptions | undefined,
    usual: number,
  ): Promise<LockLease> {
    return new Promise((resolve, reject) => {
      const { owner, timeout = usual, signal } = object("options", options) ?? {};
      milliseconds("timeout", timeout);
      abortSignal("signal", signal);
      this.#enter(names, unit, owner, timeout, signal, resolve, reject);
    });
  }

  #enter(
    names: string | readonly string[],
    unit: boolean,
    owner: LockOwner | undefined,
    timeout: number,
    signal: AbortSignal | undefined,
    resolve: (lease: LockLease) => void,
    reject: (reason: unknown) => void,
  ): void {
    signal?.throwIfAborted();
    const claim = this.#claim(names, unit, owner, timeout);
    const answer = this.#ask(claim);
    if (answer < TICKET_SPAN) {
      resolve(this.#grant(answer, claim));
    } else if (answer >= 3 * TICKET_SPAN) {
      const error = this.#error(answer - 3 * TICKET_SPAN, -1, claim);
      this.#over(claim);
      reject(error);
    } else {
      const ticket = answer - TICKET_SPAN;
      const again = () => {
        try {
          this.#enter(names, unit, owner, timeout, signal, resolve, reject);
        } catch (error) {
          reject(error);
        }
      };
      const unwatch = onAbort(signal, () => {
        this.#waiters.leave(ticket);
        this.#over(claim);
        ask(() => bindings.locks_leave(this.#id, now(), ticket));
        reject(signal?.reason);
        settle();
      });
      this.#waiters.take(ticket, { claim, resolve, reject, unwatch, again });
      attendant?.sit(this, ticket, timeout);
    }
    this.#warn();
    settle();
    judgeSoon();
  }

  #mostWaiting(): number {
    const wanted = new Set(this.#waiters.all.flatMap(({ claim }) => claim.names));
    return Math.max(0, ...[...wanted].map((name) => this.#waiting(name)));
  }

  #claim(
    names: string | readonly string[],
    unit: boolean,
    owner: LockOwner | undefined,
    timeout: number,
  ): Claim {
    if (owner !== undefined && typeof owner !== "string" && (typeof owner !== "object" || owner === null)) {
      refuse("owner", "a string or an object", owner);
    }
    // By name, so that two callers never disagree; the machine puts the declared order first.
    const list = typeof names === "string" ? [names] : sortedOf(listOf("names", names));
    // A task stands in one graph with the slots that it holds.
    if (standAs(owner)) attach();
    return { names: list, unit, owner, timeout, number: owner === undefined ? -1 : numberOf(owner) };
  }

  #ask({ names, unit, number, timeout }: Claim): number {
    return ask(() => {
      for (const name of names) bindings.push_id(this.#names.number(name));
      return bindings.locks_claim(this.#id, now(), unit ? 1 : 0, number, timeout);
    });
  }

  #grant(ticket: number, claim: Claim): LockLease {
    this.#granted += 1;
    const renew = (ms: number) => attendant?.renew(this, lease.ticket, ms) !== false;
    const lease: Held = new Held(ticket, claim, this.#inOrder(claim.names), renew, (ended) => {
      if (!this.#leases.delete(ended)) return;
      attendant?.endLease(this, ended.ticket);
      ask(() => bindings.locks_leave(this.#id, now(), ended.ticket));
      this.#over(claim);
      settle();
      judgeSoon();
      this.#names.sweep((lock) => bindings.locks_waiting(this.#id, lock) < 0);
    });
    this.#leases.add(lease);
    attendant?.lease(this, ticket, attendant.leaseTimeout);
    return lease;
  }

  #over(claim: Claim): void {
    if (claim.owner !== undefined) release(claim.owner);
  }

  #inOrder(names: readonly string[]): readonly string[] {
    if (this.#order.length === 0) return names;
    const declared = this.#order.filter((name) => names.includes(name));
    return [...declared, ...names.filter((name) => !declared.includes(name))];
  }

  #error(code: number, ticket: number, claim: Claim): Error {
    const length = ask(() => bindings.locks_report(this.#id, now(), ticket));
    const report = readReport(length, (lock) => this.#names.name(lock), lockOf);
    if (code === DEADLOCK) {
      this.#deadlocks += 1;
      if (this.#events.heard("deadlock")) this.#events.emit("deadlock", { chain: report.chain });
    } else if (code === CONFLICT) this.#conflicts += 1;
    else if (code !== CLOSED) this.#timeouts += 1;
    return lockError(this.#name, code, claim, report);
  }

  #warn(): void {
    while (this.#events.heard("inversion") && ask(() => bindings.locks_inversion(this.#id, now())) === 1) {
      const view = area();
      const [held, wanted] = [view[LIST] as number, view[LIST + 1] as number];
      this.#events.emit("inversion", {
        held: this.#names.name(held),
        wanted: this.#names.name(wanted),
        declared: view[LIST + 2] === 1,
      });
    }
  }

  #waiting(name: string): number {
    const lock = this.#names.find(name);
    return lock === undefined ? -1 : ask(() => bindings.locks_waiting(this.#id, lock));
  }

  #open(): number {
    for (const name of this.#order) bindings.push_id(this.#names.number(name));
    return bindings.locks_open();
  }

  #register(): void {
    sets.set(this.#id, weakly<LockSet>(this));
    register(this, this.#id, (id) => {
      sets.delete(id);
      bindings.locks_drop(id);
    });
  }

  /** @internal What a chain calls a lock. */
  label(lock: number): string {
    return `lock "${this.#names.name(lock)}" of "${this.#name}"`;
  }
}

function lockOf(set: number, lock: number): string {
  return sets.get(set)?.deref()?.label(lock) ?? "a lock";
}

function sortedOf(names: readonly string[]): readonly string[] {
  return names.length < 2 ? names : [...new Set(names)].sort();
}

function listOf(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.some((one) => typeof one !== "string")) {
    refuse(name, "a list of strings", value);
  }
  return [...value];
}

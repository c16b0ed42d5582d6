import { now, readAt } from "./clock.js";
import { dispose } from "./dispose.js";
import { duration } from "./duration.js";
import { ClosedError, NeverPossibleError, RateLimitedError, type RuntimeTrapError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/rate_bg.js";
import { GRANTED, type Handle, LIST, REFUSED, TICKET_SPAN } from "./instance.js";
import { abortSignal, integer, milliseconds, reject } from "./options.js";
import { attendant } from "./presence.js";
import { layRules, parseRateOptions, type RateOptions, type RateRule } from "./rate-options.js";
import { area, detail, guarded, hold, ready, register, settle, survived, trapped } from "./rates.js";
import { CLOSED, limited, NEVER_POSSIBLE, QUEUE_TIMEOUT } from "./refusal.js";
import { onAbort } from "./signals.js";

/** What a limiter tells those who listen. */
export interface RateEvents {
  /** Somebody was refused. */
  denied: { cost: number };
  /** The gate holds everybody back for so long. */
  throttle: { ms: number };
}

/** Every number of a limiter. Each request ends as allowed, denied or cancelled, or is still waiting. */
export interface RateMetrics {
  /** The name given at construction. */
  readonly name: string;
  /** Those who stand in line, now. */
  readonly waiting: number;
  /** All that asked. */
  readonly requests: number;
  /** Those who got their tokens. */
  readonly allowed: number;
  /** Those who were refused. */
  readonly denied: number;
  /** Those who left the line. */
  readonly cancelled: number;
  /** Requests that had to stand in line, however it ended. */
  readonly waited: number;
}

interface Waiter {
  readonly timeout: number;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
  /** No longer to be told of an abort. */
  readonly unwatch: () => void;
  /** Asks anew. */
  readonly again: () => void;
}

/**
 * Token buckets and sliding windows, together: a request passes when all rules let it, and is debited from all or none.
 *
 * First come, first served: who asks for much is not overtaken by those who ask for little. Denied before *t*, allowed at
 * *t*; a clock that stands still refills nothing and grants nothing twice.
 *
 * @example
 * ```ts
 * import { RateLimiter } from "tidegate";
 *
 * const limiter = new RateLimiter({ kind: "token-bucket", limit: 2, per: 100 });
 * console.log(limiter.tryAcquire(), limiter.tryAcquire(), limiter.tryAcquire()); // → true true false
 * await limiter.acquire(1, { timeout: 2000 }); // about 50 ms later
 * ```
 */
export class RateLimiter implements Handle {
  readonly #rules: readonly RateRule[];
  readonly #name: string;
  readonly #events: Events<RateEvents>;
  // By their ticket, not by its index: that may have a new owner while the news of the old one still lies in the ring.
  readonly #waiters = new Map<number, Waiter>();
  #closed = false;
  #coolUntil = 0;
  #id: number;

  /** @throws TypeError where a rule is not what it should be; the message names it. */
  constructor(options: RateOptions | RateOptions[], { name = "rate" }: { name?: string } = {}) {
    ready();
    this.#rules = parseRateOptions("options", options);
    if (this.#rules.length === 0) reject("options", "a rule, or several", options);
    this.#name = name;
    this.#events = new Events("rate", name);
    this.#id = guarded(() => this.#open());
    register(this, this.#id, bindings.limiter_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /**
   * Takes `cost` tokens if they are there now and nobody waits for them; otherwise false, at once and for free.
   *
   * @default cost 1
   * @throws NeverPossibleError for a cost above what there can ever be; ClosedError
   */
  tryAcquire(cost = 1): boolean {
    integer("cost", cost, 0, 4_294_967_294);
    let answer: number;
    try {
      answer = bindings.limiter_request(this.#id, now(), cost, 0);
    } catch (error) {
      throw trapped(error);
    }
    const number = detail();
    settle();
    if (answer < TICKET_SPAN) return true;
    const code = answer - 3 * TICKET_SPAN;
    if (code === CLOSED || code === NEVER_POSSIBLE) throw this.#error(code, number, 0);
    if (this.#events.heard("denied")) this.#events.emit("denied", { cost });
    return false;
  }

  /**
   * Takes `cost` tokens as soon as they are there, in line with all who wait. A `timeout` covers all rules together; who
   * could not be served within it is refused at once, instead of after the wait.
   *
   * @default cost 1; timeout none
   * @throws RateLimitedError with `retryAfterMs`; NeverPossibleError; ClosedError; after an abort `signal.reason`
   */
  acquire(cost = 1, options: { timeout?: number; signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      integer("cost", cost, 0, 4_294_967_294);
      const signal = abortSignal("signal", options.signal);
      const timeout =
        options.timeout === undefined ? Number.POSITIVE_INFINITY : milliseconds("timeout", options.timeout);
      this.#enter(cost, timeout, signal, resolve, reject);
    });
  }

  #enter(
    cost: number,
    timeout: number,
    signal: AbortSignal | undefined,
    resolve: () => void,
    reject: (reason: unknown) => void,
  ): void {
    if (signal?.aborted === true) throw signal.reason;
    let answer: number;
    try {
      answer = bindings.limiter_request(this.#id, now(), cost, timeout);
    } catch (error) {
      throw trapped(error);
    }
    if (answer >= 3 * TICKET_SPAN) {
      const error = this.#error(answer - 3 * TICKET_SPAN, detail(), timeout);
      settle();
      if (this.#events.heard("denied")) this.#events.emit("denied", { cost });
      throw error;
    }
    if (answer < TICKET_SPAN) {
      settle();
      resolve();
      return;
    }
    const ticket = answer - TICKET_SPAN;
    if (this.#waiters.size === 0) hold(this.#id, this);
    const unwatch = onAbort(signal, () => {
      this.#leave(ticket)?.reject(signal?.reason);
      survived(() => bindings.limiter_cancel(this.#id, now(), ticket));
    });
    const again = () => {
      try {
        this.#enter(cost, timeout, signal, resolve, reject);
      } catch (error) {
        reject(error);
      }
    };
    this.#waiters.set(ticket, { timeout, resolve, reject, unwatch, again });
    attendant?.sit(this, ticket, timeout);
    settle();
  }

  /** Lets nobody pass for so many milliseconds: the answer to a `Retry-After`. */
  coolDown(ms: number): void {
    milliseconds("ms", ms);
    const at = now();
    this.#coolUntil = Math.max(this.#coolUntil, at + ms);
    survived(() => bindings.limiter_cool_down(this.#id, at, at + ms));
    this.#events.emit("throttle", { ms });
  }

  /** Refuses everybody from here on, those who wait included. */
  close(): void {
    this.#closed = true;
    survived(() => bindings.limiter_close(this.#id));
  }

  /** Every number of this limiter. */
  metrics(): RateMetrics {
    survived(() => bindings.limiter_stats(this.#id));
    const at = (index: number) => area()[LIST + index] as number;
    return {
      name: this.#name,
      waiting: at(0),
      requests: at(1),
      allowed: at(2),
      denied: at(3),
      cancelled: at(4),
      waited: at(5),
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof RateEvents>(event: K, fn: (detail: RateEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  [dispose](): void {
    this.close();
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number, number: number): void {
    const waiter = this.#leave(ticket);
    if (waiter === undefined) return;
    if (why === GRANTED) waiter.resolve();
    else waiter.reject(this.#error(why - REFUSED, number, waiter.timeout));
  }

  /** @internal Who waits is not there any more, as far as anybody can tell. */
  forsake(ticket: number): (() => void) | undefined {
    const waiter = this.#leave(ticket);
    if (waiter === undefined) return undefined;
    survived(() => bindings.limiter_cancel(this.#id, now(), ticket));
    return waiter.again;
  }

  /** @internal Starts again after a trap, with every token counted as taken. */
  rebuild(error: RuntimeTrapError): () => void {
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    this.#id = this.#open();
    register(this, this.#id, bindings.limiter_drop);
    bindings.limiter_start_empty(this.#id, now());
    if (this.#coolUntil > readAt) bindings.limiter_cool_down(this.#id, readAt, this.#coolUntil);
    if (this.#closed) bindings.limiter_close(this.#id);
    return () => {
      for (const waiter of waiters) {
        waiter.unwatch();
        waiter.reject(error);
      }
    };
  }

  #open(): number {
    const id = bindings.limiter_open(layRules(area(), this.#rules));
    if (id < 0) throw new RangeError("The limiter could not be made: its rules are out of range");
    return id;
  }

  #leave(ticket: number): Waiter | undefined {
    const waiter = this.#waiters.get(ticket);
    if (waiter === undefined) return undefined;
    this.#waiters.delete(ticket);
    attendant?.rise(this, ticket);
    waiter.unwatch();
    if (this.#waiters.size === 0) hold(this.#id, undefined);
    return waiter;
  }

  #error(code: number, number: number, timeout: number): Error {
    const who = `Rate "${this.#name}"`;
    if (code === NEVER_POSSIBLE)
      return new NeverPossibleError(
        `${who} can never let that pass: it costs more than the limit of ${number}`,
        number,
      );
    if (code === CLOSED) return new ClosedError(`${who} is closed`);
    if (code === QUEUE_TIMEOUT) return new RateLimitedError(`${who} had no room within ${duration(timeout)}`);
    return limited(`${who} refused the call`, number);
  }
}

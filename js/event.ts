import { now } from "./clock.js";
import { dispose } from "./dispose.js";
import { ClosedError, type RuntimeTrapError, TimeoutError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { type Handle, TICKET_SPAN } from "./instance.js";
import { nameOf } from "./options.js";
import { CLOSED } from "./refusal.js";
import { ask, open, register, settle } from "./store.js";
import { type ParsedWait, parseWait, Waiters, type WaitOptions } from "./waiting.js";

/** What an event tells those who listen. */
export interface EventEvents {
  /** It was set, and so many were let go. */
  set: { released: number };
  /** It was cleared. */
  clear: Record<never, never>;
}

/** Every number of an event. */
export interface EventMetrics {
  readonly name: string;
  readonly set: boolean;
  /** Those who wait, now. */
  readonly waiting: number;
  /** How often it was set while it was not. */
  readonly sets: number;
}

/**
 * A flag that is waited for. While it is set everybody passes; setting it lets all who wait go at once, in the order in
 * which they came, and clearing it afterwards takes nothing back from them.
 *
 * @example
 * ```ts
 * import { Event } from "tidegate";
 *
 * const configured = new Event();
 * const waiting = configured.wait({ timeout: 1000 });
 * configured.set();
 * await waiting;
 * console.log(configured.isSet); // → true
 * ```
 */
export class Event implements Handle {
  readonly #waiters = new Waiters(
    this,
    () => this.#id,
    (ticket) => this.#call(() => bindings.event_cancel(this.#id, ticket)),
    (code, timeout) => this.#refusal(code, timeout),
  );
  /** @internal */
  readonly kind = "event";
  readonly #name: string;
  readonly #events: Events<EventEvents>;
  #set = false;
  #sets = 0;
  #closed = false;
  #id: number;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: { name?: string } = {}) {
    this.#name = nameOf(options, "event");
    this.#events = new Events("event", this.#name);
    this.#id = open("events", () => bindings.event_open());
    register(this, this.#id, bindings.event_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /** Whether it is set. */
  get isSet(): boolean {
    return this.#set;
  }

  /** Sets it: everybody who waits goes, and whoever comes passes until it is cleared. */
  set(): void {
    const before = this.#set;
    const released = this.#waiters.size;
    this.#set = true;
    if (!before) this.#sets += 1;
    this.#call(() => bindings.event_set(this.#id, now()));
    if (!before) this.#events.emit("set", { released });
  }

  /** Clears it: whoever comes from now on waits. */
  clear(): void {
    const before = this.#set;
    this.#set = false;
    this.#call(() => bindings.event_clear(this.#id));
    if (before) this.#events.emit("clear", {});
  }

  /** Every number of this event. */
  metrics(): EventMetrics {
    return { name: this.#name, set: this.#set, waiting: this.#waiters.size, sets: this.#sets };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof EventEvents>(event: K, fn: (detail: EventEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** Ends waiting: those who wait, and who come later while it is not set, are rejected with `ClosedError`. */
  close(): void {
    this.#closed = true;
    this.#call(() => bindings.event_close(this.#id, now()));
  }

  /** The same as {@link close}. */
  [dispose](): void {
    this.close();
  }

  /**
   * Waits until it is set; at once if it is.
   *
   * @throws TimeoutError; ClosedError; after an abort `signal.reason`
   */
  wait(options?: WaitOptions): Promise<void> {
    return new Promise((resolve, reject) => this.#enter(parseWait(options), resolve, reject));
  }

  #enter(wait: ParsedWait, resolve: () => void, reject: (reason: unknown) => void): void {
    wait.signal?.throwIfAborted();
    const answer = ask(() => bindings.event_wait(this.#id, now(), wait.timeout));
    if (answer < TICKET_SPAN) resolve();
    else if (answer >= 3 * TICKET_SPAN) reject(this.#refusal(answer - 3 * TICKET_SPAN, wait.timeout));
    else
      this.#waiters.enter(
        answer - TICKET_SPAN,
        wait,
        resolve,
        reject,
        () => () => this.#enter(wait, resolve, reject),
      );
    settle();
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    this.#waiters.wake(ticket, why);
  }

  /** @internal Who waits is not there any more; what it waited for has come for everybody. */
  forsake(ticket: number, word: number | undefined): (() => void) | undefined {
    return this.#waiters.forsake(ticket, word);
  }

  /** @internal Starts again after a trap, set and closed if it was. */
  rebuild(error: RuntimeTrapError): () => void {
    const reject = this.#waiters.clear();
    this.#id = bindings.event_open();
    register(this, this.#id, bindings.event_drop);
    if (this.#set) bindings.event_set(this.#id, now());
    if (this.#closed) bindings.event_close(this.#id, now());
    return () => reject(error);
  }

  #refusal(code: number, timeout: number): Error {
    return code === CLOSED
      ? new ClosedError(`The event "${this.#name}" is closed`)
      : new TimeoutError("wait for event", timeout);
  }

  #call(call: () => void): void {
    ask(call);
    settle();
  }
}

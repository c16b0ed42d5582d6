import { now } from "./clock.js";
import { type RuntimeTrapError, TimeoutError } from "./errors.js";
import * as bindings from "./generated/store_bg.js";
import { type Handle, TICKET_SPAN } from "./instance.js";
import { ask, open, register, settle } from "./store.js";
import { parseWait, Waiters, type WaitOptions } from "./waiting.js";

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
    (_, timeout) => new TimeoutError("wait for event", timeout),
  );
  #set = false;
  #id: number;

  constructor() {
    this.#id = open("events", bindings.event_open);
    register(this, this.#id, bindings.event_drop);
  }

  /** Whether it is set. */
  get isSet(): boolean {
    return this.#set;
  }

  /** Sets it: everybody who waits goes, and whoever comes passes until it is cleared. */
  set(): void {
    this.#set = true;
    this.#call(() => bindings.event_set(this.#id, now()));
  }

  /** Clears it: whoever comes from now on waits. */
  clear(): void {
    this.#set = false;
    this.#call(() => bindings.event_clear(this.#id));
  }

  /**
   * Waits until it is set; at once if it is.
   *
   * @throws TimeoutError; after an abort `signal.reason`
   */
  wait(options?: WaitOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const wait = parseWait(options);
      wait.signal?.throwIfAborted();
      const answer = ask(() => bindings.event_wait(this.#id, now(), wait.timeout));
      if (answer < TICKET_SPAN) resolve();
      else if (answer >= 3 * TICKET_SPAN) reject(new TimeoutError("wait for event", wait.timeout));
      else this.#waiters.enter(answer - TICKET_SPAN, wait, resolve, reject);
      settle();
    });
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    this.#waiters.wake(ticket, why);
  }

  /** @internal Starts again after a trap, set if it was. */
  rebuild(error: RuntimeTrapError): () => void {
    const reject = this.#waiters.clear();
    this.#id = bindings.event_open();
    register(this, this.#id, bindings.event_drop);
    if (this.#set) bindings.event_set(this.#id, now());
    return () => reject(error);
  }

  #call(call: () => void): void {
    ask(call);
    settle();
  }
}

/** Those who wait at a machine of the store: each leaves with its wake, its time or its abort, and nothing of it remains. */

import { type Handle, REFUSED } from "./instance.js";
import { abortSignal, milliseconds, object } from "./options.js";
import { Places, type Waits } from "./places.js";
import { attendant } from "./presence.js";
import { onAbort } from "./signals.js";

/** How long somebody waits. */
export interface WaitOptions {
  /** Milliseconds after which the wait rejects with `TimeoutError`. @default none */
  timeout?: number;
  /** Ends the wait with its reason. */
  signal?: AbortSignal;
}

export interface ParsedWait {
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

export function parseWait(options: WaitOptions | undefined): ParsedWait {
  const { timeout, signal } = object("options", options) ?? {};
  return {
    timeout: timeout === undefined ? Number.POSITIVE_INFINITY : milliseconds("timeout", timeout),
    signal: abortSignal("signal", signal),
  };
}

interface Waiter extends Waits {
  /** It has what it waited for. */
  readonly come: () => void;
  readonly reject: (reason: unknown) => void;
  readonly timeout: number;
  /** It is taken for gone; gives what asks anew. */
  readonly gone: () => () => void;
}

/** The waiters of one handle, by ticket. */
export class Waiters {
  readonly #handle: Handle;
  readonly #cancel: (ticket: number) => void;
  readonly #refusal: (code: number, timeout: number) => Error;
  readonly #places: Places<Waiter>;

  /** `cancel` tells the machine that somebody leaves; `refusal` says what a refusal by the machine is called. */
  constructor(
    handle: Handle,
    id: () => number,
    cancel: (ticket: number) => void,
    refusal: (code: number, timeout: number) => Error,
  ) {
    this.#handle = handle;
    this.#cancel = cancel;
    this.#refusal = refusal;
    this.#places = new Places(handle, id);
  }

  /** Somebody waits from now on; `gone` is called where it is taken for gone, and gives what asks anew. */
  enter(
    ticket: number,
    wait: ParsedWait,
    come: () => void,
    reject: (reason: unknown) => void,
    gone: () => () => void,
  ): void {
    const unwatch = onAbort(wait.signal, () => {
      this.#places.leave(ticket)?.reject(wait.signal?.reason);
      this.#cancel(ticket);
    });
    this.#places.take(ticket, { come, reject, timeout: wait.timeout, unwatch, gone });
    attendant?.sit(this.#handle, ticket, wait.timeout);
  }

  /** Carries out a decision about one of them. */
  wake(ticket: number, why: number): void {
    const waiter = this.#places.leave(ticket);
    if (waiter !== undefined) this.#tell(waiter, why);
  }

  /** Somebody is not there any more, as far as anybody can tell; `word` is what it was told, where that is its own all the same. */
  forsake(ticket: number, word: number | undefined): (() => void) | undefined {
    const waiter = this.#places.leave(ticket);
    if (waiter === undefined) return undefined;
    if (word !== undefined) return () => this.#tell(waiter, word);
    this.#cancel(ticket);
    const again = waiter.gone();
    return () => {
      try {
        again();
      } catch (error) {
        waiter.reject(error);
      }
    };
  }

  /** Somebody has left by itself. */
  drop(ticket: number): boolean {
    return this.#places.leave(ticket) !== undefined;
  }

  /** How many there are. */
  get size(): number {
    return this.#places.size;
  }

  /** Takes all of them out, to be rejected by what this returns. */
  clear(): (error: unknown) => void {
    const waiters = this.#places.clear();
    return (error) => {
      for (const waiter of waiters) {
        waiter.unwatch();
        waiter.reject(error);
      }
    };
  }

  #tell(waiter: Waiter, why: number): void {
    if (why < REFUSED) waiter.come();
    else waiter.reject(this.#refusal(why - REFUSED, waiter.timeout));
  }
}

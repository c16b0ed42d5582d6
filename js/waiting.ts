/** Those who wait at a machine of the store: each leaves with its wake, its time or its abort, and nothing of it remains. */

import { type Handle, REFUSED } from "./instance.js";
import { abortSignal, milliseconds, object } from "./options.js";
import { attendant } from "./presence.js";
import { onAbort } from "./signals.js";
import { hold } from "./store.js";

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

interface Seat {
  /** It has what it waited for. */
  readonly come: () => void;
  readonly reject: (reason: unknown) => void;
  readonly timeout: number;
  readonly unwatch: () => void;
  /** It is taken for gone; gives what asks anew. */
  readonly gone: () => () => void;
}

/** The waiters of one handle, by ticket. */
export class Waiters {
  readonly #handle: Handle;
  readonly #id: () => number;
  readonly #cancel: (ticket: number) => void;
  readonly #refusal: (code: number, timeout: number) => Error;
  readonly #seats = new Map<number, Seat>();

  /** `cancel` tells the machine that somebody leaves; `refusal` says what a refusal by the machine is called. */
  constructor(
    handle: Handle,
    id: () => number,
    cancel: (ticket: number) => void,
    refusal: (code: number, timeout: number) => Error,
  ) {
    this.#handle = handle;
    this.#id = id;
    this.#cancel = cancel;
    this.#refusal = refusal;
  }

  /** Somebody waits from now on; `gone` is called where it is taken for gone, and gives what asks anew. */
  enter(
    ticket: number,
    wait: ParsedWait,
    come: () => void,
    reject: (reason: unknown) => void,
    gone: () => () => void,
  ): void {
    if (this.#seats.size === 0) hold(this.#id(), this.#handle);
    const unwatch = onAbort(wait.signal, () => {
      this.#leave(ticket)?.reject(wait.signal?.reason);
      this.#cancel(ticket);
    });
    this.#seats.set(ticket, { come, reject, timeout: wait.timeout, unwatch, gone });
    attendant?.sit(this.#handle, ticket, wait.timeout);
  }

  /** Carries out a decision about one of them. */
  wake(ticket: number, why: number): void {
    const seat = this.#leave(ticket);
    if (seat !== undefined) this.#tell(seat, why);
  }

  /** Somebody is not there any more, as far as anybody can tell; `word` is what it was told, where that is its own all the same. */
  forsake(ticket: number, word: number | undefined): (() => void) | undefined {
    const seat = this.#leave(ticket);
    if (seat === undefined) return undefined;
    if (word !== undefined) return () => this.#tell(seat, word);
    this.#cancel(ticket);
    const again = seat.gone();
    return () => {
      try {
        again();
      } catch (error) {
        seat.reject(error);
      }
    };
  }

  /** Somebody has left by itself. */
  drop(ticket: number): boolean {
    return this.#leave(ticket) !== undefined;
  }

  /** How many there are. */
  get size(): number {
    return this.#seats.size;
  }

  /** Takes all of them out, to be rejected by what this returns. */
  clear(): (error: unknown) => void {
    const seats = [...this.#seats.values()];
    this.#seats.clear();
    return (error) => {
      for (const seat of seats) {
        seat.unwatch();
        seat.reject(error);
      }
    };
  }

  #tell(seat: Seat, why: number): void {
    if (why < REFUSED) seat.come();
    else seat.reject(this.#refusal(why - REFUSED, seat.timeout));
  }

  #leave(ticket: number): Seat | undefined {
    const seat = this.#seats.get(ticket);
    if (seat === undefined) return undefined;
    this.#seats.delete(ticket);
    attendant?.rise(this.#handle, ticket);
    seat.unwatch();
    if (this.#seats.size === 0) hold(this.#id(), undefined);
    return seat;
  }
}

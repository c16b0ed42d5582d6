/** Those who wait at a state: for a value, or for the turn to try an update again. */

import type { Handle } from "./instance.js";
import { attendant } from "./presence.js";
import { onAbort } from "./signals.js";
import { hold } from "./store.js";

export interface StateWaiter {
  readonly id: number;
  /** Whether it has what it waited for. */
  look(why: number): boolean;
  readonly reject: (reason: unknown) => void;
  readonly timeout: number;
  readonly unwatch: () => void;
  /** Asks anew. */
  readonly again: () => void;
}

export class StateWaiters {
  readonly #handle: Handle;
  readonly #machine: () => number;
  readonly #quit: (ticket: number, waiter: Omit<StateWaiter, "unwatch">, reason: unknown) => void;
  readonly #waiters = new Map<number, StateWaiter>();

  /** `quit` is called when an abort has taken somebody out. */
  constructor(
    handle: Handle,
    machine: () => number,
    quit: (ticket: number, waiter: Omit<StateWaiter, "unwatch">, reason: unknown) => void,
  ) {
    this.#handle = handle;
    this.#machine = machine;
    this.#quit = quit;
  }

  get size(): number {
    return this.#waiters.size;
  }

  find(ticket: number): StateWaiter | undefined {
    return this.#waiters.get(ticket);
  }

  /** Somebody waits from now on; `over` is called when it does no more. */
  enter(
    ticket: number,
    waiter: Omit<StateWaiter, "unwatch">,
    signal: AbortSignal | undefined,
    over?: () => void,
  ): void {
    if (this.#waiters.size === 0) hold(this.#machine(), this.#handle);
    const ignore = onAbort(signal, () => {
      this.leave(ticket);
      this.#quit(ticket, waiter, signal?.reason);
    });
    const unwatch = () => {
      ignore();
      over?.();
    };
    this.#waiters.set(ticket, { ...waiter, unwatch });
    attendant?.sit(this.#handle, ticket, waiter.timeout);
  }

  /** Takes somebody out. */
  leave(ticket: number): StateWaiter | undefined {
    const waiter = this.#waiters.get(ticket);
    if (waiter === undefined) return undefined;
    this.#waiters.delete(ticket);
    attendant?.rise(this.#handle, ticket);
    waiter.unwatch();
    if (this.#waiters.size === 0) hold(this.#machine(), undefined);
    return waiter;
  }

  /** Takes all of them out, as they are. */
  clear(): readonly StateWaiter[] {
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    return waiters;
  }
}

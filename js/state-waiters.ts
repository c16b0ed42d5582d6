/** Those who wait at a state: for a value, or for the turn to try an update again. */

import type { Handle } from "./instance.js";
import { Places, type Waits } from "./places.js";
import { attendant } from "./presence.js";
import { onAbort } from "./signals.js";

export interface StateWaiter extends Waits {
  readonly id: number;
  /** Whether it has what it waited for. */
  look(why: number): boolean;
  readonly reject: (reason: unknown) => void;
  readonly timeout: number;
  /** Asks anew. */
  readonly again: () => void;
}

export class StateWaiters extends Places<StateWaiter> {
  readonly #handle: Handle;
  readonly #quit: (ticket: number, waiter: Omit<StateWaiter, "unwatch">, reason: unknown) => void;

  /** `quit` is called when an abort has taken somebody out. */
  constructor(
    handle: Handle,
    machine: () => number,
    quit: (ticket: number, waiter: Omit<StateWaiter, "unwatch">, reason: unknown) => void,
  ) {
    super(handle, machine);
    this.#handle = handle;
    this.#quit = quit;
  }

  /** Somebody waits from now on; `over` is called when it does no more. */
  enter(
    ticket: number,
    waiter: Omit<StateWaiter, "unwatch">,
    signal: AbortSignal | undefined,
    over?: () => void,
  ): void {
    const ignore = onAbort(signal, () => {
      this.leave(ticket);
      this.#quit(ticket, waiter, signal?.reason);
    });
    const unwatch = () => {
      ignore();
      over?.();
    };
    this.take(ticket, { ...waiter, unwatch });
    attendant?.sit(this.#handle, ticket, waiter.timeout);
  }
}

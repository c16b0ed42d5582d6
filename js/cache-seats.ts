/** Those who load or wait for values of a cache, by ticket. */

import type { Seat } from "./cache-load.js";
import type { Handle } from "./instance.js";
import { Places } from "./places.js";
import { attendant } from "./presence.js";
import { onAbort } from "./signals.js";

export class Seats<V> extends Places<Seat<V>> {
  readonly #handle: Handle;
  readonly #isAlone: boolean;
  readonly #loadTimeout: number;
  readonly #abandon: (ticket: number) => void;

  /** `isAlone` says that all of one load are of one request; `abandon` tells the machine that an abort took somebody out. */
  constructor(
    handle: Handle,
    machine: () => number,
    isAlone: boolean,
    loadTimeout: number,
    abandon: (ticket: number) => void,
  ) {
    super(handle, machine);
    this.#handle = handle;
    this.#isAlone = isAlone;
    this.#loadTimeout = loadTimeout;
    this.#abandon = abandon;
  }

  /** Somebody sits here from now on, until it leaves or its signal aborts; a refresh in the background is nobody's to abort. */
  enter(ticket: number, seat: Seat<V>): void {
    this.take(ticket, seat);
    if (!this.#isAlone) attendant?.sit(this.#handle, ticket, Number.POSITIVE_INFINITY);
    else if (this.#loadTimeout !== Number.POSITIVE_INFINITY)
      attendant?.stay(this.#handle, ticket, this.#loadTimeout);
    const { signal } = seat.entry;
    if (signal === undefined || seat.refreshes) return;
    seat.unwatch = onAbort(signal, () => {
      const current = this.find(ticket) === seat;
      if (current) this.leave(ticket);
      seat.unwatch();
      seat.context?.end(signal.reason);
      seat.reject(signal.reason);
      if (current) this.#abandon(ticket);
    });
  }
}

/** Those who load or wait for values of a cache, by ticket. */

import type { Seat } from "./cache-load.js";
import type { Handle } from "./instance.js";
import { attendant } from "./presence.js";
import { onAbort } from "./signals.js";
import { hold } from "./store.js";

export class Seats<V> {
  readonly #handle: Handle;
  readonly #machine: () => number;
  readonly #isAlone: boolean;
  readonly #loadTimeout: number;
  readonly #abandon: (ticket: number) => void;
  readonly #seats = new Map<number, Seat<V>>();

  /** `isAlone` says that all of one load are of one request; `abandon` tells the machine that an abort took somebody out. */
  constructor(
    handle: Handle,
    machine: () => number,
    isAlone: boolean,
    loadTimeout: number,
    abandon: (ticket: number) => void,
  ) {
    this.#handle = handle;
    this.#machine = machine;
    this.#isAlone = isAlone;
    this.#loadTimeout = loadTimeout;
    this.#abandon = abandon;
  }

  get size(): number {
    return this.#seats.size;
  }

  find(ticket: number): Seat<V> | undefined {
    return this.#seats.get(ticket);
  }

  /** Somebody sits here from now on, until it leaves or its signal aborts; a refresh in the background is nobody's to abort. */
  enter(ticket: number, seat: Seat<V>): void {
    if (this.#seats.size === 0) hold(this.#machine(), this.#handle);
    this.#seats.set(ticket, seat);
    if (!this.#isAlone) attendant?.sit(this.#handle, ticket, Number.POSITIVE_INFINITY);
    else if (this.#loadTimeout !== Number.POSITIVE_INFINITY)
      attendant?.stay(this.#handle, ticket, this.#loadTimeout);
    const { signal } = seat.entry;
    if (signal === undefined || seat.refreshes) return;
    seat.unwatch = onAbort(signal, () => {
      const current = this.#seats.get(ticket) === seat;
      if (current) this.leave(ticket);
      seat.unwatch();
      seat.context?.end(signal.reason);
      seat.reject(signal.reason);
      if (current) this.#abandon(ticket);
    });
  }

  /** Takes somebody out. */
  leave(ticket: number): Seat<V> | undefined {
    const seat = this.#seats.get(ticket);
    if (seat === undefined) return undefined;
    this.#seats.delete(ticket);
    attendant?.rise(this.#handle, ticket);
    seat.unwatch();
    if (this.#seats.size === 0) hold(this.#machine(), undefined);
    return seat;
  }

  /** Takes all of them out, as they are. */
  clear(): readonly Seat<V>[] {
    const seats = [...this.#seats.values()];
    this.#seats.clear();
    return seats;
  }
}

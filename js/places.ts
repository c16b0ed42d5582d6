/** Places of those who wait at a machine of the store, by ticket: whoever leaves one leaves nothing behind. */

import type { Handle } from "./instance.js";
import { attendant } from "./presence.js";
import { hold } from "./store.js";

/** Somebody who waits. */
export interface Waits {
  /** Takes away what would end the wait: the listener of its signal, for one. */
  readonly unwatch: () => void;
}

/** The places of one handle, which is kept alive while anybody has one. */
export class Places<W extends Waits> {
  readonly #handle: Handle;
  readonly #machine: () => number;
  readonly #taken = new Map<number, W>();

  constructor(handle: Handle, machine: () => number) {
    this.#handle = handle;
    this.#machine = machine;
  }

  /** How many there are. */
  get size(): number {
    return this.#taken.size;
  }

  /** All of them, the longest there first. */
  get all(): readonly W[] {
    return [...this.#taken.values()];
  }

  find(ticket: number): W | undefined {
    return this.#taken.get(ticket);
  }

  /** Somebody waits from now on, until it leaves. */
  take(ticket: number, who: W): void {
    if (this.#taken.size === 0) hold(this.#machine(), this.#handle);
    this.#taken.set(ticket, who);
  }

  /** Takes somebody out. */
  leave(ticket: number): W | undefined {
    const who = this.#taken.get(ticket);
    if (who === undefined) return undefined;
    this.#taken.delete(ticket);
    attendant?.rise(this.#handle, ticket);
    who.unwatch();
    if (this.#taken.size === 0) hold(this.#machine(), undefined);
    return who;
  }

  /** Takes all of them out, as they are. */
  clear(): readonly W[] {
    const { all } = this;
    this.#taken.clear();
    return all;
  }
}

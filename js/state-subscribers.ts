/** Who is told of the changes of a state, in the order of the writes. */

import { bindings } from "./generated/store_bg.js";
import { LIST } from "./instance.js";
import { reportError } from "./log.js";
import type { StateChange } from "./state-terms.js";
import { area, ask } from "./store.js";

type Listener<V> = (change: StateChange<V>) => void;

export interface Subscription<V> {
  readonly id: number;
  readonly fn: Listener<V>;
  ticket: number;
}

export class Subscribers<V> {
  readonly #machine: () => number;
  readonly #enter: (id: number) => number;
  readonly #changeOf: (id: number, version: number) => StateChange<V> | undefined;
  readonly #subscriptions = new Set<Subscription<V>>();
  #listeners = new Map<number, Listener<V>>();
  #telling = false;

  /** `enter` gives a ticket at the machine for a key or a prefix, and `changeOf` says what a change is in the words of those who listen. */
  constructor(
    machine: () => number,
    enter: (id: number) => number,
    changeOf: (id: number, version: number) => StateChange<V> | undefined,
  ) {
    this.#machine = machine;
    this.#enter = enter;
    this.#changeOf = changeOf;
  }

  add(id: number, fn: Listener<V>): Subscription<V> {
    const subscription: Subscription<V> = { id, fn, ticket: 0 };
    this.#listen(subscription);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** Whether it was still there. */
  delete(subscription: Subscription<V>): boolean {
    if (!this.#subscriptions.delete(subscription)) return false;
    this.#listeners.delete(subscription.ticket);
    ask(() => bindings.state_leave(this.#machine(), subscription.ticket));
    return true;
  }

  clear(): void {
    for (const subscription of this.#subscriptions) this.delete(subscription);
  }

  /** All of them subscribe again, at the machine that is there after a trap. */
  renew(): void {
    this.#listeners = new Map();
    for (const subscription of this.#subscriptions) this.#listen(subscription);
  }

  /** Tells what has changed. An inner write leaves its changes in the line for the outermost. */
  tell(): void {
    if (this.#telling || this.#listeners.size === 0) return;
    this.#telling = true;
    try {
      for (;;) {
        const ticket = ask(() => bindings.state_change(this.#machine()));
        if (ticket < 0) break;
        this.#tellOne(ticket, area()[LIST] as number, area()[LIST + 1] as number);
      }
    } finally {
      this.#telling = false;
    }
  }

  #tellOne(ticket: number, id: number, version: number): void {
    const change = this.#changeOf(id, version);
    if (change === undefined) return;
    try {
      this.#listeners.get(ticket)?.(change);
    } catch (error) {
      reportError(error);
    }
  }

  #listen(subscription: Subscription<V>): void {
    subscription.ticket = this.#enter(subscription.id);
    this.#listeners.set(subscription.ticket, subscription.fn);
  }
}

/** The values of a state by the numbers of their keys, with versions that also grow over a trap, after which a machine counts anew. */

import type { Versioned } from "./state-terms.js";

export class Entries<V> {
  readonly #entries: (Versioned<V> | undefined)[] = [];
  #size = 0;
  // Versions of the machines before the last trap: those of the present one are added to it.
  #base = 0;
  #newest = 0;

  get size(): number {
    return this.#size;
  }

  at(id: number): Versioned<V> | undefined {
    return this.#entries[id];
  }

  /** Keeps what the machine took under a version of its own, and gives the one that everybody knows. */
  put(id: number, value: V, own: number): number {
    if (this.#entries[id] === undefined) this.#size += 1;
    this.#newest = this.versionOf(own);
    this.#entries[id] = { value, version: this.#newest };
    return this.#newest;
  }

  drop(id: number): void {
    if (this.#entries[id] !== undefined) this.#size -= 1;
    this.#entries[id] = undefined;
  }

  /** The version that everybody knows by one of the machine's own; 0 is no value. */
  versionOf(own: number): number {
    return own === 0 ? 0 : this.#base + own;
  }

  /** The machine's own version by the one that everybody knows; one of before a trap is no longer that of any entry. */
  ownOf(version: number): number {
    if (version === 0) return 0;
    return version > this.#base ? version - this.#base : Number.MAX_SAFE_INTEGER;
  }

  /** From here on another machine counts, from 1. */
  renew(): void {
    this.#base = this.#newest;
  }
}

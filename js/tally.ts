import type { Durations } from "./object-terms.js";

/** How long something took, all in all and at most. */
export class Tally {
  #count = 0;
  #total = 0;
  #max = 0;

  add(ms: number): void {
    this.#count += 1;
    this.#total += ms;
    this.#max = Math.max(this.#max, ms);
  }

  durations(): Durations {
    return { count: this.#count, total: this.#total, max: this.#max };
  }
}

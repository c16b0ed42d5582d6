/**
 * Tasks that a pool starts without asking its machine, on hosts where many requests share one instance.
 *
 * There a task that ends in its first step takes no time, and nobody else runs meanwhile. To ask for its slot and to give it
 * back are two calls into wasm that lies cold between two requests, and cost more than all the rest. So the machine says,
 * with a slot that comes back, whether the next plain task would start at once. That one passes. The machine hears of it before
 * it is asked anything else: as of one that came and went or, while it runs, as of one that has a slot.
 */

import { now } from "./clock.js";
import { hold, settle } from "./core.js";
import { bindings } from "./generated/core_bg.js";
import type { Pool } from "./pool.js";
import { attendant } from "./presence.js";
import { RUNNING, type Work } from "./work.js";

/** Those of one pool who pass: one at a time. */
export class Passing {
  readonly #pool: Pool;
  #isOpen = false;
  #inside: Work | undefined;
  #passed = 0;
  // Whoever still runs has to be waited for: it has a slot like everybody, and hears of its end in its own request.
  readonly #look = (work: Work): void => {
    if (work.state !== RUNNING) return;
    this.#pool.catchUp();
    // After a trap whoever was told may have ended it.
    if (work.state === RUNNING) attendant?.stay(this.#pool, work.ticket, Number.POSITIVE_INFINITY);
    settle();
  };

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** The machine has said that the next may pass, and has heard of nothing since. */
  open(): void {
    this.#isOpen = true;
  }

  /** Lets one in who begins to run. False when it has to ask. */
  enter(work: Work): boolean {
    if (!this.#isOpen) return false;
    this.#isOpen = false;
    this.#inside = work;
    return true;
  }

  /** The end of one is followed. If it has settled already, that is heard of before this looks. False when it is not inside. */
  watch(work: Work): boolean {
    if (this.#inside !== work) return false;
    void Promise.resolve(work).then(this.#look);
    return true;
  }

  /** One has ended with success, and the next may pass. False when it is not inside. */
  leave(work: Work): boolean {
    if (this.#inside !== work) return false;
    this.#inside = undefined;
    this.#passed += 1;
    this.#isOpen = true;
    return true;
  }

  /** Tells a machine who has passed. Whoever is still inside has a ticket from then on, with a lease of so many milliseconds. */
  tell(machine: number, lease: number): Work | undefined {
    const work = this.#inside;
    if (this.#passed > 0) bindings.pool_passed(machine, this.#passed);
    if (work !== undefined) {
      // Waits for nothing: the machine has said so.
      work.ticket = bindings.pool_request(machine, now(), 1, 1, 0, 0, -1, Number.POSITIVE_INFINITY, lease, 2);
      hold(machine, this.#pool);
    }
    return this.forget();
  }

  /** Gives whoever is inside to somebody who has another way to tell of it. */
  forget(): Work | undefined {
    const work = this.#inside;
    this.#inside = undefined;
    this.#isOpen = false;
    this.#passed = 0;
    return work;
  }
}

import { now } from "./clock.js";
import { type RuntimeTrapError, TimeoutError } from "./errors.js";
import * as bindings from "./generated/store_bg.js";
import { type Handle, TICKET_SPAN } from "./instance.js";
import { integer } from "./options.js";
import { ask, open, register, settle } from "./store.js";
import { parseWait, Waiters, type WaitOptions } from "./waiting.js";

/**
 * A point that nobody passes until so many have arrived; then all of them do, and the next round begins.
 *
 * Whoever leaves early, by an abort or its timeout, gives its place back: the others wait for somebody else instead.
 *
 * @example
 * ```ts
 * import { Barrier } from "tidegate";
 *
 * const barrier = new Barrier(3);
 * const last = await Promise.all([barrier.arrive(), barrier.arrive(), barrier.arrive()]);
 * console.log(last); // → [ false, false, true ]
 * ```
 */
export class Barrier implements Handle {
  readonly #parties: number;
  readonly #waiters = new Waiters(
    this,
    () => this.#id,
    (ticket) => {
      ask(() => bindings.barrier_cancel(this.#id, ticket));
      settle();
    },
    (_, timeout) => new TimeoutError("wait at barrier", timeout),
  );
  #id: number;

  /** @throws TypeError where `parties` is not an integer ≥ 1 */
  constructor(parties: number) {
    this.#parties = integer("parties", parties, 1, 4_294_967_294);
    this.#id = open("barriers", () => bindings.barrier_open(this.#parties));
    register(this, this.#id, bindings.barrier_drop);
  }

  /** How many it takes. */
  get parties(): number {
    return this.#parties;
  }

  /**
   * Arrives, and waits for the others. Exactly one of each round, the last to arrive, is told `true`, so that it can do
   * what is to be done once.
   *
   * @throws TimeoutError; after an abort `signal.reason`
   */
  arrive(options?: WaitOptions): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const wait = parseWait(options);
      wait.signal?.throwIfAborted();
      const answer = ask(() => bindings.barrier_arrive(this.#id, now(), wait.timeout));
      if (answer < TICKET_SPAN) resolve(true);
      else if (answer >= 3 * TICKET_SPAN) reject(new TimeoutError("wait at barrier", wait.timeout));
      else this.#waiters.enter(answer - TICKET_SPAN, wait, () => resolve(false), reject);
      settle();
    });
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    this.#waiters.wake(ticket, why);
  }

  /** @internal Starts again after a trap, with nobody there. */
  rebuild(error: RuntimeTrapError): () => void {
    const reject = this.#waiters.clear();
    this.#id = bindings.barrier_open(this.#parties);
    register(this, this.#id, bindings.barrier_drop);
    return () => reject(error);
  }
}

/** A rate that holds for isolates all over the world together. */

import { now } from "../clock.js";
import { NeverPossibleError, QueueTimeoutError } from "../errors.js";
import { abortSignal, integer, milliseconds, nameOf, object } from "../options.js";
import { sleep } from "../sleep.js";
import { type Coordinator, CoordinatorUnreachableError } from "./coordinator.js";

/** What a {@link SharedRate} is made with. */
export interface SharedRateOptions {
  /** Under which all isolates mean the same rate. */
  name: string;
  /** So many pass … */
  limit: number;
  /** … in so many milliseconds, everywhere together. */
  per: number;
  /** Tokens that are fetched at once. What is not used within a tenth of `per` is lost. @default a tenth of `limit`, at least 1 */
  block?: number;
}

/**
 * Lets so many pass in a time, everywhere together. Tokens come in blocks: most passes cost no word with the coordinator.
 *
 * @example
 * ```ts
 * import { localCoordinator, SharedRate } from "tidegate/edge";
 *
 * const rate = new SharedRate(localCoordinator(), { name: "api", limit: 2, per: 60_000 });
 * console.log(await rate.tryAcquire(), await rate.tryAcquire(), await rate.tryAcquire()); // → true true false
 * ```
 */
export class SharedRate {
  /** The name under which all isolates mean the same rate. */
  readonly name: string;
  readonly #coordinator: Coordinator;
  readonly #limit: number;
  readonly #per: number;
  readonly #size: number;
  #tokens = 0;
  #until = 0;
  #deniedUntil = Number.NEGATIVE_INFINITY;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(coordinator: Coordinator, options: SharedRateOptions) {
    object("options", options);
    this.name = nameOf(options, "shared rate");
    this.#coordinator = coordinator;
    this.#limit = integer("limit", options.limit, 1);
    this.#per = milliseconds("per", options.per, 1);
    this.#size = integer("block", options.block ?? Math.max(1, Math.floor(this.#limit / 10)), 1, this.#limit);
  }

  /**
   * Whether one may pass now, or all `cost` tokens are there.
   *
   * @default cost 1
   * @throws NeverPossibleError for a cost above the limit; CoordinatorUnreachableError where the coordinator does not answer and its
   * `unreachable` is `closed`
   */
  async tryAcquire(cost = 1): Promise<boolean> {
    return (await this.#take(this.#possible(cost))) === 0;
  }

  /**
   * Waits until one may pass, or until `cost` tokens are there together.
   *
   * @default cost 1; timeout none
   * @throws QueueTimeoutError with `retryAfterMs`, at once where the wait would be longer than `timeout`; NeverPossibleError;
   * CoordinatorUnreachableError; after an abort `signal.reason`
   */
  async acquire(options: { cost?: number; timeout?: number; signal?: AbortSignal } = {}): Promise<void> {
    const cost = this.#possible(options.cost ?? 1);
    const signal = abortSignal("signal", options.signal);
    const timeout = milliseconds("timeout", options.timeout ?? Number.POSITIVE_INFINITY);
    const ends = now() + timeout;
    for (;;) {
      signal?.throwIfAborted();
      const wait = await this.#take(cost);
      if (wait === 0) return;
      if (now() + wait > ends)
        throw new QueueTimeoutError(`Rate "${this.name}" would not let it pass within ${timeout} ms`, {
          limit: timeout,
          retryAfterMs: wait,
        });
      await sleep(wait, signal);
    }
  }

  #possible(cost: number): number {
    if (integer("cost", cost, 1) > this.#limit)
      throw new NeverPossibleError(
        `Rate "${this.name}" has ${this.#limit} tokens at most, and ${cost} were asked for`,
        this.#limit,
      );
    return cost;
  }

  /** Takes so many tokens, or says in how many milliseconds there may be so many. */
  async #take(cost: number): Promise<number> {
    for (;;) {
      const at = now();
      if (at >= this.#until) this.#tokens = 0;
      if (this.#tokens >= cost) {
        this.#tokens -= cost;
        return 0;
      }
      if (at < this.#deniedUntil) return this.#deniedUntil - at;
      const least = cost - this.#tokens;
      let answer: { granted: number; retryAfter: number };
      try {
        answer = await this.#coordinator.ask(`rate:${this.name}`, {
          kind: "rate",
          limit: this.#limit,
          per: this.#per,
          want: Math.max(least, this.#size),
          least,
        });
      } catch (error) {
        const { unreachable } = this.#coordinator;
        if (unreachable === "open") return 0;
        if (unreachable === "closed" || !(error instanceof CoordinatorUnreachableError)) throw error;
        return this.#alone(cost);
      }
      if (answer.granted === 0) {
        // Others may have fetched meanwhile what they did not need.
        if (this.#tokens >= cost && now() < this.#until) continue;
        // Where there is not one, nobody need ask; where there are too few for this one, there may be enough for the next.
        if (least === 1) this.#deniedUntil = Math.max(this.#deniedUntil, now() + answer.retryAfter);
        return answer.retryAfter;
      }
      if (now() >= this.#until) this.#tokens = 0;
      this.#tokens += answer.granted;
      this.#until = now() + this.#per / 10;
      // Others have taken some meanwhile, or what was there before has lapsed: then it takes another word.
      if (this.#tokens < cost) continue;
      this.#tokens -= cost;
      return 0;
    }
  }

  #fullAt = 0;

  /** The same rule, for this isolate alone. */
  #alone(cost: number): number {
    const each = this.#per / this.#limit;
    const at = now();
    const fullAt = Math.max(this.#fullAt, at);
    const wait = fullAt + cost * each - this.#per - at;
    if (wait > 1e-9) return Math.max(1, wait);
    this.#fullAt = fullAt + cost * each;
    return 0;
  }
}

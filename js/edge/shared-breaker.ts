/** A breaker that opens for isolates all over the world when it opens in one of them. */

import { CircuitBreaker } from "../breaker.js";
import type { BreakerOptions } from "../breaker-options.js";
import { now } from "../clock.js";
import { BrokenCircuitError } from "../errors.js";
import { milliseconds, object } from "../options.js";
import type { RunOptions } from "../pool-options.js";
import type { Task } from "../work.js";
import type { Coordinator } from "./coordinator.js";

/** What a {@link SharedBreaker} is made with: the options of a `CircuitBreaker`, which judges what this isolate sees. */
export interface SharedBreakerOptions extends BreakerOptions {
  /** Under which all isolates mean the same target. */
  name: string;
  /** Milliseconds for which what the others say is taken for true. @default 1 s, so that a call rarely costs a word */
  refresh?: number;
}

/**
 * Each isolate judges what it sees, and tells the others when its circuit opens or closes again; nobody calls a target that one
 * of them found broken, until its time is over. While the coordinator cannot be reached each isolate judges alone, or, where its
 * `unreachable` is `closed`, lets nobody pass.
 *
 * @example
 * ```ts
 * import { localCoordinator, SharedBreaker } from "tidegate/edge";
 *
 * const coordinator = localCoordinator();
 * const here = new SharedBreaker(coordinator, { name: "api", consecutive: 1 });
 * const there = new SharedBreaker(coordinator, { name: "api", consecutive: 1 });
 * await here.run(() => Promise.reject(new Error("down"))).catch(() => {});
 * await there.run(() => "never runs").catch((error: { code: string }) => console.log(error.code)); // → BROKEN_CIRCUIT
 * ```
 */
export class SharedBreaker {
  /** The name under which all isolates mean the same target. */
  readonly name: string;
  readonly #coordinator: Coordinator;
  readonly #local: CircuitBreaker;
  readonly #refresh: number;
  #openUntil = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #isTold = true;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(coordinator: Coordinator, options: SharedBreakerOptions) {
    object("options", options);
    const { refresh = 1000, ...rest } = options;
    this.name = options.name;
    this.#coordinator = coordinator;
    this.#refresh = milliseconds("refresh", refresh);
    this.#local = new CircuitBreaker(rest);
    this.#local.on("change", () => {
      this.#isTold = false;
    });
  }

  /**
   * Runs a task if no isolate has found the circuit broken.
   *
   * @throws BrokenCircuitError with `retryAfterMs`; CoordinatorUnreachableError; what `CircuitBreaker.run` throws
   */
  async run<T>(task: Task<T>, options?: RunOptions): Promise<Awaited<T>> {
    if (now() - this.#askedAt >= this.#refresh) await this.#ask();
    const rest = this.#openUntil - now();
    if (rest > 0) throw new BrokenCircuitError(`Circuit "${this.name}" is open`, { retryAfterMs: rest });
    try {
      return await this.#local.run(task, options);
    } finally {
      if (!this.#isTold) await this.#ask();
    }
  }

  /** The breaker of this isolate. */
  get local(): CircuitBreaker {
    return this.#local;
  }

  /** Tells what has changed here, and hears what the others know. */
  async #ask(): Promise<void> {
    this.#askedAt = now();
    const { state, openFor } = this.#local.metrics();
    const hasNews = !this.#isTold;
    this.#isTold = true;
    try {
      const answer = await this.#coordinator.ask(`breaker:${this.name}`, {
        kind: "breaker",
        ...(hasNews && state === "open" ? { openFor } : {}),
        ...(hasNews && state === "closed" ? { closed: true } : {}),
      });
      this.#openUntil = now() + answer.openFor;
    } catch (error) {
      if (hasNews) this.#isTold = false;
      if (this.#coordinator.unreachable === "closed") throw error;
    }
  }
}

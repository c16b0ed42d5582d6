import { type Backoff, parseBackoff } from "./backoff.js";
import { now } from "./clock.js";
import { area, guarded, ready, register, seed, settle, trapped } from "./core.js";
import { TidegateError } from "./errors.js";
import { bindings } from "./generated/core_bg.js";
import { type Handle, LIST } from "./instance.js";
import { abortSignal, callable, integer, milliseconds, number, object, reject } from "./options.js";
import { retryAfterOf } from "./retry-after.js";
import { sleep } from "./sleep.js";
import { isFinal, isTransient } from "./transient.js";

/** Whether, when and how often to try again. */
export interface RetryOptions {
  /** How often, the first included. @default 3: what two repeats do not heal is rarely healed by a fourth */
  attempts?: number;
  /** How long between attempts. @default 100 ms doubling to 10 s with full jitter, which puts the least load on whoever is called */
  backoff?: Backoff;
  /** Milliseconds after the first attempt at which no other begins; one that would is not waited for. @default none */
  deadline?: number;
  /**
   * Retries as a share of calls, and so many a second more, over everything that shares these options.
   * @default 10 % and 10 a second, so that an outage is not made worse by those who try again
   */
  budget?: { ratio: number; minPerSecond?: number };
  /** Which errors are worth another try. @default those that say so (`retryable`) or are known to be transient (timeouts, lost connections, statuses 408, 425, 429 and 5xx of the moment); never an abort, nor what says `overloaded` */
  when?(error: unknown): boolean;
  /** Waits at least as long as the server's `Retry-After` says, in seconds or as a date. @default true: who is asked to wait and does not is refused again */
  retryAfter?: boolean;
}

/** Every number of the retries that share one budget. */
export interface RetryMetrics {
  /** The name of the pool or policy that tries again; `retry` for the function of that name. */
  readonly name: string;
  /** Calls, each counted once however often it was tried. */
  readonly calls: number;
  /** Attempts after the first. */
  readonly retries: number;
  /** Calls that failed for good though another try might have helped: no attempt, no time or no budget was left. */
  readonly exhausted: number;
}

/** Retry options, judged, with the budget that all calls share. */
export class RetryPolicy implements Handle {
  readonly honoursRetryAfter: boolean;
  readonly #attempts: number;
  readonly #backoff: readonly [number, number, number, number];
  readonly #deadline: number;
  readonly #budget: readonly [ratio: number, minPerSecond: number];
  readonly #when: (error: unknown) => boolean;
  readonly kind = "retry";
  readonly #label: string;
  #calls = 0;
  #retries = 0;
  #exhausted = 0;
  #id: number;

  /** `name` is where the options stand, `label` who tries again. @throws TypeError that names what is wrong */
  constructor(name: string, options: RetryOptions, label = "retry") {
    ready();
    this.#label = label;
    if (object(name, options) === undefined) reject(name, "an object", options);
    const { attempts = 3, backoff, deadline, when, retryAfter } = options;
    this.#attempts = integer(`${name}.attempts`, attempts, 1, 4_294_967_294);
    this.#backoff = backoff === undefined ? [100, 10_000, 2, 0] : parseBackoff(`${name}.backoff`, backoff);
    this.#deadline =
      deadline === undefined ? Number.POSITIVE_INFINITY : milliseconds(`${name}.deadline`, deadline);
    const { ratio = 0.1, minPerSecond = 10 } = object(`${name}.budget`, options.budget) ?? {};
    this.#budget = [
      number(`${name}.budget.ratio`, ratio, 0, 1000),
      integer(`${name}.budget.minPerSecond`, minPerSecond, 0, 1_000_000),
    ];
    this.#when = when === undefined ? isTransient : callable(`${name}.when`, when);
    if (retryAfter !== undefined && typeof retryAfter !== "boolean")
      reject(`${name}.retryAfter`, "a boolean", retryAfter);
    this.honoursRetryAfter = retryAfter ?? true;
    this.#id = guarded(() => this.#open());
    register(this, this.#id, bindings.budget_drop);
  }

  /**
   * Calls `attempt` until it succeeds or there is no reason to try again; then its last error is thrown. `heard` is told
   * how long a server asked everybody to wait.
   */
  async run<T>(
    attempt: (number: number) => Promise<T>,
    signal: AbortSignal | undefined,
    deadline: number,
    heard?: (ms: number) => void,
  ): Promise<T> {
    seed();
    const started = now();
    this.#calls += 1;
    this.#call(() => bindings.budget_deposit(this.#id, started));
    // One deadline for all of it: what was given with the call, or what the options allow, whichever comes first.
    const span = Math.min(this.#deadline, deadline - Date.now());
    let previous = -1;
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await attempt(attempts);
      } catch (error) {
        if (signal?.aborted === true || isFinal(error) || !this.#when(error)) throw error;
        const after = this.honoursRetryAfter ? retryAfterOf(error) : undefined;
        // What a policy of our own refused says nothing about the target.
        if (after !== undefined && !(error instanceof TidegateError)) heard?.(after);
        const delay = this.#decide(span, attempts, started, previous, after ?? -1);
        if (delay < 0) {
          this.#exhausted += 1;
          throw error;
        }
        this.#retries += 1;
        await sleep(delay, signal);
        previous = delay;
      }
    }
  }

  metrics(): RetryMetrics {
    const [calls, retries, exhausted] = [this.#calls, this.#retries, this.#exhausted];
    return { name: this.#label, calls, retries, exhausted };
  }

  /** @internal */
  wake(): void {}

  /** @internal The budget starts anew after a trap. */
  rebuild(): () => void {
    this.#id = this.#open();
    register(this, this.#id, bindings.budget_drop);
    return () => {};
  }

  #open(): number {
    const id = bindings.budget_open(...this.#budget);
    if (id < 0) throw new RangeError("The retry budget could not be made: its options are out of range");
    return id;
  }

  #decide(span: number, attempt: number, started: number, previous: number, retryAfter: number): number {
    const cells = area();
    const numbers = [
      this.#attempts,
      ...this.#backoff,
      span,
      attempt,
      started,
      previous,
      retryAfter,
      this.#id,
    ];
    numbers.forEach((value, at) => {
      cells[LIST + at] = value;
    });
    return this.#call(() => bindings.retry_decide(now())) ?? -1;
  }

  #call<T>(call: () => T): T | undefined {
    let answer: T | undefined;
    try {
      answer = call();
    } catch (error) {
      if (trapped(error) === error) throw error;
    }
    settle();
    return answer;
  }
}

const policies = new WeakMap<RetryOptions, RetryPolicy>();
let usual: RetryPolicy | undefined;

/**
 * Runs a task, and again with backoff while its errors are worth it. The same options object shares one budget; without
 * options all calls share one.
 *
 * @throws the task's last error; after an abort `signal.reason`
 * @example
 * ```ts
 * import { retry } from "tidegate";
 *
 * const answer = await retry(
 *   async ({ attempt }) => {
 *     if (attempt < 3) throw Object.assign(new Error("busy"), { status: 503 });
 *     return `answered on attempt ${attempt}`;
 *   },
 *   { attempts: 4, backoff: { initial: 1, max: 10 } },
 * );
 * console.log(answer); // → answered on attempt 3
 * ```
 */
export async function retry<T>(
  task: (ctx: { readonly attempt: number; readonly signal: AbortSignal | undefined }) => T | PromiseLike<T>,
  options?: RetryOptions & { signal?: AbortSignal },
): Promise<Awaited<T>> {
  callable("task", task);
  let policy: RetryPolicy | undefined;
  if (options === undefined) policy = usual ??= new RetryPolicy("options", {});
  else {
    policy = policies.get(options);
    if (policy === undefined) policies.set(options, (policy = new RetryPolicy("options", options)));
  }
  const signal = abortSignal("options.signal", options?.signal);
  if (signal?.aborted === true) throw signal.reason;
  return await policy.run(
    async (attempt) => await task({ attempt, signal }),
    signal,
    Number.POSITIVE_INFINITY,
  );
}

/** What a pool and its calls can be told, read and judged once. */
import { CircuitBreaker } from "./breaker.js";
import type { BreakerOptions } from "./breaker-options.js";
import type { Keys } from "./keys.js";
import { abortSignal, bound, choice, integer, milliseconds, number, object, reject } from "./options.js";
import { parseRateOptions, type RateOptions, type RateRule } from "./rate-options.js";
import { type RetryOptions, RetryPolicy } from "./retry.js";
import type { Extra, TaskContext } from "./work.js";

/** What happens to a task that finds the queue full. */
export type Overflow = "wait" | "drop-newest" | "drop-oldest" | "error";

/** The queue of a pool. */
export interface QueueOptions {
  /** Tasks that may be queued. @default unbounded, so that a plain limiter just works; 0 is no queue */
  capacity?: number;
  /** @default "wait": the caller waits outside until there is room, which is what backpressure is */
  overflow?: Overflow;
  /** Milliseconds from call to start. @default none */
  waitTimeout?: number;
  /** Callers that may wait outside. @default unbounded */
  maxWaiters?: number;
  /** Later arrivals that one step of priority may overtake. @default 16 */
  aging?: number;
}

/** What a pool is made of. */
export interface PoolOptions {
  /** For messages, metrics and lists. @default "pool" */
  name?: string;
  /** Slots. */
  concurrency: number;
  queue?: QueueOptions;
  /** Rules that every start is debited from; all hold together. */
  rate?: RateOptions | RateOptions[];
  /** A breaker of its own, or one that other pools hang on too. */
  breaker?: BreakerOptions | CircuitBreaker;
  /** Tries again what fails in a way that another try may heal; each attempt is admitted anew and gives its slot back while it waits. */
  retry?: RetryOptions;
  /** Milliseconds that one attempt may run. @default none */
  timeout?: number;
  /**
   * What happens to the slot of a task that ran out of time. `release`: it is free at once, and the work that goes on
   * counts as abandoned. `hold`: it stays taken until the work settles.
   * @default "release", because a slot that a dead task could hold for ever is worse than a bound that is visibly exceeded
   */
  onTimeout?: "release" | "hold";
  /** Milliseconds after which a lease that nobody renewed is taken back. @default none */
  leaseTimeout?: number;
}

/** What one call can be told. */
export interface RunOptions {
  /** Cancels the task, waiting or running. */
  signal?: AbortSignal;
  /** −100 to 100, higher first. @default 0 */
  priority?: number;
  /** Slots it takes. @default 1 */
  weight?: number;
  /** Tokens it takes from the rates. @default 1 */
  cost?: number;
  /** Keys take turns. */
  key?: string;
  /** The context of the task that this call is part of: its deadline is inherited. */
  parent?: TaskContext;
  /** Milliseconds that it may run. @default the pool's */
  timeout?: number;
  /** Milliseconds from call to start. @default the queue's */
  waitTimeout?: number;
  /** Epoch milliseconds by which all of it must be over. What cannot start before is refused at once. */
  deadline?: number;
  /** For messages and lists. */
  name?: string;
  /** Becomes `ctx.locals`. */
  locals?: Record<string, unknown>;
}

/** The options of a pool, judged. */
export interface PoolConfig {
  readonly name: string;
  readonly concurrency: number;
  readonly overflow: Overflow;
  readonly queue: {
    readonly capacity: number;
    readonly rule: number;
    readonly maxWaiters: number;
    readonly aging: number;
  };
  readonly waitTimeout: number;
  readonly timeout: number;
  readonly atEnd: number;
  readonly leaseTimeout: number;
  readonly rules: readonly RateRule[];
  readonly breaker: CircuitBreaker | undefined;
  readonly retry: RetryPolicy | undefined;
}

const RULES: readonly Overflow[] = ["wait", "drop-newest", "drop-oldest", "error"];

/** Reads the options of a pool. @throws TypeError that names what is wrong */
export function parsePoolOptions(options: PoolOptions): PoolConfig {
  if (typeof options !== "object" || options === null)
    reject("options", "an object with `concurrency`", options);
  const { name, concurrency, timeout, onTimeout, leaseTimeout, rate, breaker, retry } = options;
  object("breaker", breaker);
  const queue = object("queue", options.queue) ?? {};
  const overflow = queue.overflow === undefined ? "wait" : choice("queue.overflow", queue.overflow, RULES);
  return {
    name: name === undefined ? "pool" : text("name", name),
    concurrency: integer("concurrency", concurrency, 1, 4_294_967_294),
    overflow,
    queue: {
      capacity: bound("queue.capacity", queue.capacity, 0),
      rule: RULES.indexOf(overflow),
      maxWaiters: bound("queue.maxWaiters", queue.maxWaiters, 0),
      aging: queue.aging === undefined ? 16 : integer("queue.aging", queue.aging, 0, 1_000_000),
    },
    waitTimeout: optionalMilliseconds("queue.waitTimeout", queue.waitTimeout),
    timeout: optionalMilliseconds("timeout", timeout),
    atEnd:
      onTimeout === undefined
        ? 0
        : ["release", "hold"].indexOf(choice("onTimeout", onTimeout, ["release", "hold"])),
    leaseTimeout: optionalMilliseconds("leaseTimeout", leaseTimeout),
    rules: parseRateOptions("rate", rate),
    breaker:
      breaker === undefined || breaker instanceof CircuitBreaker
        ? breaker
        : new CircuitBreaker({ name: name ?? "pool", ...breaker }),
    retry: retry === undefined ? undefined : new RetryPolicy("retry", retry),
  };
}

/** Reads the options of a call. @throws TypeError that names what is wrong */
export function parseRunOptions(options: RunOptions, pool: PoolConfig, keys: Keys): Extra {
  if (typeof options !== "object" || options === null) reject("options", "an object", options);
  const { signal, priority, weight, cost, key, parent, timeout, waitTimeout, deadline, name, locals } =
    options;
  const own = deadline === undefined ? Number.POSITIVE_INFINITY : number("deadline", deadline, 0);
  const checked = {
    name: name === undefined ? undefined : text("name", name),
    signal: abortSignal("signal", signal),
    priority: priority === undefined ? 0 : integer("priority", priority, -100, 100),
    weight: weight === undefined ? 1 : integer("weight", weight, 1, 4_294_967_294),
    cost: cost === undefined ? 1 : integer("cost", cost, 0, 4_294_967_294),
    key: key === undefined ? undefined : text("key", key),
    timeout: timeout === undefined ? pool.timeout : milliseconds("timeout", timeout),
    patience: waitTimeout === undefined ? pool.waitTimeout : milliseconds("waitTimeout", waitTimeout),
    deadline: Math.min(own, parent?.deadline ?? Number.POSITIVE_INFINITY),
    locals,
    attempt: 1,
    accepted: undefined,
  };
  // Last, so that nothing is interned for options that are wrong.
  return { ...checked, keyId: keys.intern(checked.key) };
}

function optionalMilliseconds(name: string, value: number | undefined): number {
  return value === undefined ? Number.POSITIVE_INFINITY : milliseconds(name, value);
}

function text(name: string, value: unknown): string {
  if (typeof value !== "string") reject(name, "a string", value);
  return value;
}

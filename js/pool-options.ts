/** What a pool and its calls can be told, read and judged once. */
import { type AdaptiveConfig, type AdaptiveOptions, parseAdaptive } from "./adaptive-options.js";
import { CircuitBreaker } from "./breaker.js";
import type { BreakerOptions } from "./breaker-options.js";
import { type HealthCheckOptions, parseHealthCheck } from "./health.js";
import type { Keys } from "./keys.js";
import {
  abortSignal,
  boolean,
  bound,
  choice,
  integer,
  milliseconds,
  number,
  object,
  reject,
} from "./options.js";
import { attendant } from "./presence.js";
import { parseRateOptions, type RateOptions, type RateRule } from "./rate-options.js";
import { type RetryOptions, RetryPolicy } from "./retry.js";
import { type Extra, type TaskContext, workOf } from "./work.js";

/** What happens to a task that finds the queue full. */
export type Overflow = "wait" | "drop-newest" | "drop-oldest" | "error";

/** The queue of a pool. */
export interface QueueOptions {
  /** Tasks that may be queued. @default unbounded, so that a plain limiter just works; 0 is no queue */
  capacity?: number;
  /**
   * What happens to a task that finds it full: `wait` parks its caller outside, `drop-newest` rejects it, `drop-oldest`
   * rejects the longest queued of the lowest priority (both with `DroppedError`), `error` refuses it (`QueueFullError`).
   * @default "wait", which is what backpressure is
   */
  overflow?: Overflow;
  /** Milliseconds from call to start. @default none, because how long is too long only the caller knows */
  waitTimeout?: number;
  /** Callers that may wait outside; one more is refused with `QueueFullError`. @default unbounded, as their promises are the callers' own */
  maxWaiters?: number;
  /** Earlier arrivals that one step of priority may overtake; 0 is first come, first served. @default 16, so that the bound on overtaking is a number, whatever the clock does */
  aging?: number;
}

/** What a pool is made of. */
export interface PoolOptions {
  /** For messages, metrics and lists. @default "pool" */
  name?: string;
  /**
   * Slots: how much runs at once; or {@link AdaptiveOptions}, with which the ends of the tasks find it. Tasks that run out of
   * time, and errors that speak of too much load (a status 429 or 503, `overloaded`), count as dropped. No default: it is the
   * one number that only the caller knows.
   */
  concurrency: number | AdaptiveOptions;
  /** Where those wait who cannot start. @default unbounded and fair */
  queue?: QueueOptions;
  /** Rules that every start is debited from; all hold together, and a start takes its slot and its tokens or neither. @default none */
  rate?: RateOptions | RateOptions[];
  /** A breaker of its own, or one that other pools hang on too; when it opens, the queue is rejected at once. @default none */
  breaker?: BreakerOptions | CircuitBreaker;
  /** Tries again what fails in a way that another try may heal; each attempt is admitted anew and gives its slot back while it waits. @default none: what may be repeated only the caller knows */
  retry?: RetryOptions;
  /** Milliseconds that one attempt may run, from its start. @default none, because how long is too long only the caller knows */
  timeout?: number;
  /**
   * What happens to the slot of a task that ran out of time. `release`: it is free at once, and the work that goes on
   * counts as abandoned. `hold`: it stays taken until the work settles.
   * @default "release", because a slot that a dead task could hold for ever is worse than a bound that is visibly exceeded
   */
  onTimeout?: "release" | "hold";
  /** Milliseconds after which a lease that nobody renewed is taken back. @default none, because a lease taken from somebody at work lets one too many in */
  leaseTimeout?: number;
  /**
   * What tells whether the target is there: run at the first use of the pool and then every so many milliseconds, until
   * the pool is closed. It makes `ready` and `health`; it never holds a task back. @default none
   */
  healthCheck?: HealthCheckOptions;
  /**
   * Whether `metrics()` has the distributions of waits and runs, some kilobytes a pool. Counts are kept either way.
   * @default true; false for the pools of a `PoolGroup`, of which there may be a thousand
   */
  histograms?: boolean;
  /**
   * Tells, by the event `nesting` and the logger, of a task that asks its own pool for another and finds no slot: if it
   * waits for the answer, it holds the slot that the answer may need. Needs `AsyncLocalStorage` (Node, Deno, Bun, workerd
   * with `nodejs_compat`); elsewhere nothing is told.
   * @default false: it makes a task cost three times as much
   */
  detectNesting?: boolean;
}

/** What one call can be told. */
export interface RunOptions {
  /** Cancels the task, waiting or running, in the tick of the abort; its promise rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** −100 to 100, higher first. @default 0 */
  priority?: number;
  /** Slots it takes; more than the pool has is `NeverPossibleError`. The head of the queue waits for its slots and holds those behind it, so that a heavy task cannot starve. @default 1 */
  weight?: number;
  /** Tokens it takes from the rates. @default 1 */
  cost?: number;
  /** Whose task it is: within a priority, keys take turns, so that one who asks a thousand times is not a thousand times in front. @default the key of all who give none */
  key?: string;
  /**
   * The context of the task that awaits this call. Its deadline is inherited; and where the task would wait for ever, because
   * what it waits for holds on to slots until it ends, the youngest wait rejects with `DeadlockError`. Leave it out where the
   * task does not await the call, as a crawler that feeds its own pool: then nothing is guessed. @default none
   */
  parent?: TaskContext;
  /** Milliseconds that it may run. @default the pool's */
  timeout?: number;
  /** Milliseconds from call to start. @default the queue's */
  waitTimeout?: number;
  /** Epoch milliseconds by which all of it must be over. What cannot start before is refused at once. */
  deadline?: number;
  /** For messages and lists: `Operation "probe" timed out after 2 s`. */
  name?: string;
  /** Becomes `ctx.locals`, the same object for each attempt. */
  locals?: Record<string, unknown>;
}

/** The options of a pool, judged. */
export interface PoolConfig {
  readonly name: string;
  readonly concurrency: number;
  /** What moves the concurrency. */
  readonly adaptive: AdaptiveConfig | undefined;
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
  readonly healthCheck: HealthCheckOptions | undefined;
  readonly detectNesting: boolean;
  readonly histograms: boolean;
}

const RULES: readonly Overflow[] = ["wait", "drop-newest", "drop-oldest", "error"];

/** Reads the options of a pool. @throws TypeError that names what is wrong */
export function parsePoolOptions(options: PoolOptions): PoolConfig {
  if (typeof options !== "object" || options === null)
    reject("options", "an object with `concurrency`", options);
  const { name, concurrency, timeout, onTimeout, leaseTimeout, rate, breaker, retry, detectNesting } =
    options;
  object("breaker", breaker);
  const adaptive =
    typeof concurrency === "object" && concurrency !== null
      ? parseAdaptive(concurrency, "concurrency.")
      : undefined;
  const queue = object("queue", options.queue) ?? {};
  const overflow = queue.overflow === undefined ? "wait" : choice("queue.overflow", queue.overflow, RULES);
  return {
    name: name === undefined ? "pool" : text("name", name),
    concurrency: adaptive?.initial ?? integer("concurrency", concurrency, 1, 4_294_967_294),
    adaptive,
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
    leaseTimeout:
      leaseTimeout === undefined
        ? (attendant?.leaseTimeout ?? Number.POSITIVE_INFINITY)
        : milliseconds("leaseTimeout", leaseTimeout),
    rules: parseRateOptions("rate", rate),
    breaker: parseBreaker(breaker, name),
    retry: retry === undefined ? undefined : new RetryPolicy("retry", retry, name),
    healthCheck: parseHealthCheck("healthCheck", options.healthCheck),
    histograms: options.histograms === undefined ? true : boolean("histograms", options.histograms),
    detectNesting: detectNesting === undefined ? false : boolean("detectNesting", detectNesting),
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
    deadline: Math.min(own, inherited(parent)),
    parent: workOf(parent),
    locals: object("locals", locals),
    attempt: 1,
    accepted: undefined,
  };
  // Last, so that nothing is interned for options that are wrong.
  return { ...checked, keyId: keys.intern(checked.key) };
}

function inherited(parent: TaskContext | undefined): number {
  if (parent === undefined) return Number.POSITIVE_INFINITY;
  if (typeof parent !== "object" || parent === null) reject("parent", "the context of a task", parent);
  return parent.deadline ?? Number.POSITIVE_INFINITY;
}

function parseBreaker(
  breaker: BreakerOptions | CircuitBreaker | undefined,
  name = "pool",
): CircuitBreaker | undefined {
  if (breaker === undefined || breaker instanceof CircuitBreaker) return breaker;
  // Every copy of the package has machines of its own.
  if (typeof (breaker as { isolate?: unknown }).isolate === "function")
    throw new TypeError("Expected `breaker` to be a CircuitBreaker of this copy of the package");
  return new CircuitBreaker({ name, ...breaker }, "breaker.");
}

function optionalMilliseconds(name: string, value: number | undefined): number {
  return value === undefined ? Number.POSITIVE_INFINITY : milliseconds(name, value);
}

function text(name: string, value: unknown): string {
  if (typeof value !== "string") reject(name, "a string", value);
  return value;
}

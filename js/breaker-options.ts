import { type Backoff, parseBackoff } from "./backoff.js";
import { callable, choice, integer, milliseconds, object, reject, share } from "./options.js";

/** When a breaker opens, for how long, and how it finds out whether the target works again. */
export interface BreakerOptions {
  /** For messages and metrics. @default "breaker" */
  name?: string;
  /** Failures in a row that open it; any success begins the count anew. @default 5, unless another rule is given: fewer is bad luck, more is a target that is down */
  consecutive?: number;
  /** Opens when so large a share of a window failed. @default none */
  ratio?: {
    /** From 0 to 1. */
    failures: number;
    /** Calls or milliseconds, as `by` says. */
    window: number;
    /** `count`: the last `window` calls; `time`: the calls of the last `window` milliseconds. */
    by: "count" | "time";
    /** Calls there must be before it is judged, so that one failure of one call is not 100 %. */
    minimum: number;
  };
  /** Opens when so large a share (0 to 1) took longer than `over` milliseconds. @default none */
  slow?: { over: number; ratio: number };
  /** Milliseconds it stays open, or delays that grow with each reopening. @default 60,000: a restart or a deployment takes about a minute */
  openFor?: number | Backoff;
  /** How it finds out whether the target works again. */
  halfOpen?: {
    /** Calls let through at a time, however many ask. @default 1, the least that tells anything */
    probes?: number;
    /** Successes that close it. @default 1, so that nobody is refused longer than needed */
    successes?: number;
    /** Milliseconds over which the share let through grows back after it closed. @default 0: all at once */
    ramp?: number;
  };
  /** Whether an error, or a result, counts as a failure. @default errors do; aborts and this package's own refusals never reach it */
  isFailure?(value: unknown): boolean;
}

/** The options, judged: the numbers in the order in which they cross, and what stays here. */
export interface BreakerRules {
  readonly name: string;
  readonly numbers: readonly number[];
  readonly isFailure: ((value: unknown) => boolean) | undefined;
}

/** A microsecond. */
const LEAST = 0.001;

/** Reads the options of a breaker, named as parts of `within`. @throws TypeError that names what is wrong */
export function parseBreakerOptions(options: BreakerOptions, within = ""): BreakerRules {
  if (object("options", options) === undefined) reject("options", "an object", options);
  const { name = "breaker", consecutive, openFor = 60_000, isFailure } = options;
  if (typeof name !== "string") reject(`${within}name`, "a string", name);
  const ratio = object(`${within}ratio`, options.ratio);
  const slow = object(`${within}slow`, options.slow);
  const { probes = 1, successes = 1, ramp = 0 } = object(`${within}halfOpen`, options.halfOpen) ?? {};
  const by = ratio === undefined ? "count" : choice(`${within}ratio.by`, ratio.by, ["count", "time"]);
  const backoff =
    typeof openFor === "object" ? parseBackoff(`${within}openFor`, openFor) : ([openFor, 0, 0, 0] as const);
  // The machine counts in microseconds: less than one would be nothing.
  milliseconds(`${within}openFor${typeof openFor === "object" ? ".initial" : ""}`, backoff[0], LEAST);
  integer(`${within}halfOpen.probes`, probes, 1, 500);
  return {
    name,
    numbers: [
      consecutive === undefined ? 0 : integer(`${within}consecutive`, consecutive, 1, 4_294_967_294),
      ratio === undefined ? 0 : share(`${within}ratio.failures`, ratio.failures),
      by === "count" ? 0 : 1,
      ratio === undefined
        ? 0
        : by === "count"
          ? integer(`${within}ratio.window`, ratio.window, 1, 100_000)
          : milliseconds(`${within}ratio.window`, ratio.window, 1),
      ratio === undefined ? 0 : minimumOf(ratio, within),
      slow === undefined ? -1 : milliseconds(`${within}slow.over`, slow.over),
      slow === undefined ? 0 : share(`${within}slow.ratio`, slow.ratio),
      ...backoff,
      probes,
      integer(`${within}halfOpen.successes`, successes, 1, 500),
      milliseconds(`${within}halfOpen.ramp`, ramp),
    ],
    isFailure: isFailure === undefined ? undefined : callable(`${within}isFailure`, isFailure),
  };
}

function minimumOf({ by, window, minimum }: NonNullable<BreakerOptions["ratio"]>, within: string): number {
  integer(`${within}ratio.minimum`, minimum, 1, 4_294_967_294);
  // More than the window holds would never be reached.
  if (by === "count" && minimum > window)
    reject(`${within}ratio.minimum`, `at most \`ratio.window\` (${window})`, minimum);
  return minimum;
}

/**
 * The registry of conformance cases: knows nothing of the runtime it runs in.
 *
 * A case is a name and a function. It fails when it throws, when it takes longer than {@link CASE_LIMIT}, and when it
 * ends without having asserted anything.
 */

import { assert as chaiAssert } from "chai";

/** The seven places where the suite runs. */
export type RuntimeName = "node" | "deno" | "bun" | "workerd" | "chromium" | "firefox" | "webkit";

/** Why a case does not apply somewhere. Reasons come from this list only, so that a skip is never a way out. */
export const SKIP_REASONS = {
  "no-workers": "the runtime has no Worker",
  "no-gc": "the runtime cannot be asked to collect garbage",
  "frozen-clock": "the clock stands still without I/O",
  "no-filesystem": "the runtime has no file system",
} as const;

export type SkipReason = keyof typeof SKIP_REASONS;

export interface CaseOptions {
  /** Runtimes where the case does not apply, each with its reason. */
  skipIn?: Partial<Record<RuntimeName, SkipReason>>;
}

export interface CaseResult {
  name: string;
  outcome: "passed" | "failed" | "skipped";
  /** Of a failure, the error; of a skip, the reason. */
  why?: string;
  ms: number;
}

interface Case {
  name: string;
  run: () => void | Promise<void>;
  skipIn: Partial<Record<RuntimeName, SkipReason>>;
}

/** Milliseconds after which a case counts as hung. */
export const CASE_LIMIT = 20_000;

const cases: Case[] = [];
let asserted = 0;

/** Registers a case. Names state behaviour and are unique. */
export function test(name: string, run: () => void | Promise<void>, options: CaseOptions = {}): void {
  if (cases.some((other) => other.name === name)) throw new Error(`Two cases are called "${name}"`);
  cases.push({ name, run, skipIn: options.skipIn ?? {} });
}

/** Chai's `assert`, counted. */
export const assert: Chai.AssertStatic = counted(chaiAssert);

function counted<T extends object>(target: T): T {
  return new Proxy(target, {
    apply(fn, self, args) {
      asserted += 1;
      return Reflect.apply(fn as unknown as (...args: unknown[]) => unknown, self, args);
    },
    get(object, key, receiver) {
      const value: unknown = Reflect.get(object, key, receiver);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        asserted += 1;
        return Reflect.apply(value, object, args);
      };
    },
  });
}

/** Asserts that a promise rejects, and gives the error for a closer look. */
export async function rejection(
  promise: PromiseLike<unknown>,
  message = "expected a rejection",
): Promise<unknown> {
  asserted += 1;
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`${message}, got ${String(value)}`);
}

/** Asserts that a call throws, and gives the error for a closer look. */
export function thrown(call: () => unknown, message = "expected a throw"): unknown {
  asserted += 1;
  let value: unknown;
  try {
    value = call();
  } catch (error) {
    return error;
  }
  throw new Error(`${message}, got ${String(value)}`);
}

/** A promise with its handles, for cases that decide when a task ends. */
export function deferred<T = void>(): {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Lets everything that is already settled run on: one turn of the event loop, not a wait. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Runs every case, one after the other, in the order of registration. */
export async function runCases(runtime: RuntimeName, only?: string): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const one of cases) {
    if (only !== undefined && !one.name.includes(only)) continue;
    const reason = one.skipIn[runtime];
    results.push(
      reason === undefined
        ? await runCase(one)
        : { name: one.name, outcome: "skipped", why: SKIP_REASONS[reason], ms: 0 },
    );
  }
  return results;
}

async function runCase({ name, run }: Case): Promise<CaseResult> {
  const began = performance.now();
  const before = asserted;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`still running after ${CASE_LIMIT / 1000} s`)), CASE_LIMIT);
  });
  try {
    await Promise.race([run(), hung]);
    if (asserted === before) throw new Error("the case asserted nothing");
    return { name, outcome: "passed", ms: performance.now() - began };
  } catch (error) {
    return { name, outcome: "failed", why: described(error), ms: performance.now() - began };
  } finally {
    clearTimeout(timer);
  }
}

function described(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  const stack = error.stack ?? "";
  return stack.includes(error.message) ? stack : `${error.name}: ${error.message}\n${stack}`;
}

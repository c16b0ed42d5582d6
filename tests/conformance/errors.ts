/**
 * Errors: classes, stable codes, guards that hold across copies of the package.
 */

import * as tidegate from "tidegate";
import { assert, rejection, test } from "./registry.js";
import { hold } from "./waiting.js";

const made: Record<string, [string, Error]> = {
  QueueFullError: ["QUEUE_FULL", new tidegate.QueueFullError("m", { queued: 2, limit: 2, retryAfterMs: 5 })],
  DroppedError: ["DROPPED", new tidegate.DroppedError("m", { queued: 2, limit: 2 })],
  QueueTimeoutError: ["QUEUE_TIMEOUT", new tidegate.QueueTimeoutError("m", { limit: 10 })],
  TimeoutError: ["TIMEOUT", new tidegate.TimeoutError("probe", 2000)],
  BrokenCircuitError: ["BROKEN_CIRCUIT", new tidegate.BrokenCircuitError("m", { retryAfterMs: 5 })],
  RateLimitedError: ["RATE_LIMITED", new tidegate.RateLimitedError("m", { retryAfterMs: 5 })],
  ClosedError: ["CLOSED", new tidegate.ClosedError("m")],
  NeverPossibleError: ["NEVER_POSSIBLE", new tidegate.NeverPossibleError("m", 3)],
  DeadlockError: ["DEADLOCK", new tidegate.DeadlockError("m", ["a", "b", "a"])],
  CycleError: ["CYCLE", new tidegate.CycleError("m", ["a", "a"])],
  ConflictError: ["CONFLICT", new tidegate.ConflictError("m", ["a"])],
  WorkerCrashedError: ["WORKER_CRASHED", new tidegate.WorkerCrashedError("m", { cause: "exit 1" })],
  RuntimeTrapError: ["RUNTIME_TRAP", new tidegate.RuntimeTrapError("m")],
  NotInitialisedError: ["NOT_INITIALISED", new tidegate.NotInitialisedError("m")],
};

type Guard = (error: unknown) => boolean;
const guardOf = (name: string) => (tidegate as unknown as Record<string, Guard>)[`is${name}`] as Guard;

for (const [name, [code, error]] of Object.entries(made)) {
  test(`${name}: its name, its code ${code} and its guard`, () => {
    assert.instanceOf(error, Error);
    assert.isTrue(error instanceof tidegate.TidegateError);
    assert.equal(error.name, name);
    assert.equal((error as unknown as { code: string }).code, code);
    assert.isTrue(guardOf(name)(error));
    assert.match(String(error), new RegExp(`^${name}: `));
    for (const other of Object.keys(made))
      if (other !== name) assert.isFalse(guardOf(other)(error), `is${other}`);
  });

  test(`is${name}: it knows errors of another copy of the package, and nothing else`, () => {
    const foreign = Object.assign(new Error("from another bundle"), { code });
    assert.isFalse(guardOf(name)(foreign), "a code alone is not enough");
    Object.defineProperty(foreign, Symbol.for("tidegate.error"), { value: true });
    assert.isTrue(guardOf(name)(foreign));
    for (const nothing of [undefined, null, 5, "text", {}, [], new Error("plain"), () => {}])
      assert.isFalse(guardOf(name)(nothing));
  });
}

test("errors: numbers that a caller can act on", () => {
  assert.include(made.QueueFullError?.[1] as object, { queued: 2, limit: 2, retryAfterMs: 5 });
  assert.include(made.QueueTimeoutError?.[1] as object, { limit: 10 });
  assert.include(made.TimeoutError?.[1] as object, { operation: "probe", limit: 2000 });
  assert.include(made.NeverPossibleError?.[1] as object, { limit: 3 });
  assert.deepInclude(made.DeadlockError?.[1] as object, { chain: ["a", "b", "a"] });
  assert.deepInclude(made.CycleError?.[1] as object, { cycle: ["a", "a"] });
  assert.deepInclude(made.ConflictError?.[1] as object, { held: ["a"] });
  assert.equal(made.WorkerCrashedError?.[1].cause, "exit 1");
});

test("errors: retryAfterMs is there where time heals, and absent where it does not", () => {
  assert.equal(new tidegate.RateLimitedError("m", { retryAfterMs: 5 }).retryAfterMs, 5);
  assert.notProperty(
    new tidegate.RateLimitedError("m", { retryAfterMs: Number.POSITIVE_INFINITY }),
    "retryAfterMs",
  );
  for (const name of ["ClosedError", "NeverPossibleError", "TimeoutError", "CycleError"])
    assert.notProperty(made[name]?.[1] as object, "retryAfterMs", name);
});

test("errors: what a pool refuses for want of room says when to come back", async () => {
  const pool = new tidegate.Pool({ concurrency: 1, queue: { capacity: 0, overflow: "error" } });
  const dropping = new tidegate.Pool({ concurrency: 1, queue: { capacity: 0, overflow: "drop-newest" } });
  const waiting = new tidegate.Pool({ concurrency: 1, queue: { waitTimeout: 1 } });
  for (const each of [pool, dropping, waiting]) {
    const busy = hold(each);
    const error = (await rejection(each.run(() => null))) as tidegate.TidegateError;
    assert.isAtLeast(error.retryAfterMs ?? 0, 1, error.name);
    busy.end();
    await busy.done;
  }
});

test("errors: every class has its guard, and every guard its class", () => {
  const names = Object.keys(tidegate);
  const classes = names.filter(
    (name) => name.endsWith("Error") && name !== "TidegateError" && !name.startsWith("is"),
  );
  assert.sameMembers(classes, Object.keys(made));
  assert.sameMembers(
    names.filter((name) => /^is[A-Z].*Error$/.test(name)).map((name) => name.slice(2)),
    classes,
  );
});

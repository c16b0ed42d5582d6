/**
 * `withTimeout`: so long and no longer.
 */

import { isTimeoutError, TimeoutError, withTimeout } from "tidegate";
import { assert, deferred, rejection, test } from "./registry.js";
import { unhandledDuring, watchedAbort } from "./waiting.js";

test("withTimeout: gives back what the task gives in time", async () => {
  assert.equal(await withTimeout(60_000, "quick", () => 1), 1);
  assert.equal(await withTimeout(60_000, "quick", async () => "two"), "two");
  assert.equal(await withTimeout(Number.POSITIVE_INFINITY, "unbounded", async () => 3), 3);
});

test("withTimeout: passes on what the task throws", async () => {
  const error = new Error("mine");
  assert.strictEqual(await rejection(withTimeout(60_000, "x", () => Promise.reject(error))), error);
  assert.strictEqual(
    await rejection(
      withTimeout(60_000, "x", () => {
        throw error;
      }),
    ),
    error,
  );
});

test("withTimeout: names the operation and the limit, as people say it", async () => {
  const never = () => new Promise(() => {});
  const error = (await rejection(withTimeout(10, "probe", never))) as TimeoutError;
  assert.isTrue(isTimeoutError(error));
  assert.equal(error.message, `Operation "probe" timed out after 10 ms`);
  assert.include(error as object, { name: "TimeoutError", code: "TIMEOUT", operation: "probe", limit: 10 });
  assert.equal(new TimeoutError("probe", 2000).message, `Operation "probe" timed out after 2 s`);
  assert.equal(new TimeoutError("probe", 90_000).message, `Operation "probe" timed out after 1.5 min`);
  assert.equal(new TimeoutError("probe", 1500).message, `Operation "probe" timed out after 1.5 s`);
});

test("withTimeout: the task's signal aborts with the error", async () => {
  let signal: AbortSignal | undefined;
  const error = await rejection(
    withTimeout(5, "probe", (ctx) => {
      signal = ctx.signal;
      return new Promise(() => {});
    }),
  );
  assert.isTrue(signal?.aborted);
  assert.strictEqual(signal?.reason, error);
});

test("withTimeout: it does not fire before its time", async () => {
  const began = performance.now();
  await rejection(withTimeout(40, "wait", () => new Promise(() => {})));
  assert.isAtLeast(performance.now() - began, 39);
});

test("withTimeout: 0 ends what does not end in its first tick", async () => {
  assert.isTrue(isTimeoutError(await rejection(withTimeout(0, "x", () => new Promise(() => {})))));
});

test("withTimeout: a caller's abort rejects with its reason, and leaves no listener", async () => {
  const { signal, abort, listeners } = watchedAbort();
  const { promise, resolve } = deferred();
  const pending = withTimeout(60_000, "x", () => promise, { signal });
  assert.equal(listeners(), 1);
  abort("away");
  assert.equal(await rejection(pending), "away");
  assert.equal(listeners(), 0);
  resolve();
});

test("withTimeout: a late failure of the task is nobody's unhandled rejection", async () => {
  const { promise, reject } = deferred();
  const unhandled = await unhandledDuring(async () => {
    await rejection(withTimeout(5, "x", () => promise));
    reject(new Error("late"));
  });
  assert.deepEqual(unhandled, []);
});

test("withTimeout: many at once do not wait for each other", async () => {
  const pending = Array.from({ length: 500 }, (_, index) => withTimeout(60_000, "many", async () => index));
  assert.lengthOf(await Promise.all(pending), 500);
});

test("withTimeout: bad arguments reject with a sentence that names them", async () => {
  const sentence = async (...args: unknown[]) =>
    ((await rejection((withTimeout as (...args: unknown[]) => Promise<unknown>)(...args))) as Error).message;
  const task = () => 1;
  assert.equal(
    await sentence(-1, "x", task),
    "Expected `ms` to be a number of milliseconds ≥ 0, got `-1` (number)",
  );
  assert.equal(
    await sentence(Number.NaN, "x", task),
    "Expected `ms` to be a number of milliseconds ≥ 0, got `NaN` (number)",
  );
  assert.equal(await sentence(1, 5, task), "Expected `name` to be a string, got `5` (number)");
  assert.equal(await sentence(1, "x", "task"), "Expected `task` to be a function, got `task` (string)");
});

/**
 * Cancelling: aborts and timeouts free the place or the slot in the same tick and leave nothing behind.
 */

import { isTimeoutError, Pool, TimeoutError } from "tidegate";
import { assert, deferred, rejection, test, turn } from "./registry.js";
import { hold, isSettled, startsLater, unhandledDuring, until, watchedAbort } from "./waiting.js";

test("abort while queued: the place is free in the same tick, and the call rejects with signal.reason", async () => {
  const pool = new Pool({ concurrency: 1 });
  const first = hold(pool);
  const { signal, abort, listeners } = watchedAbort();
  const waiting = hold(pool, { signal });
  const behind = hold(pool);
  assert.equal(listeners(), 1);
  const reason = { any: "value" };
  abort(reason);
  assert.equal(pool.queued, 1);
  assert.equal(listeners(), 0);
  assert.strictEqual(await rejection(waiting.done), reason);
  first.end();
  await first.done;
  if (startsLater) await null;
  assert.isTrue(behind.isRunning);
  assert.isFalse(waiting.isRunning);
  behind.end();
});

test("abort while waiting outside: the room is given to the next, and the call rejects", async () => {
  const pool = new Pool({ concurrency: 1, queue: { capacity: 0 } });
  const first = hold(pool);
  const { signal, abort } = watchedAbort();
  const outside = hold(pool, { signal });
  abort("enough");
  assert.equal(pool.waitingForRoom, 0);
  assert.equal(await rejection(outside.done), "enough");
  first.end();
});

test("abort while running: the slot is free and the next one starts in the same tick", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { signal, abort, listeners } = watchedAbort();
  const running = hold(pool, { signal });
  const next = hold(pool);
  const reason = new Error("stop");
  const { signal: own } = running.ctx;
  abort(reason);
  assert.isTrue(next.isRunning);
  assert.isTrue(own.aborted);
  assert.strictEqual(own.reason, reason);
  assert.equal(listeners(), 0);
  assert.deepEqual([pool.active, pool.abandoned], [1, 1]);
  assert.strictEqual(await rejection(running.done), reason);
  running.end("too late");
  await until(() => pool.abandoned === 0);
  next.end();
});

test("abort before the call: nothing starts, nothing is queued, no listener is added", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { signal, abort, added } = watchedAbort();
  abort(new Error("before"));
  let ran = false;
  const error = await rejection(
    pool.run(
      () => {
        ran = true;
      },
      { signal },
    ),
  );
  assert.equal((error as Error).message, "before");
  assert.isFalse(ran);
  assert.equal(added(), 0);
  assert.deepEqual([pool.active, pool.queued], [0, 0]);
  const submission = pool.submit(() => null, { signal });
  assert.strictEqual(await rejection(submission.accepted), error);
  assert.strictEqual(await rejection(submission.done), error);
});

test("abort without a reason: the default AbortError passes through", async () => {
  const pool = new Pool({ concurrency: 1 });
  const controller = new AbortController();
  const { done } = hold(pool, { signal: controller.signal });
  controller.abort();
  const error = (await rejection(done)) as DOMException;
  assert.equal(error.name, "AbortError");
  assert.strictEqual(error, controller.signal.reason);
});

test("one listener for each pool and signal, however many tasks share it", async () => {
  const pool = new Pool({ concurrency: 2 });
  const other = new Pool({ concurrency: 1 });
  const { signal, listeners, added, abort } = watchedAbort();
  const tasks = Array.from({ length: 20 }, () => hold(pool, { signal }));
  assert.equal(listeners(), 1);
  tasks.push(hold(other, { signal }));
  assert.equal(listeners(), 2);
  assert.equal(added(), 2);
  abort(new Error("all of them"));
  assert.equal(listeners(), 0);
  assert.deepEqual([pool.active, pool.queued, other.active], [0, 0, 0]);
  for (const { done } of tasks) assert.equal(((await rejection(done)) as Error).message, "all of them");
});

test("an abort of many that share a signal starts none of those who wait", async () => {
  const pool = new Pool({ concurrency: 2 });
  const { signal, abort } = watchedAbort();
  const running = [hold(pool, { signal }), hold(pool, { signal })];
  const heavy = hold(pool, { signal, weight: 2 });
  const waiting = Array.from({ length: 5 }, () => hold(pool, { signal }));
  const leases = [pool.acquire({ signal }), pool.acquire({ signal })];
  const outcomes = Promise.allSettled(leases);
  abort("all of us");
  assert.isFalse(heavy.isRunning);
  assert.isFalse(waiting.some(({ isRunning }) => isRunning));
  for (const outcome of await outcomes) assert.equal((outcome as PromiseRejectedResult).reason, "all of us");
  assert.deepEqual([pool.active, pool.queued, pool.abandoned], [0, 0, 2]);
  assert.equal(pool.metrics().started, 2, "no slot was given to one about to leave");
  for (const task of running) task.end();
  await until(() => pool.abandoned === 0);
});

test("no listener remains when tasks end well, badly or not at all in time", async () => {
  const pool = new Pool({ concurrency: 1, queue: { waitTimeout: 5 }, timeout: 10 });
  const { signal, listeners, added } = watchedAbort();
  await pool.run(() => 1, { signal });
  await rejection(pool.run(() => Promise.reject(new Error("bad")), { signal }));
  const stuck = hold(pool, { signal });
  await rejection(pool.run(() => null, { signal }));
  await rejection(stuck.done);
  assert.equal(listeners(), 0);
  assert.isAtLeast(added(), 3);
  stuck.end();
});

test("an abort after the task is over changes nothing", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { signal, abort } = watchedAbort();
  let own: AbortSignal | undefined;
  const value = await pool.run(
    (ctx) => {
      own = ctx.signal;
      return 5;
    },
    { signal },
  );
  abort(new Error("late"));
  assert.equal(value, 5);
  assert.isFalse(own?.aborted);
  assert.equal(pool.metrics().cancelled, 0);
});

test("a signal first read after the abort is aborted already, with its reason", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { signal, abort } = watchedAbort();
  const running = hold(pool, { signal });
  abort("why");
  assert.isTrue(running.ctx.signal.aborted);
  assert.equal(running.ctx.signal.reason, "why");
  await rejection(running.done);
  running.end();
});

test("a task that aborts its own caller's signal while it starts is over in that tick", async () => {
  const pool = new Pool({ concurrency: 1 });
  const controller = new AbortController();
  const done = pool.run(
    () => {
      controller.abort("from inside");
      assert.equal(pool.active, 0);
      return 1;
    },
    { signal: controller.signal },
  );
  assert.equal(await rejection(done), "from inside");
  assert.deepEqual([pool.active, pool.abandoned], [0, 0]);
});

test("an abort of a neighbour that is granted in the same step leaves no slot behind", async () => {
  const pool = new Pool({ concurrency: 1 });
  const controller = new AbortController();
  pool.pause();
  let ran = false;
  const first = pool.run(() => controller.abort("by the first"));
  const second = pool.run(
    () => {
      ran = true;
    },
    { signal: controller.signal },
  );
  pool.resize(2);
  pool.resume();
  assert.equal(await rejection(second), "by the first");
  await first;
  assert.isFalse(ran);
  await pool.onIdle();
  assert.deepEqual([pool.active, pool.abandoned, pool.metrics().slotsInUse], [0, 0, 0]);
});

test("a call made while others are refused in the same step does not cost them their answer", async () => {
  const pool = new Pool({ concurrency: 2, queue: { capacity: 1, overflow: "drop-oldest" } });
  const late: Promise<unknown>[] = [];
  pool.on("overflow", () => {
    if (late.length < 3) late.push(pool.run(() => "late").catch(() => "dropped"));
  });
  const running = [hold(pool), hold(pool)];
  const waiting = Array.from({ length: 4 }, () => hold(pool));
  const outcomes = Promise.allSettled(waiting.map(({ done }) => done));
  for (const task of [...running, ...waiting]) task.end("ended");
  assert.lengthOf(await outcomes, 4);
  assert.lengthOf(await Promise.all(late), 3);
  await pool.onIdle();
  assert.equal(pool.active, 0);
});

test("timeout: the promise rejects, the signal aborts and the slot is free in the same tick", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 15 });
  const seen: unknown[] = [];
  const { promise, resolve } = deferred();
  const slow = pool.run(
    (ctx) => {
      ctx.signal.addEventListener("abort", () => {
        seen.push(ctx.signal.reason, pool.metrics().slotsInUse);
      });
      return promise;
    },
    { name: "probe" },
  );
  const error = (await rejection(slow)) as TimeoutError;
  assert.instanceOf(error, TimeoutError);
  assert.equal(error.message, `Operation "probe" timed out after 15 ms`);
  assert.include(error as object, { operation: "probe", limit: 15, code: "TIMEOUT" });
  assert.strictEqual(seen[0], error);
  assert.equal(seen[1], 0);
  assert.deepEqual([pool.active, pool.abandoned], [0, 1]);
  assert.equal(pool.metrics().taskTimeouts, 1);
  resolve();
  await until(() => pool.abandoned === 0);
});

test("timeout: without a name the pool's stands in the sentence, and a call's own timeout wins", async () => {
  const pool = new Pool({ name: "api", concurrency: 2, timeout: 60_000 });
  const slow = hold(pool, { timeout: 5 });
  const patient = hold(pool);
  const error = (await rejection(slow.done)) as Error;
  assert.equal(error.message, `Operation "api" timed out after 5 ms`);
  assert.isFalse(await isSettled(patient.done));
  patient.end(1);
  slow.end();
  assert.equal(await patient.done, 1);
});

test("timeout: the next waiter starts when the slot is free, though the work goes on", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 10 });
  const stuck = hold(pool);
  const next = hold(pool, { timeout: 60_000 });
  await until(() => next.isRunning);
  assert.deepEqual([pool.active, pool.abandoned], [1, 1]);
  assert.deepEqual(
    pool.tasks().map(({ state }) => state),
    ["abandoned", "running"],
  );
  stuck.fail(new Error("nobody listens any more"));
  next.end();
  await rejection(stuck.done);
  await pool.onIdle();
  assert.equal(pool.abandoned, 0);
});

test("timeout: a failure of abandoned work is nobody's unhandled rejection", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 5 });
  const unhandled = await unhandledDuring(async () => {
    const stuck = hold(pool);
    await rejection(stuck.done);
    stuck.fail(new Error("late"));
    await until(() => pool.abandoned === 0);
  });
  assert.deepEqual(unhandled, []);
});

test("timeout with onTimeout hold: the promise rejects, and the slot stays taken until the work settles", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 10, onTimeout: "hold" });
  const stuck = hold(pool);
  const next = hold(pool, { timeout: 60_000 });
  assert.isTrue(isTimeoutError(await rejection(stuck.done)));
  assert.isTrue(stuck.ctx.signal.aborted);
  assert.deepEqual([pool.active, pool.abandoned], [1, 0]);
  assert.isFalse(next.isRunning);
  stuck.end();
  await until(() => next.isRunning);
  next.end();
  await pool.onIdle();
  assert.equal(pool.active, 0);
});

test("timeout: it counts from the start, not from the call", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 40 });
  const first = pool.run(({ signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)));
  const began = performance.now();
  const second = pool.run(
    ({ signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)),
  );
  await rejection(first);
  await rejection(second);
  assert.isAtLeast(performance.now() - began, 78);
});

test("deadline: it ends a running task too", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool, { deadline: Date.now() + 25, name: "nightly" });
  assert.isTrue(running.isRunning);
  const error = (await rejection(running.done)) as Error;
  assert.isTrue(isTimeoutError(error));
  assert.include(error.message, `Operation "nightly" timed out after`);
  running.end();
});

test("the timeouts of many tasks need one timer, and none remains when they are over", async () => {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const live = new Set<unknown>();
  let most = 0;
  globalThis.setTimeout = ((fn: () => void, ms: number) => {
    const timer: unknown = set(() => {
      live.delete(timer);
      fn();
    }, ms);
    live.add(timer);
    most = Math.max(most, live.size);
    return timer;
  }) as unknown as typeof setTimeout;
  globalThis.clearTimeout = ((timer: number) => {
    live.delete(timer);
    clear(timer);
  }) as typeof clearTimeout;
  try {
    const pool = new Pool({ concurrency: 50, timeout: 60_000, queue: { waitTimeout: 30_000 } });
    const tasks = Array.from({ length: 100 }, () => hold(pool));
    assert.equal(most, 1);
    for (const task of tasks) task.end();
    await Promise.all(tasks.map(({ done }) => done));
    assert.equal(live.size, 0);
  } finally {
    globalThis.setTimeout = set;
    globalThis.clearTimeout = clear;
  }
});

test("a timeout beyond what a timer can count to does not fire at once", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 2 ** 33 });
  const task = hold(pool);
  await turn();
  await turn();
  assert.isFalse(await isSettled(task.done));
  task.end("still here");
  assert.equal(await task.done, "still here");
});

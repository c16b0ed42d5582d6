/**
 * The queue before a pool: its room and the four rules of overflow, patience, priority, weights and keys.
 */

import {
  isDroppedError,
  isNeverPossibleError,
  isQueueFullError,
  isQueueTimeoutError,
  type Overflow,
  Pool,
  QueueTimeoutError,
  type RunOptions,
} from "tidegate";
import { assert, rejection, test, thrown, turn } from "./registry.js";
import { type Held, hold, isSettled, startsLater, unhandledDuring, until } from "./waiting.js";

/** A pool of one slot that is taken, with a queue. */
function busy(capacity: number, overflow: Overflow, more: { maxWaiters?: number } = {}): [Pool, Held] {
  const pool = new Pool({ name: "busy", concurrency: 1, queue: { capacity, overflow, ...more } });
  return [pool, hold(pool)];
}

/** The order in which a pool of one slot starts tasks that stand in line together. */
async function orderOf(pool: Pool, calls: readonly [string, RunOptions?][]): Promise<string[]> {
  const first = hold(pool);
  const order: string[] = [];
  const all = calls.map(([name, options]) => pool.run(() => void order.push(name), options));
  first.end();
  await Promise.all(all);
  return order;
}

test("queue: without a capacity it is unbounded", async () => {
  const pool = new Pool({ concurrency: 1 });
  const first = hold(pool);
  const rest = Array.from({ length: 1000 }, () => pool.run(() => null));
  assert.equal(pool.queued, 1000);
  assert.equal(pool.metrics().queueCapacity, Number.POSITIVE_INFINITY);
  first.end();
  await Promise.all(rest);
});

test("overflow wait: the caller waits outside, nothing of it is queued, and it enters when there is room", async () => {
  const [pool, first] = busy(1, "wait");
  const inside = hold(pool);
  const outside = hold(pool);
  assert.deepEqual([pool.queued, pool.waitingForRoom], [1, 1]);
  first.end();
  await first.done;
  if (startsLater) await null;
  assert.isTrue(inside.isRunning);
  assert.deepEqual([pool.queued, pool.waitingForRoom], [1, 0]);
  inside.end();
  await inside.done;
  if (startsLater) await null;
  assert.isTrue(outside.isRunning);
  outside.end();
  await outside.done;
});

test("overflow wait: submit accepts when there is room, long before the result is there", async () => {
  const [pool, first] = busy(1, "wait");
  const queued = pool.submit(() => "queued");
  const parked = pool.submit(() => "parked");
  await queued.accepted;
  assert.isFalse(await isSettled(queued.done));
  assert.isFalse(await isSettled(parked.accepted));
  first.end();
  await parked.accepted;
  assert.equal(await queued.done, "queued");
  assert.equal(await parked.done, "parked");
});

test("overflow wait: those beyond maxWaiters are refused with QueueFullError", async () => {
  const [pool, first] = busy(1, "wait", { maxWaiters: 1 });
  const waiting = [hold(pool), hold(pool)];
  const error = await rejection(pool.run(() => null));
  assert.isTrue(isQueueFullError(error));
  first.end();
  for (const task of waiting) task.end();
  await pool.onIdle();
  assert.equal(pool.metrics().rejected, 1);
});

test("overflow wait: a capacity of nothing parks everybody outside, and they run in order", async () => {
  const pool = new Pool({ concurrency: 1, queue: { capacity: 0 } });
  const first = hold(pool);
  const order: number[] = [];
  const all = [1, 2, 3].map((n) => pool.run(() => void order.push(n)));
  assert.deepEqual([pool.queued, pool.waitingForRoom], [0, 3]);
  first.end();
  await Promise.all(all);
  assert.deepEqual(order, [1, 2, 3]);
});

test("overflow drop-newest: the arriving task is dropped, run rejects and the queue is as it was", async () => {
  const [pool, first] = busy(1, "drop-newest");
  const queued = hold(pool);
  let ran = false;
  const error = await rejection(
    pool.run(() => {
      ran = true;
    }),
  );
  assert.isTrue(isDroppedError(error));
  assert.include(error as object, { code: "DROPPED", queued: 1, limit: 1 });
  assert.equal((error as Error).message, `Pool "busy" dropped the task: its queue of 1 is full`);
  first.end();
  await first.done;
  if (startsLater) await null;
  assert.isTrue(queued.isRunning);
  assert.isFalse(ran);
  queued.end();
});

test("overflow drop-oldest: the longest queued makes room for the arriving task", async () => {
  const [pool, first] = busy(2, "drop-oldest");
  const [oldest, second, third] = [hold(pool), hold(pool), hold(pool)];
  const error = await rejection(oldest.done);
  assert.isTrue(isDroppedError(error));
  assert.equal(pool.queued, 2);
  first.end();
  await first.done;
  if (startsLater) await null;
  assert.isTrue(second.isRunning);
  second.end();
  third.end();
  await pool.onIdle();
  assert.isFalse(oldest.isRunning);
});

test("overflow drop-oldest: the lowest priority goes first, whoever has waited longest", async () => {
  const [pool, first] = busy(2, "drop-oldest");
  const important = hold(pool, { priority: 5 });
  const unimportant = hold(pool, { priority: -5 });
  const arriving = hold(pool);
  assert.isTrue(isDroppedError(await rejection(unimportant.done)));
  first.end();
  await first.done;
  if (startsLater) await null;
  assert.isTrue(important.isRunning);
  important.end();
  arriving.end();
  await pool.onIdle();
});

test("overflow error: the arriving task is refused at once with QueueFullError", async () => {
  const [pool, first] = busy(1, "error");
  const queued = hold(pool);
  const error = await rejection(pool.run(() => null, { name: "late" }));
  assert.isTrue(isQueueFullError(error));
  assert.include(error as object, { code: "QUEUE_FULL", queued: 1, limit: 1 });
  assert.equal((error as Error).message, `Pool "busy" refused task "late": its queue of 1 is full`);
  first.end();
  queued.end();
  await pool.onIdle();
});

for (const [overflow, guard] of [
  ["drop-newest", isDroppedError],
  ["error", isQueueFullError],
] as const) {
  test(`overflow ${overflow}: submit rejects both promises with the same error, and nobody gets an unhandled rejection`, async () => {
    const [pool, first] = busy(0, overflow);
    let submission: ReturnType<typeof pool.submit> | undefined;
    const unhandled = await unhandledDuring(() => {
      submission = pool.submit(() => null);
    });
    assert.deepEqual(unhandled, []);
    const refused = await rejection(submission?.accepted as Promise<void>);
    assert.isTrue(guard(refused));
    assert.strictEqual(await rejection(submission?.done as Promise<unknown>), refused);
    first.end();
    await pool.onIdle();
  });
}

test("overflow drop-oldest: a dropped submission was accepted; its result rejects without an unhandled rejection", async () => {
  const [pool, first] = busy(1, "drop-oldest");
  const submissions: ReturnType<typeof pool.submit>[] = [];
  const unhandled = await unhandledDuring(() => {
    submissions.push(
      pool.submit(() => "dropped"),
      pool.submit(() => "kept"),
    );
  });
  assert.deepEqual(unhandled, []);
  await submissions[0]?.accepted;
  assert.isTrue(isDroppedError(await rejection(submissions[0]?.done as Promise<unknown>)));
  first.end();
  assert.equal(await submissions[1]?.done, "kept");
});

test("the tests see an unhandled rejection where there is one", async () => {
  const lost = new Error("nobody handles this");
  const unhandled = await unhandledDuring(() => {
    void Promise.reject(lost);
  });
  assert.deepEqual(unhandled, [lost]);
});

test("submit: accepted and done resolve for a task that starts at once", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { accepted, done, cancel } = pool.submit(() => 7);
  assert.isUndefined(await accepted);
  assert.equal(await done, 7);
  assert.isFalse(cancel());
});

test("submit: a failure rejects done and leaves accepted resolved", async () => {
  const pool = new Pool({ concurrency: 1 });
  const error = new Error("broken");
  const { accepted, done } = pool.submit(() => Promise.reject(error));
  await accepted;
  assert.strictEqual(await rejection(done), error);
});

test("submit: cancel takes a waiter out of the queue in the same tick and rejects with the reason", async () => {
  const pool = new Pool({ concurrency: 1 });
  const first = hold(pool);
  const waiting = pool.submit(() => null);
  const reason = new Error("not needed");
  assert.isTrue(waiting.cancel(reason));
  assert.equal(pool.queued, 0);
  assert.strictEqual(await rejection(waiting.done), reason);
  assert.isFalse(waiting.cancel());
  first.end();
  await first.done;
});

test("submit: cancel without a reason rejects with an AbortError, and aborts a running task", async () => {
  const pool = new Pool({ concurrency: 1 });
  let signal: AbortSignal | undefined;
  const running = pool.submit((ctx) => {
    signal = ctx.signal;
    return new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
  });
  assert.isTrue(running.cancel());
  assert.equal(pool.active, 0);
  assert.isTrue(signal?.aborted);
  assert.equal(((await rejection(running.done)) as Error).name, "AbortError");
});

test("waitTimeout: who could not start in time is rejected with QueueTimeoutError, and its place is free", async () => {
  const pool = new Pool({ name: "slow", concurrency: 1, queue: { waitTimeout: 20 } });
  const first = hold(pool);
  const error = await rejection(pool.run(() => null));
  assert.instanceOf(error, QueueTimeoutError);
  assert.equal((error as QueueTimeoutError).limit, 20);
  assert.equal((error as Error).message, `Pool "slow" could not start the task within 20 ms`);
  assert.equal(pool.queued, 0);
  assert.equal(pool.metrics().queueTimeouts, 1);
  first.end();
  await first.done;
});

test("waitTimeout: a call's own overrides the pool's, and who starts in time is left alone", async () => {
  const pool = new Pool({ concurrency: 1, queue: { waitTimeout: 10 } });
  const first = hold(pool);
  const patient = hold(pool, { waitTimeout: 60_000 });
  const impatient = hold(pool, { waitTimeout: 1 });
  assert.isTrue(isQueueTimeoutError(await rejection(impatient.done)));
  first.end();
  await first.done;
  if (startsLater) await null;
  assert.isTrue(patient.isRunning);
  patient.end("in time");
  assert.equal(await patient.done, "in time");
});

test("waitTimeout: it counts from the call, also for those who wait outside", async () => {
  const pool = new Pool({ concurrency: 1, queue: { capacity: 0, waitTimeout: 15 } });
  const first = hold(pool);
  const { accepted, done } = pool.submit(() => null);
  assert.isTrue(isQueueTimeoutError(await rejection(accepted)));
  assert.isTrue(isQueueTimeoutError(await rejection(done)));
  assert.equal(pool.waitingForRoom, 0);
  first.end();
  await first.done;
});

test("waitTimeout: it does not end a task that runs", async () => {
  const pool = new Pool({ concurrency: 1, queue: { waitTimeout: 5 } });
  const running = hold(pool);
  const other = hold(pool);
  await rejection(other.done);
  assert.isFalse(await isSettled(running.done));
  running.end("fine");
  assert.equal(await running.done, "fine");
});

test("deadline: what cannot start before it is refused when it comes", async () => {
  const pool = new Pool({ concurrency: 1 });
  const first = hold(pool);
  const late = hold(pool, { deadline: Date.now() + 20 });
  assert.isTrue(isQueueTimeoutError(await rejection(late.done)));
  first.end();
  await first.done;
});

test("deadline: one that is over already refuses the call at once, also where a slot is free", async () => {
  const pool = new Pool({ concurrency: 1 });
  let ran = false;
  const error = await rejection(
    pool.run(
      () => {
        ran = true;
      },
      { deadline: Date.now() - 1000 },
    ),
  );
  assert.isTrue(isQueueTimeoutError(error));
  assert.isFalse(ran);
  assert.equal(pool.metrics().shed, 1);
});

test("deadline: what the pool's own estimate says cannot start in time is shed at once, with the estimate", async () => {
  const pool = new Pool({ concurrency: 1 });
  // Teaches the pool what a typical run is.
  const began = performance.now();
  const first = hold(pool);
  await until(() => performance.now() - began > 60);
  first.end();
  await first.done;
  const running = hold(pool);
  const queue = Array.from({ length: 50 }, () => hold(pool));
  const asked = performance.now();
  const error = (await rejection(pool.run(() => null, { deadline: Date.now() + 500 }))) as QueueTimeoutError;
  assert.isBelow(performance.now() - asked, 400, "it was refused at once, not at its deadline");
  assert.isTrue(isQueueTimeoutError(error));
  assert.isAbove(error.estimateMs ?? 0, 1500);
  assert.equal(error.retryAfterMs, error.estimateMs);
  assert.equal(pool.metrics().shed, 1);
  running.end();
  for (const task of queue) task.end();
  await pool.onIdle();
});

test("deadline: a nested call inherits its parent's, and the nearer one holds", async () => {
  const pool = new Pool({ concurrency: 3 });
  const deadline = Date.now() + 60_000;
  await pool.run(
    async (parent) => {
      await pool.run((ctx) => assert.equal(ctx.deadline, deadline), { parent });
      await pool.run((ctx) => assert.equal(ctx.deadline, deadline), { parent, deadline: deadline + 5000 });
      await pool.run((ctx) => assert.equal(ctx.deadline, deadline - 5000), {
        parent,
        deadline: deadline - 5000,
      });
    },
    { deadline },
  );
});

test("priority: the higher one starts first, equal ones in the order of arrival", async () => {
  const order = await orderOf(new Pool({ concurrency: 1 }), [
    ["low", { priority: -1 }],
    ["a"],
    ["high", { priority: 10 }],
    ["b"],
    ["higher", { priority: 100 }],
  ]);
  assert.deepEqual(order, ["higher", "high", "a", "b", "low"]);
});

test("priority: one step lets at most so many later arrivals overtake as `aging` says", async () => {
  const pool = new Pool({ concurrency: 1, queue: { aging: 4 } });
  const order = await orderOf(pool, [
    ["patient"],
    ...Array.from({ length: 12 }, (_, index): [string, RunOptions] => [`${index}`, { priority: 1 }]),
  ]);
  const overtook = order.indexOf("patient");
  assert.isAtMost(overtook, 4);
  assert.isAtLeast(overtook, 3);
  assert.deepEqual(
    order.filter((name) => name !== "patient"),
    Array.from({ length: 12 }, (_, index) => `${index}`),
  );
});

test("priority: with an aging of 0 there is no priority, only arrival", async () => {
  const order = await orderOf(new Pool({ concurrency: 1, queue: { aging: 0 } }), [
    ["a", { priority: -100 }],
    ["b", { priority: 100 }],
  ]);
  assert.deepEqual(order, ["a", "b"]);
});

test("keys: they take turns, however many tasks one of them queues", async () => {
  const order = await orderOf(new Pool({ concurrency: 1 }), [
    ...Array.from({ length: 6 }, (_, index): [string, RunOptions] => [`greedy ${index}`, { key: "greedy" }]),
    ["modest 0", { key: "modest" }],
    ["modest 1", { key: "modest" }],
  ]);
  assert.isAtMost(order.indexOf("modest 0"), 1);
  assert.isAtMost(order.indexOf("modest 1"), 3);
  assert.deepEqual(
    order.filter((name) => name.startsWith("greedy")),
    Array.from({ length: 6 }, (_, index) => `greedy ${index}`),
  );
});

test("keys: a key that nobody uses any more leaves nothing of its turn behind", async () => {
  const pool = new Pool({ concurrency: 1 });
  for (let round = 0; round < 3; round += 1) {
    const order = await orderOf(pool, [
      ["a0", { key: `a${round}` }],
      ["b0", { key: `b${round}` }],
      ["a1", { key: `a${round}` }],
    ]);
    assert.deepEqual(order, ["a0", "b0", "a1"]);
  }
});

test("weight: a heavy task takes so many slots", async () => {
  const pool = new Pool({ concurrency: 3 });
  const heavy = hold(pool, { weight: 2 });
  const light = hold(pool);
  const other = hold(pool);
  assert.deepEqual([heavy.isRunning, light.isRunning, other.isRunning], [true, true, false]);
  assert.equal(pool.metrics().slotsInUse, 3);
  assert.equal(pool.active, 2);
  heavy.end();
  light.end();
  other.end();
  await pool.onIdle();
});

test("weight: a heavy task at the head waits for its slots and those behind it wait too", async () => {
  const pool = new Pool({ concurrency: 2 });
  const running = [hold(pool), hold(pool)];
  const heavy = hold(pool, { weight: 2 });
  const light = hold(pool);
  running[0]?.end();
  await running[0]?.done;
  assert.deepEqual([heavy.isRunning, light.isRunning], [false, false]);
  running[1]?.end();
  await running[1]?.done;
  if (startsLater) await null;
  assert.deepEqual([heavy.isRunning, light.isRunning], [true, false]);
  heavy.end();
  light.end();
  await pool.onIdle();
});

test("weight: when the heavy head leaves, those behind it start in the same tick", async () => {
  const pool = new Pool({ concurrency: 2 });
  const running = hold(pool);
  const controller = new AbortController();
  const heavy = hold(pool, { weight: 2, signal: controller.signal });
  const light = hold(pool);
  assert.isFalse(light.isRunning);
  controller.abort(new Error("left"));
  assert.isTrue(light.isRunning);
  await rejection(heavy.done);
  running.end();
  light.end();
  await pool.onIdle();
});

test("weight: more than there can ever be is refused at once with NeverPossibleError", async () => {
  const pool = new Pool({ name: "small", concurrency: 2 });
  const error = await rejection(pool.run(() => null, { weight: 3, name: "huge" }));
  assert.isTrue(isNeverPossibleError(error));
  assert.equal((error as { limit: number }).limit, 2);
  assert.notProperty(error as object, "retryAfterMs");
  assert.equal(
    (error as Error).message,
    `Pool "small" can never run task "huge": its weight is 3, and the limit is 2`,
  );
  assert.isTrue(isNeverPossibleError(thrown(() => pool.tryAcquire({ weight: 3 }))));
});

test("weight: a resize below a queued weight rejects that task, and lets those behind it go", async () => {
  const pool = new Pool({ concurrency: 3 });
  const running = hold(pool);
  const heavy = hold(pool, { weight: 3 });
  const light = hold(pool);
  pool.resize(2);
  assert.isTrue(isNeverPossibleError(await rejection(heavy.done)));
  assert.isTrue(light.isRunning);
  running.end();
  light.end();
  await pool.onIdle();
  await turn();
  assert.equal(pool.active, 0);
});

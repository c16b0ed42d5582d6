/**
 * Closing: the intake stops, what is in may finish, and what does not is abandoned and named.
 */

import { isClosedError, Pool } from "tidegate";
import { assert, rejection, test } from "./registry.js";
import { hold, isSettled, unhandledDuring, until, watchedAbort } from "./waiting.js";

test("close: the intake stops at once, and what runs and waits finishes", async () => {
  const pool = new Pool({ name: "shop", concurrency: 1 });
  const running = hold(pool);
  const queued = hold(pool);
  const closed = pool.close();
  const error = (await rejection(pool.run(() => null))) as Error;
  assert.isTrue(isClosedError(error));
  assert.equal(error.message, `Pool "shop" is closed`);
  assert.isTrue(isClosedError(await rejection(pool.acquire())));
  const submission = pool.submit(() => null);
  assert.isTrue(isClosedError(await rejection(submission.accepted)));
  assert.isFalse(await isSettled(closed));
  running.end("one");
  assert.equal(await running.done, "one");
  queued.end("two");
  assert.equal(await queued.done, "two");
  assert.deepEqual(await closed, { abandoned: [] });
});

test("close: an idle pool is closed at once", async () => {
  const pool = new Pool({ concurrency: 1 });
  assert.isTrue(await isSettled(pool.close()));
  assert.deepEqual(await pool.close(), { abandoned: [] });
});

test("close with queued reject: the queue is refused at once and what runs finishes", async () => {
  const pool = new Pool({ concurrency: 1, queue: { capacity: 1 } });
  const running = hold(pool);
  const waiting = [hold(pool), hold(pool)];
  const closed = pool.close({ queued: "reject" });
  assert.deepEqual([pool.queued, pool.waitingForRoom], [0, 0]);
  for (const { done } of waiting) assert.isTrue(isClosedError(await rejection(done)));
  assert.isFalse(running.ctx.signal.aborted);
  running.end("finished");
  assert.equal(await running.done, "finished");
  assert.deepEqual(await closed, { abandoned: [] });
});

test("close with grace: when it is over the queue is refused, what runs is aborted, and the abandoned are named", async () => {
  const pool = new Pool({ name: "slow", concurrency: 1 });
  const running = hold(pool, { name: "stuck", timeout: 60_000 });
  const queued = hold(pool);
  const { signal } = running.ctx;
  const { abandoned } = await pool.close({ grace: 15 });
  assert.isTrue(signal.aborted);
  const error = (await rejection(running.done)) as Error;
  assert.isTrue(isClosedError(error));
  assert.equal(error.message, `Pool "slow" was closed and its grace is over`);
  assert.isTrue(isClosedError(await rejection(queued.done)));
  assert.lengthOf(abandoned, 1);
  assert.include(abandoned[0] as object, { name: "stuck", state: "abandoned" });
  assert.equal(pool.abandoned, 1);
  running.end();
  await until(() => pool.abandoned === 0);
});

test("close with a grace of 0: everything ends in that tick", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { signal, listeners } = watchedAbort();
  const tasks = [hold(pool, { signal }), hold(pool, { signal })];
  const closed = pool.close({ grace: 0 });
  assert.deepEqual([pool.active, pool.queued, listeners()], [0, 0, 0]);
  for (const { done } of tasks) assert.isTrue(isClosedError(await rejection(done)));
  assert.lengthOf((await closed).abandoned, 1);
  for (const task of tasks) task.end();
});

test("close: a second call shortens the grace and resolves with the first", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  const first = pool.close({ grace: 60_000 });
  assert.isFalse(await isSettled(first));
  const second = pool.close({ grace: 0 });
  assert.isTrue(isClosedError(await rejection(running.done)));
  const ids = async (closed: typeof first) => (await closed).abandoned.map(({ id }) => id);
  assert.deepEqual(await ids(first), await ids(second));
  running.end();
});

test("close: a second call does not lengthen the grace", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  const first = pool.close({ grace: 10 });
  void pool.close({ grace: 60_000 });
  assert.lengthOf((await first).abandoned, 1);
  assert.isTrue(isClosedError(await rejection(running.done)));
  running.end();
});

test("close: a paused pool resumes, for its queue could never finish else", async () => {
  const pool = new Pool({ concurrency: 1 });
  pool.pause();
  const waiting = pool.run(() => "went");
  const closed = pool.close();
  assert.equal(await waiting, "went");
  assert.isFalse(pool.isPaused);
  assert.deepEqual(await closed, { abandoned: [] });
});

test("close: a pool that closes cannot be paused", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  const queued = pool.run(() => "finished");
  const closed = pool.close();
  pool.pause();
  assert.isFalse(pool.isPaused);
  running.end();
  assert.equal(await queued, "finished");
  await closed;
});

test("close: a lease that is not given back is taken back when the grace is over", async () => {
  const pool = new Pool({ concurrency: 1 });
  const lease = await pool.acquire();
  await pool.close({ grace: 5 });
  assert.equal(pool.active, 0);
  assert.isFalse(lease.renew());
  lease.release();
  assert.deepEqual([pool.active, pool.abandoned, pool.metrics().lateReleases], [0, 0, 1]);
});

test("close: a task that aborts a neighbour as it is aborted itself does not keep the pool from closing", async () => {
  const pool = new Pool({ concurrency: 2 });
  const { signal, abort } = watchedAbort();
  const first = hold(pool);
  const second = hold(pool, { signal });
  first.ctx.signal.addEventListener("abort", () => abort("with me"));
  const { abandoned } = await pool.close({ grace: 0 });
  assert.lengthOf(abandoned, 2);
  assert.isTrue(isClosedError(await rejection(first.done)));
  assert.equal(await rejection(second.done), "with me");
  first.end();
  second.end();
  await until(() => pool.abandoned === 0);
  assert.deepEqual([pool.active, pool.metrics().slotsInUse], [0, 0]);
  await pool.onIdle();
});

test("close: it may be called by a task of the pool, which finishes", async () => {
  const pool = new Pool({ concurrency: 1 });
  let closed: Promise<unknown> | undefined;
  const value = await pool.run(() => {
    closed = pool.close();
    return "closer";
  });
  assert.equal(value, "closer");
  assert.deepEqual(await closed, { abandoned: [] });
});

test("close: refusals of a closed pool are nobody's unhandled rejection", async () => {
  const pool = new Pool({ concurrency: 1 });
  const unhandled = await unhandledDuring(async () => {
    const running = pool.submit(() => new Promise(() => {}));
    const queued = pool.submit(() => null);
    await pool.close({ grace: 0 });
    assert.isTrue(isClosedError(await rejection(running.done)));
    assert.isTrue(isClosedError(await rejection(queued.done)));
  });
  assert.deepEqual(unhandled, []);
});

test("close: retries of a pool that closes end with the error that is theirs", async () => {
  const pool = new Pool({
    concurrency: 1,
    retry: { attempts: 5, backoff: { initial: 1, max: 1 }, when: () => true },
  });
  let attempts = 0;
  const failing = pool.run(() => {
    attempts += 1;
    if (attempts === 2) void pool.close();
    return Promise.reject(new Error(`attempt ${attempts}`));
  });
  await rejection(failing);
  assert.equal(attempts, 2);
});

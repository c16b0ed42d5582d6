/**
 * One admission for slot, queue, rates, breaker and weight: all of it or nothing.
 */

import {
  CircuitBreaker,
  isBrokenCircuitError,
  isNeverPossibleError,
  isRateLimitedError,
  Pool,
} from "tidegate";
import { assert, rejection, test } from "./registry.js";
import { hold, startsLater, until, watchedAbort } from "./waiting.js";

const HOUR = 3_600_000;

test("admission: an empty bucket queues the task, and it starts when the bucket lets it", async () => {
  const pool = new Pool({ concurrency: 10, rate: { kind: "token-bucket", limit: 1, per: 50 } });
  const began = performance.now();
  const started: number[] = [];
  const all = [1, 2, 3].map(() => pool.run(() => void started.push(performance.now() - began)));
  assert.equal(pool.queued, 2);
  await Promise.all(all);
  assert.isAtLeast(started[1] ?? 0, 48);
  assert.isAtLeast(started[2] ?? 0, 98);
});

test("admission: RateLimitedError only where the wait would pass the caller's patience", async () => {
  const pool = new Pool({
    name: "api",
    concurrency: 10,
    rate: { kind: "token-bucket", limit: 1, per: HOUR },
  });
  await pool.run(() => null);
  const error = (await rejection(pool.run(() => null, { waitTimeout: 1000 }))) as Error & {
    retryAfterMs: number;
  };
  assert.isTrue(isRateLimitedError(error));
  assert.isAbove(error.retryAfterMs, HOUR - 60_000);
  assert.match(error.message, /^Pool "api" refused the task: its rate has no room for another /);
  assert.isTrue(isRateLimitedError(await rejection(pool.run(() => null, { deadline: Date.now() + 1000 }))));
  assert.equal(pool.metrics().blocked, 2);
  const patient = hold(pool);
  assert.equal(pool.queued, 1);
  await pool.close({ grace: 0 });
  await rejection(patient.done);
});

test("admission: no token is taken while there is no slot", async () => {
  const pool = new Pool({ concurrency: 1, rate: { kind: "token-bucket", limit: 2, per: HOUR } });
  const first = hold(pool);
  for (let time = 0; time < 5; time += 1) assert.isUndefined(pool.tryRun(() => null));
  const { signal, abort } = watchedAbort();
  const waiting = hold(pool, { signal });
  abort("left");
  await rejection(waiting.done);
  first.end();
  await first.done;
  let ran = false;
  await pool.run(() => {
    ran = true;
  });
  assert.isTrue(ran, "the second token was still there");
  assert.isUndefined(pool.tryRun(() => null));
});

test("admission: no slot is taken while there is no token", async () => {
  const pool = new Pool({ concurrency: 1, rate: { kind: "token-bucket", limit: 1, per: HOUR } });
  await pool.run(() => null);
  assert.isUndefined(pool.tryRun(() => null));
  assert.isUndefined(pool.tryAcquire());
  assert.equal(pool.metrics().slotsInUse, 0);
});

test("admission: a cost is taken from every rate, and what it may never cost is refused at once", async () => {
  const pool = new Pool({
    concurrency: 10,
    rate: [
      { kind: "token-bucket", limit: 5, per: HOUR },
      { kind: "sliding-window", limit: 4, per: HOUR },
    ],
  });
  await pool.run(() => null, { cost: 3 });
  assert.isUndefined(pool.tryRun(() => null, { cost: 2 }));
  assert.equal(await pool.tryRun(() => "one more", { cost: 1 }), "one more");
  const error = await rejection(pool.run(() => null, { cost: 5 }));
  assert.isTrue(isNeverPossibleError(error));
  assert.equal((error as { limit: number }).limit, 4);
  assert.equal(await pool.tryRun(() => "free", { cost: 0 }), "free");
});

test("admission: tokens come back only where the function was never called", async () => {
  const pool = new Pool({ concurrency: 2, rate: { kind: "token-bucket", limit: 3, per: HOUR } });
  await rejection(pool.run(() => Promise.reject(new Error("called, and failed"))));
  const { signal, abort } = watchedAbort();
  const running = hold(pool, { signal });
  abort("called, and cancelled");
  await rejection(running.done);
  running.end();
  assert.equal(await pool.tryRun(() => "third"), "third");
  assert.isUndefined(pool.tryRun(() => "fourth"));
});

test("admission: a token of a task that is cancelled between its grant and its call comes back", async () => {
  const pool = new Pool({ concurrency: 2, rate: { kind: "token-bucket", limit: 2, per: HOUR } });
  const controller = new AbortController();
  pool.pause();
  const first = pool.run(() => controller.abort("by the first"));
  const second = pool.run(() => "never called", { signal: controller.signal });
  pool.resume();
  await first;
  assert.equal(await rejection(second), "by the first");
  assert.equal(await pool.tryRun(() => "has its token"), "has its token");
});

test("admission: an open breaker refuses before anything is queued or debited", async () => {
  const breaker = new CircuitBreaker({ consecutive: 1 });
  const pool = new Pool({ concurrency: 1, breaker, rate: { kind: "token-bucket", limit: 1, per: HOUR } });
  const lift = breaker.isolate();
  assert.isTrue(isBrokenCircuitError(await rejection(pool.run(() => null))));
  assert.isUndefined(pool.tryRun(() => null));
  lift();
  assert.equal(await pool.tryRun(() => "the token is there"), "the token is there");
});

test("admission: half-open lets so many probes of a pool run, not as many as it has slots", async () => {
  const breaker = CircuitBreaker.from(
    { state: "half-open", openFor: 0, consecutive: 0, openings: 1 },
    { openFor: 60_000 },
  );
  const pool = new Pool({ concurrency: 10, breaker });
  const tasks = Array.from({ length: 5 }, () => hold(pool));
  assert.equal(pool.active, 1);
  tasks[0]?.end();
  await tasks[0]?.done;
  for (const { done } of tasks.slice(1)) assert.isTrue(isBrokenCircuitError(await rejection(done)));
  assert.equal(breaker.state, "closed");
});

test("admission: weight, rate and breaker together let through what all of them let through", async () => {
  const pool = new Pool({
    concurrency: 4,
    breaker: { consecutive: 3 },
    rate: { kind: "token-bucket", limit: 6, per: HOUR },
  });
  const heavy = hold(pool, { weight: 3, cost: 3 });
  const light = hold(pool, { weight: 2, cost: 1 });
  assert.deepEqual([heavy.isRunning, light.isRunning], [true, false]);
  heavy.end();
  await heavy.done;
  if (startsLater) await null;
  assert.isTrue(light.isRunning);
  assert.isUndefined(pool.tryRun(() => null, { cost: 3 }));
  assert.equal(await pool.tryRun(() => "two left", { cost: 2 }), "two left");
  light.end();
  await pool.onIdle();
});

test("admission: those who wait for tokens go in their order, and keep the queue's bounds", async () => {
  const pool = new Pool({
    concurrency: 5,
    queue: { capacity: 2, overflow: "error" },
    rate: { kind: "token-bucket", limit: 1, per: 30 },
  });
  const order: number[] = [];
  const all = [0, 1, 2].map((index) => pool.run(() => void order.push(index)));
  assert.equal(pool.queued, 2);
  await rejection(pool.run(() => null));
  await Promise.all(all);
  assert.deepEqual(order, [0, 1, 2]);
  assert.equal(pool.metrics().rejected, 1);
});

test("admission: a task may say how long it waits for its token", async () => {
  const pool = new Pool({ concurrency: 1, rate: { kind: "token-bucket", limit: 1, per: 40 } });
  await pool.run(() => null);
  const began = performance.now();
  assert.equal(await pool.run(() => "in time", { waitTimeout: 10_000 }), "in time");
  assert.isAtLeast(performance.now() - began, 30);
  await until(() => pool.active === 0);
});

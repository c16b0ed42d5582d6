/**
 * After a trap nothing lies about what is running: waiters know, leases count, breakers remember, buckets are empty, and
 * every handle goes on.
 */

import {
  CircuitBreaker,
  isBrokenCircuitError,
  isClosedError,
  isNeverPossibleError,
  isRuntimeTrapError,
  isTimeoutError,
  Metrics,
  Pool,
  RateLimiter,
  RuntimeTrapError,
  retry,
} from "tidegate";
import { assert, rejection, test, thrown, turn } from "../conformance/registry.js";
import { hold, unhandledDuring, until, watchedAbort } from "../conformance/waiting.js";
import { callsOfTheDead, isArmed, trapAt } from "./arming.js";

const HOUR = 3_600_000;

/** Traps in a call that changes nothing. */
function trapNow(pool: Pool): void {
  trapAt("pool_count");
  assert.equal(pool.active >= 0, true);
  assert.isFalse(isArmed());
}

test("trap: the call that trapped rejects with RuntimeTrapError, and the next one works", async () => {
  const pool = new Pool({ concurrency: 1 });
  trapAt("pool_request");
  const error = (await rejection(pool.run(() => 1))) as RuntimeTrapError;
  assert.instanceOf(error, RuntimeTrapError);
  assert.isTrue(isRuntimeTrapError(error));
  assert.equal(error.code, "RUNTIME_TRAP");
  assert.match(error.message, /^The wasm module trapped: /);
  assert.instanceOf(error.cause, WebAssembly.RuntimeError);
  assert.equal(await pool.run(() => "works"), "works");
});

test("trap: everybody who waits is rejected, in every pool", async () => {
  const one = new Pool({ concurrency: 1, queue: { capacity: 1 } });
  const two = new Pool({ concurrency: 1 });
  const { signal, listeners } = watchedAbort();
  const running = [hold(one), hold(two)];
  const waiting = [
    hold(one, { signal }).done,
    hold(one, { signal }).done,
    hold(two, { signal }).done,
    two.acquire({ signal }),
  ];
  const outcomes = Promise.allSettled(waiting);
  const submission = one.submit(() => null);
  trapNow(two);
  for (const outcome of await outcomes)
    assert.isTrue(isRuntimeTrapError((outcome as PromiseRejectedResult).reason));
  assert.isTrue(isRuntimeTrapError(await rejection(submission.accepted)));
  assert.isTrue(isRuntimeTrapError(await rejection(submission.done)));
  assert.equal(listeners(), 0);
  assert.deepEqual([one.queued, one.waitingForRoom, two.queued], [0, 0, 0]);
  for (const task of running) task.end();
  await Promise.all(running.map(({ done }) => done));
});

test("trap: everybody who waits at a limiter is rejected, buckets are empty, cool-downs go on, and pools never hear of it", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  const queued = hold(pool);
  const [limiter, full, window] = (["token-bucket", "token-bucket", "sliding-window"] as const).map(
    (kind) => new RateLimiter({ kind, limit: 5, per: HOUR }),
  ) as [RateLimiter, RateLimiter, RateLimiter];
  const cooling = new RateLimiter({ kind: "token-bucket", limit: 10, per: 1 });
  cooling.coolDown(60_000);
  limiter.tryAcquire(5);
  const { signal, listeners } = watchedAbort();
  const waiting = rejection(limiter.acquire(1, { signal }));
  trapAt("limiter_request");
  assert.isTrue(isRuntimeTrapError(thrown(() => full.tryAcquire())));
  assert.isTrue(isRuntimeTrapError(await waiting));
  assert.equal(listeners(), 0);
  assert.equal(limiter.metrics().waiting, 0);
  assert.deepEqual(
    [limiter, full, window, cooling].map((each) => each.tryAcquire()),
    [false, false, false, false],
  );
  assert.isTrue(isNeverPossibleError(thrown(() => full.tryAcquire(6))));
  assert.deepEqual([pool.active, pool.queued], [1, 1]);
  running.end();
  queued.end();
  await Promise.all([running.done, queued.done]);
});

test("trap: what runs still counts, so that the bound holds, and gives its slot back when it ends", async () => {
  const pool = new Pool({ concurrency: 2 });
  const running = [hold(pool), hold(pool)];
  trapNow(pool);
  assert.equal(pool.active, 2);
  const next = hold(pool);
  assert.isFalse(next.isRunning);
  assert.isUndefined(pool.tryRun(() => 1));
  running[0]?.end("kept its result");
  assert.equal(await running[0]?.done, "kept its result");
  assert.isTrue(next.isRunning);
  running[1]?.fail(new Error("kept its error"));
  assert.equal(((await rejection(running[1]?.done as Promise<unknown>)) as Error).message, "kept its error");
  next.end();
  await pool.onIdle();
  assert.deepEqual([pool.active, pool.metrics().slotsInUse], [0, 0]);
});

test("trap: leases live on with their weight, can be renewed and given back", async () => {
  const pool = new Pool({ concurrency: 3, leaseTimeout: 60_000 });
  const lease = await pool.acquire({ weight: 2 });
  trapNow(pool);
  assert.equal(pool.metrics().slotsInUse, 2);
  assert.closeTo(lease.expiresAt ?? 0, Date.now() + 60_000, 10_000);
  assert.isTrue(lease.renew(30_000));
  assert.isUndefined(pool.tryAcquire({ weight: 2 }));
  lease.release();
  assert.equal(pool.metrics().slotsInUse, 0);
  lease.release();
  assert.equal(pool.metrics().slotsInUse, 0);
});

test("trap: a lease that ran out before gives nothing back that is somebody else's now", async () => {
  const pool = new Pool({ concurrency: 1, leaseTimeout: 5 });
  const lapsed = await pool.acquire();
  await until(() => pool.active === 0);
  trapNow(pool);
  const lease = await pool.acquire();
  lease.renew(60_000);
  lapsed.release();
  assert.equal(pool.active, 1);
  lease.release();
});

test("trap: timeouts, aborts and deadlines of what runs still hold", async () => {
  const pool = new Pool({ concurrency: 3 });
  const { signal, abort, listeners } = watchedAbort();
  const slow = hold(pool, { timeout: 30 });
  const cancelled = hold(pool, { signal });
  trapNow(pool);
  assert.equal(listeners(), 1);
  abort("after the trap");
  assert.equal(await rejection(cancelled.done), "after the trap");
  assert.isTrue(isTimeoutError(await rejection(slow.done)));
  assert.deepEqual([pool.active, pool.abandoned], [0, 2]);
  slow.end();
  cancelled.end();
  await until(() => pool.abandoned === 0);
});

test("trap: abandoned work stays counted until it settles", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 5 });
  const stuck = hold(pool);
  await rejection(stuck.done);
  assert.equal(pool.abandoned, 1);
  trapNow(pool);
  assert.deepEqual([pool.active, pool.abandoned], [0, 1]);
  stuck.end();
  await until(() => pool.abandoned === 0);
});

test("trap: breakers go on from their snapshots, and pools still hang on them", async () => {
  const open = new CircuitBreaker({ consecutive: 1, openFor: 60_000 });
  const isolated = new CircuitBreaker();
  const closed = new CircuitBreaker();
  const pool = new Pool({ concurrency: 1, breaker: open });
  await rejection(pool.run(() => Promise.reject(new Error("down"))));
  const lift = isolated.isolate();
  const { openFor } = open.toJSON();
  trapNow(pool);
  assert.deepEqual([open.state, isolated.state, closed.state], ["open", "isolated", "closed"]);
  assert.isAtMost(open.toJSON().openFor, openFor);
  assert.isAbove(open.toJSON().openFor, openFor - 20_000);
  assert.isTrue(isBrokenCircuitError(await rejection(pool.run(() => 1))));
  lift();
  assert.equal(isolated.state, "closed");
});

test("trap: the buckets of a pool are empty", async () => {
  const pool = new Pool({ concurrency: 5, rate: { kind: "token-bucket", limit: 5, per: HOUR } });
  trapNow(pool);
  assert.isUndefined(pool.tryRun(() => 1));
});

test("trap: sizes, pauses, cool-downs and closings are as they were", async () => {
  const resized = new Pool({ concurrency: 1 });
  resized.resize(2);
  const paused = new Pool({ concurrency: 1 });
  paused.pause();
  const cooling = new Pool({ concurrency: 1 });
  cooling.coolDown(60_000);
  const closed = new Pool({ concurrency: 1 });
  await closed.close();
  const closing = new Pool({ concurrency: 1 });
  const stuck = hold(closing);
  const over = closing.close({ grace: 40 });
  trapNow(resized);
  const two = [hold(resized), hold(resized), hold(resized)];
  assert.deepEqual(
    two.map(({ isRunning }) => isRunning),
    [true, true, false],
  );
  assert.isUndefined(paused.tryRun(() => 1));
  assert.isUndefined(cooling.tryRun(() => 1));
  assert.isTrue(isClosedError(await rejection(closed.run(() => 1))));
  assert.isTrue(isClosedError(await rejection(closing.run(() => 1))));
  assert.lengthOf((await over).abandoned, 1);
  assert.isTrue(isClosedError(await rejection(stuck.done)));
  paused.resume();
  assert.equal(await paused.run(() => "resumed"), "resumed");
  for (const task of two) task.end();
  stuck.end();
});

test("trap while a task gives its slot back: its result is kept and its slot is free", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  const waiting = hold(pool);
  trapAt("pool_release");
  running.end("result");
  assert.equal(await running.done, "result");
  assert.isTrue(isRuntimeTrapError(await rejection(waiting.done)));
  assert.equal(pool.active, 0);
  assert.equal(await pool.run(() => "next"), "next");
});

test("trap while wakes are carried out: nobody is left waiting, and the caller is not thrown at", async () => {
  const pool = new Pool({ concurrency: 50 });
  const running = hold(pool, { weight: 50 });
  // More than one tray of wakes takes: the second filling is the call that traps.
  const waiting = Array.from({ length: 50 }, () => hold(pool));
  trapAt("world_wake");
  const unhandled = await unhandledDuring(async () => {
    running.end("done");
    assert.equal(await running.done, "done");
    const rejected = waiting.filter((task) => !task.isRunning);
    assert.isNotEmpty(rejected);
    for (const { done } of rejected) assert.isTrue(isRuntimeTrapError(await rejection(done)));
  });
  assert.deepEqual(unhandled, []);
  assert.isFalse(isArmed());
  const started = waiting.filter((task) => task.isRunning);
  assert.equal(pool.active, started.length);
  for (const task of started) task.end();
  await pool.onIdle();
  assert.equal(await pool.run(() => "next"), "next");
});

test("trap inside a task that the pool has just started: those granted with it are told, and it goes on", async () => {
  const pool = new Pool({ concurrency: 1 });
  const other = new Pool({ concurrency: 1 });
  pool.pause();
  const first = pool.run(() => {
    trapNow(other);
    return "saw the trap";
  });
  const neighbour = hold(pool);
  pool.resize(2);
  pool.resume();
  assert.equal(await first, "saw the trap");
  assert.isTrue(isRuntimeTrapError(await rejection(neighbour.done)));
  assert.isFalse(neighbour.isRunning);
  assert.deepEqual([pool.active, pool.queued, pool.abandoned], [0, 0, 0]);
  const again = [hold(pool), hold(pool), hold(pool)];
  assert.deepEqual(
    again.map(({ isRunning }) => isRunning),
    [true, true, false],
  );
  for (const task of again) task.end();
  await pool.onIdle();
});

test("trap while many wakes are pending: each of those who wait is answered once", async () => {
  const pool = new Pool({ concurrency: 1 });
  pool.pause();
  const waiting = Array.from({ length: 100 }, () => hold(pool));
  trapAt("world_wake", 2);
  pool.resize(100);
  pool.resume();
  assert.isFalse(isArmed());
  const started = waiting.filter(({ isRunning }) => isRunning);
  assert.lengthOf(started, 64);
  assert.equal(pool.active, 64);
  for (const task of waiting) {
    if (task.isRunning) task.end("kept");
    else assert.isTrue(isRuntimeTrapError(await rejection(task.done)));
  }
  for (const { done } of started) assert.equal(await done, "kept");
  assert.equal(pool.active, 0);
});

test("trap while a task is cancelled: it rejects with its reason and its slot is free in that tick", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { signal, abort } = watchedAbort();
  const running = hold(pool, { signal });
  trapAt("pool_cancel");
  abort("stop");
  assert.isFalse(isArmed());
  assert.deepEqual([pool.active, pool.abandoned], [0, 1]);
  assert.equal(await rejection(running.done), "stop");
  running.end();
  await until(() => pool.abandoned === 0);
  assert.equal(await pool.run(() => "next"), "next");
});

test("trap in the timer: who waits is told, and the next timer works", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  const impatient = hold(pool, { waitTimeout: 10 });
  trapAt("world_on_deadline");
  assert.isTrue(isRuntimeTrapError(await rejection(impatient.done)));
  const again = hold(pool, { waitTimeout: 10 });
  assert.equal(((await rejection(again.done)) as Error).name, "QueueTimeoutError");
  running.end();
  await running.done;
});

test("trap in a constructor: it throws RuntimeTrapError, what is there goes on, and the next one is made", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  for (const [name, make] of [
    ["pool_open", () => new Pool({ concurrency: 1 })],
    ["breaker_open", () => new CircuitBreaker()],
    ["limiter_open", () => new RateLimiter({ kind: "token-bucket", limit: 1, per: 1 })],
  ] as const) {
    trapAt(name);
    assert.isTrue(isRuntimeTrapError(thrown(make)), name);
    assert.equal(pool.active, 1);
    assert.isDefined(make());
  }
  running.end("unharmed");
  assert.equal(await running.done, "unharmed");
});

test("trap in a call that cannot wait: tryRun and tryAcquire throw it, and the next works", async () => {
  const pool = new Pool({ concurrency: 1 });
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1000, per: 1 });
  trapAt("pool_request");
  assert.isTrue(isRuntimeTrapError(thrown(() => pool.tryRun(() => 1))));
  trapAt("pool_request");
  assert.isTrue(isRuntimeTrapError(thrown(() => pool.tryAcquire())));
  trapAt("limiter_request");
  assert.isTrue(isRuntimeTrapError(thrown(() => limiter.tryAcquire())));
  trapAt("limiter_request");
  assert.isTrue(isRuntimeTrapError(await rejection(limiter.acquire())));
  assert.equal(await pool.tryRun(() => 1), 1);
  await limiter.acquire();
});

test("trap in what only looks: metrics, counts and states say it or go on, and the next look works", async () => {
  const pool = new Pool({ concurrency: 1 });
  const breaker = new CircuitBreaker();
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: 1 });
  const looks: [string, () => unknown][] = [
    ["pool_stats", () => pool.metrics()],
    ["pool_count", () => pool.queued],
    ["breaker_state", () => breaker.state],
    ["breaker_stats", () => breaker.toJSON()],
    ["limiter_stats", () => limiter.metrics()],
  ];
  for (const [name, look] of looks) {
    trapAt(name);
    try {
      look();
    } catch (error) {
      assert.isTrue(isRuntimeTrapError(error), name);
    }
    assert.isFalse(isArmed(), name);
    assert.isDefined(look(), name);
  }
  assert.include(new Metrics([pool]).toOpenMetrics(), "tidegate_pool_active");
});

test("trap during a retry: the attempt that could not be admitted is an error like others", async () => {
  const pool = new Pool({
    concurrency: 1,
    retry: { when: isRuntimeTrapError, backoff: { initial: 1, max: 1 } },
  });
  trapAt("pool_request");
  assert.equal(await pool.run(({ attempt }) => attempt), 2);
  trapAt("retry_decide");
  const error = await rejection(
    retry(() => Promise.reject(Object.assign(new Error("down"), { retryable: true }))),
  );
  assert.isDefined(error);
  assert.equal(await retry(() => "goes on"), "goes on");
});

test("trap after trap: a hundred of them leave the same bounds", async () => {
  const pool = new Pool({ concurrency: 3 });
  const running = Array.from({ length: 3 }, () => hold(pool));
  for (let time = 0; time < 100; time += 1) {
    trapNow(pool);
    assert.equal(pool.active, 3);
  }
  assert.isUndefined(pool.tryRun(() => 1));
  for (const task of running) task.end();
  await pool.onIdle();
  assert.equal(pool.active, 0);
  const results = await Promise.all(Array.from({ length: 20 }, (_, index) => pool.run(async () => index)));
  assert.lengthOf(results, 20);
});

test("trap: a rejected waiter may call again at once, and finds everything as it should be", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  const refused = hold(pool).done;
  trapNow(pool);
  assert.isTrue(isRuntimeTrapError(await rejection(refused)));
  assert.equal(pool.active, 1);
  const again = pool.run(() => "second time");
  running.end();
  assert.equal(await again, "second time");
});

test("trap: the instance that trapped is never called again", async () => {
  await turn();
  assert.deepEqual(callsOfTheDead(), []);
});

/**
 * Rate limiters: denied before t, allowed at t.
 */

import {
  isClosedError,
  isNeverPossibleError,
  isRateLimitedError,
  type RateLimitedError,
  RateLimiter,
} from "tidegate";
import { assert, rejection, test, thrown } from "./registry.js";
import { isSettled, until, watchedAbort } from "./waiting.js";

const HOUR = 3_600_000;

/** How long after `began` the limiter lets one pass, in milliseconds; asks all the time. */
async function allowedAfter(limiter: RateLimiter, cost = 1, began = performance.now()): Promise<number> {
  await until(() => limiter.tryAcquire(cost));
  return performance.now() - began;
}

for (const kind of ["token-bucket", "sliding-window"] as const) {
  test(`${kind}: as many as its limit at once, and then none`, () => {
    const limiter = new RateLimiter({ kind, limit: 3, per: HOUR });
    const answers = Array.from({ length: 5 }, () => limiter.tryAcquire());
    assert.deepEqual(answers, [true, true, true, false, false]);
  });

  test(`${kind}: denied before t, allowed at t`, async () => {
    const limiter = new RateLimiter({ kind, limit: 1, per: 50 });
    // Read before the first one: whatever holds this thread up then only makes it later.
    const began = performance.now();
    assert.isTrue(limiter.tryAcquire());
    assert.isFalse(limiter.tryAcquire());
    assert.isAtLeast(await allowedAfter(limiter, 1, began), 48);
  });

  test(`${kind}: acquire waits until it may pass`, async () => {
    const limiter = new RateLimiter({ kind, limit: 1, per: 40 });
    const began = performance.now();
    await limiter.acquire();
    await limiter.acquire();
    await limiter.acquire();
    assert.isAtLeast(performance.now() - began, 78);
  });

  test(`${kind}: a cost takes as many, and more than the limit is never possible`, async () => {
    const limiter = new RateLimiter({ kind, limit: 5, per: HOUR }, { name: "small" });
    assert.isTrue(limiter.tryAcquire(3));
    assert.isFalse(limiter.tryAcquire(3));
    assert.isTrue(limiter.tryAcquire(2));
    const error = thrown(() => limiter.tryAcquire(6)) as Error;
    assert.isTrue(isNeverPossibleError(error));
    assert.equal(error.message, `Rate "small" can never let that pass: it costs more than the limit of 5`);
    assert.isTrue(isNeverPossibleError(await rejection(limiter.acquire(6))));
  });

  test(`${kind}: who could not be served within its timeout is refused at once, with the time to come back`, async () => {
    const limiter = new RateLimiter({ kind, limit: 1, per: 60_000 });
    limiter.tryAcquire();
    const began = performance.now();
    const error = (await rejection(limiter.acquire(1, { timeout: 20_000 }))) as RateLimitedError;
    assert.isBelow(performance.now() - began, 10_000);
    assert.isTrue(isRateLimitedError(error));
    assert.isAbove(error.retryAfterMs ?? 0, 50_000);
    assert.isAtMost(error.retryAfterMs ?? 0, 60_001);
  });
}

test("token-bucket: it refills steadily, up to its burst", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 10, per: 1000, burst: 2 });
  assert.deepEqual([limiter.tryAcquire(2), limiter.tryAcquire()], [true, false]);
  const one = await allowedAfter(limiter);
  assert.isAtLeast(one, 95);
  const began = performance.now();
  await until(() => performance.now() - began > 350);
  assert.deepEqual([limiter.tryAcquire(2), limiter.tryAcquire(1)], [true, false]);
});

test("token-bucket: a burst above the limit lets more pass at once", () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR, burst: 4 });
  assert.isTrue(limiter.tryAcquire(4));
  assert.isFalse(limiter.tryAcquire());
});

test("sliding-window: in no window more than its limit", async () => {
  const limiter = new RateLimiter({ kind: "sliding-window", limit: 4, per: 60 });
  const passed: number[] = [];
  const began = performance.now();
  await until(() => {
    while (limiter.tryAcquire()) passed.push(performance.now());
    return performance.now() - began > 250;
  });
  assert.isAbove(passed.length, 4);
  passed.forEach((time, index) => {
    const fifth = passed[index + 4];
    if (fifth !== undefined) assert.isAtLeast(fifth - time, 59);
  });
});

test("several rules: a request passes when all let it, and is debited from all or none", () => {
  const limiter = new RateLimiter([
    { kind: "token-bucket", limit: 100, per: HOUR },
    { kind: "sliding-window", limit: 2, per: HOUR },
  ]);
  assert.deepEqual([limiter.tryAcquire(), limiter.tryAcquire(), limiter.tryAcquire()], [true, true, false]);
  const narrow = new RateLimiter([
    { kind: "token-bucket", limit: 5, per: HOUR },
    { kind: "sliding-window", limit: 3, per: HOUR },
  ]);
  assert.isTrue(narrow.tryAcquire(2));
  for (let time = 0; time < 10; time += 1) assert.isFalse(narrow.tryAcquire(2));
  assert.isTrue(narrow.tryAcquire(1), "what was denied took nothing from the other rule");
});

test("several rules: the smallest limit says what is never possible", () => {
  const limiter = new RateLimiter([
    { kind: "token-bucket", limit: 10, per: HOUR },
    { kind: "sliding-window", limit: 3, per: HOUR },
  ]);
  const error = thrown(() => limiter.tryAcquire(4));
  assert.isTrue(isNeverPossibleError(error));
  assert.equal((error as { limit: number }).limit, 3);
});

test("rate: a cost of nothing always passes", () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR });
  limiter.tryAcquire();
  assert.isTrue(limiter.tryAcquire(0));
});

test("rate: first come, first served; who asks for much is not overtaken", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 10, per: 100, burst: 4 });
  limiter.tryAcquire(4);
  const order: string[] = [];
  const all = [
    limiter.acquire(4).then(() => order.push("much")),
    limiter.acquire(1).then(() => order.push("little")),
  ];
  assert.isFalse(limiter.tryAcquire(0) && limiter.tryAcquire(1), "nobody barges past those in line");
  await Promise.all(all);
  assert.deepEqual(order, ["much", "little"]);
});

test("rate: a timeout counts those in line before", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: 100 });
  limiter.tryAcquire();
  const first = limiter.acquire();
  assert.isTrue(isRateLimitedError(await rejection(limiter.acquire(1, { timeout: 110 }))));
  const third = limiter.acquire(1, { timeout: 60_000 });
  await first;
  await third;
  assert.equal(limiter.metrics().waited, 2);
});

test("rate: an abort while waiting leaves the line in the same tick, and no listener remains", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR });
  limiter.tryAcquire();
  const { signal, abort, listeners } = watchedAbort();
  const waiting = Array.from({ length: 15 }, () => limiter.acquire(1, { signal }));
  const outcomes = Promise.allSettled(waiting);
  assert.equal(limiter.metrics().waiting, 15);
  assert.equal(listeners(), 1);
  abort("away");
  assert.equal(limiter.metrics().waiting, 0);
  assert.equal(listeners(), 0);
  for (const outcome of await outcomes) assert.equal((outcome as PromiseRejectedResult).reason, "away");
  assert.equal(limiter.metrics().cancelled, 15);
});

test("rate: a signal that is aborted already takes nothing", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR });
  assert.equal(await rejection(limiter.acquire(1, { signal: AbortSignal.abort("before") })), "before");
  assert.isTrue(limiter.tryAcquire());
});

test("rate: who leaves the line lets the next one through earlier", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 2, per: 100, burst: 2 });
  limiter.tryAcquire(2);
  const { signal, abort } = watchedAbort();
  const heavy = limiter.acquire(2, { signal });
  const light = limiter.acquire(1);
  abort("left");
  await rejection(heavy);
  await light;
  assert.equal(limiter.metrics().allowed, 2);
});

test("rate: coolDown lets nobody pass for so long", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 100, per: 1000 });
  const began = performance.now();
  limiter.coolDown(40);
  assert.isFalse(limiter.tryAcquire());
  await limiter.acquire();
  assert.isAtLeast(performance.now() - began, 39);
  assert.isTrue(limiter.tryAcquire());
});

test("rate: coolDown holds those in line back too", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: 10 });
  limiter.tryAcquire();
  const waiting = limiter.acquire();
  const began = performance.now();
  limiter.coolDown(50);
  await waiting;
  assert.isAtLeast(performance.now() - began, 49);
});

test("rate: close refuses everybody, those in line included", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR }, { name: "gone" });
  limiter.tryAcquire();
  const waiting = limiter.acquire();
  limiter.close();
  const error = (await rejection(waiting)) as Error;
  assert.isTrue(isClosedError(error));
  assert.equal(error.message, `Rate "gone" is closed`);
  assert.isTrue(isClosedError(thrown(() => limiter.tryAcquire())));
  assert.isTrue(isClosedError(await rejection(limiter.acquire())));
});

test("rate: using closes it at the end of its block", () => {
  let kept: RateLimiter;
  {
    using limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR });
    kept = limiter;
    assert.isTrue(limiter.tryAcquire());
  }
  assert.isTrue(isClosedError(thrown(() => kept.tryAcquire())));
});

test("rate events: denials and cool-downs are told", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR });
  const told: unknown[] = [];
  limiter.on("denied", (detail) => told.push(detail));
  const off = limiter.on("throttle", (detail) => told.push(detail));
  limiter.tryAcquire();
  limiter.tryAcquire();
  await rejection(limiter.acquire(1, { timeout: 1 }));
  limiter.coolDown(1);
  assert.deepEqual(told, [{ cost: 1 }, { cost: 1 }, { ms: 1 }]);
  off();
  limiter.coolDown(1);
  assert.lengthOf(told, 3);
});

test("rate metrics: each request is counted once, as allowed, denied, cancelled or waiting", async () => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 2, per: HOUR }, { name: "counted" });
  limiter.tryAcquire();
  limiter.tryAcquire();
  limiter.tryAcquire();
  const { signal, abort } = watchedAbort();
  const leaving = limiter.acquire(1, { signal });
  const waiting = limiter.acquire(1);
  abort("x");
  await rejection(leaving);
  assert.isFalse(await isSettled(waiting));
  assert.deepEqual(limiter.metrics(), {
    name: "counted",
    waiting: 1,
    requests: 5,
    allowed: 2,
    denied: 1,
    cancelled: 1,
    waited: 2,
  });
  limiter.close();
  await rejection(waiting);
});

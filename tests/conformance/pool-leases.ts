/**
 * Leases: slots that are held for as long as their holder wants, or as long as they last.
 */

import { isClosedError, isNeverPossibleError, isQueueTimeoutError, Pool } from "tidegate";
import { assert, rejection, test, thrown } from "./registry.js";
import { isSettled, until, watchedAbort } from "./waiting.js";

test("acquire: a lease holds a slot until it is released, and the next waiter gets it in the same tick", async () => {
  const pool = new Pool({ concurrency: 1 });
  const lease = await pool.acquire();
  assert.equal(pool.active, 1);
  let started = false;
  const next = pool.run(() => {
    started = true;
  });
  assert.isFalse(started);
  lease.release();
  assert.isTrue(started);
  await next;
  assert.equal(pool.active, 0);
});

test("acquire: releasing twice gives one slot back", async () => {
  const pool = new Pool({ concurrency: 1 });
  const lease = await pool.acquire();
  lease.release();
  const other = await pool.acquire();
  lease.release();
  assert.equal(pool.active, 1);
  assert.isUndefined(pool.tryAcquire());
  other.release();
  assert.equal(pool.active, 0);
  assert.equal(pool.metrics().completed, 2);
});

test("acquire: leases and tasks stand in one line", async () => {
  const pool = new Pool({ concurrency: 1 });
  const first = await pool.acquire();
  const order: string[] = [];
  const all = [
    pool.run(() => void order.push("task")),
    pool.acquire().then((lease) => {
      order.push("lease");
      lease.release();
    }),
    pool.run(() => void order.push("last")),
  ];
  first.release();
  await Promise.all(all);
  assert.deepEqual(order, ["task", "lease", "last"]);
});

test("acquire: a weight takes so many slots and gives them all back", async () => {
  const pool = new Pool({ concurrency: 3 });
  const lease = await pool.acquire({ weight: 3 });
  assert.equal(pool.metrics().slotsInUse, 3);
  lease.release();
  assert.equal(pool.metrics().slotsInUse, 0);
  assert.isTrue(isNeverPossibleError(await rejection(pool.acquire({ weight: 4 }))));
});

test("acquire: the signal ends the waiting, not the lease", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { signal, abort, listeners } = watchedAbort();
  const lease = await pool.acquire({ signal });
  assert.equal(listeners(), 0);
  const waiting = pool.acquire({ signal });
  assert.equal(listeners(), 1);
  abort("no longer");
  assert.equal(pool.queued, 0);
  assert.equal(await rejection(waiting), "no longer");
  assert.equal(pool.active, 1);
  lease.release();
  assert.equal(listeners(), 0);
});

test("acquire: a wait that lasts too long rejects with QueueTimeoutError", async () => {
  const pool = new Pool({ concurrency: 1 });
  const lease = await pool.acquire();
  assert.isTrue(isQueueTimeoutError(await rejection(pool.acquire({ waitTimeout: 5 }))));
  assert.equal(pool.queued, 0);
  lease.release();
});

test("acquire: the pool's task timeout does not end a lease", async () => {
  const pool = new Pool({ concurrency: 2, timeout: 5 });
  const lease = await pool.acquire();
  await rejection(pool.run(() => new Promise(() => {})));
  assert.equal(pool.active, 1);
  assert.isTrue(lease.renew());
  lease.release();
  assert.equal(pool.active, 0);
});

test("tryAcquire: a lease now, or undefined where waiting would be needed", () => {
  const pool = new Pool({ concurrency: 1 });
  const lease = pool.tryAcquire();
  assert.isDefined(lease);
  assert.isUndefined(pool.tryAcquire());
  assert.equal(pool.queued, 0);
  lease?.release();
  assert.isDefined(pool.tryAcquire());
});

test("tryAcquire: throws what time does not heal", async () => {
  const pool = new Pool({ concurrency: 1 });
  assert.isTrue(isNeverPossibleError(thrown(() => pool.tryAcquire({ weight: 2 }))));
  await pool.close();
  assert.isTrue(isClosedError(thrown(() => pool.tryAcquire())));
});

test("leaseTimeout: a lease that nobody renews is taken back, and the next waiter gets the slot", async () => {
  const pool = new Pool({ concurrency: 1, leaseTimeout: 20 });
  const began = Date.now();
  const lease = await pool.acquire();
  assert.isAtLeast(lease.expiresAt ?? 0, began + 18);
  assert.isAtMost(lease.expiresAt ?? 0, Date.now() + 22);
  const next = await pool.acquire();
  assert.equal(pool.active, 1);
  assert.isFalse(lease.renew(1000));
  assert.isUndefined(lease.expiresAt);
  next.release();
  assert.equal(pool.metrics().taskTimeouts, 1);
});

test("leaseTimeout: a release that comes late is a no-op, and counted once", async () => {
  const pool = new Pool({ concurrency: 1, leaseTimeout: 10 });
  const lease = await pool.acquire();
  const next = await pool.acquire();
  lease.release();
  lease.release();
  assert.equal(pool.active, 1);
  assert.equal(pool.metrics().lateReleases, 1);
  next.release();
  assert.equal(pool.metrics().lateReleases, 1);
  assert.equal(pool.active, 0);
});

test("renew: it moves the end, and tells whether there was still something to move", async () => {
  const pool = new Pool({ concurrency: 1, leaseTimeout: 30 });
  const lease = await pool.acquire();
  assert.isTrue(lease.renew(60_000));
  assert.isAbove(lease.expiresAt ?? 0, Date.now() + 50_000);
  assert.isTrue(lease.renew());
  assert.isBelow(lease.expiresAt ?? Number.POSITIVE_INFINITY, Date.now() + 1000);
  await until(() => pool.active === 0);
  assert.isFalse(lease.renew());
  lease.release();
  assert.isFalse(lease.renew());
});

test("renew: an end can be given to a lease that had none, and taken away again", async () => {
  const pool = new Pool({ concurrency: 1 });
  const lease = await pool.acquire();
  assert.isTrue(lease.renew(60_000));
  assert.isDefined(lease.expiresAt);
  assert.isTrue(lease.renew(Number.POSITIVE_INFINITY));
  assert.isUndefined(lease.expiresAt);
  assert.isTrue(lease.renew(5));
  await until(() => pool.active === 0);
  lease.release();
});

test("renew: a task may ask for more time than its timeout", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 20 });
  const began = performance.now();
  const value = await pool.run(async ({ lease }) => {
    assert.isTrue(lease.renew(60_000));
    await until(() => performance.now() - began > 40);
    return "finished";
  });
  assert.equal(value, "finished");
});

test("a task's own lease is a view: releasing it gives nothing back before the task ends", async () => {
  const pool = new Pool({ concurrency: 1 });
  await pool.run(async ({ lease }) => {
    lease.release();
    assert.equal(pool.active, 1);
    assert.isUndefined(pool.tryAcquire());
  });
  assert.equal(pool.active, 0);
});

test("using: a lease is given back at the end of its block", async () => {
  const pool = new Pool({ concurrency: 1 });
  {
    using lease = await pool.acquire();
    assert.equal(pool.active, 1);
    assert.isNumber(lease.id);
  }
  assert.equal(pool.active, 0);
});

test("using: a pool is closed without grace at the end of its block", async () => {
  let kept: Pool | undefined;
  const outcomes: Promise<unknown>[] = [];
  {
    using pool = new Pool({ concurrency: 1 });
    kept = pool;
    outcomes.push(rejection(pool.run(() => new Promise(() => {}))), rejection(pool.run(() => null)));
  }
  for (const error of await Promise.all(outcomes)) assert.isTrue(isClosedError(error));
  assert.isTrue(isClosedError(await rejection(kept.run(() => 1))));
});

test("await using: a pool lets its tasks finish at the end of its block", async () => {
  const results: Promise<string>[] = [];
  {
    await using pool = new Pool({ concurrency: 1 });
    results.push(
      pool.run(async () => "running"),
      pool.run(async () => "queued"),
    );
  }
  assert.isTrue(await isSettled(Promise.all(results)));
  assert.deepEqual(await Promise.all(results), ["running", "queued"]);
});

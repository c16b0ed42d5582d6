/**
 * Object and connection pools: what is used again, what is destroyed and when, who waits, what remains when somebody gives up.
 */

import { ConnectionPool, isClosedError, isTimeoutError, ObjectPool, type ObjectPoolOptions } from "tidegate";
import { assert, deferred, rejection, test, thrown } from "./registry.js";
import { isSettled, until, watchedAbort } from "./waiting.js";

/** A pool of numbered objects that notes what happens to them. */
function numbered(options: Partial<ObjectPoolOptions<{ n: number }>> = {}) {
  const log: string[] = [];
  let made = 0;
  const pool = new ObjectPool<{ n: number }>({
    create: () => {
      made += 1;
      log.push(`create ${made}`);
      return { n: made };
    },
    destroy: ({ n }) => log.push(`destroy ${n}`),
    ...options,
  });
  return { pool, log };
}

test("objects: what came back last is used again first", async () => {
  const { pool, log } = numbered();
  const [a, b] = [await pool.acquire(), await pool.acquire()];
  await a.release();
  await a.release();
  await b.release();
  const again = await pool.acquire();
  assert.deepEqual([again.value.n, again.id, again.uses], [2, b.id, 2]);
  assert.isAbove(again.createdAt, 0);
  await again.release();
  assert.deepEqual(log, ["create 1", "create 2"]);
  const { size, inUse, idle, requests, hits, misses, hitRatio, created, returned } = pool.metrics();
  assert.deepEqual(
    { size, inUse, idle, requests, hits, misses, hitRatio, created, returned },
    { size: 2, inUse: 0, idle: 2, requests: 3, hits: 1, misses: 2, hitRatio: 1 / 3, created: 2, returned: 3 },
  );
});

test("objects: there are never more than the bound, and those who wait are served in order", async () => {
  const { pool } = numbered({ max: 1 });
  const first = await pool.acquire();
  const order: number[] = [];
  const waiting = [1, 2, 3].map((n) => pool.use(() => order.push(n)));
  assert.equal(pool.metrics().waiting, 3);
  await first.release();
  await Promise.all(waiting);
  assert.deepEqual([order, pool.metrics().created], [[1, 2, 3], 1]);
});

test("objects: one is reset before it is used again, and destroyed where that fails", async () => {
  let resets = 0;
  const { pool, log } = numbered({
    reset: async ({ n }) => {
      resets += 1;
      if (n === 1 && resets === 2) throw new Error("broken");
    },
  });
  assert.equal(await pool.use(({ n }) => n), 1);
  assert.equal(await pool.use(({ n }) => n), 1);
  assert.equal(await pool.use(({ n }) => n), 2);
  assert.deepEqual(log, ["create 1", "destroy 1", "create 2"]);
  assert.equal(pool.metrics().resetMs.count, 3);
});

test("objects: one that is not valid any more is replaced", async () => {
  const { pool, log } = numbered({ validate: async ({ n }) => n !== 1 });
  await pool.use(() => {});
  assert.equal(await pool.use(({ n }) => n), 2);
  assert.deepEqual(log, ["create 1", "destroy 1", "create 2"]);
  assert.equal(pool.metrics().invalid, 1);
});

test("objects: one that was used when something failed is not used again", async () => {
  const { pool, log } = numbered();
  const error = new Error("in the middle");
  const failing = pool.use(() => {
    throw error;
  });
  assert.strictEqual(await rejection(failing), error);
  const taken = await pool.acquire();
  await taken.discard();
  assert.deepEqual(log, ["create 1", "destroy 1", "create 2", "destroy 2"]);
  assert.equal(pool.metrics().size, 0);
});

test("objects: the place of one that could not be made is free again", async () => {
  let attempts = 0;
  const error = new Error("down");
  const pool = new ObjectPool({
    max: 1,
    create: () => {
      attempts += 1;
      if (attempts === 1) throw error;
      return attempts;
    },
  });
  assert.strictEqual(await rejection(pool.acquire()), error);
  assert.equal(await pool.use((n) => n), 2);
  assert.equal(pool.metrics().failed, 1);
});

test("objects: idle ones leave after their time", async () => {
  const { pool, log } = numbered({ idle: 20 });
  await pool.use(() => {});
  await until(() => log.length === 2);
  assert.deepEqual([log, pool.metrics().size], [["create 1", "destroy 1"], 0]);
});

test("objects: old ones leave when they come back", async () => {
  const { pool, log } = numbered({ maxAge: 0 });
  await pool.use(() => {});
  assert.deepEqual(log, ["create 1", "destroy 1"]);
});

test("objects: who gives up leaves its place, and what was made for it, to the others", async () => {
  const { promise, resolve } = deferred<string>();
  let calls = 0;
  const pool = new ObjectPool<string>({
    max: 1,
    create: () => {
      calls += 1;
      return promise;
    },
  });
  const { signal, abort, listeners } = watchedAbort();
  const making = pool.acquire({ signal });
  const waiting = pool.acquire({ signal });
  const late = pool.acquire({ timeout: 10 });
  const stays = pool.use((text) => text);
  await Promise.resolve();
  abort("enough");
  assert.equal(await rejection(making), "enough");
  assert.equal(await rejection(waiting), "enough");
  assert.isTrue(isTimeoutError(await rejection(late)));
  assert.equal(listeners(), 0);
  assert.isFalse(await isSettled(stays));
  resolve("made");
  assert.equal(await stays, "made");
  assert.deepEqual([calls, pool.metrics().inUse, pool.metrics().waiting], [1, 0, 0]);
});

test("objects: closing turns away who waits, and ends when the last one is back", async () => {
  const { pool, log } = numbered({ max: 2 });
  const [a, b] = [await pool.acquire(), await pool.acquire()];
  await a.release();
  const busy = await pool.acquire();
  const waiting = pool.acquire();
  const closing = pool.close();
  assert.isTrue(isClosedError(await rejection(waiting)));
  assert.isTrue(isClosedError(await rejection(pool.acquire())));
  await busy.release();
  assert.isFalse(await isSettled(closing));
  await b.release();
  await closing;
  assert.deepEqual(log.slice(2), ["destroy 1", "destroy 2"]);
});

test("connections: each key has its own, and its own bound", async () => {
  const made: string[] = [];
  const pool = new ConnectionPool({
    max: 1,
    create: (key) => {
      made.push(key);
      return { key };
    },
  });
  const a = await pool.acquire("a");
  const other = pool.acquire("a");
  assert.equal(await pool.use("b", ({ key }) => key), "b");
  assert.isFalse(await isSettled(other));
  await a.release();
  const again = await other;
  assert.strictEqual(again.value, a.value);
  await again.release();
  assert.deepEqual(made, ["a", "b"]);
});

test("objects: options that make no sense are refused by name", async () => {
  const message = (options: object) =>
    (thrown(() => new ObjectPool(options as ObjectPoolOptions<number>)) as Error).message;
  assert.include(message({}), "`create`");
  assert.include(message({ create: () => 1, max: 0 }), "`max`");
  assert.include(message({ create: () => 1, idle: -1 }), "`idle`");
  assert.include(message({ create: () => 1, reset: 1 }), "`reset`");
  const pool = new ConnectionPool({ create: () => 1 });
  assert.include(
    String(await rejection(Promise.resolve().then(() => pool.acquire(1 as unknown as string)))),
    "`key`",
  );
});

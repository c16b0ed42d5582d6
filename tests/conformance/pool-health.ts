/**
 * Pools that say how they do: `ready`, `health`, `healthCheck`, `detectNesting`.
 */

import { isClosedError, Pool } from "tidegate";
import { assert, deferred, rejection, test, thrown } from "./registry.js";
import { hold, isSettled, until } from "./waiting.js";

test("pool health: without a check it is ready and healthy at once", async () => {
  const pool = new Pool({ concurrency: 1 });
  await pool.ready();
  assert.equal(pool.health(), "healthy");
});

test("pool health: nothing is checked before the first use, and then once at a time", async () => {
  let looks = 0;
  let running = 0;
  let most = 0;
  const pool = new Pool({
    concurrency: 1,
    healthCheck: {
      every: 50,
      // Longer than the interval, and far from the ten intervals after which nobody believes that it comes back.
      async run() {
        looks += 1;
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 60));
        running -= 1;
      },
    },
  });
  await null;
  assert.equal(looks, 0);
  await pool.run(() => 1);
  await until(() => looks >= 3);
  assert.equal(most, 1);
  await pool.close();
});

test("pool health: ready waits for a check that passes; one that fails degrades, and heals", async () => {
  let isUp = false;
  let looks = 0;
  const pool = new Pool({
    concurrency: 1,
    healthCheck: {
      every: 2,
      async run() {
        looks += 1;
        if (!isUp) throw new Error("down");
      },
    },
  });
  const ready = pool.ready();
  await until(() => looks >= 2);
  assert.isFalse(await isSettled(ready));
  assert.equal(pool.health(), "degraded");
  isUp = true;
  await ready;
  assert.equal(pool.health(), "healthy");
  isUp = false;
  await until(() => pool.health() === "degraded");
  assert.equal(await pool.run(() => "runs all the same"), "runs all the same");
  await pool.close();
});

test("pool health: a check that does not come back within its interval is a stall", async () => {
  const { promise, resolve } = deferred();
  const pool = new Pool({ concurrency: 1, healthCheck: { every: 5, run: () => promise } });
  assert.equal(pool.health(), "degraded");
  await until(() => pool.health() === "stalled");
  resolve();
  await pool.ready();
  assert.equal(pool.health(), "healthy");
  await pool.close();
});

test("pool health: closing ends the checks and whoever waits for one", async () => {
  let looks = 0;
  const pool = new Pool({
    concurrency: 1,
    healthCheck: {
      every: 1,
      run() {
        looks += 1;
        return Promise.reject(new Error("down"));
      },
    },
  });
  const ready = pool.ready();
  await until(() => looks >= 2);
  await pool.close();
  assert.isTrue(isClosedError(await rejection(ready)));
  assert.isTrue(isClosedError(await rejection(pool.ready())));
  assert.equal(pool.health(), "stalled");
});

test("pool health: a paused pool and an open breaker stall; abandoned work and a full queue degrade", async () => {
  const pool = new Pool({ concurrency: 1, queue: { capacity: 1 }, breaker: { consecutive: 1 } });
  pool.pause();
  assert.equal(pool.health(), "stalled");
  pool.resume();
  assert.equal(pool.health(), "healthy");
  const first = hold(pool);
  const second = hold(pool);
  assert.equal(pool.health(), "degraded");
  first.end();
  second.end();
  await second.done;
  assert.equal(pool.health(), "healthy");
  const controller = new AbortController();
  const left = hold(pool, { signal: controller.signal });
  controller.abort();
  assert.equal(pool.health(), "degraded");
  left.end();
  await until(() => pool.abandoned === 0);
  assert.equal(pool.health(), "healthy");
  await rejection(pool.run(() => Promise.reject(new Error("down"))));
  assert.equal(pool.health(), "stalled");
});

test("pool health: bad options are said in a sentence that names them", () => {
  const sentence = (options: object) =>
    (thrown(() => new Pool({ concurrency: 1, ...options } as never)) as Error).message;
  assert.match(sentence({ healthCheck: 5 }), /^Expected `healthCheck` to be an object/);
  assert.match(sentence({ healthCheck: { every: 5 } }), /^Expected `healthCheck.run` to be a function/);
  assert.match(sentence({ healthCheck: { run: async () => {}, every: 0 } }), /^Expected `healthCheck.every`/);
  assert.match(sentence({ detectNesting: 5 }), /^Expected `detectNesting` to be a boolean/);
});

/** Whether the platform can tell who runs inside whom. */
const tells = (() => {
  const { AsyncLocalStorage, process } = globalThis as {
    AsyncLocalStorage?: unknown;
    process?: { getBuiltinModule?(name: string): unknown };
  };
  return AsyncLocalStorage !== undefined || process?.getBuiltinModule?.("node:async_hooks") !== undefined;
})();

test("pool nesting: a task that waits for its own pool is told of where the platform can tell, and nobody else", async () => {
  const pool = new Pool({ concurrency: 1, detectNesting: true });
  const told: { outer: number; name?: string }[] = [];
  pool.on("nesting", (detail) => told.push(detail));
  let inner: Promise<unknown> = Promise.resolve();
  let outerId = 0;
  const outer = pool.run(async (ctx) => {
    outerId = ctx.id;
    await null;
    // Not awaited inside: that would be the deadlock.
    inner = pool.run(() => "inner", { name: "inner" });
  });
  const beside = pool.run(() => "beside", { name: "beside" });
  await outer;
  assert.deepEqual([await inner, await beside], ["inner", "beside"]);
  assert.deepEqual(
    told.map(({ outer, name }) => [outer, name]),
    tells ? [[outerId, "inner"]] : [],
  );
});

test("pool nesting: what is asked for after its task has ended is nested in nothing", async () => {
  const pool = new Pool({ concurrency: 1, detectNesting: true });
  let told = 0;
  pool.on("nesting", () => {
    told += 1;
  });
  const gate = deferred();
  let late: Promise<unknown> = Promise.resolve();
  const first = pool.run(() => {
    late = gate.promise.then(() =>
      Promise.all([pool.run(() => 1), pool.run(async () => 2), pool.run(() => 3)]),
    );
  });
  await first;
  gate.resolve();
  assert.deepEqual(await late, [1, 2, 3]);
  assert.equal(told, 0);
});

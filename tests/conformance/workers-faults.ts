/** Workers that die: what becomes of what they had. */

import { isWorkerCrashedError } from "tidegate";
import { assert, deferred, rejection, test } from "./registry.js";
import { withWorkers } from "./workers.js";

const NO_WORKERS = { skipIn: { workerd: "no-workers" } } as const;

test(
  "workers: one that ends itself takes its task with it, and another takes its place",
  () =>
    withWorkers({ size: { min: 1, max: 1 } }, async (pool) => {
      const told = deferred<string>();
      pool.on("crash", ({ worker }) => told.resolve(worker));
      const error = await rejection(pool.run("exit"));
      assert.isTrue(isWorkerCrashedError(error));
      assert.include((error as Error).message, '"exit"');
      assert.equal(await told.promise, "workers-0");
      assert.equal(await pool.run("add", [1, 2]), 3);
      assert.equal(pool.metrics().deaths, 1);
      assert.equal(pool.metrics().crashed, 1);
    }),
  NO_WORKERS,
);

test(
  "workers: one that traps is replaced, the trap is the cause, and those behind it run elsewhere",
  () =>
    withWorkers({ size: 1 }, async (pool) => {
      for (let n = 0; n < 3; n += 1) await pool.run("add", [n, n]);
      const [trapped, ...others] = await Promise.allSettled([
        pool.run("trap"),
        ...Array.from({ length: 50 }, (_, n) => pool.run("square", [n])),
      ]);
      const error = (trapped as PromiseRejectedResult).reason as Error;
      assert.isTrue(isWorkerCrashedError(error));
      assert.match((error.cause as Error).message, /unreachable/i);
      assert.isTrue(others.every((outcome, n) => outcome.status === "fulfilled" && outcome.value === n * n));
    }),
  NO_WORKERS,
);

test(
  "workers: an idempotent task whose worker dies is tried again, so many times and no more",
  () =>
    withWorkers({ size: 1, retries: 1 }, async (pool) => {
      assert.isTrue(isWorkerCrashedError(await rejection(pool.run("exit", [], { idempotent: true }))));
      const { deaths, retried, crashed } = pool.metrics();
      assert.deepEqual([deaths, retried, crashed], [2, 1, 1]);
    }),
  NO_WORKERS,
);

test(
  "workers: one that is terminated from outside is noticed",
  () => {
    const terminate: (() => void)[] = [];
    return withWorkers(
      { size: 1 },
      async (pool) => {
        await pool.run("noop");
        const lost = pool.run("untilStopped", [], {});
        const safe = pool.run("wait", [300], { idempotent: true });
        for (const end of terminate) end();
        assert.isTrue(isWorkerCrashedError(await rejection(lost)));
        assert.equal(await safe, 300);
      },
      (worker) => terminate.push(() => void worker.terminate()),
    );
  },
  NO_WORKERS,
);

test(
  "workers: an error that belongs to no task ends the worker, and the pool goes on",
  () =>
    withWorkers({ size: 1 }, async (pool) => {
      const told = deferred<unknown>();
      pool.on("crash", ({ error }) => told.resolve(error));
      // Its answer may be overtaken by the death.
      await pool.run("throwLater").catch(() => {});
      assert.include(String((await told.promise) as Error), "nobody's error");
      assert.equal(await pool.run("add", [4, 4]), 8);
    }),
  NO_WORKERS,
);

test(
  "workers: what a dead worker still says is nobody's",
  () =>
    withWorkers({ size: 1 }, async (pool) => {
      // The limit passes while the answer is on its way: whichever comes first, each call settles once and the next is right.
      for (let n = 0; n < 8; n += 1) {
        const outcome = await pool.run("spin", [20], { timeout: 20 }).catch(() => "late");
        assert.include([20, "late"], outcome);
        assert.equal(await pool.run("add", [n, 1]), n + 1);
      }
    }),
  NO_WORKERS,
);

/**
 * After a trap of the store nobody knows which worker has what: every task is rejected, the workers are started anew, and the pool
 * goes on.
 */

import { isClosedError, isRuntimeTrapError } from "tidegate";
import { WorkerPool } from "tidegate/workers";
import { assert, rejection, test, turn } from "../conformance/registry.js";
import { surroundings } from "../conformance/surroundings.js";
import { unhandledDuring } from "../conformance/waiting.js";
import { callsOfTheDead, isArmed, trapAt } from "./arming.js";
import type { functions } from "./workers.js";

const SIZE = 2;

/** A pool whose workers have started, closed at the end of the case. */
async function withWorkers(use: (pool: WorkerPool<typeof functions>) => Promise<void>): Promise<void> {
  const worker = surroundings.worker as NonNullable<typeof surroundings.worker>;
  const pool = new WorkerPool<typeof functions>({ worker, size: { min: SIZE, max: SIZE } });
  try {
    await pool.ready;
    await use(pool);
  } finally {
    await pool.close({ grace: 0, queued: "reject" });
  }
}

/** Nothing was thrown where nobody catches it, nobody called the dead instance, and the pool works at full size. */
async function goesOn(pool: WorkerPool<typeof functions>): Promise<void> {
  assert.isFalse(isArmed());
  const sums = await Promise.all(Array.from({ length: 20 }, (_, n) => pool.run("add", [n, n])));
  assert.deepEqual(
    sums,
    Array.from({ length: 20 }, (_, n) => 2 * n),
  );
  await pool.ready;
  const { mode, workers, queued, running } = pool.metrics();
  assert.deepEqual([mode, workers, queued, running], ["workers", SIZE, 0, 0]);
  assert.deepEqual(callsOfTheDead(), []);
}

function isTrap(outcome: PromiseSettledResult<unknown>): boolean {
  return outcome.status === "rejected" && isRuntimeTrapError(outcome.reason);
}

test("trap of the store: what workers have and what waits for them is rejected, and the workers are started anew", () =>
  withWorkers(async (pool) => {
    const tasks = [
      ...Array.from({ length: 5 }, () => pool.run("never")),
      pool.run("never", [], { signal: new AbortController().signal, timeout: 60_000, waitTimeout: 60_000 }),
    ];
    const items = pool.stream("forEver")[Symbol.asyncIterator]().next();
    const outcomes = Promise.allSettled([...tasks, items]);
    trapAt("dispatch_stats");
    let thrown: unknown;
    try {
      pool.metrics();
    } catch (error) {
      thrown = error;
    }
    assert.isTrue(isRuntimeTrapError(thrown));
    assert.isTrue((await outcomes).every(isTrap));
    await goesOn(pool);
  }));

for (const call of ["dispatch_submit", "dispatch_order", "dispatch_flush", "dispatch_answered", "told"]) {
  test(`trap of the store in ${call}: every task ends, nobody else hears of it, and the pool goes on`, () =>
    withWorkers(async (pool) => {
      for (let nth = 1; nth <= 4; nth += 1) {
        const outcomes: PromiseSettledResult<unknown>[] = [];
        const unhandled = await unhandledDuring(async () => {
          trapAt(call, nth);
          while (isArmed()) {
            const tasks = Array.from({ length: 3 }, (_, n) => pool.run("add", [n, n]));
            outcomes.push(...(await Promise.allSettled(tasks)));
          }
        });
        assert.deepEqual(unhandled, []);
        assert.isTrue(outcomes.some(isTrap) || nth > 1);
        assert.isTrue(outcomes.every((outcome) => outcome.status === "fulfilled" || isTrap(outcome)));
        await goesOn(pool);
      }
    }));
}

test("trap of the store in an abort, and in a loop that is left: the pool goes on", () =>
  withWorkers(async (pool) => {
    const unhandled = await unhandledDuring(async () => {
      const aborts = new AbortController();
      const task = rejection(pool.run("never", [], { signal: aborts.signal }));
      trapAt("dispatch_cancel");
      aborts.abort(new Error("enough"));
      assert.isTrue(isRuntimeTrapError(await task) || ((await task) as Error).message === "enough");
      await goesOn(pool);
      for await (const item of pool.stream("forEver")) {
        if (item < 3) continue;
        trapAt("dispatch_cancel");
        break;
      }
      await turn();
    });
    assert.deepEqual(unhandled, []);
    await goesOn(pool);
  }));

test("trap of the store while a pool of workers closes: what is left is rejected, and nothing more is taken in", async () => {
  const worker = surroundings.worker as NonNullable<typeof surroundings.worker>;
  const pool = new WorkerPool<typeof functions>({ worker, size: { min: SIZE, max: SIZE } });
  await pool.ready;
  const left = rejection(pool.run("never"));
  const closed = pool.close();
  trapAt("dispatch_stats");
  try {
    pool.metrics();
  } catch (error) {
    assert.isTrue(isRuntimeTrapError(error));
  }
  assert.isTrue(isRuntimeTrapError(await left));
  assert.isTrue(isClosedError(await rejection(pool.run("add", [1, 2]))));
  await closed;
  assert.equal(pool.metrics().workers, 0);
});

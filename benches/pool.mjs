/**
 * The cost of a task: 10,000 no-ops through a pool of 10, metrics on, against p-limit.
 */

import assert from "node:assert/strict";
import pLimit from "p-limit";
import { Pool } from "tidegate";
import { sideBySide, versionOf } from "./side-by-side.mjs";

const TASKS = 10_000;
const CONCURRENCY = 10;

export async function bench() {
  const pool = new Pool({ name: "bench", concurrency: CONCURRENCY });
  const limit = pLimit(CONCURRENCY);
  return [
    await sideBySide({
      bench: "pool",
      n: TASKS,
      peer: "p-limit",
      version: versionOf("p-limit"),
      bar: 0.6,
      async ours() {
        const before = pool.metrics().completed;
        assert.equal(await load((task) => pool.run(task)), TASKS);
        const { completed, failed, active, queued } = pool.metrics();
        assert.deepEqual([completed - before, failed, active, queued], [TASKS, 0, 0, 0]);
      },
      async theirs() {
        assert.equal(await load((task) => limit(task)), TASKS);
        assert.deepEqual([limit.activeCount, limit.pendingCount], [0, 0]);
      },
    }),
  ];
}

/** Submits every task at once and gives how many ran. */
async function load(run) {
  let ran = 0;
  const task = async () => {
    ran += 1;
  };
  const promises = [];
  for (let n = 0; n < TASKS; n += 1) promises.push(run(task));
  await Promise.all(promises);
  return ran;
}

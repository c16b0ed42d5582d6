/**
 * 100,000 tasks while workers are killed, hung and trapped: with tasks queued in them, with one running, and in the middle of
 * an answer.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { isTimeoutError, isWorkerCrashedError } from "tidegate";
import { WorkerPool } from "tidegate/workers";

const TASKS = 100_000;
const PHASES = ["queued", "running", "answering"];
const WAYS = ["kill", "hang", "trap"];
/** Faults that are planned for each phase, and how many of them must strike: one may find its worker broken already. */
const FAULTS = 120;
const STRIKES = 100;
const SIZE = 4;
/** Tasks that are under way at once, so that faults strike all along. */
const WINDOW = 400;
const LIMIT = 100;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

test("100,000 tasks while workers die in every way: each settles once, none is lost, none runs twice", async () => {
  const runs = new Int32Array(new SharedArrayBuffer(4 * TASKS));
  const strikes = new Int32Array(new SharedArrayBuffer(4 * PHASES.length));
  const pool = new WorkerPool({
    worker: ({ name }) =>
      new Worker(new URL("fault-functions.mjs", import.meta.url), {
        name,
        workerData: { runs: runs.buffer, strikes: strikes.buffer },
        stderr: true,
      }),
    size: { min: SIZE, max: SIZE },
    taskTimeout: LIMIT,
    retries: 1000,
  });
  await pool.ready;
  const draw = seeded(20_261_121);
  const plan = faultsOf(draw);
  const settled = new Uint8Array(TASKS);
  const lost = [];
  const seen = { answered: 0, crashed: 0, timedOut: 0, twice: 0 };
  const idempotent = (id) => id % 3 === 0;

  const one = async (id) => {
    const fault = plan.get(id);
    const [name, args] =
      fault !== undefined ? [fault.phase, [id, fault.way]] : [draw() < 0.01 ? "slowTask" : "task", [id]];
    // What breaks its worker every time is tried once.
    const options = { idempotent: fault === undefined && idempotent(id) };
    await pool.run(name, args, options).then(
      (value) => {
        settled[id] += 1;
        seen.answered += 1;
        if (value !== id * 2) lost.push(`${id} gave ${value}`);
      },
      (error) => {
        settled[id] += 1;
        if (isWorkerCrashedError(error)) seen.crashed += 1;
        else if (isTimeoutError(error)) seen.timedOut += 1;
        else lost.push(`${id} failed with ${error}`);
      },
    );
  };

  collect();
  let heap = 0;
  let next = 0;
  const lane = async () => {
    while (next < TASKS) {
      const id = next;
      next += 1;
      if (id === TASKS / 10) {
        collect();
        heap = process.memoryUsage().heapUsed;
      }
      await one(id);
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, lane));

  assert.deepEqual(lost, []);
  assert.ok(
    settled.every((times) => times === 1),
    "each task settles exactly once",
  );
  for (let id = 0; id < TASKS; id += 1) {
    if (runs[id] > 1) seen.twice += 1;
    assert.ok(runs[id] <= 1 || (idempotent(id) && !plan.has(id)), `task ${id} ran ${runs[id]} times`);
  }
  assert.equal(seen.answered + seen.crashed + seen.timedOut, TASKS);
  assert.ok(seen.twice > 0, "what may run again does");
  const { crashed, queued, running } = pool.metrics();
  for (const [phase, name] of PHASES.entries())
    assert.ok(strikes[phase] >= STRIKES, `${strikes[phase]} faults have struck in the phase "${name}"`);
  assert.equal(crashed, seen.crashed);
  assert.deepEqual([queued, running], [0, 0]);
  await atFullSize(pool);
  collect();
  const grown = process.memoryUsage().heapUsed - heap;
  assert.ok(grown < 4_000_000, `the heap has grown by ${grown} bytes`);
  await pool.close();
});

/** Which task breaks its worker, in which phase and how: as many in each phase, spread over all of the run. */
function faultsOf(draw) {
  const plan = new Map();
  for (const phase of PHASES)
    for (let n = 0; n < FAULTS; n += 1) {
      let id = Math.floor(draw() * TASKS);
      while (plan.has(id)) id = Math.floor(draw() * TASKS);
      plan.set(id, { phase, way: WAYS[n % WAYS.length] });
    }
  return plan;
}

/** Work for every worker brings every worker back. */
async function atFullSize(pool) {
  while (pool.metrics().workers < SIZE || pool.metrics().idle < SIZE)
    await Promise.allSettled(
      Array.from({ length: SIZE }, () => pool.run("slowTask", [0], { idempotent: true })),
    );
  assert.equal(pool.metrics().workers, SIZE);
}

/** Numbers from 0 to 1 that are the same every time (mulberry32). */
function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

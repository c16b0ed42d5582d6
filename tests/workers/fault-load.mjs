/**
 * 100,000 tasks while workers are killed, hung and trapped: with tasks queued in them, with one running, and in the middle of
 * an answer. The same in Node and in a page: both give the workers, the shared memory that they count in, and their heap.
 */

import { isTimeoutError, isWorkerCrashedError } from "tidegate";
import { WorkerPool } from "tidegate/workers";

export const TASKS = 100_000;
export const PHASES = ["queued", "running", "answering"];
/** How many faults must strike in each phase. */
export const STRIKES = 100;
export const SIZE = 4;
/** Bytes that the heap may have grown by. */
export const GROWTH = 4_000_000;

const WAYS = ["kill", "hang", "trap"];
/** Faults that are planned for each phase: one may find its worker broken already. */
const FAULTS = 160;
/** Tasks that are under way at once, so that faults strike all along. */
const WINDOW = 400;
const LIMIT = 100;

/** Shared memory in which workers count: how often each task has run, and how many faults have struck in each phase. */
export function counters() {
  return {
    runs: new SharedArrayBuffer(4 * TASKS),
    strikes: new SharedArrayBuffer(4 * PHASES.length),
  };
}

/**
 * Runs all of it and gives what was counted. `worker` makes a worker of `fault-functions.mjs` that has the counters; `heap` gives the bytes
 * that are left after a collection, in Node or Chromium.
 */
export async function withstand({ worker, shared, heap, seed = 20_261_121 }) {
  const [runs, strikes] = [new Int32Array(shared.runs), new Int32Array(shared.strikes)];
  const pool = new WorkerPool({ worker, size: { min: SIZE, max: SIZE }, taskTimeout: LIMIT, retries: 1000 });
  await pool.ready;
  const draw = seeded(seed);
  const plan = faultsOf(draw);
  const settled = new Uint8Array(TASKS);
  const lost = [];
  const seen = { answered: 0, crashed: 0, timedOut: 0 };
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

  let before = 0;
  let next = 0;
  const lane = async () => {
    while (next < TASKS) {
      const id = next;
      next += 1;
      if (id === TASKS / 10) before = heap();
      await one(id);
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, lane));
  const { crashed, queued, running } = pool.metrics();
  const twice = [...runs.keys()].filter((id) => runs[id] > 1);
  const workers = await atFullSize(pool);
  // What workers leave when they end is let go in later turns; what is kept stays for all of them.
  let grown = heap() - before;
  for (let turn = 0; turn < 50 && grown >= GROWTH; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve));
    grown = Math.min(grown, heap() - before);
  }
  await pool.close();
  return {
    lost,
    once: settled.reduce((count, times) => count + (times === 1 ? 1 : 0), 0),
    ...seen,
    counted: { crashed, queued, running },
    twice: twice.length,
    wronglyTwice: twice.filter((id) => !idempotent(id) || plan.has(id)).length,
    strikes: Object.fromEntries(PHASES.map((phase, index) => [phase, strikes[index]])),
    workers,
    grown,
  };
}

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
  return pool.metrics().workers;
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

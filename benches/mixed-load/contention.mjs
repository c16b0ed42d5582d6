/**
 * What it costs that others wait: how long a lock, or the one slot of a pool, stands free while somebody waits for it, as
 * a share of the time for which it is held.
 */

import assert from "node:assert/strict";
import { LockSet, Pool } from "tidegate";

/** At least; and so many that somebody holds it 400 times at least, or a single hiccup of the machine would decide where few wait. */
const ROUNDS = 20;
const HOLDS = 400;
/** Milliseconds that each holder works. */
const HOLD = 2;

/** The overhead with so many waiters, in percent; of the lock or the pool, whichever is worse. */
export async function contention(waiters) {
  const locks = new LockSet();
  const pool = new Pool({ concurrency: 1 });
  const throughLock = async (work) => {
    const lease = await locks.acquire(["shared"]);
    try {
      return await work();
    } finally {
      lease.release();
    }
  };
  const throughPool = (work) => pool.run(work);
  const overheads = [];
  for (const through of [throughLock, throughPool]) overheads.push(await overhead(waiters, through));
  return Math.max(...overheads);
}

async function overhead(waiters, through) {
  const rounds = Math.max(ROUNDS, Math.ceil(HOLDS / (waiters + 1)));
  let [lasted, held] = [0, 0];
  for (let round = 0; round < rounds; round += 1) {
    let inside = 0;
    const work = async () => {
      inside += 1;
      assert.equal(inside, 1);
      const began = performance.now();
      await new Promise((resolve) => setTimeout(resolve, HOLD));
      held += performance.now() - began;
      inside -= 1;
    };
    const began = performance.now();
    // One holds it, the others wait.
    await Promise.all(Array.from({ length: waiters + 1 }, () => through(work)));
    lasted += performance.now() - began;
  }
  return ((lasted - held) / held) * 100;
}

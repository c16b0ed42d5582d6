/**
 * A mixed load on the range with its faults on: more callers than slots, each with one call after the other.
 */

import { Pool } from "tidegate";
import { draw } from "../../range/random.mjs";
import { mixedCalls, TIMEOUT } from "./calls.mjs";

const SLOTS = 32;
const CALLERS = 48;

/**
 * @param {import("../../range/range.mjs").Range} range
 * @param {{ seed: number, calls: number }} options
 */
export async function load(range, { seed, calls }) {
  const pool = new Pool({
    name: "mixed load",
    concurrency: SLOTS,
    queue: { capacity: 100, overflow: "wait", waitTimeout: 10_000 },
    timeout: TIMEOUT,
    retry: { attempts: 2, backoff: { initial: 5, max: 20 }, retryAfter: false },
  });
  const mixed = mixedCalls(range, SLOTS);
  const wheel = mixed.kinds.flatMap((kind) => Array.from({ length: kind.share }, () => kind));
  const strays = new Map();
  let [begun, answered, asTold, spent] = [0, 0, 0, 0];

  const caller = async () => {
    while (begun < calls) {
      const kind = wheel[Math.floor(draw(seed, "call", begun) * wheel.length)];
      begun += 1;
      const asked = performance.now();
      const answer = await pool
        .run(kind.run, kind.options?.())
        .then((value) => ({ value }))
        .catch((error) => ({ error }));
      spent += performance.now() - asked;
      answered += 1;
      if (kind.allows(answer)) asTold += 1;
      else
        strays.set(
          `${kind.name}: ${answer.error ?? answer.value}`,
          (strays.get(`${kind.name}: ${answer.error ?? answer.value}`) ?? 0) + 1,
        );
    }
  };

  range.faults = true;
  const began = performance.now();
  await Promise.all(Array.from({ length: CALLERS }, caller));
  const lasted = performance.now() - began;
  range.faults = false;

  const { active, queued, waitingForRoom, run, completed, failed } = pool.metrics();
  for (const [what, times] of strays) console.log(`not as its policy says, ${times} ×: ${what}`);
  console.log(
    `${calls} calls in ${(lasted / 1000).toFixed(1)} s, seed ${seed}: ${completed} attempts completed, ${failed} failed`,
  );
  await pool.close({ grace: 1000 });
  const lostUpdates = mixed.lostUpdates();
  await mixed.end();
  return {
    averageTask: spent / answered,
    tasksPerSecond: (answered / lasted) * 1000,
    lost: calls - answered + active + queued + waitingForRoom + lostUpdates,
    slotsUsed: (run.sum / (SLOTS * lasted)) * 100,
    asThePolicySays: (asTold / calls) * 100,
  };
}

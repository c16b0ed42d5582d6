/** Our side of the no-op contests, wherever the workers come from. */

import { WorkerPool } from "tidegate/workers";
import { WORKERS } from "./bars.mjs";

export function poolOf(worker) {
  const pool = new WorkerPool({ worker, size: { min: WORKERS, max: WORKERS } });
  let called = 0;
  return {
    noop() {
      called += 1;
      return pool.run("noop");
    },
    async close() {
      await pool.close();
      const { mode, submitted, completed, failed, deaths } = pool.metrics();
      const counted = JSON.stringify([mode, submitted, completed, failed, deaths]);
      const expected = JSON.stringify(["workers", called, called, 0, 0]);
      if (counted !== expected) throw new Error(`counted ${counted}, expected ${expected}`);
    },
  };
}

/** The fault load in Node. */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { counters, withstand } from "./fault-load.mjs";

export function withstandInNode() {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  const shared = counters();
  return withstand({
    shared,
    worker: ({ name }) =>
      new Worker(new URL("fault-worker-node.mjs", import.meta.url), {
        name,
        workerData: shared,
        stderr: true,
      }),
    heap() {
      collect();
      return process.memoryUsage().heapUsed;
    },
  });
}

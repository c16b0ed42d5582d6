/** The page of the no-op contests: calls in turns, each timed here. */

import { wrap } from "comlink";
import { WorkerPool } from "tidegate/workers";
import workerpool from "workerpool";
import { loads, WORKERS } from "./bars.mjs";

const ours = new WorkerPool({
  worker: ({ name }) => new Worker("/ours.js", { type: "module", name }),
  size: { min: WORKERS, max: WORKERS },
});
const remote = wrap(new Worker("/comlink.js", { type: "module" }));
const pool = workerpool.pool("/workerpool.js", {
  workerType: "web",
  workerOpts: { type: "module" },
  minWorkers: WORKERS,
  maxWorkers: WORKERS,
});

const noops = {
  ours: () => ours.run("noop"),
  comlink: () => remote.noop(),
  workerpool: () => pool.exec("noop", []),
};

/** Runs a load once and gives its milliseconds. */
globalThis.contest = async (who, load) => {
  const began = performance.now();
  await loads[load](noops[who]);
  return performance.now() - began;
};

globalThis.readiness = (async () => {
  await ours.ready;
  for (const noop of Object.values(noops)) await noop();
  if (ours.metrics().mode !== "workers") throw new Error("there are no workers in this page");
})();

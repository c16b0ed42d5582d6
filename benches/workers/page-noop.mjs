/** The page of the no-op contests: calls in turns, each timed here. */

import { wrap } from "comlink";
import workerpool from "workerpool";
import { loads, WORKERS } from "./bars.mjs";
import { poolOf } from "./ours.mjs";

const contestants = {
  ours: () => poolOf(({ name }) => new Worker("/ours.js", { type: "module", name })),
  comlink() {
    const worker = new Worker("/comlink.js", { type: "module" });
    const remote = wrap(worker);
    return { noop: () => remote.noop(), close: () => worker.terminate() };
  },
  workerpool() {
    const pool = workerpool.pool("/workerpool.js", {
      workerType: "web",
      workerOpts: { type: "module" },
      minWorkers: WORKERS,
      maxWorkers: WORKERS,
    });
    return { noop: () => pool.exec("noop", []), close: () => pool.terminate() };
  },
};

const present = new Map();

globalThis.enter = async (who) => {
  const contestant = contestants[who]();
  present.set(who, contestant);
  await contestant.noop();
};

/** Runs a load once and gives its milliseconds. */
globalThis.run = async (who, load) => {
  const { noop } = present.get(who);
  const began = performance.now();
  await loads[load](noop);
  return performance.now() - began;
};

globalThis.leave = async (who) => {
  await present.get(who).close();
  present.delete(who);
};

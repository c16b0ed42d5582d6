/** The no-op contests in Node: every contestant has two workers, and comlink the one that it is made for. */

import { Worker } from "node:worker_threads";
import { wrap } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { Piscina } from "piscina";
import { WorkerPool } from "tidegate/workers";
import workerpool from "workerpool";
import { sideBySide, versionOf } from "../side-by-side.mjs";
import { bars, loads, sizes, WORKERS } from "./bars.mjs";

const script = (name) => new URL(`${name}.mjs`, import.meta.url);

export async function inNode() {
  const ours = new WorkerPool({
    worker: ({ name }) => new Worker(script("worker-ours"), { name }),
    size: { min: WORKERS, max: WORKERS },
  });
  await ours.ready;
  const rows = [];
  const contestants = {
    workerpool: theirWorkerpool,
    piscina: theirPiscina,
    comlink: theirComlink,
  };
  try {
    for (const [load, peers] of Object.entries(bars.node)) {
      for (const [peer, bar] of Object.entries(peers)) {
        const { noop, close } = contestants[peer]();
        await noop();
        rows.push(
          await sideBySide({
            bench: `workers: no-ops ${load} in Node`,
            n: sizes[load],
            peer,
            version: versionOf(peer),
            bar,
            rounds: 11,
            ours: () => loads[load](() => ours.run("noop")),
            theirs: () => loads[load](noop),
          }),
        );
        await close();
      }
    }
  } finally {
    await ours.close();
  }
  return rows;
}

function theirWorkerpool() {
  const pool = workerpool.pool(script("worker-workerpool").pathname, {
    workerType: "thread",
    minWorkers: WORKERS,
    maxWorkers: WORKERS,
  });
  return { noop: () => pool.exec("noop", []), close: () => pool.terminate() };
}

function theirPiscina() {
  const pool = new Piscina({
    filename: script("node-piscina").href,
    minThreads: WORKERS,
    maxThreads: WORKERS,
    name: "noop",
  });
  return { noop: () => pool.run(), close: () => pool.destroy() };
}

function theirComlink() {
  const worker = new Worker(script("node-comlink"));
  const remote = wrap(nodeEndpoint(worker));
  return { noop: () => remote.noop(), close: () => worker.terminate() };
}

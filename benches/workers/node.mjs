/** The no-op contests in Node: every contestant has two workers, and comlink the one that it is made for. */

import { Worker } from "node:worker_threads";
import { wrap } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { Piscina } from "piscina";
import workerpool from "workerpool";
import { inTurns, told, versionOf } from "../side-by-side.mjs";
import { bars, loads, pairs, rounds, sizes, WORKERS } from "./bars.mjs";
import { poolOf } from "./ours.mjs";

const script = (name) => new URL(`${name}.mjs`, import.meta.url);

const contestants = { ours, workerpool: theirWorkerpool, piscina: theirPiscina, comlink: theirComlink };

export async function inNode() {
  const rows = [];
  for (const [load, peers] of Object.entries(bars.node)) {
    for (const [peer, bar] of Object.entries(peers)) {
      const timed = [];
      for (let pair = 0; pair < pairs[load]; pair += 1) timed.push(...(await contest(peer, load)));
      const bench = `workers: no-ops ${load} in Node`;
      rows.push(told({ bench, n: sizes[load], peer, version: versionOf(peer), bar, timed }));
    }
  }
  return rows;
}

/** A pair of fresh contestants. */
async function contest(peer, load) {
  const [mine, theirs] = [await entered(contestants.ours()), await entered(contestants[peer]())];
  const timed = await inTurns({
    rounds: rounds[load],
    ours: () => loads[load](mine.noop),
    theirs: () => loads[load](theirs.noop),
  });
  await mine.close();
  await theirs.close();
  return timed;
}

async function entered(contestant) {
  await contestant.noop();
  return contestant;
}

function ours() {
  return poolOf(({ name }) => new Worker(script("worker-ours"), { name }));
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

/** What the edge bench measures, side by side in one isolate: the same work through a pool, through its peers, and through nothing. */

import pLimit from "p-limit";
import PQueue from "p-queue";
import { Pool } from "tidegate";

const SLOTS = 2;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const line = new Pool({ name: "line", concurrency: SLOTS });
const wide = new Pool({ name: "wide", concurrency: 1000 });
const limit = pLimit(SLOTS);
const queue = new PQueue({ concurrency: SLOTS });
const waiting = [];
let free = SLOTS;
let running = 0;
let most = 0;

async function task(ms) {
  running += 1;
  most = Math.max(most, running);
  await sleep(ms);
  running -= 1;
  return "done";
}

const done = () => new Response("done");
const routes = {
  async pool(ms) {
    await line.run(() => task(ms));
    return done();
  },
  /** The least that does it where promises of other requests may be resolved: no order but that of arrival, no end to any wait, no count of anything. */
  async least(ms) {
    if (free > 0) free -= 1;
    else {
      // Whoever has nothing pending of its own is killed.
      const timer = setTimeout(() => {}, 60_000);
      await new Promise((resolve) => waiting.push(resolve));
      clearTimeout(timer);
    }
    await task(ms);
    const next = waiting.shift();
    if (next === undefined) free += 1;
    else next();
    return done();
  },
  async limit(ms) {
    await limit(() => task(ms));
    return done();
  },
  async queue(ms) {
    await queue.add(() => task(ms));
    return done();
  },
  /** So many tasks one after the other: what nothing that runs so many in as many requests can be faster than. */
  async chain(ms, tasks) {
    for (let n = 0; n < tasks; n += 1) await sleep(ms);
    return done();
  },
  /** A request that does nothing, and one that does it through a pool that has room. */
  bare: async () => done(),
  through: () => wide.run(done),
  seen() {
    const { active, queued } = line;
    const seen = {
      most,
      active,
      queued,
      pLimit: [limit.activeCount, limit.pendingCount],
      pQueue: [queue.pending, queue.size],
    };
    most = 0;
    return Response.json(seen);
  },
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  fetch(request) {
    const [, what, ms, tasks] = new URL(request.url).pathname.split("/");
    return routes[what](Number(ms), Number(tasks));
  },
};

/** A pool whose plain tasks pass without asking, shared by requests: what one of them does to it, others see. */

import { isClosedError, Pool } from "tidegate";

const pools = new Map();

function poolOf(name) {
  let pool = pools.get(name);
  if (pool === undefined) pools.set(name, (pool = new Pool({ name, concurrency: 4 })));
  return pool;
}

/** Runs until it is told to stop. A request in which nothing is under way would be ended as hung. */
const long = ({ signal }) =>
  new Promise((_, reject) => {
    const timer = setTimeout(() => reject(new Error("nobody stopped it")), 60_000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

const routes = {
  /** Several in one turn: the first passes, and is asked for by the others. */
  async several(pool, request) {
    await pool.run(() => "first");
    const ends = [1, 2, 3].map(() => pool.run(long).catch((error) => error));
    // The first alone, and only in its own request may the body be read.
    const first = await ends[0];
    const body = await request.text();
    const all = [first, await ends[1], await ends[2]];
    return `${body} ${all.filter(isClosedError).length}`;
  },
  async single(pool, request) {
    await pool.run(() => "first");
    const [end] = await Promise.allSettled([pool.run(long)]);
    return `${await request.text()} ${Number(isClosedError(end.reason))}`;
  },
  async close(pool) {
    await pool.close({ grace: 0 });
    return "closed";
  },
  active: (pool) => String(pool.active),
  /** Many of each kind, with other requests between them. */
  async many(pool, request) {
    const body = await request.text();
    let sum = 0;
    for (let n = 0; n < 100; n += 1) {
      sum += await pool.run(() => 1);
      sum += await pool.run(async () => 1);
      if (n % 20 === 0) sum += await pool.run(() => new Promise((resolve) => setTimeout(resolve, 1, 1)));
    }
    return `${body} ${sum}`;
  },
  counts(pool) {
    const { active, queued, accepted, started, completed, peakActive } = pool.metrics();
    return JSON.stringify({ active, queued, accepted, started, completed, most: peakActive <= 4 });
  },
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request) {
    const [, what, name] = new URL(request.url).pathname.split("/");
    return new Response(await routes[what](poolOf(name), request));
  },
};

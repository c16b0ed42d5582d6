/** A worker whose pools stand at module scope, where all its requests share them. */

import { Pool } from "tidegate";

const queue = (overflow) => ({ capacity: 10, overflow });
const pools = {
  open: new Pool({ name: "open", concurrency: 2 }),
  error: new Pool({ name: "error", concurrency: 2, queue: queue("error") }),
  "drop-newest": new Pool({ name: "drop-newest", concurrency: 2, queue: queue("drop-newest") }),
  "drop-oldest": new Pool({ name: "drop-oldest", concurrency: 2, queue: queue("drop-oldest") }),
  wait: new Pool({ name: "wait", concurrency: 2, queue: { ...queue("wait"), maxWaiters: 10 } }),
};
const gates = new Map();
const held = {};
const seen = {};

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Where somebody waits for another request to open it, it looks with a timer of its own. */
async function opened(name) {
  while (!gates.get(name)) await sleep(5);
}

async function counted(name, work) {
  const { running, most } = (seen[name] ??= { running: 0, most: 0, ran: 0 });
  seen[name].running = running + 1;
  seen[name].most = Math.max(most, running + 1);
  try {
    await work();
    seen[name].ran += 1;
  } finally {
    seen[name].running -= 1;
  }
}

const routes = {
  /** One task in a pool. */
  async pool({ name, ms }) {
    await pools[name].run(() => counted(name, () => sleep(ms)));
    return new Response("done");
  },
  /** One task that runs until the gate opens; says as the how manieth it came. */
  async held({ name }) {
    const number = (held[name] ??= 0);
    held[name] += 1;
    try {
      await pools[name].run(() => counted(name, () => opened(name)));
      return Response.json({ number, outcome: "done" });
    } catch (error) {
      return Response.json({ number, outcome: error.code });
    }
  },
  async gate({ name }) {
    gates.set(name, true);
    return new Response("open");
  },
  async seen({ name }) {
    const { active, queued, waitingForRoom } = pools[name];
    return Response.json({ ...seen[name], active, queued, waitingForRoom });
  },
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request) {
    const url = new URL(request.url);
    const [, what, name] = url.pathname.split("/");
    const ms = Number(url.searchParams.get("ms") ?? 2);
    try {
      return (await routes[what]?.({ name, ms })) ?? new Response("what?", { status: 404 });
    } catch (error) {
      return new Response(error.code ?? String(error), { status: 503 });
    }
  },
};

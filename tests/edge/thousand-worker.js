/** Handles of every policy that decides for many, at module scope, for a thousand requests at once. */

import { Cache, CircuitBreaker, isBrokenCircuitError, LockSet, RateLimiter, TaskGraph } from "tidegate";

/** So long that no test is slow enough to see the end of it. */
const target = { name: "target", consecutive: 5, openFor: 600_000 };
let breaker = new CircuitBreaker(target);
const rates = {
  bucket: new RateLimiter({ kind: "token-bucket", limit: 100, per: 100 }, { name: "bucket" }),
  window: new RateLimiter({ kind: "sliding-window", limit: 100, per: 100 }, { name: "window" }),
};
const caches = { own: new Cache(), isolate: new Cache({ share: "isolate" }) };
const locks = new LockSet();
const graph = new TaskGraph();
let isUp = false;
let isOpen = false;

const seen = {};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Where somebody waits for another request to open it, it looks with a timer of its own. */
async function opened() {
  while (!isOpen) await sleep(5);
}

async function counted(name, work) {
  seen[name] ??= { running: 0, most: 0, ran: 0 };
  const counts = seen[name];
  counts.running += 1;
  counts.most = Math.max(counts.most, counts.running);
  try {
    return await work();
  } finally {
    counts.running -= 1;
    counts.ran += 1;
  }
}

const routes = {
  async breaker() {
    try {
      await breaker.run(() =>
        counted("breaker", async () => {
          if (!isUp) return sleep(10).then(() => Promise.reject(new Error("down")));
          await opened();
        }),
      );
      return "called";
    } catch (error) {
      return isBrokenCircuitError(error) ? "refused" : "failed";
    }
  },
  state: () => breaker.state,
  /** The target works again, and the time of the breaker is over. */
  heal() {
    isUp = true;
    breaker = CircuitBreaker.from({ ...breaker.toJSON(), openFor: 0 }, target);
    return breaker.state;
  },
  open() {
    isOpen = true;
    return "open";
  },
  shut() {
    isOpen = false;
    return "shut";
  },
  async rate(name) {
    await rates[name].acquire();
    return counted(name, () => "passed");
  },
  load: (name) => caches[name].load("key", () => counted(name, () => sleep(30).then(() => "value"))),
  async lock() {
    const lease = await locks.acquire(["a", "b"]);
    try {
      return await counted("lock", () => sleep(0).then(() => "held"));
    } finally {
      lease.release();
    }
  },
  async execute() {
    graph.add("first", { run: opened });
    const { total, results } = await graph.execute({ concurrency: 3 });
    return JSON.stringify({ total, added: Object.values(results).filter((one) => one === "added").length });
  },
  graph: () => JSON.stringify(graph.metrics()),
  add(name) {
    graph.add(name, {
      dependsOn: ["first"],
      run: () => counted("graph", () => sleep(1).then(() => "added")),
    });
    return "added";
  },
  seen: (name) => JSON.stringify(seen[name] ?? { running: 0, most: 0, ran: 0 }),
  rest: () =>
    JSON.stringify({
      bucket: rates.bucket.metrics().waiting,
      window: rates.window.metrics().waiting,
      held: locks.metrics().held,
      locks: locks.metrics().waiting,
    }),
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request) {
    const [, what, name] = new URL(request.url).pathname.split("/");
    return new Response(await routes[what](name));
  },
};

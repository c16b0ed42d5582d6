/** A worker whose handles stand at module scope, where all its requests share them. */

import {
  Barrier,
  Cache,
  Channel,
  CircuitBreaker,
  Event,
  gather,
  isBrokenCircuitError,
  LockSet,
  ObjectPool,
  Pool,
  RateLimiter,
  TaskGraph,
  VersionedState,
} from "tidegate";

const queue = (overflow) => ({ capacity: 10, overflow });
const pools = {
  open: new Pool({ name: "open", concurrency: 2 }),
  error: new Pool({ name: "error", concurrency: 2, queue: queue("error") }),
  "drop-newest": new Pool({ name: "drop-newest", concurrency: 2, queue: queue("drop-newest") }),
  "drop-oldest": new Pool({ name: "drop-oldest", concurrency: 2, queue: queue("drop-oldest") }),
  wait: new Pool({ name: "wait", concurrency: 2, queue: { ...queue("wait"), maxWaiters: 10 } }),
};
const gates = new Map();
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

/** How many requests meet in each of `meetings`. */
const PARTY = 8;
const one = new Pool({ name: "one", concurrency: 1 });
const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: 10 }, { name: "meeting" });
const locks = new LockSet();
const cache = new Cache({ share: "isolate" });
const event = new Event();
const barrier = new Barrier(PARTY);
const channel = new Channel(0);
const state = new VersionedState();
const objects = new ObjectPool({ create: () => ({}), max: 1 });
const busy = new Pool({ name: "busy", concurrency: 1 });
const checked = new Pool({
  name: "checked",
  concurrency: 1,
  healthCheck: { run: () => sleep(20), every: 1000 },
});
let came = 0;
let turns = 0;

/** Ways to wait for what other requests do, each called by PARTY requests at once; `use` is what they do with their own request then. */
const meetings = {
  run: (use) => one.run(use),
  async acquire(use) {
    const lease = await one.acquire();
    try {
      return await use();
    } finally {
      lease.release();
    }
  },
  async submit(use) {
    const { accepted, done } = one.submit(() => sleep(2));
    await accepted;
    await done;
    return use();
  },
  async map(use) {
    for await (const answer of one.map([1], use)) return answer;
  },
  async gather(use) {
    const [answer] = await gather([() => one.run(use), () => one.run(() => 1)]);
    return answer;
  },
  async limiter(use) {
    await limiter.acquire();
    return use();
  },
  async locks(use) {
    const lease = await locks.acquire(["a", "b"]);
    try {
      return await use();
    } finally {
      lease.release();
    }
  },
  async reserve(use) {
    const lease = await locks.reserve(["c", "d"]);
    try {
      return await use();
    } finally {
      lease.release();
    }
  },
  async load(use) {
    await cache.load("meeting", () => sleep(20).then(() => 1));
    return use();
  },
  async event(use) {
    came += 1;
    if (came === PARTY) setTimeout(() => event.set(), 5);
    await event.wait();
    return use();
  },
  async barrier(use) {
    await barrier.arrive();
    return use();
  },
  async channel(use) {
    turns += 1;
    if (turns % 2 === 0) await channel.send(turns);
    else await channel.receive();
    return use();
  },
  async update(use) {
    await state.update("sum", async (sum = 0) => {
      await sleep(2);
      return sum + 1;
    });
    await state.waitFor("sum", (sum) => sum === PARTY);
    return use();
  },
  async objects(use) {
    const held = await objects.acquire();
    try {
      return await use();
    } finally {
      await held.release();
    }
  },
  async idle(use) {
    void busy.run(() => sleep(20));
    await busy.onIdle();
    return use();
  },
  async ready(use) {
    await checked.ready();
    return use();
  },
  async graph(use) {
    const graph = new TaskGraph();
    graph.add("first", { run: () => one.run(() => sleep(1)) });
    graph.add("then", { dependsOn: ["first"], run: () => one.run(use) });
    return (await graph.execute()).results.then;
  },
};
let later = 0;

const steady = new RateLimiter({ kind: "token-bucket", limit: 20, per: 50 }, { name: "steady" });
const breaker = new CircuitBreaker({ name: "target", consecutive: 5, openFor: 200 });
let isUp = false;
const ownLoads = new Cache();
const sharedLoads = new Cache({ share: "isolate" });
const common = new TaskGraph();

const routes = {
  /** What a request can do after it has waited, if it is still its own. */
  async meeting({ name, request, ctx, url }) {
    const use = async () => {
      await sleep(2);
      const copy = await request.clone().text();
      const body = await request.text();
      ctx.waitUntil(
        sleep(2).then(() => {
          later += 1;
        }),
      );
      const target = await fetch(url.searchParams.get("target"));
      return { copy, body, target: await target.text() };
    };
    return Response.json(await meetings[name](use));
  },
  async meetings() {
    return Response.json({ names: Object.keys(meetings), party: PARTY, later });
  },
  async limiter() {
    await steady.acquire();
    await counted("limiter", () => {});
    return new Response("passed");
  },
  async breaker() {
    try {
      const call = () =>
        counted("breaker", async () => {
          await sleep(20);
          if (!isUp) throw new Error("down");
        });
      await breaker.run(call);
      return new Response("called");
    } catch (error) {
      return new Response(isBrokenCircuitError(error) ? "refused" : "failed");
    }
  },
  async state() {
    return new Response(breaker.state);
  },
  async heal() {
    isUp = true;
    return new Response("up");
  },
  /** A load of one key, by requests that come at once; says what it got and how often a loader ran. */
  async load({ name }) {
    const from = name === "own" ? ownLoads : sharedLoads;
    const value = await from.load("key", async () => {
      await counted(name, () => sleep(30));
      return "value";
    });
    return new Response(value);
  },
  async lock() {
    const lease = await locks.acquire(["x", "y"]);
    try {
      await counted("lock", () => sleep(1));
    } finally {
      lease.release();
    }
    return new Response("held");
  },
  /** Executes the graph that others add to. */
  async execute() {
    common.add("first", { run: () => opened("graph") });
    const { total, results } = await common.execute({ concurrency: 3 });
    return Response.json({ total, got: Object.values(results).filter((value) => value === "done").length });
  },
  async graph() {
    return Response.json({ running: common.metrics().running > 0 });
  },
  async add({ name }) {
    common.add(name, {
      dependsOn: ["first"],
      run: () => counted("graph", () => sleep(1)).then(() => "done"),
    });
    return new Response("added");
  },
  async counts({ name }) {
    return Response.json(seen[name]);
  },
  /** One task in a pool. */
  async pool({ name, ms }) {
    await pools[name].run(() => counted(name, () => sleep(ms)));
    return new Response("done");
  },
  /** One task that runs until the gate opens. */
  async held({ name }) {
    await pools[name].run(() => counted(name, () => opened(name)));
    return new Response("done");
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
  async fetch(request, _env, ctx) {
    const url = new URL(request.url);
    const [, what, name] = url.pathname.split("/");
    const ms = Number(url.searchParams.get("ms") ?? 2);
    try {
      return (
        (await routes[what]?.({ name, ms, request, ctx, url })) ?? new Response("what?", { status: 404 })
      );
    } catch (error) {
      return new Response(error.code ?? String(error), { status: 503 });
    }
  },
};

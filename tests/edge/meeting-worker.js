/** A worker in whose requests one waits for the others, at handles of every kind, and then uses what only its own request may use. */

import {
  asCompleted,
  Barrier,
  BreakerGroup,
  batch,
  Cache,
  Channel,
  ConnectionPool,
  Counter,
  Event,
  gather,
  isClosedError,
  LockSet,
  ObjectPool,
  Orchestrator,
  Pool,
  PoolGroup,
  policy,
  RateLimiter,
  retry,
  Sink,
  select,
  TaskGraph,
  VersionedState,
  withTimeout,
} from "tidegate";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** How many requests meet in each of `meetings`. */
const PARTY = 8;
const one = new Pool({ name: "one", concurrency: 1 });
const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: 10 }, { name: "meeting" });
const locks = new LockSet();
const cache = new Cache({ share: "isolate" });
const event = new Event();
const barrier = new Barrier(PARTY);
const closedEvent = new Event();
const closedBarrier = new Barrier(PARTY + 1);
const closedLocks = new LockSet();
const channel = new Channel(0);
const state = new VersionedState();
const objects = new ObjectPool({ create: () => ({}), max: 1 });
const busy = new Pool({ name: "busy", concurrency: 1 });
const checked = new Pool({
  name: "checked",
  concurrency: 1,
  healthCheck: { run: () => sleep(20), every: 1000 },
});
const rated = new Pool({
  name: "rated",
  concurrency: 4,
  rate: { kind: "sliding-window", limit: 1, per: 5 },
});
const heavy = new Pool({ name: "heavy", concurrency: 2 });
const found = new Pool({ concurrency: { algorithm: "aimd", initial: 1, min: 1, max: 1 } });
const group = new PoolGroup({ concurrency: 1 });
const connections = new ConnectionPool({ create: () => ({}), max: 1 });
const breakers = new BreakerGroup({ probes: 1 });
const sink = new Sink({ write: () => sleep(2) });
const counter = new Counter();
const orchestrator = new Orchestrator();
orchestrator.register({ name: "use", mode: "passive", run: (use) => one.run(use) });
const composed = policy({ name: "composed", concurrency: 1, timeout: 10_000, retry: { attempts: 2 } });
const selected = [new Channel(0), new Channel(0)];
const closing = new Pool({ name: "closing", concurrency: 1 });
const closingGroup = new PoolGroup({ concurrency: 1 });
const closingObjects = new ObjectPool({ create: () => ({}), max: 1 });
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
  rated: (use) => rated.run(use),
  weighted: (use) => heavy.run(use, { weight: 2 }),
  prioritised: (use) => one.run(use, { priority: 10, name: "meeting" }),
  adaptive: (use) => found.run(use),
  group: (use) => group.get("key").run(use),
  breakers: (use) => breakers.get("key").run(use),
  retry: (use) => retry(() => one.run(use)),
  timeout: (use) => withTimeout(10_000, "use", () => one.run(use)),
  policy: (use) => composed.run(use),
  async batch(use) {
    for await (const { results } of batch([1], () => one.run(use))) return results[0];
  },
  async asCompleted(use) {
    for await (const { value } of asCompleted([() => one.run(use)])) return value;
  },
  async connections(use) {
    const held = await connections.acquire("host");
    try {
      return await use();
    } finally {
      await held.release();
    }
  },
  async select(use) {
    turns += 1;
    if (turns % 2 === 0) await select([{ send: selected[1], value: turns }]);
    else await select(selected.map((receive) => ({ receive })));
    return use();
  },
  async counter(use) {
    await counter.increment("meeting");
    return use();
  },
  async sink(use) {
    await sink.write("line");
    return use();
  },
  async orchestrator(use) {
    const [result] = await orchestrator.run(use);
    return result.value;
  },
  async close(use) {
    came += 1;
    if (came % PARTY === 1) void closing.run(() => sleep(20));
    await closing.close();
    return use();
  },
  async closeGroup(use) {
    came += 1;
    if (came % PARTY === 1) void closingGroup.get("key").run(() => sleep(20));
    await closingGroup.close();
    return use();
  },
  async closeObjects(use) {
    came += 1;
    if (came % PARTY === 1) {
      const held = await closingObjects.acquire();
      setTimeout(() => void held.release(), 20);
    }
    await closingObjects.close();
    return use();
  },
  closeEvent: (use) => turnedAway(closedEvent, () => closedEvent.wait(), use),
  closeBarrier: (use) => turnedAway(closedBarrier, () => closedBarrier.arrive(), use),
  async closeLocks(use) {
    closedLocks.tryAcquire("one");
    return await turnedAway(closedLocks, () => closedLocks.acquire("one"), use);
  },
};

/** Waits at what the last of those who wait there closes. */
async function turnedAway(handle, wait, use) {
  came += 1;
  if (came % PARTY === 0) setTimeout(() => handle.close(), 5);
  const error = await wait().then(
    () => new Error("It let somebody pass"),
    (error) => error,
  );
  if (!isClosedError(error)) throw error;
  return await use();
}

let later = 0;

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
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request, _env, ctx) {
    const url = new URL(request.url);
    const [, what, name] = url.pathname.split("/");
    return routes[what]({ name, request, ctx, url });
  },
};

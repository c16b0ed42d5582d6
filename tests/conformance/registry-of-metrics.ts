/** Every kind of handle in the one registry: counted, told of, exported, and done with by `using`. */

import {
  AdaptiveLimit,
  Barrier,
  BreakerGroup,
  Cache,
  Channel,
  CircuitBreaker,
  ConnectionPool,
  Counter,
  Event,
  isClosedError,
  LockSet,
  Metrics,
  ObjectPool,
  Orchestrator,
  Pool,
  PoolGroup,
  PressureMonitor,
  RateLimiter,
  retry,
  Sink,
  TaskGraph,
  VersionedState,
} from "tidegate";
import { parseOpenMetrics } from "./openmetrics.js";
import { assert, rejection, test } from "./registry.js";
import { hold } from "./waiting.js";

const HOUR = 3_600_000;

/** One handle of each kind, each with something to tell. */
async function oneOfEach() {
  const cache = new Cache<number>({ name: "pages" });
  cache.set("a", 1);
  cache.get("a");
  cache.get("b");
  const channel = new Channel<number>(2, { name: "jobs" });
  channel.trySend(1);
  const event = new Event({ name: "ready" });
  event.set();
  const barrier = new Barrier(1, { name: "start" });
  await barrier.arrive();
  const locks = new LockSet({ name: "ledgers" });
  locks.tryAcquire(["a"])?.release();
  const objects = new ObjectPool({ name: "buffers", create: () => ({}), bytes: 64 });
  await objects.use(() => null);
  await objects.use(() => null);
  const connections = new ConnectionPool({ name: "databases", create: (key: string) => ({ key }) });
  await connections.use("db", () => null);
  const state = new VersionedState<number>({ name: "progress" });
  state.set("done", 1);
  const counter = new Counter({ name: "visits" });
  counter.increment("/", 3);
  counter.increment("/about");
  const graph = new TaskGraph({ name: "plan" });
  graph.add("first", { run: () => null });
  const plugins = new Orchestrator<null>({ name: "plugins", maxWorkers: 2 });
  plugins.register({ name: "one", mode: "passive", run: () => null });
  await plugins.run(null);
  const sink = new Sink<number>({ name: "notes", write: () => {} });
  await sink.write(1);
  const adaptive = new AdaptiveLimit({ name: "api", algorithm: "aimd", min: 1, max: 9, initial: 4 });
  adaptive.sample({ latency: 5, inFlight: 4, ok: false, dropped: true });
  const load = { name: "told", read: () => ({ heap: 0.95 }) };
  const pressure = new PressureMonitor({ name: "host", sources: [load] });
  pressure.sample();
  return {
    cache,
    channel,
    event,
    barrier,
    locks,
    objects,
    connections,
    state,
    counter,
    graph,
    plugins,
    sink,
    adaptive,
    pressure,
  };
}

test("metrics of every handle: all kinds stand in one snapshot, alive or given", async () => {
  const handles = await oneOfEach();
  for (const snapshot of [new Metrics().toJSON(), new Metrics(Object.values(handles)).toJSON()]) {
    const named = <T extends { readonly name: string }>(all: readonly T[], name: string) =>
      all.find((one) => one.name === name);
    assert.include(named(snapshot.caches, "pages"), { size: 1, hits: 1, misses: 1, hitRatio: 0.5 });
    assert.include(named(snapshot.channels, "jobs"), { size: 1, capacity: 2, sent: 1, received: 0 });
    assert.include(named(snapshot.events, "ready"), { set: true, sets: 1, waiting: 0 });
    assert.include(named(snapshot.barriers, "start"), { parties: 1, rounds: 1, waiting: 0 });
    assert.include(named(snapshot.locks, "ledgers"), { held: 0, granted: 1, waiting: 0, mostWaiting: 0 });
    assert.include(named(snapshot.objects, "buffers"), { requests: 2, hits: 1, misses: 1, bytesSaved: 64 });
    assert.include(named(snapshot.objects, "databases"), { requests: 1, created: 1 });
    assert.include(named(snapshot.states, "progress"), { size: 1, writes: 1 });
    assert.include(named(snapshot.tallies, "visits"), { keys: 2, sum: 4 });
    assert.include(named(snapshot.graphs, "plan"), { waiting: 1, ready: 0, running: 0 });
    assert.include(named(snapshot.orchestrators, "plugins"), { plugins: 1, maxWorkers: 2, succeeded: 1 });
    assert.include(named(snapshot.sinks, "notes"), { waiting: 0, written: 1, failed: 0, closed: false });
    assert.include(named(snapshot.limits, "api"), { limit: 3, min: 1, max: 9, ups: 0, downs: 1 });
    assert.include(named(snapshot.pressures, "host"), { level: "critical", heap: 0.95, alerts: 1 });
  }
  const chosen = new Metrics([handles.cache]).toJSON();
  assert.deepEqual([chosen.caches.length, chosen.channels.length, chosen.pools.length], [1, 0, 0]);
});

test("metrics of every handle: JSON survives, and every name in it is camelCase", async () => {
  const handles = await oneOfEach();
  const text = JSON.stringify(new Metrics(Object.values(handles)));
  const names = [...text.matchAll(/"([^"]+)":/g)].map(([, name]) => name ?? "");
  assert.isAtLeast(names.length, 50);
  for (const name of names) assert.match(name, /^[a-z][a-zA-Z0-9]*$/);
});

test("metrics of every handle: OpenMetrics keeps one grammar for every kind", async () => {
  const handles = await oneOfEach();
  const families = parseOpenMetrics(new Metrics(Object.values(handles)).toOpenMetrics());
  const sample = (family: string, key: string) => families.get(family)?.samples.get(family + key);
  assert.equal(sample("tidegate_cache_lookups", '_totalcache="pages",outcome="hit"'), 1);
  assert.equal(sample("tidegate_cache_lookups", '_totalcache="pages",outcome="miss"'), 1);
  assert.equal(sample("tidegate_cache_hit_ratio", 'cache="pages"'), 0.5);
  assert.equal(sample("tidegate_channel_values", '_totalchannel="jobs",outcome="sent"'), 1);
  assert.equal(sample("tidegate_event_is_set", 'event="ready"'), 1);
  assert.equal(sample("tidegate_barrier_rounds", '_totalbarrier="start"'), 1);
  assert.equal(sample("tidegate_locks_claims", '_totallocks="ledgers",outcome="granted"'), 1);
  assert.equal(sample("tidegate_objects_count", 'objects="buffers",state="idle"'), 1);
  assert.equal(sample("tidegate_objects_saved_bytes", '_totalobjects="buffers"'), 64);
  assert.equal(sample("tidegate_objects_acquire_seconds", '_countobjects="buffers"'), 2);
  assert.equal(sample("tidegate_state_writes", '_totalstate="progress"'), 1);
  assert.equal(sample("tidegate_counter_sum", 'counter="visits"'), 4);
  assert.equal(sample("tidegate_graph_tasks", 'graph="plan",state="waiting"'), 1);
  assert.equal(
    sample("tidegate_orchestrator_results", '_totalorchestrator="plugins",outcome="succeeded"'),
    1,
  );
  assert.equal(sample("tidegate_orchestrator_max_workers", 'orchestrator="plugins"'), 2);
  assert.equal(sample("tidegate_sink_items", '_totalsink="notes",outcome="written"'), 1);
  assert.equal(sample("tidegate_adaptive_limit", 'adaptive="api"'), 3);
  assert.equal(sample("tidegate_adaptive_changes", '_totaladaptive="api",direction="down"'), 1);
  assert.equal(sample("tidegate_pressure_level", 'pressure="host",level="critical"'), 1);
  assert.equal(sample("tidegate_pressure_used", 'pressure="host",source="heap"'), 0.95);
  for (const [name, { help }] of families) {
    assert.match(
      name,
      /^tidegate_(cache|channel|event|barrier|locks|objects|state|counter|graph|orchestrator|sink|adaptive|pressure)_[a-z_]+$/,
    );
    assert.isDefined(help, name);
  }
});

test("metrics of every handle: what a group keeps stands with the pools", async () => {
  const group = new PoolGroup({ name: "hosts", concurrency: 1 });
  await group.get("a").run(() => null);
  const { pools } = new Metrics([group]).toJSON();
  assert.deepEqual(
    pools.map(({ name, completed }) => [name, completed]),
    [["hosts/a", 1]],
  );
});

test("metrics of retries: calls, attempts after the first, and calls that nothing was left for", async () => {
  const transient = () => Promise.reject(Object.assign(new Error("busy"), { retryable: true }));
  const options = { attempts: 3, backoff: { initial: 0, max: 0 } } as const;
  const pool = new Pool({ name: "tries", concurrency: 1, retry: options });
  await pool.run(() => null);
  await rejection(pool.run(transient));
  const find = () => new Metrics().toJSON().retries.find(({ name }) => name === "tries");
  assert.deepEqual(find(), { name: "tries", calls: 2, retries: 2, exhausted: 1 });
  // Told apart by its number from those of other cases, which are listed until they are collected: no other retries so often.
  const many = { ...options, attempts: 38, budget: { ratio: 0.1, minPerSecond: 1000 } };
  await rejection(retry(transient, many));
  const own = new Metrics().toJSON().retries.filter(({ retries }) => retries === 37);
  assert.deepEqual(own, [{ name: "retry", calls: 1, retries: 37, exhausted: 1 }]);
  await rejection(retry(transient, many));
});

test("events of every handle: channels, events, barriers and counters tell, until the disposer is called", async () => {
  const { channel, event, barrier, counter } = await oneOfEach();
  const told: [string, unknown][] = [];
  const tell = (what: string) => (detail: unknown) => void told.push([what, detail]);
  const offs = [
    channel.on("close", tell("channel closed")),
    event.on("set", tell("event set")),
    event.on("clear", tell("event cleared")),
    barrier.on("pass", tell("barrier passed")),
    counter.on("change", tell("counter changed")),
  ];
  event.clear();
  event.clear();
  const waiting = event.wait();
  event.set();
  event.set();
  await waiting;
  await barrier.arrive();
  counter.increment("/");
  channel.close();
  channel.close();
  const all: [string, unknown][] = [
    ["event cleared", {}],
    ["event set", { released: 1 }],
    ["barrier passed", { round: 2 }],
    ["counter changed", { key: "/", by: 1, value: 4 }],
    ["channel closed", { size: 1 }],
  ];
  assert.deepEqual(told, all);
  for (const off of offs) off();
  event.clear();
  counter.increment("/");
  await barrier.arrive();
  assert.deepEqual(told, all);
});

test("events of every handle: states tell of conflicts, objects of their making and end, groups of their keys", async () => {
  const told: [string, unknown][] = [];
  const tell = (what: string) => (detail: unknown) => void told.push([what, detail]);
  const state = new VersionedState<number>();
  const objects = new ObjectPool({ create: () => ({}) });
  const connections = new ConnectionPool({ create: (key: string) => ({ key }) });
  const breakers = new BreakerGroup({ maxKeys: 1 });
  const offs = [
    state.on("conflict", tell("conflict")),
    objects.on("created", tell("object created")),
    objects.on("destroyed", tell("object destroyed")),
    connections.on("created", tell("connection created")),
    breakers.on("open", tell("breaker made")),
    breakers.on("leave", tell("breaker gone")),
  ];
  await state.update("seen", async (seen = 0) => {
    if (seen === 0) state.set("seen", 5);
    return seen + 1;
  });
  assert.equal(state.get("seen")?.value, 6);
  await objects.use(() => null);
  await objects.close();
  await connections.use("db", () => null);
  breakers.get("a");
  breakers.get("b");
  assert.equal(breakers.size, 1);
  const idOf = (place: number) => (told.at(place)?.[1] as { id: number } | undefined)?.id;
  const [id, connection] = [idOf(1), idOf(3)];
  const all: [string, unknown][] = [
    ["conflict", { key: "seen" }],
    ["object created", { id, key: "" }],
    ["object destroyed", { id, key: "" }],
    ["connection created", { id: connection, key: "db" }],
    ["breaker made", { key: "a" }],
    ["breaker made", { key: "b" }],
    ["breaker gone", { key: "a", reason: "room" }],
  ];
  assert.deepEqual(told, all);
  for (const off of offs) off();
  breakers.get("c");
  assert.deepEqual(told, all);
});

test("names: every handle has the one it was given, in its metrics too, or the name of its policy", async () => {
  const { connections, ...given } = await oneOfEach();
  const all = { ...given, connections, rate: new RateLimiter([{ kind: "token-bucket", limit: 1, per: 1 }]) };
  for (const handle of Object.values(all)) assert.equal(handle.metrics().name, handle.name);
  assert.deepEqual(
    Object.values(all).map(({ name }) => name),
    [
      [
        "pages",
        "jobs",
        "ready",
        "start",
        "ledgers",
        "buffers",
        "progress",
        "visits",
        "plan",
        "plugins",
        "notes",
        "api",
        "host",
      ],
      ["databases", "rate"],
    ].flat(),
  );
  const unnamed = [
    new Cache(),
    new Channel(0),
    new Event(),
    new Barrier(1),
    new LockSet(),
    new ObjectPool({ create: () => null }),
    new VersionedState(),
    new Counter(),
    new TaskGraph(),
    new Orchestrator(),
    new Sink({ write: () => {} }),
    new CircuitBreaker(),
    new Pool({ concurrency: 1 }),
  ];
  assert.deepEqual(
    unnamed.map(({ name }) => name),
    [
      ["cache", "channel", "event", "barrier", "locks", "objects", "state", "counter"],
      ["graph", "orchestrator", "sink", "breaker", "pool"],
    ].flat(),
  );
  for (const Handle of [Event, Counter])
    assert.throws(() => new Handle({ name: 7 as never }), TypeError, "Expected `name` to be a string");
});

test("channel, barrier: they say how large they are, and whether they are closed", () => {
  const channel = new Channel(3);
  assert.deepEqual([channel.capacity, channel.closed], [3, false]);
  channel.close();
  assert.isTrue(channel.closed);
  assert.equal(new Barrier(4).parties, 4);
});

test("using: every handle is done with at the end of its block, and whoever waits is told", async () => {
  const waits: Promise<unknown>[] = [];
  let last: Sink<null> | undefined;
  {
    using event = new Event();
    using barrier = new Barrier(2);
    using locks = new LockSet();
    using channel = new Channel(0);
    using cache = new Cache<number>();
    using state = new VersionedState<number>();
    using counter = new Counter();
    using graph = new TaskGraph();
    using plugins = new Orchestrator<null>();
    using sink = new Sink<null>({ write: () => {} });
    using objects = new ObjectPool({ create: () => ({}) });
    using connections = new ConnectionPool({ create: () => ({}) });
    using breaker = new CircuitBreaker();
    using rate = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR });
    using pool = new Pool({ concurrency: 1 });
    locks.tryAcquire("a");
    waits.push(rejection(event.wait()), rejection(barrier.arrive()), rejection(locks.acquire("a")));
    waits.push(rejection(channel.send(1)));
    rate.tryAcquire();
    waits.push(rejection(rate.acquire()));
    graph.add("never", { run: () => new Promise(() => {}) });
    plugins.register({ name: "never", mode: "passive", run: () => new Promise(() => {}) });
    waits.push(rejection(graph.execute()), rejection(plugins.run(null)));
    last = sink;
    const first = hold(pool);
    waits.push(rejection(pool.run(() => null)), rejection(first.done));
    for (const each of [cache, state, counter, graph, plugins, sink, objects, connections, breaker])
      assert.isFunction(each.metrics);
  }
  if (last !== undefined) waits.push(rejection(last.write(null)));
  for (const error of await Promise.all(waits)) assert.isTrue(isClosedError(error), String(error));
});

test("close: an event that is set still lets everybody pass; one that is not, a barrier and locks turn away", async () => {
  const event = new Event();
  const barrier = new Barrier(2);
  const locks = new LockSet();
  const lease = locks.tryAcquire("a");
  for (const one of [event, barrier, locks]) one.close();
  assert.isTrue(isClosedError(await rejection(event.wait())));
  event.set();
  await event.wait();
  assert.isTrue(isClosedError(await rejection(barrier.arrive())));
  assert.isTrue(isClosedError(await rejection(locks.acquire("a"))));
  assert.isTrue(isClosedError(await rejection(locks.reserve("a"))));
  assert.isTrue(locks.isHeld("a"), "leases stay until they are released");
  lease?.release();
  assert.isFalse(locks.isHeld("a"));
});

test("alerts that come built in: more than 100 and more than 200 tasks at once in one pool", async () => {
  const pool = new Pool({ concurrency: 300 });
  const metrics = new Metrics([pool]);
  const told: string[] = [];
  using _ = metrics.builtInAlerts(({ name, firing }) => told.push(`${name} ${firing}`));
  const tasks = Array.from({ length: 100 }, () => hold(pool));
  metrics.check();
  assert.deepEqual(told, []);
  tasks.push(hold(pool));
  metrics.check();
  assert.deepEqual(told, ["pool-busy true"]);
  while (tasks.length < 201) tasks.push(hold(pool));
  metrics.check();
  assert.deepEqual(told, ["pool-busy true", "pool-very-busy true"]);
  for (const task of tasks) task.end();
  await pool.onIdle();
  metrics.check();
  assert.sameMembers(told.slice(2), ["pool-busy false", "pool-very-busy false"]);
});

test("alerts that come built in: more than 50 waiters on one lock, and not 60 on several", async () => {
  const locks = new LockSet();
  const metrics = new Metrics([locks]);
  const told: string[] = [];
  using _ = metrics.builtInAlerts(({ name, firing }) => told.push(`${name} ${firing}`));
  const names = ["a", "b"];
  const leases = names.map((name) => locks.tryAcquire(name));
  const waits = names.flatMap((name) => Array.from({ length: 30 }, () => rejection(locks.acquire(name))));
  metrics.check();
  assert.deepEqual(told, []);
  waits.push(...Array.from({ length: 20 }, () => rejection(locks.acquire("a"))));
  metrics.check();
  assert.deepEqual(told, [], "50 are not more than 50");
  waits.push(rejection(locks.acquire("a")));
  metrics.check();
  assert.deepEqual(told, ["lock-crowded true"]);
  locks.close();
  await Promise.all(waits);
  for (const lease of leases) lease?.release();
  metrics.check();
  assert.deepEqual(told, ["lock-crowded true", "lock-crowded false"]);
});

test("alerts that come built in: hit ratios of channels below 85 %, messages 80 %, responses 70 %", async () => {
  const told: string[] = [];
  for (const [name, misses] of [
    ["Channels", 3],
    ["Channels", 4],
    ["messages", 4],
    ["messages", 5],
    ["http-responses", 6],
    ["http-responses", 7],
    ["other", 20],
  ] as const) {
    const pool = new ObjectPool({ name, create: () => ({}), max: 20 });
    const metrics = new Metrics([pool]);
    using _ = metrics.builtInAlerts((alert) => told.push(`${alert.name} with ${misses} of 20`));
    const taken = await Promise.all(Array.from({ length: misses }, () => pool.acquire()));
    for (const one of taken) await one.release();
    metrics.check();
    for (let n = misses; n < 20; n += 1) await pool.use(() => null);
    metrics.check();
  }
  assert.deepEqual(told, [
    "channels-rarely-reused with 4 of 20",
    "messages-rarely-reused with 5 of 20",
    "responses-rarely-reused with 7 of 20",
  ]);
});

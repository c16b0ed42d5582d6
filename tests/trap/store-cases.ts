/**
 * After a trap of the store: waiters know, what was written is still there with versions that never go back, and every
 * handle goes on.
 */

import {
  AdaptiveLimit,
  Barrier,
  Cache,
  Channel,
  Event,
  isClosedError,
  isRuntimeTrapError,
  LockSet,
  Orchestrator,
  Pool,
  PressureMonitor,
  type StateChange,
  TaskGraph,
  VersionedState,
} from "tidegate";
import { assert, deferred, rejection, test, thrown } from "../conformance/registry.js";
import { hold } from "../conformance/waiting.js";
import { callsOfTheDead, isArmed, trapAt } from "./arming.js";

/** Traps in a call that changes nothing. */
function trapNow(): void {
  const looked = new VersionedState();
  trapAt("state_stats");
  try {
    looked.metrics();
  } catch (error) {
    assert.isTrue(isRuntimeTrapError(error));
  }
  assert.isFalse(isArmed());
}

test("trap of the store: pools know nothing of it", async () => {
  const pool = new Pool({ concurrency: 1 });
  const running = hold(pool);
  const queued = hold(pool);
  trapNow();
  assert.deepEqual([pool.active, pool.queued], [1, 1]);
  running.end();
  queued.end("queued");
  assert.equal(await queued.done, "queued");
});

test("trap of the store: states keep their values, and versions never go back", async () => {
  const state = new VersionedState<number>();
  const old = state.set("a", 1);
  const seen = state.set("b", 2);
  const changes: StateChange<number>[] = [];
  state.subscribe({ prefix: "" }, (change) => changes.push(change));
  const waiting = state.waitFor("a", (value) => value === 100);
  trapNow();
  assert.isTrue(isRuntimeTrapError(await rejection(waiting)));
  assert.equal(state.get("a")?.value, 1);
  assert.equal(state.get("b")?.value, 2);
  assert.isAbove(state.get("a")?.version ?? 0, Math.max(old, seen));
  assert.isFalse(state.compareAndSet("a", old, 5), "a version of before is nobody's now");
  assert.isTrue(state.compareAndSet("a", state.get("a")?.version ?? 0, 6));
  const before = changes.length;
  state.set("c", 3);
  assert.lengthOf(changes, before + 1, "subscribers are still told");
  assert.equal(await state.update("a", (value) => (value ?? 0) + 1), 7);
});

test("trap of the store: caches are empty, loads that run end well, and those who waited for theirs know", async () => {
  const cache = new Cache<string>();
  cache.set("kept", "before");
  const { promise, resolve } = deferred<string>();
  const loading = cache.load("slow", () => promise);
  const sharing = cache.load("slow", () => "never called");
  const outcome = sharing.then(
    (value) => value,
    (error: unknown) => (isRuntimeTrapError(error) ? "told" : "lost"),
  );
  trapNow();
  assert.isUndefined(cache.get("kept"));
  resolve("loaded");
  assert.equal(await loading, "loaded");
  assert.include(["told", "loaded"], await outcome);
  cache.set("kept", "after");
  assert.equal(cache.get("kept"), "after");
  assert.equal(await cache.load("other", () => "fresh"), "fresh");
  assert.equal(cache.size >= 2, true);
});

test("trap of the store: a channel keeps what it holds, in order, and those who wait know", async () => {
  const channel = new Channel<number>(2);
  const empty = new Channel<number>(1);
  const closed = new Channel<number>(1);
  closed.close();
  await channel.send(1);
  await channel.send(2);
  const sending = channel.send(3);
  const receiving = empty.receive();
  const outcomes = Promise.allSettled([sending, receiving]);
  trapNow();
  for (const outcome of await outcomes)
    assert.isTrue(isRuntimeTrapError((outcome as PromiseRejectedResult).reason));
  assert.equal(await channel.receive(), 1);
  assert.equal(await channel.receive(), 2);
  assert.isUndefined(channel.tryReceive(), "what was not sent is not there");
  assert.isTrue(empty.trySend(9));
  assert.equal(await empty.receive(), 9);
  assert.isTrue(closed.closed);
  assert.isUndefined(await closed.receive());
});

test("trap of the store: events stay set, barriers begin anew, and those who wait know", async () => {
  const set = new Event();
  set.set();
  const event = new Event();
  const barrier = new Barrier(2);
  const outcomes = Promise.allSettled([event.wait(), barrier.arrive()]);
  trapNow();
  for (const outcome of await outcomes)
    assert.isTrue(isRuntimeTrapError((outcome as PromiseRejectedResult).reason));
  assert.isTrue(set.isSet);
  await set.wait();
  const waiting = event.wait();
  event.set();
  await waiting;
  assert.sameMembers(await Promise.all([barrier.arrive(), barrier.arrive()]), [true, false]);
});

test("trap of the store: what was closed stays closed, and what was set or held stays so", async () => {
  const [event, open, barrier, locks] = [new Event(), new Event(), new Barrier(2), new LockSet()];
  open.set();
  const lease = await locks.acquire("a");
  for (const each of [event, open, barrier, locks]) each.close();
  trapNow();
  await open.wait();
  const late = [event.wait(), barrier.arrive(), locks.acquire("a")];
  for (const each of late) assert.isTrue(isClosedError(await rejection(each)));
  lease.release();
  (await locks.acquire("a")).release();
});

test("trap of the store in a call: it throws RuntimeTrapError or rejects with it, and the next works", async () => {
  const state = new VersionedState<number>();
  trapAt("state_set");
  assert.isTrue(isRuntimeTrapError(thrown(() => state.set("a", 1))));
  state.set("a", 2);
  assert.equal(state.get("a")?.value, 2);
  const cache = new Cache<number>();
  trapAt("cache_load");
  assert.isTrue(isRuntimeTrapError(await rejection(cache.load("a", () => 1))));
  assert.equal(await cache.load("a", () => 2), 2);
  const channel = new Channel<number>(1);
  trapAt("channel_send");
  assert.isTrue(isRuntimeTrapError(await rejection(channel.send(1))));
  await channel.send(2);
  assert.equal(await channel.receive(), 2);
  trapAt("barrier_open");
  assert.isTrue(isRuntimeTrapError(thrown(() => new Barrier(2))));
  assert.isDefined(new Barrier(2));
});

test("trap of the store: the instance that trapped is never called again", () => {
  assert.deepEqual(callsOfTheDead(), []);
});

test("trap of the store: a graph under execution ends with it, keeps what is over and can be executed again", async () => {
  const graph = new TaskGraph();
  let inner: AbortSignal | undefined;
  graph.add("a", { run: () => 1 });
  assert.equal((await graph.execute()).total, 1);
  graph.add("b", {
    run: (ctx) => {
      inner = ctx.signal;
      return new Promise(() => {});
    },
  });
  graph.add("c", { dependsOn: ["b"], run: () => 3 });
  const done = graph.execute();
  trapNow();
  assert.isTrue(inner?.aborted);
  assert.isTrue(isRuntimeTrapError(await rejection(done)));
  assert.deepInclude(graph.metrics(), { succeeded: 1, cancelled: 2, running: 0, waiting: 0 });
  graph.add("d", { dependsOn: ["a"], run: (_, of) => (of.a as number) + 1 });
  graph.add("e", { dependsOn: ["c"], run: () => 5 });
  const { results, tasks } = await graph.execute();
  assert.equal(results.d, 2);
  assert.equal(tasks.find(({ id }) => id === "e")?.because, "c");
});

test("trap of the store: a task that ends in the call that traps is told once, and nothing is unhandled", async () => {
  const graph = new TaskGraph();
  graph.add("a", { run: async () => 1 });
  const done = graph.execute();
  trapAt("graph_end");
  assert.isTrue(isRuntimeTrapError(await rejection(done)));
  assert.deepInclude(graph.metrics(), { cancelled: 1 });
});

test("trap of the store: a run of plugins ends with it, and the plugins are still registered", async () => {
  const plugins = new Orchestrator<string>();
  let inner: AbortSignal | undefined;
  const begun = deferred();
  plugins.register({
    name: "a",
    mode: "passive",
    run: (target, ctx) => {
      inner = ctx.signal;
      begun.resolve();
      return target === "hangs" ? new Promise(() => {}) : target;
    },
  });
  const done = plugins.run("hangs");
  await begun.promise;
  trapNow();
  assert.isTrue(inner?.aborted);
  assert.isTrue(isRuntimeTrapError(await rejection(done)));
  assert.equal((await plugins.run("t"))[0]?.value, "t");
});

test("trap of the store: a limit goes on from where it was, its counts too", () => {
  const limit = new AdaptiveLimit({ algorithm: "aimd", min: 1, max: 100, initial: 10 });
  const grow = () => limit.sample({ latency: 5, inFlight: 100, ok: true });
  while (limit.limit < 15) grow();
  trapNow();
  assert.include(limit.metrics(), { limit: 15, ups: 5 });
  trapAt("adaptive_sample");
  assert.isTrue(isRuntimeTrapError(thrown(grow)));
  assert.equal(limit.limit, 15);
  while (limit.limit < 16) grow();
  assert.include(limit.metrics(), { limit: 16, ups: 6, downs: 0 });
});

test("trap of the store: an adaptive pool does not notice, and goes on growing", async () => {
  const pool = new Pool({ name: "adaptive", concurrency: { algorithm: "aimd", min: 1, max: 3 } });
  const aWhile = () => new Promise<void>((resolve) => setTimeout(resolve, 3));
  const fill = () => Promise.all(Array.from({ length: 6 }, () => pool.run(aWhile)));
  while (pool.concurrency < 2) await fill();
  trapAt("adaptive_sample");
  await fill();
  assert.isFalse(isArmed());
  while (pool.concurrency < 3) await fill();
  assert.include(pool.metrics(), { failed: 0, cancelled: 0 });
});

test("trap of the store: a pressure monitor measures again at once", () => {
  let heap = 0.85;
  const monitor = new PressureMonitor({
    interval: 2 ** 31 - 1,
    sources: [{ name: "told", read: () => ({ heap }) }],
  });
  assert.isTrue(monitor.shouldThrottle());
  heap = 0.5;
  trapNow();
  assert.isFalse(monitor.shouldThrottle());
  trapAt("pressure_sample");
  assert.isTrue(isRuntimeTrapError(thrown(() => monitor.sample())));
  assert.equal(monitor.sample().level, "nominal");
});

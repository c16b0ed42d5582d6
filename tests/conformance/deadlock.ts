/**
 * Who waits for whom, where it is told: pools, locks and waits on states in one graph; the youngest wait of a circle is
 * turned away with the chain, and nobody else ever is.
 */

import {
  type DeadlockError,
  type GraphTaskReport,
  isDeadlockError,
  isQueueTimeoutError,
  LockSet,
  type LogEvent,
  Pool,
  setLogger,
  type TaskContext,
  TaskGraph,
  VersionedState,
} from "tidegate";
import { assert, rejection, test, thrown } from "./registry.js";
import { isSettled } from "./waiting.js";

/** The error, for a test that is about a deadlock. */
async function deadlock(promise: Promise<unknown>): Promise<DeadlockError> {
  const error = await rejection(promise);
  assert.isTrue(isDeadlockError(error), String(error));
  return error as DeadlockError;
}

/** A promise that the test resolves. */
function gate(): { open: () => void; opened: Promise<void> } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

test("deadlock: a task that awaits its own full pool is told, with the chain, and its slot is good for others", async () => {
  const pool = new Pool({ name: "narrow", concurrency: 1 });
  const outer = pool.run((parent) => pool.run(() => "never", { parent, name: "inner" }), { name: "outer" });
  const error = await deadlock(outer);
  assert.equal(error.code, "DEADLOCK");
  assert.deepEqual(error.chain, [
    '"inner" waits for a slot of pool "narrow"',
    '"outer" waits for the end of "inner"',
  ]);
  assert.match(error.message, /^Pool "narrow" refused task "inner": /);
  assert.deepEqual([pool.active, pool.queued], [0, 0]);
  assert.equal(await pool.run(() => "next"), "next");
});

test("deadlock: a circle through another pool and back is seen, and names every step", async () => {
  const a = new Pool({ name: "a", concurrency: 1 });
  const b = new Pool({ name: "b", concurrency: 1 });
  const outer = a.run(
    (parent) => b.run((inner) => a.run(() => 1, { parent: inner, name: "three" }), { parent, name: "two" }),
    { name: "one" },
  );
  const { chain } = await deadlock(outer);
  assert.deepEqual(chain, [
    '"three" waits for a slot of pool "a"',
    '"one" waits for the end of "two"',
    '"two" waits for the end of "three"',
  ]);
});

test("deadlock: a slot that somebody else holds will come back, so nobody is turned away", async () => {
  const pool = new Pool({ concurrency: 2 });
  const stranger = gate();
  const other = pool.run(() => stranger.opened);
  const nested = pool.run((parent) => pool.run(() => "served", { parent }));
  assert.isFalse(await isSettled(nested));
  stranger.open();
  assert.equal(await nested, "served");
  await other;
});

test("deadlock: of two that fill the pool the younger wait gives way, and the older is served", async () => {
  const pool = new Pool({ concurrency: 2 });
  const both = gate();
  const nest = (name: string) => async (parent: TaskContext) => {
    await both.opened;
    return await pool.run(() => name, { parent, name });
  };
  const first = pool.run(nest("first"));
  const second = pool.run(nest("second"));
  both.open();
  const [older, younger] = await Promise.allSettled([first, second]);
  assert.deepEqual(older, { status: "fulfilled", value: "first" });
  assert.isTrue(younger.status === "rejected" && isDeadlockError(younger.reason));
});

test("deadlock: weights count, and a lease is its task's own", async () => {
  const pool = new Pool({ concurrency: 3 });
  const heavy = await deadlock(pool.run((parent) => pool.run(() => 1, { parent, weight: 2 }), { weight: 2 }));
  assert.lengthOf(heavy.chain, 2);
  assert.equal(
    await pool.run((parent) => pool.run(() => "fits", { parent, weight: 1 }), { weight: 2 }),
    "fits",
  );
  const lease = await deadlock(
    pool.run((parent) => pool.acquire({ parent, weight: 1 }), { weight: 3, name: "own" }),
  );
  assert.lengthOf(lease.chain, 1);
  assert.match(lease.chain[0] ?? "", /^"own" waits for a slot of pool/);
});

test("deadlock: a pool that shrinks may close the circle", async () => {
  const pool = new Pool({ concurrency: 2 });
  const stranger = gate();
  const other = pool.run(() => stranger.opened);
  const nested = pool.run((parent) => pool.run(() => 1, { parent }));
  assert.isFalse(await isSettled(nested));
  pool.resize(1);
  await deadlock(nested);
  stranger.open();
  await other;
});

test("deadlock: a crawler that feeds its own pool names nobody, and never hears of one", async () => {
  const pool = new Pool({ concurrency: 1 });
  let pages = 0;
  const visit = (depth: number): void => {
    pages += 1;
    if (depth > 0) for (let link = 0; link < 2; link += 1) void pool.run(() => visit(depth - 1));
  };
  await pool.run(() => visit(5));
  await pool.onIdle();
  assert.equal(pages, 63);
});

test("deadlock: a tree of tasks with parents in a pool that is wide enough runs to its end", async () => {
  const pool = new Pool({ concurrency: 7 });
  const grow = async (parent: TaskContext, depth: number): Promise<number> => {
    if (depth === 0) return 1;
    const below = [1, 2].map(() => pool.run((ctx) => grow(ctx, depth - 1), { parent }));
    return (await Promise.all(below)).reduce((sum, one) => sum + one, 1);
  };
  assert.equal(await pool.run((ctx) => grow(ctx, 3)), 15);
  await pool.run(async (ctx) => {
    const all = Array.from({ length: 50 }, (_, n) => pool.run(() => Promise.resolve(n), { parent: ctx }));
    assert.lengthOf(await Promise.all(all), 50);
  });
});

test("deadlock: whoever times out or aborts leaves nothing behind that others could be turned away for", async () => {
  const pool = new Pool({ concurrency: 1 });
  const stranger = gate();
  const wide = new Pool({ concurrency: 1 });
  const other = wide.run(() => stranger.opened);
  const error = await rejection(pool.run((parent) => wide.run(() => 1, { parent, waitTimeout: 1 })));
  assert.isTrue(isQueueTimeoutError(error));
  const stop = new AbortController();
  const aborted = pool.run((parent) => wide.run(() => 1, { parent, signal: stop.signal }));
  stop.abort("enough");
  assert.equal(await rejection(aborted), "enough");
  stranger.open();
  await other;
  assert.equal(await pool.run((parent) => wide.run(() => "fine", { parent })), "fine");
});

test("deadlock: after a task has timed out its slot is free for those below it", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 5 });
  let late: Promise<string> | undefined;
  const gone = gate();
  const outer = pool.run(async (parent) => {
    await gone.opened;
    late = pool.run(() => "late", { parent });
    return await late;
  });
  await rejection(outer);
  gone.open();
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(await late, "late");
});

test("deadlock: a circle through a lock and a pool is one circle", async () => {
  const pool = new Pool({ name: "pool", concurrency: 1 });
  const other = new Pool({ name: "other", concurrency: 1 });
  const locks = new LockSet({ name: "files" });
  const held = gate();
  // The first holds the lock and waits for the pool; the second holds the pool and waits for the lock.
  const first = other.run(
    async (ctx) => {
      using _lease = await locks.acquire("index", { owner: ctx });
      await held.opened;
      return await pool.run(() => "child ran", { parent: ctx, name: "child" });
    },
    { name: "first" },
  );
  const second = pool.run(
    async (ctx) => {
      held.open();
      const lease = await locks.acquire("index", { owner: ctx });
      lease.release();
    },
    { name: "second" },
  );
  const [one, two] = await Promise.allSettled([first, second]);
  const [refused, served] = one.status === "rejected" ? [one, two] : [two, one];
  assert.equal(served.status, "fulfilled");
  assert.isTrue(refused.status === "rejected" && isDeadlockError(refused.reason));
  const { chain } = (refused as PromiseRejectedResult).reason as DeadlockError;
  assert.lengthOf(chain, 3);
  assert.isTrue(chain.includes('"second" waits for lock "index" of "files"'), chain.join("; "));
  assert.isTrue(chain.includes('"child" waits for a slot of pool "pool"'), chain.join("; "));
});

test("deadlock: a lock that its owner gives back in time turns nobody away", async () => {
  const pool = new Pool({ concurrency: 1 });
  const locks = new LockSet();
  const stranger = await locks.acquire("index", { owner: "stranger" });
  const inside = pool.run(async (ctx) => {
    using lease = await locks.acquire("index", { owner: ctx });
    return lease.names;
  });
  assert.isFalse(await isSettled(inside));
  stranger.release();
  assert.deepEqual(await inside, ["index"]);
});

test("deadlock: a wait on a state that only somebody who waits for it could end is told", async () => {
  const pool = new Pool({ name: "writers", concurrency: 1 });
  const state = new VersionedState<boolean>({ name: "flags" });
  const waiting = pool.run(
    async (ctx) => {
      const writer = pool.run(() => state.set("ready", true), { parent: ctx, name: "writer" });
      writer.catch(() => {});
      return await writer;
    },
    { name: "reader" },
  );
  await deadlock(waiting);
  const a = state.waitFor("a", Boolean, { owner: "A", writers: ["B"] });
  const b = state.waitFor("b", Boolean, { owner: "B", writers: ["A"] });
  const { chain } = await deadlock(b);
  assert.deepEqual(chain, ['"B" waits for "b" of state "flags"', '"A" waits for "a" of state "flags"']);
  state.set("a", true);
  assert.isTrue(await a);
});

test("deadlock: a wait on a state, a lock and a pool stand in one graph", async () => {
  const pool = new Pool({ name: "pool", concurrency: 1 });
  const state = new VersionedState<boolean>({ name: "flags" });
  const locks = new LockSet();
  const lease = await locks.acquire("lock", { owner: "writer" });
  // The task in the pool waits for the writer; the writer waits for the lock it shares; the owner of that waits for the pool.
  const reader = pool.run((ctx) => state.waitFor("ready", Boolean, { owner: ctx, writers: ["writer"] }), {
    name: "reader",
  });
  const back = state.waitFor("other", Boolean, { owner: "writer", writers: ["third"] });
  const third = locks.acquire("lock", { owner: "third" });
  const { chain } = await deadlock(third);
  assert.deepEqual(chain, [
    '"third" waits for lock "lock" of "locks"',
    '"writer" waits for "other" of state "flags"',
  ]);
  state.set("other", true);
  state.set("ready", true);
  assert.isTrue(await back);
  assert.isTrue(await reader);
  lease.release();
});

test("deadlock: a wait that one of several writers can end, or that names none, is left alone", async () => {
  const state = new VersionedState<number>();
  const a = state.waitFor("a", (n) => n > 0, { owner: "A", writers: ["B", "C"] });
  const b = state.waitFor("b", (n) => n > 0, { owner: "B", writers: ["A"] });
  const alone = state.waitFor("c", (n) => n > 0, { owner: "A" });
  assert.isFalse(await isSettled(Promise.race([a, b, alone])));
  for (const key of ["a", "b", "c"]) state.set(key, 1);
  assert.deepEqual(await Promise.all([a, b, alone]), [1, 1, 1]);
});

test("deadlock: pools and locks tell it, and inverted orders before they deadlock, to listeners and to the logger", async () => {
  const heard: LogEvent[] = [];
  setLogger((event) => heard.push(event));
  try {
    const pool = new Pool({ name: "told", concurrency: 1 });
    const seen: (readonly string[])[] = [];
    pool.on("deadlock", ({ chain }) => seen.push(chain));
    const { chain } = await deadlock(pool.run((parent) => pool.run(() => 1, { parent })));
    assert.deepEqual(seen, [chain]);
    const locks = new LockSet({ name: "told locks" });
    const one = await locks.acquire("b", { owner: "x" });
    (await locks.acquire("a", { owner: "x" })).release();
    one.release();
    const two = await locks.acquire("a", { owner: "y" });
    (await locks.acquire("b", { owner: "y" })).release();
    two.release();
    const told = heard.map(({ policy, name, event }) => [policy, name, event].join(" "));
    assert.isTrue(told.includes("pool told deadlock"), told.join("; "));
    assert.isTrue(told.includes("locks told locks inversion"), told.join("; "));
  } finally {
    setLogger();
  }
});

/** How the deadlock reads for which a task failed. */
function chainOf(task: GraphTaskReport | undefined): readonly string[] {
  const error = task?.error;
  if (!isDeadlockError(error)) throw error;
  return error.chain;
}

test("deadlock: a graph's task that awaits a slot of whoever awaits the graph is told, and what depends on it is skipped", async () => {
  const pool = new Pool({ name: "narrow", concurrency: 1 });
  const graph = new TaskGraph({ name: "narrow plan" });
  graph.add("first", { run: (parent) => pool.run(() => 1, { parent, name: "inner" }) });
  graph.add("second", { dependsOn: ["first"], run: () => 2 });
  const { tasks } = await pool.run((parent) => graph.execute({ parent }), { name: "outer" });
  const [first, second] = tasks;
  assert.equal(second?.because, "first");
  assert.isTrue(isDeadlockError(first?.error));
  assert.deepEqual(chainOf(first), [
    '"inner" waits for a slot of pool "narrow"',
    '"outer" waits for the end of "first"',
    '"first" waits for the end of "inner"',
  ]);
  const wide = new Pool({ concurrency: 2 });
  const nested = new TaskGraph();
  nested.add("only", { run: (parent) => wide.run(() => "served", { parent }) });
  const { results } = await wide.run((parent) => nested.execute({ parent }));
  assert.equal(results.only, "served");
});

test("deadlock: a graph's task is a parent like any other", async () => {
  const pool = new Pool({ name: "narrow", concurrency: 1 });
  const graph = new TaskGraph();
  graph.add("task", {
    run: (parent) =>
      pool.run((inner) => pool.run(() => 1, { parent: inner, name: "in" }), { parent, name: "out" }),
  });
  const { tasks } = await graph.execute();
  assert.deepEqual(chainOf(tasks[0]), [
    '"in" waits for a slot of pool "narrow"',
    '"out" waits for the end of "in"',
  ]);
});

test("deadlock: a graph's task that waits for what a task would write that depends on it is told", async () => {
  const state = new VersionedState<boolean>({ name: "flags" });
  const graph = new TaskGraph();
  const written = (writer: string) => (ctx: TaskContext) =>
    state.waitFor("ready", Boolean, { owner: ctx, writers: [graph.owner(writer)] });
  const write = () => state.set("ready", true);
  graph.add("reader", { run: written("writer") });
  graph.add("between", { dependsOn: ["reader"], run: () => null });
  graph.add("writer", { dependsOn: ["between"], run: write });
  const { tasks } = await graph.execute();
  assert.deepEqual(chainOf(tasks[0]), [
    '"reader" waits for "ready" of state "flags"',
    '"writer" waits for the end of "between"',
    '"between" waits for the end of "reader"',
  ]);
  // One that does not depend on it only needs a slot.
  graph.add("again", { run: written("apart") });
  graph.add("apart", { run: write });
  assert.isUndefined((await graph.execute({ concurrency: 2 })).tasks.find(({ id }) => id === "again")?.error);
});

test("deadlock: a task that waits for one that has no slot in their graph is told; where there is a slot it is served", async () => {
  for (const [concurrency, weight, isStuck] of [
    [1, 1, true],
    [2, 1, false],
    [2, 2, true],
    [3, 2, false],
  ] as const) {
    const state = new VersionedState<boolean>();
    const graph = new TaskGraph({ name: "narrow plan" });
    graph.add("reader", {
      run: (ctx) => state.waitFor("ready", Boolean, { owner: ctx, writers: [graph.owner("writer")] }),
    });
    graph.add("writer", { weight, run: () => state.set("ready", true) });
    const { tasks } = await graph.execute({ concurrency });
    assert.equal(isDeadlockError(tasks[0]?.error), isStuck, `${weight} of ${concurrency}`);
    if (isStuck) assert.equal(chainOf(tasks[0])[1], '"writer" waits for a slot of graph "narrow plan"');
    assert.equal(tasks[1]?.state, "succeeded");
  }
});

test("deadlock: a lock that a dependent holds already closes a circle; the younger wait gives way, be it the graph's own", async () => {
  const locks = new LockSet({ name: "files" });
  const held = async (graph: TaskGraph, id: string) => locks.acquire("index", { owner: graph.owner(id) });
  const graph = new TaskGraph({ name: "narrow plan" });
  graph.add("first", { run: (ctx) => locks.acquire("index", { owner: ctx }) });
  graph.add("second", { dependsOn: ["first"], run: () => null });
  const lease = await held(graph, "second");
  const { tasks } = await graph.execute();
  assert.deepEqual(chainOf(tasks[0]), [
    '"first" waits for lock "index" of "files"',
    '"second" waits for the end of "first"',
  ]);
  lease.release();

  // Whoever reserves holds nothing while it waits, so another may take a part of it meanwhile.
  const other = new TaskGraph({ name: "other" });
  const told: unknown[] = [];
  other.on("deadlock", (detail) => told.push(detail));
  const stranger = await locks.acquire("log", { owner: "stranger" });
  other.add("first", {
    run: async (ctx) => (await locks.reserve(["index", "log"], { owner: ctx })).release(),
  });
  const done = other.execute();
  assert.isFalse(await isSettled(done));
  other.add("second", { dependsOn: ["first"], run: () => null });
  const part = await held(other, "second");
  assert.isFalse(await isSettled(done));
  const chain = ['"second" waits for the end of "first"', '"first" waits for lock "index" of "files"'];
  assert.deepEqual(told, [{ id: "second", chain }]);
  part.release();
  stranger.release();
  const [first, second] = (await done).tasks;
  assert.deepEqual([first?.state, second?.state], ["succeeded", "cancelled"]);
  assert.match(String(second?.error), /Graph "other" gave up "second": it would never start: "second" waits/);
});

test("deadlock: a graph whose tasks are owners of locks and writers, in an order that works, runs to its end", async () => {
  const locks = new LockSet();
  const state = new VersionedState<number>();
  const graph = new TaskGraph();
  const pool = new Pool({ concurrency: 1 });
  const order: string[] = [];
  for (const [id, dependsOn] of [
    ["a", []],
    ["b", ["a"]],
    ["c", ["a"]],
    ["d", ["b", "c"]],
  ] as const)
    graph.add(id, {
      dependsOn,
      run: async (ctx) => {
        using _ = await locks.acquire("one", { owner: ctx });
        await pool.run(() => state.set(id, 1), { parent: ctx });
        order.push(id);
      },
    });
  const ready = state.waitFor("d", Boolean, { owner: "outside", writers: [graph.owner("d")] });
  await pool.run(() => null);
  const { results, tasks } = await graph.execute({ concurrency: 2 });
  assert.deepEqual(tasks.map((task) => task.state).join(), "succeeded,succeeded,succeeded,succeeded");
  assert.deepEqual([order[0], order[3], Object.keys(results).length], ["a", "d", 4]);
  assert.equal(await ready, 1);
  assert.match(String(thrown(() => graph.owner("nobody"))), /no task `nobody`/);
  assert.isObject(graph.owner("a"));
});

test("graph: its parent's deadline is its tasks' own, and what is no parent is refused by name", async () => {
  const graph = new TaskGraph();
  const pool = new Pool({ concurrency: 1 });
  let seen: number | undefined;
  graph.add("task", { run: (ctx) => (seen = ctx.deadline) });
  const deadline = Date.now() + 60_000;
  await pool.run((parent) => graph.execute({ parent }), { deadline });
  assert.isAtMost(Math.abs((seen ?? 0) - deadline), 1000);
  assert.match(String(await rejection(graph.execute({ parent: {} as never }))), /`parent`/);
});

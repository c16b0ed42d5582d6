/**
 * After a trap of the store: locks and objects are in the hands of those who had them, who waited knows, and deadlocks of declared
 * parents and owners are still seen, with no correct program turned away.
 */

import {
  ConnectionPool,
  type DeadlockError,
  isDeadlockError,
  isRuntimeTrapError,
  LockSet,
  ObjectPool,
  Pool,
  type TaskContext,
  TaskGraph,
  VersionedState,
} from "tidegate";
import { assert, rejection, test, thrown } from "../conformance/registry.js";
import { hold, isSettled, until } from "../conformance/waiting.js";
import { callsOfTheDead, isArmed, trapAt } from "./arming.js";

/** Traps in a call that changes nothing. */
function trapNow(): void {
  const looked = new VersionedState();
  trapAt("state_stats");
  assert.isTrue(isRuntimeTrapError(thrown(() => looked.metrics())));
  assert.isFalse(isArmed());
}

/** Asks its own full pool from inside it, and gives the chain it is told. */
async function awaitsItself(): Promise<readonly string[]> {
  const pool = new Pool({ name: "narrow", concurrency: 1 });
  const inner = (parent: TaskContext) => pool.run(() => 1, { parent, name: "inner" });
  const error = await rejection(pool.run(inner, { name: "outer" }));
  assert.isTrue(isDeadlockError(error), String(error));
  return (error as DeadlockError).chain;
}

const OWN = ['"inner" waits for a slot of pool "narrow"', '"outer" waits for the end of "inner"'];

test("trap of the store: locks stay with those who hold them, and those who waited know", async () => {
  const locks = new LockSet();
  const one = await locks.acquire(["a", "b"], { owner: "one" });
  const again = await locks.acquire("a", { owner: "one" });
  const waiting = [locks.acquire("a", { owner: "two" }), locks.reserve(["b", "c"])];
  const outcomes = Promise.allSettled(waiting);
  trapNow();
  for (const outcome of await outcomes)
    assert.isTrue(isRuntimeTrapError((outcome as PromiseRejectedResult).reason));
  assert.isUndefined(locks.tryAcquire("b"));
  const mine = locks.tryAcquire("b", { owner: "one" });
  assert.isDefined(mine, "its owner passes it still");
  mine?.release();
  const next = locks.acquire("a", { owner: "two" });
  one.release();
  assert.isFalse(await isSettled(next), "it is held twice");
  again.release();
  (await next).release();
  locks.tryAcquire(["a", "b", "c"])?.release();
});

test("trap of the store: objects in use stay in use, idle ones are used again, and those who waited know", async () => {
  let made = 0;
  const pool = new ObjectPool({ create: () => ({ n: ++made }), max: 2 });
  const [used, idle] = [await pool.acquire(), await pool.acquire()];
  const waiting = pool.acquire();
  trapNow();
  assert.isTrue(isRuntimeTrapError(await rejection(waiting)));
  idle.release();
  const next = await pool.acquire();
  assert.equal(next.value.n, 2, "the idle one, and none is made");
  const later = pool.acquire();
  assert.isFalse(await isSettled(later), "two are in use");
  used.release();
  assert.equal((await later).value.n, 1);
  const lines = new ConnectionPool({ create: (key: string) => key });
  (await lines.acquire("db")).release();
  trapNow();
  assert.equal((await lines.acquire("db")).value, "db");
});

test("trap of the store: deadlocks of declared parents are still seen, told before it or after", async () => {
  assert.deepEqual(await awaitsItself(), OWN);
  const [narrow, wide] = [
    new Pool({ name: "narrow", concurrency: 1 }),
    new Pool({ name: "wide", concurrency: 1 }),
  ];
  const stranger = hold(wide);
  const outer = hold(narrow, { name: "outer" });
  const parent = outer.ctx;
  const waits = new AbortController();
  // A stranger's slot will come back, so the outer task can go on.
  const first = wide.run(() => 1, { parent, name: "first", signal: waits.signal });
  const aborted = rejection(first);
  assert.isFalse(await isSettled(first));
  trapNow();
  const second = narrow.run(() => 2, { parent, name: "second" });
  const turnedAway = rejection(second);
  assert.isFalse(await isSettled(second), "what was told before the trap is known after it");
  waits.abort("enough");
  assert.equal(await aborted, "enough");
  const error = (await turnedAway) as DeadlockError;
  assert.isTrue(isDeadlockError(error), String(error));
  assert.deepEqual(error.chain, [
    '"second" waits for a slot of pool "narrow"',
    '"outer" waits for the end of "second"',
  ]);
  stranger.end();
  outer.end();
});

test("trap of the store while it is told or asked of deadlocks: nobody hangs for it, and the next are seen", async () => {
  await awaitsItself();
  for (const call of ["kin_judge", "kin_child", "kin_hold", "kin_wait"]) {
    trapAt(call);
    assert.deepEqual(await awaitsItself(), OWN, call);
    assert.isFalse(isArmed(), call);
  }
  for (const call of ["kin_over", "kin_ended", "kin_resize", "kin_let_go"]) {
    const pool = new Pool({ concurrency: 2 });
    const stranger = hold(pool);
    const outer = hold(pool);
    const child = pool.run(() => 1, { parent: outer.ctx });
    assert.isFalse(await isSettled(child));
    trapAt(call);
    pool.resize(3);
    assert.equal(await child, 1, call);
    outer.end();
    stranger.end();
    await pool.onIdle();
    assert.deepEqual(await awaitsItself(), OWN, call);
    if (isArmed()) trapAt("none of them", 1);
  }
});

test("trap of the store: a lock and a wait of declared owners are known to be waited for after it", async () => {
  const locks = new LockSet({ name: "files" });
  const state = new VersionedState<boolean>({ name: "flags" });
  const held = await locks.acquire("log", { owner: "reader" });
  trapNow();
  const writer = locks.acquire("log", { owner: "writer" });
  assert.isFalse(await isSettled(writer));
  const read = state.waitFor("ready", Boolean, { owner: "reader", writers: ["writer"] });
  assert.deepEqual(((await rejection(read)) as DeadlockError).chain, [
    '"reader" waits for "ready" of state "flags"',
    '"writer" waits for lock "log" of "files"',
  ]);
  held.release();
  (await writer).release();
});

test("trap of the store: a graph's tasks that were told are forgotten with their execution, and told again in the next", async () => {
  const state = new VersionedState<boolean>();
  const graph = new TaskGraph({ name: "steps" });
  let began = false;
  graph.add("hangs", {
    run: () => {
      began = true;
      return new Promise(() => {});
    },
  });
  graph.add("after", { dependsOn: ["hangs"], run: () => null });
  assert.isObject(graph.owner("after"));
  const done = rejection(graph.execute());
  await until(() => began);
  trapNow();
  assert.isTrue(isRuntimeTrapError(await done));
  const written = (writer: string) => (ctx: TaskContext) =>
    state.waitFor("ready", Boolean, { owner: ctx, writers: [graph.owner(writer)] });
  graph.add("reader", { run: written("writer") });
  graph.add("writer", { dependsOn: ["reader"], run: () => state.set("ready", true) });
  const { tasks } = await graph.execute();
  assert.isTrue(isDeadlockError(tasks.find(({ id }) => id === "reader")?.error));
});

test("trap of the store: with all that is told of families the instance that trapped is never called again", () => {
  assert.deepEqual(callsOfTheDead(), []);
});

/**
 * Versioned state and counters: writes that are not lost, who is told of them, who waits for them.
 */

import { Counter, isConflictError, isTimeoutError, type StateChange, VersionedState } from "tidegate";
import { assert, deferred, rejection, test, thrown } from "./registry.js";
import { isSettled, watchedAbort } from "./waiting.js";

test("state: a write gives a version above all before it", () => {
  const state = new VersionedState<string>();
  const first = state.set("a", "x");
  const second = state.set("b", "y");
  assert.isAbove(second, first);
  assert.deepEqual(state.get("a"), { value: "x", version: first });
  assert.isUndefined(state.get("c"));
  assert.deepEqual(
    [...state.snapshot()],
    [
      ["a", { value: "x", version: first }],
      ["b", { value: "y", version: second }],
    ],
  );
});

test("state: compareAndSet writes over the version that was seen, and over no other", () => {
  const state = new VersionedState<number>();
  assert.isTrue(state.compareAndSet("a", 0, 1));
  assert.isFalse(state.compareAndSet("a", 0, 2));
  const version = state.get("a")?.version ?? -1;
  assert.isTrue(state.compareAndSet("a", version, 3));
  assert.isFalse(state.compareAndSet("a", version, 4));
  assert.equal(state.get("a")?.value, 3);
  assert.isTrue(state.delete("a"));
  assert.isFalse(state.delete("a"));
  assert.isFalse(state.compareAndSet("a", version, 5));
  assert.equal(state.size, 0);
  assert.equal(state.metrics().conflicts, 3);
});

test("state: updates that compete lose no write", async () => {
  const state = new VersionedState<number>();
  let computed = 0;
  const addOne = () =>
    state.update("n", async (seen = 0) => {
      computed += 1;
      for (let turns = 0; turns < computed % 4; turns += 1) await null;
      return seen + 1;
    });
  await Promise.all(Array.from({ length: 50 }, addOne));
  assert.equal(state.get("n")?.value, 50);
  assert.isAtMost(computed, 150);
});

test("state: an update that throws writes nothing, and lets the next one try", async () => {
  const state = new VersionedState<number>();
  state.set("n", 1);
  const error = new Error("no");
  const failing = state.update("n", () => {
    throw error;
  });
  assert.strictEqual(await rejection(failing), error);
  assert.equal(await state.update("n", (n = 0) => n + 1), 2);
});

test("state: an update that never finds its entry unchanged is refused in the end", async () => {
  const state = new VersionedState<number>({ attempts: 3 });
  let calls = 0;
  const error = await rejection(
    state.update("n", (seen = 0) => {
      calls += 1;
      state.set("n", seen + 10);
      return seen + 1;
    }),
  );
  assert.isTrue(isConflictError(error));
  assert.equal(calls, 3);
  assert.equal(state.get("n")?.value, 30);
});

test("state: an aborted update writes nothing and leaves no listener", async () => {
  const state = new VersionedState<number>();
  const { signal, abort, listeners } = watchedAbort();
  const updating = state.update("n", () => new Promise<number>(() => {}), { signal });
  abort("enough");
  assert.equal(await rejection(updating), "enough");
  assert.equal(listeners(), 0);
  assert.isUndefined(state.get("n"));
  assert.equal(await state.update("n", () => 1), 1);
});

test("state: subscribers hear of a key, or of all with a prefix, in the order of the writes", () => {
  const state = new VersionedState<number>();
  state.set("user:1", 0);
  const heard: string[] = [];
  const note = (who: string) => (change: StateChange<number>) =>
    heard.push(`${who} ${change.key}=${change.value} ${change.version > 0}`);
  const one = state.subscribe("user:1", note("one"));
  const all = state.subscribe({ prefix: "user:" }, note("all"));
  state.set("user:1", 1);
  state.set("user:2", 2);
  state.set("other", 3);
  one();
  state.delete("user:1");
  all();
  state.set("user:1", 4);
  assert.deepEqual(heard, [
    "one user:1=1 true",
    "all user:1=1 true",
    "all user:2=2 true",
    "all user:1=undefined false",
  ]);
});

test("state: a subscriber may write, and all hear of that in order", () => {
  const state = new VersionedState<number>();
  const heard: number[] = [];
  state.subscribe("n", ({ value }) => {
    if (value === 1) state.set("m", 10);
  });
  state.subscribe({ prefix: "" }, ({ version }) => heard.push(version));
  state.set("n", 1);
  assert.deepEqual(heard, [state.get("n")?.version, state.get("m")?.version]);
});

test("state: waitFor gives a value at once that is as wanted, and waits for one that is not", async () => {
  const state = new VersionedState<number>();
  state.set("n", 3);
  assert.equal(await state.waitFor("n", (n) => n > 2), 3);
  const waiting = state.waitFor("n", (n) => n > 9);
  state.set("n", 5);
  assert.isFalse(await isSettled(waiting));
  state.set("n", 10);
  assert.equal(await waiting, 10);
});

test("state: waitFor ends with its timeout, with an abort, and with what the predicate throws", async () => {
  const state = new VersionedState<number>();
  const late = await rejection(state.waitFor("n", () => true, { timeout: 10 }));
  assert.isTrue(isTimeoutError(late));
  assert.equal((late as { limit?: number }).limit, 10);
  const { signal, abort, listeners } = watchedAbort();
  const aborted = state.waitFor("n", () => true, { signal });
  abort("enough");
  assert.equal(await rejection(aborted), "enough");
  assert.equal(listeners(), 0);
  const error = new Error("no");
  const throwing = state.waitFor("n", () => {
    throw error;
  });
  state.set("n", 1);
  assert.strictEqual(await rejection(throwing), error);
  assert.equal(state.metrics().timeouts, 1);
});

test("state: an update waits its turn without holding up those of other keys", async () => {
  const state = new VersionedState<number>();
  const gate = deferred();
  const slow = state.update("a", async () => {
    await gate.promise;
    return 1;
  });
  assert.equal(await state.update("b", () => 2), 2);
  gate.resolve();
  assert.equal(await slow, 1);
});

test("counter: an increment gives the new value, and stops at the last safe number", () => {
  const counter = new Counter();
  assert.deepEqual([counter.increment("a"), counter.increment("a", 4), counter.get("b")], [1, 5, 0]);
  assert.equal(counter.increment("a", Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  assert.deepEqual(counter.toJSON(), { a: Number.MAX_SAFE_INTEGER });
  assert.equal(counter.reset("a"), Number.MAX_SAFE_INTEGER);
  assert.equal(counter.get("a"), 0);
  assert.include((thrown(() => counter.increment("a", 0.5)) as Error).message, "`by`");
});

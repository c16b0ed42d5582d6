/**
 * `PoolGroup`, `BreakerGroup`: by key, isolated from each other, in bounded memory.
 */

import { BreakerGroup, CircuitBreaker, isClosedError, Metrics, PoolGroup } from "tidegate";
import { assert, rejection, test, thrown, turn } from "./registry.js";
import { hold } from "./waiting.js";

test("pool group: a key is one pool, and its options are its own", async () => {
  const asked: string[] = [];
  const group = new PoolGroup({
    name: "hosts",
    concurrency: 2,
    perKey(key) {
      asked.push(key);
      return key === "big" ? { concurrency: 8 } : {};
    },
  });
  assert.strictEqual(group.get("big"), group.get("big"));
  assert.notStrictEqual(group.get("big"), group.get("small"));
  assert.deepEqual([group.get("big").concurrency, group.get("small").concurrency], [8, 2]);
  assert.deepEqual([group.get("big").name, group.get("small").name], ["hosts/big", "hosts/small"]);
  assert.deepEqual(asked, ["big", "small"]);
  assert.equal(group.size, 2);
});

test("pool group: times are measured by key only where `histograms` asks for it; counts always", async () => {
  for (const [options, measured] of [
    [{}, 0],
    [{ histograms: true }, 1],
    [{ perKey: () => ({ histograms: true }) }, 1],
  ] as const) {
    const group = new PoolGroup({ concurrency: 1, ...options });
    await group.get("a").run(() => null);
    const { completed, wait, run } = group.get("a").metrics();
    assert.equal(completed, 1);
    assert.deepEqual([wait.count, run.count] as number[], [measured, measured]);
    assert.equal(new Metrics([group]).toOpenMetrics().includes("tidegate_pool_run_seconds"), measured === 1);
  }
});

test("pool group: what one key holds or breaks is nothing to another", async () => {
  const group = new PoolGroup({
    concurrency: 1,
    queue: { capacity: 0, overflow: "error" },
    breaker: { consecutive: 1 },
  });
  const held = hold(group.get("a"));
  await rejection(group.get("a").run(() => 1));
  assert.equal(await group.get("b").run(() => 2), 2);
  held.fail(new Error("down"));
  await rejection(held.done);
  assert.equal(((await rejection(group.get("a").run(() => 1))) as { code?: string }).code, "BROKEN_CIRCUIT");
  assert.equal(await group.get("b").run(() => 3), 3);
});

test("pool group: a breaker that is given is shared by all keys", async () => {
  const breaker = new CircuitBreaker({ consecutive: 1 });
  const group = new PoolGroup({ concurrency: 1, breaker });
  await rejection(group.get("a").run(() => Promise.reject(new Error("down"))));
  assert.equal(((await rejection(group.get("b").run(() => 1))) as { code?: string }).code, "BROKEN_CIRCUIT");
});

test("pool group: for one key too many, the one that was idle the longest goes", () => {
  const group = new PoolGroup({ concurrency: 1, maxKeys: 2 });
  const left: unknown[] = [];
  group.on("leave", (detail) => left.push(detail));
  const a = group.get("a");
  group.get("b");
  group.get("a");
  group.get("c");
  assert.deepEqual(group.keys(), ["a", "c"]);
  assert.deepEqual(left, [{ key: "b", reason: "room" }]);
  assert.strictEqual(group.get("a"), a);
});

test("pool group: what is at work or paused does not go, and goes when it is idle", async () => {
  const group = new PoolGroup({ concurrency: 1, maxKeys: 1 });
  const a = hold(group.get("a"));
  group.get("b").pause();
  group.get("c");
  assert.deepEqual(new Set(group.keys()), new Set(["a", "b", "c"]));
  a.end();
  await a.done;
  group.get("d");
  assert.deepEqual(new Set(group.keys()), new Set(["b", "d"]));
});

test(
  "pool group: a key that was idle for too long goes with the next call",
  async () => {
    const group = new PoolGroup({ concurrency: 1, idle: 5 });
    const left: unknown[] = [];
    group.on("leave", (detail) => left.push(detail));
    group.get("a");
    const began = performance.now();
    while (performance.now() - began < 10) await turn();
    group.get("b");
    assert.deepEqual(left, [{ key: "a", reason: "idle" }]);
    assert.deepEqual(group.keys(), ["b"]);
  },
  { skipIn: { workerd: "frozen-clock" } },
);

test("pool group: close closes every pool, says what was abandoned, and gives out no more", async () => {
  const group = new PoolGroup({ name: "g", concurrency: 1 });
  const a = hold(group.get("a"), { name: "slow" });
  const b = hold(group.get("b"));
  const closing = group.close({ grace: 0 });
  assert.isTrue(isClosedError(await rejection(a.done)));
  assert.isTrue(isClosedError(await rejection(b.done)));
  const { abandoned } = await closing;
  assert.equal(abandoned.length, 2);
  assert.isTrue(isClosedError(thrown(() => group.get("a"))));
  assert.equal((await group.close()).abandoned.length, 2);
  a.end();
  b.end();
});

test("pool group: metrics list every key", async () => {
  const group = new PoolGroup({ name: "g", concurrency: 3 });
  await group.get("a").run(() => 1);
  const { name, keys, pools } = group.metrics();
  assert.deepEqual({ name, keys }, { name: "g", keys: 1 });
  assert.include(pools[0] as object, { key: "a", name: "g/a", completed: 1, concurrency: 3 });
});

test("pool group: what is wrong with the options is said at construction", () => {
  const sentence = (options: unknown) => (thrown(() => new PoolGroup(options as never)) as Error).message;
  assert.equal(sentence(undefined), "Expected `options` to be an object with `concurrency`, got `undefined`");
  assert.match(sentence({ concurrency: 0 }), /^Expected `concurrency`/);
  assert.match(sentence({ concurrency: 1, breaker: { consecutive: 0 } }), /^Expected `consecutive`/);
  assert.match(sentence({ concurrency: 1, maxKeys: 0 }), /^Expected `maxKeys`/);
  assert.match(sentence({ concurrency: 1, perKey: 5 }), /^Expected `perKey` to be a function/);
  const group = new PoolGroup({ concurrency: 1 });
  assert.equal(
    (thrown(() => group.get(5 as never)) as Error).message,
    "Expected `key` to be a string, got `5` (number)",
  );
});

test("breaker group: one target that is down does not close the way to another", async () => {
  const group = new BreakerGroup({
    consecutive: 1,
    perKey: (key) => (key === "calm" ? { consecutive: 2 } : {}),
  });
  const down = () => Promise.reject(new Error("down"));
  for (const key of ["a", "calm"]) await rejection(group.get(key).run(down));
  assert.deepEqual(
    ["a", "b", "calm"].map((key) => group.get(key).state),
    ["open", "closed", "closed"],
  );
  assert.equal(group.metrics().keys, 3);
});

test("breaker group: one that is open stays, whoever else comes", async () => {
  const group = new BreakerGroup({ consecutive: 1, maxKeys: 1 });
  await rejection(group.get("a").run(() => Promise.reject(new Error("down"))));
  for (const key of ["b", "c", "d"]) group.get(key);
  assert.deepEqual(new Set(group.keys()), new Set(["a", "d"]));
  assert.equal(group.get("a").state, "open");
  group.close();
  assert.isTrue(isClosedError(thrown(() => group.get("a"))));
});

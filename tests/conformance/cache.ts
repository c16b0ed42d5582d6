/**
 * Caches: what is kept for how long, who loads, what falls with what, and what remains afterwards.
 */

import { Cache, isTimeoutError } from "tidegate";
import { assert, deferred, rejection, test, thrown, turn } from "./registry.js";
import { isSettled, unhandledDuring, until, watchedAbort } from "./waiting.js";

test("cache: a value that was set is found, and one that was not is not", () => {
  const cache = new Cache<number | undefined>();
  assert.isTrue(cache.set("a", 1));
  cache.set("nothing", undefined);
  assert.deepEqual(
    [cache.get("a"), cache.get("b"), cache.peek("a"), cache.peek("b")],
    [1, undefined, 1, undefined],
  );
  assert.equal(cache.size, 2);
  const { hits, misses, hitRatio } = cache.metrics();
  assert.deepEqual({ hits, misses, hitRatio }, { hits: 1, misses: 1, hitRatio: 0.5 });
});

test("cache: a bound by count holds, and what leaves is told", () => {
  const cache = new Cache<number>({ max: 10 });
  const gone: string[] = [];
  cache.on("gone", ({ key, why }) => gone.push(`${key} ${why}`));
  for (let n = 0; n < 100; n += 1) cache.set(`k${n}`, n);
  assert.equal(cache.size, 10);
  assert.lengthOf(gone, 90);
  assert.isTrue(gone.every((text) => text.endsWith(" evicted")));
  const left = Array.from({ length: 100 }, (_, n) => cache.peek(`k${n}`)).filter(
    (value) => value !== undefined,
  );
  assert.lengthOf(left, 10);
});

test("cache: what is asked for often survives a scan", () => {
  const cache = new Cache<number>({ max: 100 });
  const ask = (key: string) => {
    if (cache.get(key) === undefined) cache.set(key, 1);
  };
  for (let round = 0; round < 20; round += 1) for (let n = 0; n < 50; n += 1) ask(`hot${n}`);
  for (let n = 0; n < 10_000; n += 1) ask(`scan${n}`);
  const hot = Array.from({ length: 50 }, (_, n) => cache.peek(`hot${n}`)).filter(
    (value) => value !== undefined,
  );
  assert.isAtLeast(hot.length, 40);
});

test("cache: a bound by weight holds, and what is heavier than the whole cache is not kept", () => {
  const cache = new Cache<string>({ max: 10, weigh: (value) => value.length });
  assert.isTrue(cache.set("a", "12345"));
  assert.isTrue(cache.set("b", "12345"));
  assert.isFalse(cache.set("c", "12345678901"));
  cache.set("d", "123456");
  assert.isAtMost(cache.metrics().weight, 10);
  assert.isUndefined(cache.get("c"));
});

test("cache: a value is gone after its time, read or not", async () => {
  const cache = new Cache<number>({ ttl: 300 });
  const gone: string[] = [];
  cache.on("gone", ({ key, why }) => gone.push(`${key} ${why}`));
  cache.set("short", 1);
  cache.set("long", 2, { ttl: 60_000 });
  assert.equal(cache.get("short"), 1);
  await until(() => gone.length > 0);
  assert.deepEqual(gone, ["short expired"]);
  assert.deepEqual([cache.get("short"), cache.get("long"), cache.size], [undefined, 2, 1]);
});

test("cache: however many ask, one loader is called, and all get what it brings", async () => {
  const cache = new Cache<{ n: number }>();
  const { promise, resolve } = deferred<{ n: number }>();
  let calls = 0;
  const load = () =>
    cache.load("k", () => {
      calls += 1;
      return promise;
    });
  const all = [load(), load(), load()];
  resolve({ n: 7 });
  const values = await Promise.all(all);
  assert.equal(calls, 1);
  assert.isTrue(values.every((value) => value === values[0]));
  assert.strictEqual(await load(), values[0]);
  assert.equal(calls, 1);
  const { loads, coalesced } = cache.metrics();
  assert.deepEqual({ loads, coalesced }, { loads: 1, coalesced: 2 });
});

test("cache: a failed load fails for all who waited, and the next caller tries again", async () => {
  const cache = new Cache<number>();
  const { promise, reject } = deferred<number>();
  const error = new Error("down");
  const both = [cache.load("k", () => promise), cache.load("k", () => 1)];
  reject(error);
  for (const one of both) assert.strictEqual(await rejection(one), error);
  assert.equal(await cache.load("k", () => 2), 2);
});

test("cache: with a negative time a failure is remembered", async () => {
  const cache = new Cache<number>({ negativeTtl: 60_000 });
  const error = new Error("down");
  await rejection(
    cache.load("k", () => {
      throw error;
    }),
  );
  assert.strictEqual(await rejection(cache.load("k", () => 2)), error);
  assert.isUndefined(cache.get("k"));
  cache.delete("k");
  assert.equal(await cache.load("k", () => 2), 2);
});

test("cache: a value past its time is served while it is loaded anew in the background", async () => {
  const cache = new Cache<number>({ ttl: 10, staleFor: 60_000 });
  cache.set("k", 1);
  await until(() => {
    cache.get("k");
    return cache.metrics().staleHits > 0;
  });
  const { promise, resolve } = deferred<number>();
  assert.equal(await cache.load("k", () => promise), 1);
  assert.equal(await cache.load("k", () => assert.fail("it is loaded already")), 1);
  resolve(2);
  await until(() => cache.peek("k") === 2);
});

test("cache: a background load that fails is told, and rejects nobody", async () => {
  const cache = new Cache<number>({ ttl: 0, staleFor: 60_000 });
  const failed: unknown[] = [];
  cache.on("refreshFailed", ({ key, error }) => failed.push(key, error));
  cache.set("k", 1);
  const error = new Error("down");
  const unhandled = await unhandledDuring(async () => {
    assert.equal(await cache.load("k", () => Promise.reject(error)), 1);
    await until(() => failed.length > 0);
  });
  assert.deepEqual([failed, unhandled], [["k", error], []]);
  assert.equal(cache.get("k"), 1);
});

test("cache: when the one who loads gives up, the next one's loader is called", async () => {
  const cache = new Cache<number>();
  const first = watchedAbort();
  let signal: AbortSignal | undefined;
  const loading = cache.load(
    "k",
    (ctx) => {
      signal = ctx.signal;
      return new Promise(() => {});
    },
    { signal: first.signal },
  );
  const next = cache.load("k", () => 2);
  assert.isFalse(await isSettled(next));
  first.abort("enough");
  assert.equal(await rejection(loading), "enough");
  assert.isTrue(signal?.aborted);
  assert.equal(await next, 2);
  assert.equal(first.listeners(), 0);
  assert.equal(cache.get("k"), 2);
});

test("cache: who waits and gives up leaves the load to the others", async () => {
  const cache = new Cache<number>();
  const { promise, resolve } = deferred<number>();
  const loading = cache.load("k", () => promise);
  const { signal, abort, listeners } = watchedAbort();
  const waiting = cache.load("k", () => 1, { signal });
  abort("enough");
  assert.equal(await rejection(waiting), "enough");
  assert.equal(listeners(), 0);
  resolve(5);
  assert.equal(await loading, 5);
  const aborted = cache.load("k", () => 1, { signal });
  assert.equal(await rejection(aborted), "enough");
});

test("cache: a loader that takes too long passes the load on", async () => {
  const cache = new Cache<number>({ loadTimeout: 20 });
  const slow = cache.load("k", () => new Promise(() => {}));
  const next = cache.load("k", () => 2);
  const error = await rejection(slow);
  assert.isTrue(isTimeoutError(error));
  assert.equal((error as Error).message, 'Operation "load of k" timed out after 20 ms');
  assert.equal(await next, 2);
});

test("cache: what was computed from something falls with it, through any number of steps", () => {
  const cache = new Cache<number>();
  cache.set("user", 1, { dependsOn: ["users"] });
  cache.set("page", 2, { dependsOn: ["user"] });
  cache.set("site", 3, { dependsOn: ["page"] });
  cache.set("other", 4);
  assert.equal(cache.invalidateBy("page"), 1);
  assert.deepEqual([cache.peek("page"), cache.peek("site")], [2, undefined]);
  cache.set("site", 3, { dependsOn: ["page"] });
  assert.equal(cache.invalidate("user"), 3);
  assert.deepEqual(
    ["user", "page", "site", "other"].map((key) => cache.peek(key)),
    [undefined, undefined, undefined, 4],
  );
  assert.equal(cache.invalidateBy("users"), 0);
});

test("cache: a load during which its dependency is invalidated is handed out, but not kept", async () => {
  const cache = new Cache<number>();
  const { promise, resolve } = deferred<number>();
  const loading = cache.load("k", () => promise, { dependsOn: ["tag"] });
  cache.invalidateBy("tag");
  resolve(1);
  assert.equal(await loading, 1);
  assert.isUndefined(cache.get("k"));
});

test("cache: a write during a load wins over what the load brings", async () => {
  const cache = new Cache<number>();
  const { promise, resolve } = deferred<number>();
  const loading = cache.load("k", () => promise);
  cache.set("k", 9);
  resolve(1);
  assert.equal(await loading, 1);
  assert.equal(cache.get("k"), 9);
});

test("cache: delete drops one value alone, clear drops all", () => {
  const cache = new Cache<number>();
  cache.set("a", 1);
  cache.set("b", 2, { dependsOn: ["a"] });
  assert.deepEqual([cache.delete("a"), cache.delete("a"), cache.get("b")], [true, false, 2]);
  cache.clear();
  assert.deepEqual([cache.size, cache.get("b")], [0, undefined]);
});

test("cache: names come and go without mixing up their values", async () => {
  const cache = new Cache<string>({ max: 20 });
  for (let n = 0; n < 2000; n += 1) {
    const key = `k${n % 97}`;
    if (n % 5 === 0) cache.invalidate(key);
    else if (n % 7 === 0) assert.equal(await cache.load(key, () => key), key);
    else cache.set(key, key, { dependsOn: [`k${(n + 1) % 97}`] });
    const seen = cache.get(`k${(n * 31) % 97}`);
    if (seen !== undefined) assert.equal(seen, `k${(n * 31) % 97}`);
  }
  assert.isAtMost(cache.size, 20);
});

test("cache: a listener may call the cache back", async () => {
  const cache = new Cache<number>({ max: 1 });
  cache.on("gone", ({ key, why }) => {
    if (key === "a" && why === "invalidated") cache.set("b", 2);
  });
  cache.set("a", 1);
  cache.invalidate("a");
  await turn();
  assert.equal(cache.get("b"), 2);
});

test("cache: options that make no sense are refused by name", () => {
  const message = (call: () => unknown) => (thrown(call) as Error).message;
  assert.equal(
    message(() => new Cache({ max: 0 })),
    "Expected `max` to be an integer ≥ 1, got `0` (number)",
  );
  assert.include(
    message(() => new Cache({ ttl: -1 })),
    "`ttl`",
  );
  const cache = new Cache<number>({ weigh: () => 1.5 });
  assert.include(
    message(() => cache.set("a", 1)),
    "`weigh(value)`",
  );
  assert.include(
    message(() => cache.get(1 as unknown as string)),
    "`key`",
  );
  assert.include(
    message(() => cache.set("a", 1, { dependsOn: "b" as unknown as string[] })),
    "`dependsOn`",
  );
});

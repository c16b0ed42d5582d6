/**
 * Named locks: order, fairness, reentrancy, reservations, timeouts that say what was missing, deadlocks found as they form.
 */

import { isConflictError, isDeadlockError, isTimeoutError, LockSet, type LockTimeout } from "tidegate";
import { assert, rejection, test, thrown } from "./registry.js";
import { isSettled, watchedAbort } from "./waiting.js";

test("locks: one holder at a time, first come, first served", async () => {
  const locks = new LockSet();
  const first = await locks.acquire("a");
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (n) => {
    const lease = await locks.acquire(["a"]);
    order.push(n);
    lease.release();
  });
  assert.deepEqual([locks.isHeld("a"), locks.waiting("a"), locks.isHeld("b")], [true, 3, false]);
  first.release();
  first.release();
  await Promise.all(waiting);
  assert.deepEqual(order, [1, 2, 3]);
  const { held, granted, waiting: still } = locks.metrics();
  assert.deepEqual({ held, granted, still }, { held: 0, granted: 4, still: 0 });
});

test("locks: several are taken in the declared order, then by name", async () => {
  const locks = new LockSet({ order: ["z", "y"] });
  const lease = await locks.acquire(["b", "y", "a", "z", "a"]);
  assert.deepEqual(lease.names, ["z", "y", "a", "b"]);
  assert.isTrue(lease.renew());
  lease.release();
  assert.isFalse(lease.renew());
});

test("locks: opposite orders of asking do not deadlock", async () => {
  const locks = new LockSet();
  const work = async (names: string[]) => {
    const lease = await locks.acquire(names);
    await null;
    lease.release();
  };
  await Promise.all(Array.from({ length: 20 }, (_, n) => work(n % 2 === 0 ? ["a", "b"] : ["b", "a"])));
  assert.equal(locks.metrics().granted, 20);
});

test("locks: tryAcquire takes what is free and waits for nothing", () => {
  const locks = new LockSet();
  const lease = locks.tryAcquire(["a", "b"]);
  assert.deepEqual(lease?.names, ["a", "b"]);
  assert.isUndefined(locks.tryAcquire("b"));
  lease?.release();
  const again = locks.tryAcquire("b");
  assert.isDefined(again);
  again?.release();
});

test("locks: an owner passes what it holds, and it is free when each lease is released", async () => {
  const locks = new LockSet();
  const owner = { name: "me" };
  const outer = await locks.acquire("a", { owner });
  const inner = await locks.acquire(["a"], { owner });
  outer.release();
  assert.isUndefined(locks.tryAcquire("a"));
  assert.isUndefined(locks.tryAcquire("a", { owner: "other" }));
  inner.release();
  locks.tryAcquire("a")?.release();
  assert.equal(locks.metrics().held, 0);
});

test("locks: a timeout says which locks were wanted, held and taken", async () => {
  const locks = new LockSet({ name: "store" });
  const holder = await locks.acquire("b");
  const error = await rejection(locks.acquire(["a", "b", "c"], { timeout: 10 }));
  assert.isTrue(isTimeoutError(error));
  const { wanted, held, taken } = error as LockTimeout;
  assert.deepEqual({ wanted, held, taken }, { wanted: ["a", "b", "c"], held: ["a"], taken: ["b"] });
  assert.include((error as Error).message, 'held: "a"; taken by others: "b"');
  assert.isFalse(locks.isHeld("a"));
  holder.release();
});

test("locks: a reservation takes all in one step and holds nothing while it waits", async () => {
  const locks = new LockSet();
  const holder = await locks.acquire("b");
  const conflict = await rejection(locks.reserve(["a", "b"], { timeout: 0 }));
  assert.isTrue(isConflictError(conflict));
  assert.deepEqual((conflict as { held?: unknown }).held, ["b"]);
  const reserving = locks.reserve(["a", "b"]);
  assert.isFalse(await isSettled(reserving));
  const free = locks.tryAcquire("a");
  free?.release();
  holder.release();
  const lease = await reserving;
  assert.deepEqual(lease.names, ["a", "b"]);
  lease.release();
});

test("locks: who comes to hold what a reservation waits for is stopped by it no longer", async () => {
  const locks = new LockSet();
  const [first, other] = [await locks.acquire("a"), await locks.acquire("c")];
  const outer = locks.acquire("a", { owner: "me" });
  const reservation = locks.reserve(["a", "b", "c"]);
  // As often as a reservation may be passed.
  for (let n = 0; n < 16; n += 1) (await locks.acquire("b")).release();
  const inner = locks.acquire("b", { owner: "me" });
  assert.isFalse(await isSettled(inner));
  first.release();
  const mine = [await outer, await inner];
  assert.isFalse(await isSettled(reservation));
  for (const lease of [other, ...mine]) lease.release();
  (await reservation).release();
  assert.equal(locks.metrics().held, 0);
});

test("locks: an abort gives up what was held so far, and leaves no listener", async () => {
  const locks = new LockSet();
  const holder = await locks.acquire("b");
  const { signal, abort, listeners } = watchedAbort();
  const aborted = locks.acquire(["a", "b"], { signal });
  assert.isTrue(locks.isHeld("a"));
  abort("enough");
  assert.equal(await rejection(aborted), "enough");
  assert.deepEqual([listeners(), locks.isHeld("a")], [0, false]);
  holder.release();
  assert.equal(await rejection(locks.acquire("c", { signal })), "enough");
  assert.isFalse(locks.isHeld("c"));
});

test("locks: a cycle of owners is found as it forms, and its youngest wait gets the chain", async () => {
  const locks = new LockSet({ name: "rows" });
  const other = new LockSet({ name: "files" });
  const chains: (readonly string[])[] = [];
  locks.on("deadlock", ({ chain }) => chains.push(chain));
  const a = await locks.acquire("a", { owner: "ann" });
  const b = await other.acquire("b", { owner: "bob" });
  const waiting = other.acquire("b", { owner: "ann" });
  const error = await rejection(locks.acquire("a", { owner: "bob" }));
  assert.isTrue(isDeadlockError(error));
  const { chain } = error as { chain?: readonly string[] };
  assert.deepEqual(chain, ['"bob" waits for lock "a" of "rows"', '"ann" waits for lock "b" of "files"']);
  assert.deepEqual(chains, [chain]);
  assert.equal(locks.metrics().deadlocks, 1);
  b.release();
  (await waiting).release();
  a.release();
});

test("locks: an inverted order is told before it ever deadlocks, once", async () => {
  const locks = new LockSet();
  const told: string[] = [];
  locks.on("inversion", ({ held, wanted, declared }) => told.push(`${held} ${wanted} ${declared}`));
  for (const [first, second] of [
    ["a", "b"],
    ["b", "a"],
    ["b", "a"],
  ] as const) {
    const outer = await locks.acquire(first, { owner: "me" });
    const inner = await locks.acquire(second, { owner: "me" });
    inner.release();
    outer.release();
  }
  assert.deepEqual(told, ["b a false"]);
});

test("locks: names made of data are forgotten, and mean the same when they come back", () => {
  const locks = new LockSet();
  const kept = locks.tryAcquire("kept");
  for (let n = 0; n < 3000; n += 1) locks.tryAcquire(`row ${n}`)?.release();
  assert.isUndefined(locks.tryAcquire("kept"));
  const again = locks.tryAcquire("row 1");
  assert.isUndefined(locks.tryAcquire("row 1"));
  again?.release();
  kept?.release();
  assert.equal(locks.metrics().held, 0);
});

test("locks: options that make no sense are refused by name", async () => {
  assert.include(
    (thrown(() => new LockSet({ order: "a" as unknown as string[] })) as Error).message,
    "`order`",
  );
  const locks = new LockSet();
  assert.include(String(await rejection(locks.acquire([1] as unknown as string[]))), "`names`");
  assert.include(String(await rejection(locks.acquire("a", { timeout: -1 }))), "`timeout`");
  assert.include(String(await rejection(locks.acquire("a", { owner: 7 as unknown as string }))), "`owner`");
  assert.isFalse(locks.isHeld("a"));
});

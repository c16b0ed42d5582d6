/**
 * Limits that isolates hold together, in one process: each `SharedPool` stands for an isolate, and the object that decides is the real
 * one over a storage of this test, far away, now and then restarted, and now and then lost.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CoordinatorObject,
  durableCoordinator,
  isCoordinatorUnreachableError,
  localCoordinator,
  SharedBreaker,
  SharedLocks,
  SharedPool,
  SharedRate,
  SharedState,
} from "tidegate/edge";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Storage of one Durable Object, as far as the coordinator uses it. */
function storage() {
  let json;
  let alarm = null;
  const sql = {
    exec(query, ...values) {
      // As SQLite in a Durable Object does.
      if (query.startsWith("INSERT") && values[0].length > 2_000_000)
        throw new Error("string or blob too big");
      if (query.startsWith("INSERT")) [json] = values;
      return { toArray: () => (query.startsWith("SELECT") && json !== undefined ? [{ json }] : []) };
    },
  };
  return {
    sql,
    setAlarm: async (at) => void (alarm = at),
    getAlarm: async () => alarm,
    alarmAt: () => alarm,
  };
}

/** A namespace of coordinators that can be restarted and lost. */
function namespace({ latency = 0 } = {}) {
  const stores = new Map();
  const objects = new Map();
  let isAway = false;
  let asked = 0;
  return {
    restart: () => objects.clear(),
    lose: () => {
      isAway = true;
    },
    find: () => {
      isAway = false;
    },
    asked: () => asked,
    store: (name) => stores.get(name),
    object: (name) => objects.get(name),
    idFromName: (name) => name,
    get: (name) => ({
      async fetch(url, init) {
        asked += 1;
        await sleep(Math.random() * latency);
        if (isAway) throw Object.assign(new Error("away"), { overloaded: true });
        if (!stores.has(name)) stores.set(name, storage());
        if (!objects.has(name)) objects.set(name, new CoordinatorObject({ storage: stores.get(name) }));
        const answer = await objects.get(name).fetch(new Request(url, init));
        await sleep(Math.random() * latency);
        if (Math.random() < 0.01) throw Object.assign(new Error("restarted meanwhile"), {});
        return answer;
      },
    }),
  };
}

/** Counts what runs, over all pools of a test. */
function gauge() {
  let running = 0;
  let most = 0;
  let area = 0;
  let last = performance.now();
  const step = (by) => {
    const at = performance.now();
    area += running * (at - last);
    last = at;
    running += by;
    most = Math.max(most, running);
  };
  return {
    most: () => most,
    area: () => area,
    async task() {
      step(1);
      await sleep(Math.random() * 2);
      step(-1);
    },
  };
}

/** So many tasks through a pool, as many at once as there are lanes. */
async function load(pool, tasks, lanes, task) {
  let left = tasks;
  const lane = async () => {
    while (left-- > 0) await pool.run(task);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

test("two isolates never exceed one limit in a hundred thousand tasks, use it, and share it evenly", async (t) => {
  const LIMIT = 50;
  const space = namespace({ latency: 5 });
  const coordinator = durableCoordinator(space);
  const pools = [1, 2].map(() => new SharedPool(coordinator, { name: "shared", concurrency: LIMIT }));
  const { task, most, area } = gauge();
  const restarts = setInterval(space.restart, 20);
  const began = performance.now();
  const took = await Promise.all(
    pools.map((pool) => load(pool, 50_000, 80, task).then(() => performance.now() - began)),
  );
  clearInterval(restarts);
  const used = area() / (LIMIT * Math.max(...took));
  t.diagnostic(`${(used * 100).toFixed(1)} % used, ${space.asked()} words for 100000 tasks`);
  assert.equal(most(), LIMIT);
  assert.ok(used > 0.75, `${used}`);
  assert.ok(Math.min(...took) > 0.6 * Math.max(...took), `${took}`);
  assert.ok(space.asked() < 10_000);
  for (const pool of pools) assert.equal(pool.metrics().lapsed, 0);
});

test("one of three that dies takes its slots with it for one lease, and no longer", async () => {
  const space = namespace({ latency: 2 });
  const options = { name: "shared", concurrency: 6, lease: 1500 };
  const dead = new SharedPool(
    {
      unreachable: "closed",
      ask: (...all) => (isDead ? new Promise(() => {}) : durableCoordinator(space).ask(...all)),
    },
    options,
  );
  let isDead = false;
  const held = Array.from({ length: 6 }, () => dead.run(({ signal }) => ended(signal)));
  for (const each of held) each.catch(() => {});
  while (dead.metrics().active < 6) await sleep(1);
  isDead = true;
  const live = new SharedPool(durableCoordinator(space), options);
  assert.equal(await live.run(() => "served"), "served");
  const { task, most } = gauge();
  await load(live, 100, 12, task);
  assert.equal(most(), 6);
  // What ran under the lease that ended was told so.
  for (const each of held)
    assert.ok(
      isCoordinatorUnreachableError(
        await each.then(
          () => undefined,
          (error) => error,
        ),
      ),
    );
});

function ended(signal) {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

test("everybody gets a turn where there are more isolates than slots", async () => {
  const coordinator = durableCoordinator(namespace({ latency: 2 }));
  const options = { name: "shared", concurrency: 1, beat: 20 };
  const pools = Array.from({ length: 3 }, () => new SharedPool(coordinator, options));
  const { task, most } = gauge();
  await Promise.all(pools.map((pool) => load(pool, 30, 2, task)));
  assert.equal(most(), 1);
});

test("a coordinator that is away: closed refuses, local keeps the limit here, open lets everybody pass", async () => {
  for (const [unreachable, expected] of [
    ["closed", 0],
    ["local", 3],
    ["open", 10],
  ]) {
    const space = namespace();
    space.lose();
    const pool = new SharedPool(durableCoordinator(space, { unreachable }), {
      name: "shared",
      concurrency: 3,
    });
    const { task, most } = gauge();
    const answers = await Promise.allSettled(Array.from({ length: 10 }, () => pool.run(task)));
    assert.equal(most(), expected, unreachable);
    for (const { status, reason } of answers) {
      assert.equal(status, unreachable === "closed" ? "rejected" : "fulfilled");
      if (reason !== undefined) assert.ok(isCoordinatorUnreachableError(reason));
    }
    const rate = new SharedRate(durableCoordinator(space, { unreachable }), {
      name: "r",
      limit: 2,
      per: 60_000,
    });
    const passes = await Promise.allSettled([rate.tryAcquire(), rate.tryAcquire(), rate.tryAcquire()]);
    assert.deepEqual(
      passes.map(({ value }) => value),
      { closed: [undefined, undefined, undefined], local: [true, true, false], open: [true, true, true] }[
        unreachable
      ],
    );
  }
});

test("when a coordinator comes back, its limit holds again", async () => {
  const space = namespace();
  space.lose();
  const coordinator = durableCoordinator(space, { unreachable: "open" });
  const pool = new SharedPool(coordinator, { name: "shared", concurrency: 2, beat: 10 });
  await load(pool, 20, 10, gauge().task);
  space.find();
  while (pool.metrics().block === 0) await pool.run(() => sleep(5));
  const { task, most } = gauge();
  await load(pool, 50, 10, task);
  assert.equal(most(), 2);
});

test("a shared rate lets no more pass than it says, in blocks", async () => {
  const space = namespace({ latency: 2 });
  const coordinator = durableCoordinator(space);
  const rates = [1, 2].map(() => new SharedRate(coordinator, { name: "rate", limit: 100, per: 60_000 }));
  let passed = 0;
  await Promise.all(
    rates.map(async (rate) => {
      while (await rate.tryAcquire()) passed += 1;
    }),
  );
  // The bucket fills by 1.7 in a second, and what is left of a block is lost.
  assert.ok(passed <= 110 && passed >= 90, `${passed}`);
  assert.ok(space.asked() < 40);
  const quick = new SharedRate(coordinator, { name: "quick", limit: 1, per: 30 });
  const began = Date.now();
  for (let pass = 0; pass < 4; pass += 1) await quick.acquire();
  assert.ok(Date.now() - began >= 88);
  await assert.rejects(quick.acquire({ timeout: 1 }), { code: "QUEUE_TIMEOUT" });
});

test("a shared lock is one's at a time, its fence only grows, and an old holder is told", async () => {
  const space = namespace({ latency: 2 });
  const coordinator = durableCoordinator(space);
  const sets = [1, 2, 3].map(() => new SharedLocks(coordinator, { name: "locks", lease: 5000 }));
  const { task, most } = gauge();
  const fences = [];
  await Promise.all(
    sets.map(async (locks) => {
      for (let round = 0; round < 5; round += 1) {
        const lock = await locks.acquire("one", { timeout: 60_000 });
        fences.push(lock.fence);
        await task();
        space.restart();
        // An answer that the next one's restart swallows is asked for again, and by then the lock is no longer this one's.
        await lock.release();
      }
    }),
  );
  assert.equal(most(), 1);
  assert.deepEqual(
    fences,
    [...fences].sort((a, b) => a - b),
  );
  assert.equal(new Set(fences).size, 15);
  const short = new SharedLocks(coordinator, { name: "short", lease: 500 });
  const first = await short.acquire("one");
  assert.ok(await first.renew());
  const second = await short.acquire("one");
  assert.ok(second.fence > first.fence);
  assert.equal(await first.renew(), false);
  assert.equal(await first.release(), false);
});

test("updates of a shared value lose no write, whoever restarts", async () => {
  const space = namespace({ latency: 2 });
  const states = [1, 2, 3].map(() => new SharedState(durableCoordinator(space), { name: "state" }));
  const restarts = setInterval(space.restart, 5);
  await Promise.all(
    states.map(async (state) => {
      for (let round = 0; round < 20; round += 1) await state.update("sum", (sum = []) => [...sum, round]);
    }),
  );
  clearInterval(restarts);
  const { value, version } = await states[0].get("sum");
  // An answer that was lost on its way is asked for again, so a write can be there twice, but none is missing.
  assert.ok(value.length >= 60 && version === value.length);
  assert.equal(await states[0].get("nothing"), undefined);
  assert.equal(await states[0].compareAndSet("sum", version - 1, []), false);
  const other = await states[0].set("other", [1]);
  assert.equal(other, (await states[0].get("other")).version);
});

test("a value that is too long to be kept is refused, and what stood there before stands", async () => {
  const space = namespace();
  const state = new SharedState(durableCoordinator(space), { name: "s" });
  await state.set("key", "before");
  await assert.rejects(state.set("key", "x".repeat(2_000_001)), isCoordinatorUnreachableError);
  assert.equal((await state.get("key")).value, "before");
  assert.equal(await state.update("key", (value) => `${value}, and after`), "before, and after");
  space.restart();
  assert.equal((await state.get("key")).value, "before, and after");
});

test("a circuit that opens in one isolate is open in all, and closes in all", async () => {
  const coordinator = localCoordinator();
  const options = { name: "api", consecutive: 2, openFor: 500, refresh: 0 };
  const [here, there] = [new SharedBreaker(coordinator, options), new SharedBreaker(coordinator, options)];
  for (let call = 0; call < 2; call += 1)
    await here.run(() => Promise.reject(new Error("down"))).catch(() => {});
  assert.equal(here.local.state, "open");
  await assert.rejects(
    there.run(() => "never"),
    { code: "BROKEN_CIRCUIT" },
  );
  while ((await here.run(() => "up").catch(() => "")) !== "up") await sleep(5);
  assert.equal(await there.run(() => "up"), "up");
});

test("an object forgets by its alarm what nobody asks for any more", async () => {
  const space = namespace();
  const pool = new SharedPool(durableCoordinator(space), { name: "x", concurrency: 2, lease: 100 });
  await pool.run(() => 1);
  const { alarmAt } = space.store("permits:x");
  assert.ok(alarmAt() > Date.now());
  await sleep(120);
  await space.object("permits:x").alarm();
  const other = new SharedPool(durableCoordinator(space), { name: "x", concurrency: 2 });
  await other.run(() => 1);
  assert.equal(other.metrics().block, 2);
});

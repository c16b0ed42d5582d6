/**
 * What nobody holds any more is given back, and what somebody waits for is not: in a process that can be asked to collect.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { root } from "../../setup/needs.mjs";

const run = promisify(execFile);

async function told(script) {
  const { stdout } = await run(
    process.execPath,
    ["--expose-gc", "--input-type=module", "--eval", `${head}${script}`],
    { cwd: root },
  );
  return JSON.parse(stdout);
}

const head = `
import * as tidegate from "tidegate";
const { Pool, CircuitBreaker, RateLimiter, Metrics, gather } = tidegate;
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
const collect = async () => { for (let round = 0; round < 10; round += 1) { await turn(); globalThis.gc(); } };
const counts = () => { const { pools, breakers, rates } = new Metrics().toJSON(); return [pools.length, breakers.length, rates.length]; };
const tell = (value) => console.log(JSON.stringify(value));
`;

test("handles that nobody holds are collected, with their machines", async () => {
  const [before, after] = await told(`
for (let index = 0; index < 500; index += 1) {
  new Pool({ concurrency: 1, breaker: {}, rate: { kind: "token-bucket", limit: 1, per: 1 } });
  new RateLimiter({ kind: "sliding-window", limit: 1, per: 1 });
  CircuitBreaker.from(new CircuitBreaker().toJSON());
}
const before = counts();
await collect();
tell([before, counts()]);`);
  assert.deepEqual(before, [500, 1500, 500]);
  assert.ok(
    after.every((count) => count <= 5),
    `left: ${after}`,
  );
});

test("a pool that somebody waits for is kept, though nobody else holds it", async () => {
  const answer = await told(`
const results = (() => {
  const pool = new Pool({ concurrency: 1, timeout: 50 });
  // Only its time ends it, and nothing but the pool hears of that.
  pool.run(() => new Promise(() => {})).catch(() => {});
  return [pool.run(() => "queued"), pool.run(() => "queued too")];
})();
// Of all works only the one that was asked last is remembered.
const other = new Pool({ concurrency: 1 });
void other.run(() => new Promise(() => {}));
const waiting = (() => {
  const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: 50 });
  limiter.tryAcquire();
  return limiter.acquire().then(() => "passed");
})();
await collect();
tell([...(await Promise.all(results)), await waiting]);`);
  assert.deepEqual(answer, ["queued", "queued too", "passed"]);
});

test("pools that are collected do not take the machines of those that came after them", async () => {
  const answer = await told(`
const kept = [];
for (let round = 0; round < 20; round += 1) {
  for (let index = 0; index < 50; index += 1) new Pool({ concurrency: 1 });
  kept.push(new Pool({ concurrency: round + 1 }));
  await collect();
}
const held = kept.map((pool, index) => Array.from({ length: index + 2 }, () => pool.run(() => new Promise(() => {})).catch(() => {})));
tell(kept.map((pool) => [pool.active, pool.queued]));
process.exit(held.length > 0 ? 0 : 1);`);
  assert.deepEqual(
    answer,
    Array.from({ length: 20 }, (_, index) => [index + 1, 1]),
  );
});

test("a thousand gathers leave nothing behind", async () => {
  const [pools, growth] = await told(`
const round = async () => { for (let index = 0; index < 500; index += 1) await gather([() => 1, async () => 2]); await collect(); };
await round();
const before = process.memoryUsage().heapUsed;
await round();
tell([counts()[0], process.memoryUsage().heapUsed - before]);`);
  assert.ok(pools <= 5, `${pools} pools are left`);
  assert.ok(growth < 1_000_000, `${growth} bytes more`);
});

test("a process with nothing left to do ends, whatever its handles still remember", async () => {
  const { stdout } = await run(
    process.execPath,
    [
      "--input-type=module",
      "--eval",
      `${head}
const pool = new Pool({ concurrency: 1, timeout: 3600000, queue: { waitTimeout: 3600000 } });
await pool.run(() => 1);
const breaker = new CircuitBreaker({ consecutive: 1 });
await breaker.run(() => Promise.reject(new Error("x"))).catch(() => {});
new RateLimiter({ kind: "token-bucket", limit: 1, per: 3600000 }).tryAcquire();
new Metrics().alert({ name: "x", when: () => false, notify() {} });
tell("done");`,
    ],
    { cwd: root, timeout: 20_000 },
  );
  assert.equal(stdout.trim(), '"done"');
});

/** Before any pool: from here on plain tasks pass. */
const passing = `
const own = (file) => import(new URL("./dist/" + file, "file://" + process.cwd() + "/").href);
const { attend } = await own("presence.js");
const { Passing } = await own("passing.js");
const { passingHost } = await own("../tests/js/passing-host.mjs");
attend(passingHost(Passing));
`;

test("a pool whose task has passed is kept for whoever waits behind it", async () => {
  const answer = await told(`${passing}
const result = await (async () => {
  const pool = new Pool({ concurrency: 1, leaseTimeout: 50 });
  await pool.run(() => "first");
  // Nothing but its lease ends it, and nothing but the pool hears of that.
  pool.run(() => new Promise(() => {}));
  return [pool.run(() => "queued")];
})();
// Of all works only the one that was asked last is remembered.
const other = new Pool({ concurrency: 1 });
void other.run(() => new Promise(() => {}));
await collect();
// Nothing else of this process waits for it.
const alive = setInterval(() => {}, 1000);
const late = new Promise((resolve) => setTimeout(resolve, 10000, "never").unref());
tell(await Promise.race([result[0], late]));
clearInterval(alive);`);
  assert.equal(answer, "queued");
});

test("tasks that pass leave nothing behind, however they end", async () => {
  const left = await told(`${passing}
const pool = new Pool({ concurrency: 2 });
const refs = [];
await (async () => {
  for (let index = 0; index < 400; index += 1) {
    const one = () => {
      if (index % 4 === 0) throw new Error("no");
      return index % 4 === 1 ? Promise.reject(new Error("no")) : index % 4 === 2 ? 1 : Promise.resolve(1);
    };
    refs.push(new WeakRef(one));
    await pool.run(one).catch(() => {});
  }
})();
await collect();
tell([pool.metrics().completed, refs.filter((ref) => ref.deref() !== undefined).length]);`);
  assert.equal(left[0], 200);
  assert.ok(left[1] <= 4, `${left[1]} are left`);
});

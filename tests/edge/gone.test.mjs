/** Requests that die without a word while they wait or hold, in real workerd. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { atEachDate } from "./together.mjs";

atEachDate("gone-worker.js", ({ ask, json }) => {
  /** Starts `n` requests that will die, and comes back when all of them have got where they die. */
  async function doom(n, path) {
    for (let index = 0; index < n; index += 1) ask(path).catch(() => {});
    await until(async () => (await json("/seen")).doomed >= n);
  }

  /** Comes back when that is so: requests that are sent one after the other need not arrive so. */
  async function until(isSo) {
    while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async function served(path) {
    const began = performance.now();
    const { status, text } = await ask(path);
    assert.deepEqual([status, text], [200, "served"]);
    return performance.now() - began;
  }

  test("three hundred who died while they waited cost two beats, and not as many leases", async (t) => {
    const holders = [ask("/hold"), ask("/hold")];
    await until(async () => (await json("/pool/waiting")).active === 2);
    await doom(300, "/wait");
    assert.equal((await json("/seen")).queued, 300);
    await ask("/bury");
    await ask("/open");
    const took = await served("/live");
    await Promise.all(holders);
    t.diagnostic(`served after ${took.toFixed(0)} ms`);
    // A beat of three hundred is 150 ms; a lease is 30 s.
    assert.ok(took < 10_000, `${took}`);
    assert.deepEqual(await json("/pool/waiting"), { active: 0, queued: 0 });
  });

  for (const [what, path, name, live] of [
    ["a slot in hand", "/hold-for-ever", "holding", "/live-after-holders"],
    ["a lease in hand", "/lease-for-ever", "leases", "/live-after-leases"],
    ["a slot that it had not asked for", "/hold-passing", "passing", "/live-after-passing"],
    ["a slot in hand that it renewed in its first step", "/hold-renewed", "renewals", "/live-after-renewals"],
  ]) {
    test(`what died with ${what} gives it back when the lease is over`, async (t) => {
      await doom(2, path);
      assert.equal((await json(`/pool/${name}`)).active, 2);
      await ask("/bury");
      const took = await served(live);
      t.diagnostic(`served after ${took.toFixed(0)} ms of a lease of 300`);
      assert.ok(took < 10_000, `${took}`);
      // The other lease ends a little later, and is looked at when somebody comes.
      while ((await json(`/pool/${name}`)).active > 0) await served(live);
      assert.deepEqual(await json(`/pool/${name}`), { active: 0, queued: 0 });
    });
  }

  test("locks, rates and loads pass over the dead too", async (t) => {
    await ask("/close");
    const holder = ask("/hold-lock");
    await until(async () => (await json("/seen")).held === 1);
    await doom(50, "/wait-lock");
    await ask("/bury");
    await ask("/open");
    const forLock = await served("/live-lock");
    await holder;
    await doom(50, "/wait-limiter");
    await ask("/bury");
    const forRate = await served("/live-limiter");
    await doom(5, "/wait-load");
    await ask("/bury");
    const forLoad = await served("/live-load");
    t.diagnostic(
      `lock ${forLock.toFixed(0)} ms, rate ${forRate.toFixed(0)} ms, load ${forLoad.toFixed(0)} ms`,
    );
    assert.ok(Math.max(forLock, forRate, forLoad) < 10_000);
  });
});

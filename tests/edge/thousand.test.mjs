/** A thousand requests at once at one handle of each policy that decides for many, in real workerd. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { atEachDate, tally } from "./together.mjs";

atEachDate("thousand-worker.js", ({ ask, json, many }) => {
  async function until(isSo) {
    const last = performance.now() + 60_000;
    while (!(await isSo()) && performance.now() < last)
      await new Promise((resolve) => setTimeout(resolve, 5));
  }

  test("a breaker that opens for one is open for a thousand", async () => {
    const answers = tally(await many(1000, "/breaker"));
    const { ran } = await json("/seen/breaker");
    assert.equal(answers["200 failed"], ran);
    assert.equal(answers["200 refused"] ?? 0, 1000 - ran);
    assert.equal((await ask("/state")).text, "open");
    assert.deepEqual(tally(await many(1000, "/breaker")), { "200 refused": 1000 });
  });

  test("one of a thousand finds out whether a breaker may close, and nobody else gets through meanwhile", async () => {
    assert.equal((await ask("/heal")).text, "half-open");
    const answers = [];
    const all = Array.from({ length: 1000 }, () => ask("/breaker").then((answer) => answers.push(answer)));
    await until(() => answers.length >= 999);
    assert.deepEqual(tally(answers), { "200 refused": 999 });
    await ask("/open");
    await Promise.all(all);
    assert.deepEqual(tally(answers), { "200 refused": 999, "200 called": 1 });
    assert.deepEqual(tally(await many(1000, "/breaker")), { "200 called": 1000 });
  });

  for (const rate of ["bucket", "window"])
    test(`a ${rate} lets each of a thousand pass once, and not before its time`, async () => {
      const began = performance.now();
      assert.deepEqual(tally(await many(1000, `/rate/${rate}`)), { "200 passed": 1000 });
      // A hundred at once, and a hundred in each 100 ms after that; the clock of the isolate may tick in whole milliseconds.
      assert.ok(performance.now() - began >= 895);
    });

  test("loads of a thousand requests are their own, and the value is everybody's", async () => {
    assert.deepEqual(tally(await many(1000, "/load/own")), { "200 value": 1000 });
    const { ran } = await json("/seen/own");
    assert.deepEqual(tally(await many(1000, "/load/own")), { "200 value": 1000 });
    assert.equal((await json("/seen/own")).ran, ran);
  });

  test("a load that a thousand requests share runs once", async () => {
    assert.deepEqual(tally(await many(1000, "/load/isolate")), { "200 value": 1000 });
    assert.equal((await json("/seen/isolate")).ran, 1);
  });

  test("locks are held by one of a thousand at a time, and everybody gets them", async () => {
    assert.deepEqual(tally(await many(1000, "/lock")), { "200 held": 1000 });
    const { most, ran } = await json("/seen/lock");
    assert.deepEqual({ most, ran }, { most: 1, ran: 1000 });
  });

  test("tasks that a thousand requests add to a graph run once each, in the request that executes it", async () => {
    await ask("/shut");
    const executing = ask("/execute");
    await until(async () => (await json("/graph")).running === 1);
    await Promise.all(Array.from({ length: 1000 }, (_, n) => ask(`/add/task-${n}`)));
    await ask("/open");
    assert.deepEqual(JSON.parse((await executing).text), { total: 1001, added: 1000 });
    const { most, ran } = await json("/seen/graph");
    assert.deepEqual({ most, ran }, { most: 3, ran: 1000 });
  });

  test("nobody is left afterwards", async () => {
    assert.deepEqual(await json("/rest"), { bucket: 0, window: 0, held: 0, locks: 0 });
  });
});

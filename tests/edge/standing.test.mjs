/** A clock that stands still, as it does on the edge while nothing comes in or goes out: nobody starves, nothing is granted twice. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { atEachDate, tally } from "./together.mjs";

/** Before the package is loaded, which holds the clock that it finds. */
const before = `
let standing = 1000;
globalThis.moveClock = (ms) => { standing += ms; };
performance.now = () => standing;
Date.now = () => standing;
`;

atEachDate(
  "standing-worker.js",
  ({ ask, json, many }) => {
    async function until(isSo) {
      while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
    }

    test("everybody is served, and never more than there are slots", async () => {
      assert.deepEqual(tally(await many(200, "/pool")), { "200 ran": 200 });
      const { most, active, queued } = await json("/seen");
      assert.deepEqual({ most, active, queued }, { most: 2, active: 0, queued: 0 });
    });

    for (const rate of ["bucket", "window"])
      test(`a ${rate} gives what it has once, and again when the clock has moved`, async () => {
        assert.deepEqual(tally(await many(20, `/${rate}`)), { "200 true": 3, "200 false": 17 });
        await ask("/move/2000");
        assert.deepEqual(tally(await many(20, `/${rate}`)), { "200 true": 3, "200 false": 17 });
      });

    test("those who wait for a rate live on, and as many pass as the clock allows, each once", async () => {
      const all = many(12, "/acquire");
      await until(async () => (await json("/passed")).waiting === 9);
      for (const passed of [3, 6, 9, 12]) {
        await until(async () => (await json("/passed")).passed >= passed);
        // Nobody else comes while it stands, however often they look.
        await new Promise((resolve) => setTimeout(resolve, 150));
        assert.deepEqual(await json("/passed"), { passed, waiting: 12 - passed });
        await ask("/move/1000");
      }
      assert.deepEqual(tally(await all), { "200 passed": 12 });
    });

    test("a pool behind a breaker is refused while the clock stands, and is served after it has moved", async () => {
      for (let call = 0; call < 3; call += 1) assert.equal((await ask("/guarded/badly")).text, "failed");
      assert.deepEqual(tally(await many(50, "/guarded/well")), { "200 refused": 50 });
      await ask("/move/1000");
      assert.equal((await ask("/guarded/well")).text, "ran");
      assert.deepEqual(tally(await many(50, "/guarded/well")), { "200 ran": 50 });
    });

    test("a pool with a rate starts as many as the rate has", async () => {
      assert.deepEqual(tally(await many(20, "/rated")), { "200 ran": 5, "200 no room": 15 });
    });

    test("a breaker stays open while the clock stands, and then lets one probe through", async () => {
      for (let call = 0; call < 3; call += 1) assert.equal((await ask("/breaker")).text, "failed");
      assert.deepEqual(tally(await many(20, "/breaker")), { "200 refused": 20 });
      await ask("/up");
      await ask("/move/1000");
      const answers = tally(await many(20, "/breaker"));
      assert.ok(answers["200 ran"] >= 1);
      assert.equal((await ask("/breaker")).text, "ran");
    });

    test("latencies of nothing do not move an adaptive limit", async () => {
      assert.deepEqual(tally(await many(100, "/adaptive")), { "200 ran": 100 });
      const { adaptive, mostAdaptive } = await json("/seen");
      assert.deepEqual({ adaptive, mostAdaptive }, { adaptive: 7, mostAdaptive: 7 });
    });
  },
  { before },
);

/** One pool at module scope, shared by many requests at once, in real workerd. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { atEachDate, tally } from "./together.mjs";

atEachDate("shared-worker.js", ({ ask, json, many }) => {
  test("a thousand requests through a pool of 2 are all answered, and never more than 2 run", async () => {
    const answers = await many(1000, "/pool/open");
    assert.deepEqual(tally(answers), { "200 done": 1000 });
    const { most, ran, active, queued } = await json("/seen/open");
    assert.deepEqual({ most, ran, active, queued }, { most: 2, ran: 1000, active: 0, queued: 0 });
  });

  for (const [rule, refusal] of [
    ["error", "QUEUE_FULL"],
    ["drop-newest", "DROPPED"],
    ["drop-oldest", "DROPPED"],
    ["wait", "QUEUE_FULL"],
  ]) {
    test(`a bounded queue with ${rule} refuses exactly what the rule says`, async () => {
      const fits = 2 + 10 + (rule === "wait" ? 10 : 0);
      const answers = [];
      const all = Array.from({ length: 60 }, () =>
        ask(`/held/${rule}`).then((answer) => answers.push(answer)),
      );
      while (answers.length < 60 - fits) await new Promise((resolve) => setTimeout(resolve, 5));
      await ask(`/gate/${rule}`);
      await Promise.all(all);
      assert.deepEqual(tally(answers), { "200 done": fits, [`503 ${refusal}`]: 60 - fits });
      const { most, active, queued, waitingForRoom } = await json(`/seen/${rule}`);
      assert.deepEqual(
        { most, active, queued, waitingForRoom },
        { most: 2, active: 0, queued: 0, waitingForRoom: 0 },
      );
    });
  }
});

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

  /** Who of a thousand that come at once is let in, by the order in which they came. */
  const first = (n) => (number) => number < n;
  const isRunningOrLast = (number) => number < 2 || number >= 990;
  for (const [rule, refusal, fits, isIn] of [
    ["error", "QUEUE_FULL", 12, first(12)],
    ["drop-newest", "DROPPED", 12, first(12)],
    ["drop-oldest", "DROPPED", 12, isRunningOrLast],
    ["wait", "QUEUE_FULL", 22, first(22)],
  ]) {
    test(`a bounded queue with ${rule} refuses exactly those of a thousand that the rule says`, async () => {
      const answers = [];
      const all = Array.from({ length: 1000 }, () =>
        ask(`/held/${rule}`).then((answer) => answers.push(answer)),
      );
      while (answers.length < 1000 - fits) await new Promise((resolve) => setTimeout(resolve, 5));
      await ask(`/gate/${rule}`);
      await Promise.all(all);
      assert.ok(answers.every(({ status }) => status === 200));
      const outcomes = answers.map(({ text }) => JSON.parse(text)).sort((a, b) => a.number - b.number);
      assert.deepEqual(
        outcomes,
        outcomes.map((_, number) => ({ number, outcome: isIn(number) ? "done" : refusal })),
      );
      const { most, active, queued, waitingForRoom } = await json(`/seen/${rule}`);
      assert.deepEqual(
        { most, active, queued, waitingForRoom },
        { most: 2, active: 0, queued: 0, waitingForRoom: 0 },
      );
    });
  }
});

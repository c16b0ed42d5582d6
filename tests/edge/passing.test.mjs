/** Plain tasks that start without asking, in real workerd: each request hears of its own tasks, whoever ends them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { atEachDate } from "./together.mjs";

atEachDate("passing-worker.js", ({ ask, json }) => {
  for (const [route, n] of [
    ["single", 1],
    ["several", 3],
  ]) {
    test(`who runs hears in its own request that another one has closed the pool: ${route}`, async () => {
      const running = ask(`/${route}/${route}`, { method: "POST", body: "mine" });
      while ((await ask(`/active/${route}`)).text !== String(n)) await new Promise(setImmediate);
      assert.deepEqual(await ask(`/close/${route}`), { status: 200, text: "closed" });
      assert.deepEqual(await running, { status: 200, text: `mine ${n}` });
    });
  }

  test("requests whose tasks pass between each other's are all served, and all are counted", async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => ask("/many/shared", { method: "POST", body: `of ${n}` })),
    );
    assert.deepEqual(
      answers,
      answers.map((_, n) => ({ status: 200, text: `of ${n} 205` })),
    );
    const all = 50 * 205;
    assert.deepEqual(await json("/counts/shared"), {
      active: 0,
      queued: 0,
      accepted: all,
      started: all,
      completed: all,
      most: true,
    });
  });
});

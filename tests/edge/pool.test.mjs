/**
 * One pool at module scope, shared by many requests at once, in real workerd at the oldest compatibility date that is promised, at
 * the first one where promises of other requests may be resolved, and at today's.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { CURRENT, serve } from "./serve.mjs";

const entry = readFileSync(new URL("shared-worker.js", import.meta.url), "utf8");

for (const date of ["2023-01-01", "2024-10-14", CURRENT]) {
  describe(`at compatibility date ${date}`, () => {
    let worker;
    before(async () => {
      worker = await serve(`shared-${date}`, entry, { date });
    });
    after(() => worker?.stop());

    const get = async (path) => {
      const response = await fetch(`${worker.url}${path}`, { signal: AbortSignal.timeout(120_000) });
      return { status: response.status, text: await response.text() };
    };
    const seen = async (name) => JSON.parse((await get(`/seen/${name}`)).text);
    const many = (n, path) => Promise.all(Array.from({ length: n }, () => get(path)));

    test("a thousand requests through a pool of 2 are all answered, and never more than 2 run", async () => {
      const answers = await many(1000, "/pool/open");
      assert.deepEqual(tally(answers), { "200 done": 1000 });
      const { most, ran, active, queued } = await seen("open");
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
          get(`/held/${rule}`).then((answer) => answers.push(answer)),
        );
        while (answers.length < 60 - fits) await new Promise((resolve) => setTimeout(resolve, 5));
        await get(`/gate/${rule}`);
        await Promise.all(all);
        assert.deepEqual(tally(answers), { "200 done": fits, [`503 ${refusal}`]: 60 - fits });
        const { most, active, queued, waitingForRoom } = await seen(rule);
        assert.deepEqual(
          { most, active, queued, waitingForRoom },
          { most: 2, active: 0, queued: 0, waitingForRoom: 0 },
        );
      });
    }
  });
}

function tally(answers) {
  const counts = {};
  for (const { status, text } of answers) {
    const what = `${status} ${text}`;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}

/**
 * 100,000 tasks while workers are killed, hung and trapped: with tasks queued in them, with one running, and in the middle of
 * an answer.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { installBrowser } from "../../setup/browsers.mjs";
import { GROWTH, PHASES, SIZE, STRIKES, TASKS } from "./fault-load.mjs";
import { withstandInChromium } from "./in-chromium.mjs";
import { withstandInNode } from "./in-node.mjs";

test("100,000 tasks while workers die in every way: each settles once, none is lost, none runs twice", async () => {
  judge(await withstandInNode());
});

test("100,000 tasks of a page while its workers die in every way: the same", async (t) => {
  const missing = await installBrowser("chromium");
  if (missing) return t.skip(missing);
  judge(await withstandInChromium());
});

function judge({
  lost,
  once,
  answered,
  crashed,
  timedOut,
  counted,
  twice,
  wronglyTwice,
  strikes,
  workers,
  grown,
}) {
  assert.deepEqual(lost, []);
  assert.equal(once, TASKS, "each task settles exactly once");
  assert.equal(answered + crashed + timedOut, TASKS);
  assert.deepEqual(counted, { crashed, queued: 0, running: 0 });
  assert.equal(wronglyTwice, 0, "only what may run again does");
  assert.ok(twice > 0, "what may run again does");
  for (const phase of PHASES)
    assert.ok(strikes[phase] >= STRIKES, `${strikes[phase]} faults have struck in the phase "${phase}"`);
  assert.equal(workers, SIZE, "the pool is at its full size");
  assert.ok(grown < GROWTH, `the heap has grown by ${grown} bytes`);
}

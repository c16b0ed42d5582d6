/** One limit of two isolates, held by a real Durable Object with SQLite in real workerd. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { serve } from "./serve.mjs";

const entry = readFileSync(new URL("durable-worker.js", import.meta.url), "utf8");
let worker;
let target;
let gauge;
const seen = { running: 0, most: 0, ran: 0 };

before(async () => {
  worker = await serve("durable", entry, { isolates: 2, objects: ["CoordinatorObject"] });
  target = createServer((_, response) => {
    seen.running += 1;
    seen.most = Math.max(seen.most, seen.running);
    setTimeout(() => {
      seen.running -= 1;
      seen.ran += 1;
      response.end("counted");
    }, 2);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => target.once("listening", resolve));
  gauge = encodeURIComponent(`http://127.0.0.1:${target.address().port}/`);
});
after(() => {
  worker?.stop();
  target?.closeAllConnections();
  target?.close();
});

async function ask(isolate, path) {
  const response = await fetch(`${worker.urls[isolate]}${path}`, { signal: AbortSignal.timeout(120_000) });
  const text = await response.text();
  assert.equal(response.status, 200, `${text} ${worker.said()}`);
  return JSON.parse(text);
}

test("two isolates share one limit by a Durable Object that restarts", async (t) => {
  const restarts = setInterval(() => ask(0, "/restart").catch(() => {}), 100);
  const path = `/load?tasks=1500&lanes=16&gauge=${gauge}`;
  const metrics = await Promise.all([ask(0, path), ask(1, path)]).finally(() => clearInterval(restarts));
  t.diagnostic(`${metrics[0].asked + metrics[1].asked} words for 3000 tasks`);
  assert.deepEqual([seen.most, seen.ran], [8, 3000]);
  for (const { completed, lapsed } of metrics) assert.deepEqual([completed, lapsed], [1500, 0]);
});

test("two hundred requests to each of two isolates share it too", async () => {
  Object.assign(seen, { most: 0, ran: 0 });
  const all = Array.from({ length: 400 }, (_, n) => ask(n % 2, `/one?gauge=${gauge}`));
  await Promise.all(all);
  assert.ok(seen.most <= 8, `${seen.most}`);
  assert.equal(seen.ran, 400);
});

test("locks and values hold across isolates", async () => {
  const fences = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(n % 2, "/update")));
  assert.equal(new Set(fences).size, 20);
  assert.equal(await ask(0, "/read"), 20);
});

/** How the page watches a scan of many targets on the edge: whether it gives up, when, and what it leaves behind at the worker. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("../../www/src/edge-shards.ts", import.meta.url))],
  bundle: true,
  format: "esm",
  write: false,
});
const { scanOfShards } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`
);

const WORKER = { url: "https://scans.example.com/", token: "secret" };
const HEAD = {
  started: 1,
  targets: ["https://example.com/"],
  plugins: ["headers"],
  mode: "passive",
  maxWorkers: 5,
};
const DONE = 'id: 1\ndata: {"type":"done"}\n\n';

let pauses = [];

beforeEach(() => {
  pauses = [];
  // No pause takes any time here.
  mock.method(globalThis, "setTimeout", (fn, ms) => {
    pauses.push(ms);
    return setImmediate(fn);
  });
});

/** Watches a scan whose worker answers each question for events with the next of these; gives what was told and asked. */
async function watched(answers, signal = new AbortController().signal) {
  const asked = [];
  mock.method(globalThis, "fetch", async (url, { method = "GET" } = {}) => {
    const path = `${method} ${new URL(url).pathname}`;
    asked.push(path);
    if (path === "POST /scans") return Response.json({ id: "7" });
    if (path === "GET /scans/7/report") return new Response(`${JSON.stringify({ report: HEAD })}\n`);
    if (path === "DELETE /scans/7") return new Response(null, { status: 204 });
    assert.equal(path, "GET /scans/7/events");
    return answers.shift()();
  });
  const told = [];
  const outcome = await (async () => {
    for await (const event of scanOfShards(WORKER, {}, signal)) told.push(event.type);
    return "told";
  })().catch((error) => error);
  const ended = asked.filter((path) => path.startsWith("DELETE")).length;
  return { outcome, told, ended, questions: asked.filter((path) => path.endsWith("/events")).length };
}

const lost = () => {
  throw new TypeError("Failed to fetch");
};
const says = (text, init) => () => new Response(text, init);

test("shards: a scan that is heard of no more is given up after six questions, and ended at the worker", async () => {
  const { outcome, ended, questions } = await watched(Array(9).fill(lost));
  assert.match(outcome.message, /cannot be reached/);
  assert.deepEqual([questions, ended], [6, 1]);
  assert.deepEqual(pauses, [1000, 2000, 3000, 4000, 5000]);
});

test("shards: a scan that the worker refuses to tell of is not asked for again, and ended", async () => {
  const { outcome, ended, questions } = await watched([says("{}", { status: 403 })]);
  assert.match(outcome.message, /The worker refuses: it answered 403/);
  assert.deepEqual([questions, ended], [1, 1]);
});

test("shards: one that is given up while it is lost is ended too", async () => {
  const giving = new AbortController();
  const reason = new Error("given up");
  const { outcome, ended } = await watched(
    [
      () => {
        giving.abort(reason);
        return lost();
      },
    ],
    giving.signal,
  );
  assert.equal(outcome, reason);
  assert.equal(ended, 1);
});

test("shards: a comment says that the scan is there, however often the connection breaks off behind it", async () => {
  const answers = [...Array(20).fill(says(": waiting\n\n")), lost, lost, says(DONE)];
  const { outcome, told, ended, questions } = await watched(answers);
  assert.deepEqual([outcome, told, ended, questions], ["told", ["started", "done"], 0, 23]);
  assert.deepEqual(pauses, [...Array(20).fill(1000), 2000, 3000]);
});

test("shards: without a word, not even a comment, it is lost", async () => {
  const { outcome, ended, questions } = await watched(Array(9).fill(says("")));
  assert.match(outcome.message, /says no more of its scan/);
  assert.deepEqual([questions, ended], [6, 1]);
});

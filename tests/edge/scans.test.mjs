/** Scans of many shards in real workerd: consumers, objects and the whole process die on the way, messages are lost and come twice. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, request as get } from "node:http";
import { after, before, test } from "node:test";
import { ScanJobObject, scanHandler } from "tidegate/edge";
import { Scanner, toCsv, toSarif } from "tidegate/scan";
import { startRange } from "../../range/range.mjs";
import { LocalQueue } from "./queue.mjs";
import { serve } from "./serve.mjs";
import { HOSTILE } from "./targets.mjs";

const TOKEN = "a-token-that-is-long-enough";
const OTHER = "a-token-of-somebody-else";
/** What stands behind the hosts of a scan: targets of the range whose answer never varies. */
const KINDS = ["fast", "broken", "missing", "locked", "empty", "headers-none", "hostile", "resetting"];
/** The kind of each of two thousand: of those that reset connections only a few, because workerd tries them many times. */
const kindOf = (n) => (n % 50 === 0 ? "resetting" : KINDS[n % 7]);
const hostile = HOSTILE.filter((target) => target !== "");
let isReliable = true;
let isLost = false;
const queue = new LocalQueue({
  concurrency: 8,
  // One message in fifteen is lost, and one in eight comes twice.
  copies: ({ id }) => (isLost ? 0 : isReliable ? 1 : id % 15 === 7 ? 0 : id % 8 === 0 ? 2 : 1),
});
let range;
let outside;
let worker;
/** The hosts that were contacted. */
let contacted = [];
/** Called at each contact; answers wait for it. */
let onContact = async () => {};

before(async () => {
  range = await startRange({ reference: false });
  const urls = new Map(KINDS.map((kind) => [kind, new URL(range.url(kind))]));
  // Everything that workers fetch comes here, whatever its host; the host says which target of the range it is.
  outside = createServer(async (request, response) => {
    const { host } = request.headers;
    contacted.push(host);
    await onContact(host);
    const { hostname, port, pathname } = urls.get(host.split(".")[1]) ?? urls.get("fast");
    get({ hostname, port, path: pathname, method: request.method }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    })
      .on("error", () => response.destroy())
      .end();
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => outside.once("listening", resolve));
  worker = await start("scans", { isolates: 2, queue });
});

function start(name, options) {
  return serve(name, readFileSync(new URL("scans-worker.js", import.meta.url), "utf8"), {
    objects: ["ScanJobObject"],
    vars: { TOKENS: `${TOKEN} ${OTHER}` },
    outside: `127.0.0.1:${outside.address().port}`,
    ...options,
  });
}

after(async () => {
  worker?.stop();
  outside?.closeAllConnections();
  outside?.close();
  await range?.close();
});

function ask(path, { token = TOKEN, order, headers, ...init } = {}) {
  return fetch(`${worker.url}${path}`, {
    signal: AbortSignal.timeout(120_000),
    ...(order === undefined ? {} : { method: "POST", body: JSON.stringify(order) }),
    ...init,
    headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...headers },
  });
}

async function json(path, options) {
  const response = await ask(path, options);
  return { status: response.status, ...(await response.json()) };
}

/** Asks the object of a scan as nobody but its worker can. */
async function object(id, path, word) {
  const to = `/object?id=${id}&path=${encodeURIComponent(path)}`;
  for (;;) {
    const answer = await (await ask(to, word === undefined ? {} : { order: word })).json();
    // Its disk fails now and then; consumers say it again, too.
    if (!/the disk failed/.test(answer.error)) return answer;
  }
}

async function begin(targets, plugins = ["http-probe"]) {
  contacted = [];
  const answer = await json("/scans", { order: { targets, plugins } });
  assert.equal(answer.status, 202, `${JSON.stringify(answer)} ${worker.said()}`);
  return answer;
}

/** Events as they come, from the one after `last`; ends where the stream does, however. */
async function* events(id, last) {
  const response = await ask(`/scans/${id}/events`, {
    headers: last === undefined ? {} : { "last-event-id": last },
  });
  if (response.status === 204) return;
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const fields = new Map(part.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.has("data")) yield { id: fields.get("id"), ...JSON.parse(fields.get("data")) };
    }
  }
}

/** Watches to the end as a browser does: whenever the stream breaks, it is taken up after the last event that was seen. */
async function watch(id, onEvent = () => {}) {
  const seen = [];
  let breaks = 0;
  while (seen.at(-1)?.type !== "done") {
    try {
      for await (const event of events(id, seen.at(-1)?.id)) {
        seen.push(event);
        onEvent(event);
      }
    } catch {
      breaks += 1;
    }
  }
  return { seen, breaks };
}

const host = (kind, n) => `http://h${n}.${kind}.example/`;
const keyOf = ({ target, plugin }) => `${target} ${plugin}`;

test("two thousand targets have exactly one result each, whoever dies on the way, and none is lost", async (t) => {
  const targets = Array.from({ length: 2000 }, (_, n) => host(kindOf(n), n));
  // Whoever watches sees when somebody is to die: not by a clock, but by how far the scan is.
  const deaths = [
    [200, restartObject],
    [500, killAll],
    [900, restartObject],
    [1200, killAll],
    [1600, restartObject],
  ];
  let done = 0;
  isReliable = false;
  const { id } = await begin(targets);
  const dying = [];
  async function restartObject() {
    await object(id, "/restart");
  }
  async function killAll() {
    await worker.restart();
  }
  const { seen, breaks } = await watch(id, ({ type }) => {
    done += type === "result" ? 1 : 0;
    if (done >= (deaths[0]?.[0] ?? Number.POSITIVE_INFINITY))
      dying.push(
        deaths
          .shift()[1]()
          .catch(() => {}),
      );
  });
  await Promise.all(dying);
  isReliable = true;
  t.diagnostic(
    `${contacted.length} requests, ${queue.counts.delivered} deliveries of ${queue.counts.sent} messages, ${queue.counts.again} again, ${breaks} breaks`,
  );
  assert.deepEqual(deaths, []);

  const told = seen.filter(({ type }) => type === "result").map(({ result }) => keyOf(result));
  const wanted = targets.map((target) => `${target} http-probe`).sort();
  assert.deepEqual(told.sort(), wanted, "each result is told once, over all breaks");
  const report = await (await ask(`/scans/${id}/report`)).json();
  assert.deepEqual(report.results.map(keyOf).sort(), wanted);
  assert.deepEqual(report.targets, targets);
  assert.equal(report.complete, true);
  const statuses = { fast: 200, broken: 500, missing: 404, locked: 401, empty: 204, resetting: null };
  for (const { target, status, details } of report.results) {
    assert.equal(status, "ok", target);
    const { [target.split(".")[1]]: expected = 200 } = statuses;
    assert.equal(details.status, expected, target);
  }
  const status = await json(`/scans/${id}`);
  assert.deepEqual(
    [status.state, status.done, status.total, status.targetsDone, status.summary],
    ["done", 2000, 2000, 2000, report.summary],
  );
  assert.equal(report.summary.reachable, 1960);
});

test("events are taken up after the last one seen, also from an object that has begun anew; the end is told once", async () => {
  const held = new Set();
  onContact = (name) => (name.includes("h2.") ? new Promise((resolve) => held.add(resolve)) : undefined);
  const { id } = await begin([host("fast", 1), host("fast", 2), host("broken", 3), "http://10.0.0.1/"]);
  const first = [];
  for await (const event of events(id)) {
    first.push(event);
    if (first.filter(({ type }) => type === "result").length === 2) break;
  }
  assert.equal(first[0].type, "refused");
  await object(id, "/restart");
  const rest = watch(id);
  const after = [];
  const resumed = (async () => {
    for await (const event of events(id, first.at(-1).id)) after.push(event);
  })();
  onContact = async () => {};
  for (const release of held) release();
  await resumed;
  const results = (seen) => seen.filter(({ type }) => type === "result").map(({ result }) => result.target);
  assert.deepEqual(results(first).sort(), [host("broken", 3), host("fast", 1)].sort());
  assert.deepEqual(results(after), [host("fast", 2)]);
  assert.deepEqual(results((await rest).seen).sort(), [...results(first), ...results(after)].sort());
  const { id: last, type, cancelled } = after.at(-1);
  assert.deepEqual([type, cancelled], ["done", false]);
  assert.equal((await ask(`/scans/${id}/events`, { headers: { "last-event-id": last } })).status, 204);
});

test("a scan that is ended contacts nobody any more, keeps what it found, and is forgotten when it is ended again", async () => {
  const held = new Set();
  onContact = () => new Promise((resolve) => held.add(resolve));
  const { id } = await begin(Array.from({ length: 200 }, (_, n) => host("fast", n)));
  const watched = watch(id, () => {});
  while (held.size === 0) await new Promise(setImmediate);
  const ended = await json(`/scans/${id}`, { method: "DELETE" });
  assert.deepEqual([ended.status, ended.state], [200, "cancelled"]);
  const { seen } = await watched;
  assert.deepEqual([seen.at(-1).type, seen.at(-1).cancelled], ["done", true]);
  onContact = async () => {};
  for (const release of held) release();
  // Shards that had not begun never do: a scan that is made afterwards goes through the same queue, behind them.
  const next = await begin([host("missing", 1)]);
  await watch(next.id);
  assert.deepEqual(
    contacted.filter((name) => Number(/^h(\d+)\.fast/.exec(name)?.[1] ?? 0) >= 160),
    [],
  );
  const report = await (await ask(`/scans/${id}/report`)).json();
  assert.equal(report.complete, false);
  assert.equal((await ask(`/scans/${id}`, { method: "DELETE" })).status, 204);
  for (const path of ["", "/events", "/report"])
    assert.equal((await ask(`/scans/${id}${path}`)).status, 404, path);
});

test("a target that ends every consumer is one failed result, and its neighbours are scanned", async () => {
  const targets = [host("fast", 1), "http://h2.poison.example/", host("broken", 3)];
  const { id } = await begin(targets);
  await watch(id);
  const { results } = await (await ask(`/scans/${id}/report`)).json();
  assert.deepEqual(
    results.map(({ status }) => status),
    ["ok", "error", "ok"],
  );
  assert.match(results[1].error, /^Its consumer ended 5 times without a result: .*poisoned/);
});

test("without a token, or with another's, nothing is told and nothing is contacted", async () => {
  const { id } = await begin([host("fast", 1)]);
  await watch(id);
  contacted = [];
  for (const token of [null, "wrong", `${TOKEN}x`]) {
    const order = { targets: [host("fast", 2)] };
    assert.equal((await ask("/scans", { token, order })).status, 401);
    for (const path of ["", "/events", "/report"])
      assert.equal((await ask(`/scans/${id}${path}`, { token })).status, 401);
    assert.equal((await ask(`/scans/${id}`, { token, method: "DELETE" })).status, 401);
  }
  for (const path of ["", "/events", "/report"])
    assert.equal((await ask(`/scans/${id}${path}`, { token: OTHER })).status, 404);
  assert.equal((await ask(`/scans/${id}`, { token: OTHER, method: "DELETE" })).status, 404);
  assert.equal((await json(`/scans/${id}`)).state, "done");
  assert.deepEqual(contacted, []);
});

test("hostile targets are refused with one sentence each, while the rest is scanned", async () => {
  const good = Array.from({ length: 20 }, (_, n) => host("fast", n));
  const { id, refused } = await begin([...hostile, ...good, ...good]);
  assert.deepEqual(
    refused.map(({ target }) => target),
    hostile,
  );
  for (const { message } of refused) assert.match(message, /^[A-Z`][^\n]*[^.\s]$/);
  const { seen } = await watch(id);
  assert.equal(seen.filter(({ type }) => type === "refused").length, hostile.length);
  const report = await (await ask(`/scans/${id}/report`)).json();
  assert.deepEqual(
    report.results.map(({ target, details }) => `${target} ${details.status}`),
    good.map((target) => `${target} 200`),
  );
  assert.deepEqual(
    report.invalid.map(({ input }) => input),
    hostile,
  );
  assert.equal(new Set(contacted).size, 20);
  const none = await json("/scans", { order: { targets: hostile } });
  assert.deepEqual([none.status, none.refused.length], [400, hostile.length]);
});

test("a name that leads to a private address is refused by who scans it", async () => {
  const { id } = await begin([host("fast", 1), "http://inner.example/"]);
  await watch(id);
  const { results } = await (await ask(`/scans/${id}/report`)).json();
  assert.deepEqual(
    results.map(({ status, error }) => [status, error]),
    [
      ["ok", null],
      ["error", "`inner.example` leads to an address that is not public"],
    ],
  );
  assert.deepEqual([...new Set(contacted)], ["h1.fast.example"]);
});

test("a queue that takes nothing for a while is asked again", async () => {
  queue.refusing = 2;
  const { id } = await begin([host("fast", 1)]);
  assert.equal((await watch(id)).seen.filter(({ type }) => type === "result").length, 1);
  assert.equal(queue.refusing, 0);
});

test("what has been kept for its time is forgotten", async () => {
  const order = { targets: [host("fast", 1)], plugins: ["http-probe"] };
  const { id } = await json("/scans", { order, headers: { "x-keep": "0" } });
  while ((await ask(`/scans/${id}`)).status !== 404) await new Promise(setImmediate);
  assert.equal((await ask(`/scans/${id}/events`)).status, 404);
});

test("reports come in each format, and one that is not offered is told with those that are", async () => {
  const { id } = await begin([host("fast", 1), host("hostile", 2)], ["http-probe", "security-headers"]);
  await watch(id);
  const report = async (format, type) => {
    const response = await ask(`/scans/${id}/report?format=${format}`);
    assert.equal(response.status, 200);
    assert.ok(response.headers.get("content-type").startsWith(type), response.headers.get("content-type"));
    assert.equal(response.headers.get("content-disposition"), `attachment; filename="scan-${id}.${format}"`);
    assert.equal(response.headers.get("cache-control"), "no-store");
    return response;
  };
  const whole = await (await report("json", "application/json")).json();
  assert.deepEqual([whole.results.length, whole.plugins.length], [4, 2]);
  const findings = whole.results.flatMap((result) => result.findings);
  assert.ok(findings.length > 4);

  const csv = await (await report("csv", "text/csv")).text();
  assert.equal(csv, toCsv(whole), "in pieces it is the same as in one");

  const lines = (await (await report("ndjson", "application/x-ndjson")).text()).trimEnd().split("\n");
  const [head, ...rest] = lines.map((line) => JSON.parse(line));
  assert.deepEqual(head, { type: "report", report: { ...whole, results: [] } });
  assert.deepEqual(
    rest,
    whole.results.map((result) => ({ type: "result", result })),
  );

  const sarif = await (await report("sarif", "application/sarif+json")).json();
  assert.deepEqual(sarif, JSON.parse(toSarif(whole)));
  assert.equal(sarif.runs[0].results.length, findings.length);

  const html = await report("html", "text/html");
  assert.equal(html.headers.get("content-security-policy"), "sandbox");
  assert.equal(await html.text(), "<p>4 results</p>");

  const other = await json(`/scans/${id}/report?format=pdf`);
  assert.deepEqual(
    [other.status, other.error],
    [400, "expected `format` to be one of json, ndjson, sarif, csv, html"],
  );
});

test("a report that cannot be written, breaks off or is too long is refused in a sentence", async () => {
  const id = "00000000-0000-4000-8000-000000000000";
  const head = `${JSON.stringify({ type: "report", report: { results: [] } })}\n`;
  const refused = async (html, lines, formats = {}) => {
    const jobs = { idFromName: (name) => name, get: () => ({ fetch: async () => new Response(lines()) }) };
    const scans = { jobs, formats: { ...formats, html } };
    const handle = scanHandler({ Scanner, tokens: [TOKEN], targets: { allow: ["*"] }, scans });
    const headers = { authorization: `Bearer ${TOKEN}` };
    const response = await handle(
      new Request(`https://worker.example/scans/${id}/report?format=html`, { headers }),
    );
    return [response.status, (await response.json()).error];
  };
  const broken = [500, "the report broke off, or could not be written as html"];
  const fails = () => {
    throw new Error("no");
  };
  assert.deepEqual(await refused(fails, () => head), broken);
  const breaksOff = () =>
    new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode(head)),
      pull: (controller) => controller.error(new Error("gone")),
    });
  assert.deepEqual(await refused(asHtml, breaksOff), broken);
  const tooLong = () => `${head}${JSON.stringify({ result: "x".repeat(8_400_000) })}\n`;
  const sentence = "the report is too long for this format; these have no bound: json, ndjson, sarif";
  assert.deepEqual(await refused(asHtml, tooLong), [413, sentence]);
  assert.deepEqual(await refused(asHtml, tooLong, { csv: toCsv }), [413, `${sentence}, csv`]);
});

const asHtml = () => "<p>";

/** A result as a consumer tells it. */
const told = (target, plugin, summary) => ({
  ...{ plugin, target, start: 0, duration: 1, status: "ok", error: null, level: "discovery", waited: 0 },
  ...{ summary, findings: [], details: null },
});

test("of results that are long no more than a megabyte is read at once, whoever asks for them", async (t) => {
  isLost = true;
  t.after(() => {
    isLost = false;
  });
  const targets = Array.from({ length: 7 }, (_, n) => host("fast", n));
  const { id } = await begin(targets, ["http-probe", "security-headers"]);
  const say = (holder, path, word) => object(id, path, { shard: 0, holder, ...word });
  // Each 900,000 bytes, though 300,000 characters; and one that is too long to be kept.
  const summary = (n) => "船".repeat(n === 6 ? 400_000 : 300_000);
  assert.equal((await say("one", "/claim")).targets.length, 7);
  for (const [n, target] of targets.entries())
    assert.deepEqual(await say("one", "/record", { results: [told(target, "http-probe", summary(n))] }), {
      goOn: true,
    });
  await say("one", "/release", { error: "died" });
  const given = [];
  for (let isDone = false; !isDone; ) {
    const claim = await say("two", "/claim");
    given.push(`${claim.targets.length} ${claim.report.results.length}`);
    const results = claim.targets.map((target) => told(target, "security-headers", "x".repeat(990_000)));
    await say("two", "/record", { results });
    ({ isDone } = await say("two", "/finish"));
  }
  // The last two together are short enough: of one of them the result is not kept.
  assert.deepEqual(given, ["1 1", "1 1", "1 1", "1 1", "1 1", "2 2"]);

  const { seen } = await watch(id);
  assert.equal(seen.filter(({ type }) => type === "result").length, 14);
  const { state, done, targetsDone, shards } = await json(`/scans/${id}`);
  assert.deepEqual([state, done, targetsDone, shards], ["done", 14, 7, { waiting: 0, running: 0, done: 1 }]);
  const report = await (await ask(`/scans/${id}/report`)).json();
  const probes = report.results.filter(({ plugin }) => plugin === "http-probe");
  assert.deepEqual(
    probes.map((result) => result.summary.length),
    [300_000, 300_000, 300_000, 300_000, 300_000, 300_000, 0],
  );
  assert.match(probes[6].error, /^The result is too long to be kept: 12\d{5} bytes$/);
  assert.equal(await (await ask(`/scans/${id}/report?format=csv`)).text(), toCsv(report));
  const html = await json(`/scans/${id}/report?format=html`);
  assert.equal(html.status, 413);
  assert.match(html.error, /^the report is too long for this format/);
  const { mostRead } = await object(id, "/seen");
  assert.ok(mostRead > 500_000 && mostRead <= 1_000_000, String(mostRead));
});

test("a queue that does not answer holds up no scan: its alarm is set again, and by then somebody else is asked", async (t) => {
  let take = () => {};
  queue.holding = new Promise((resolve) => (take = resolve));
  const before = queue.counts.batches;
  const scans = [];
  const beginning = begin([host("fast", 1)]).then((scan) => scans.push(scan));
  t.after(() => take());
  while (queue.counts.batches === before) await new Promise(setImmediate);
  // Nobody has been told its id yet; the one message says it.
  const id = queue.last.job;
  const alarm = async () => {
    await object(id, "/alarm");
    return (await object(id, "/seen")).alarm;
  };
  const now = Date.now();
  assert.ok((await alarm()) > now + 10_000, "an alarm that comes while it is being sent comes again");
  assert.equal(queue.counts.batches, before + 1);
  await object(id, "/later?ms=40000");
  t.after(() => object(id, "/later?ms=-40000"));
  const again = object(id, "/alarm");
  while (queue.counts.batches === before + 1) await new Promise(setImmediate);
  take();
  await Promise.all([again, beginning]);
  assert.equal(scans[0].id, id);
  await watch(id);
  assert.equal((await json(`/scans/${id}`)).state, "done");
});

test("whoever begins a scan is answered though the queue is not, and the scan goes on once it does", async (t) => {
  let take = () => {};
  queue.holding = new Promise((resolve) => (take = resolve));
  t.after(() => {
    queue.holding = Promise.resolve();
    take();
  });
  const { id, state } = await begin([host("fast", 1)]);
  assert.equal(state, "running");
  take();
  await watch(id);
  assert.equal((await json(`/scans/${id}`)).state, "done");
});

test("what a queue refuses late, after another has been asked and has answered, is sent again soon", async (t) => {
  isLost = true;
  let refuse = () => {};
  queue.holding = new Promise((resolve) => (refuse = resolve));
  t.after(() => {
    isLost = false;
    queue.holding = Promise.resolve();
    refuse();
  });
  const before = queue.counts.batches;
  const beginning = begin([host("fast", 1)]);
  while (queue.counts.batches === before) await new Promise(setImmediate);
  const id = queue.last.job;
  await object(id, "/later?ms=40000");
  queue.holding = Promise.resolve();
  await object(id, "/alarm");
  assert.equal(queue.counts.batches, before + 2);
  // The message that was taken is given twice four leases, 12 s.
  assert.ok((await object(id, "/seen")).alarm > Date.now() + 40_000 + 6000);
  queue.refusing = 1;
  refuse();
  await beginning;
  // And not when its lease ends.
  while ((await object(id, "/seen")).alarm > Date.now() + 40_000 + 1000) await new Promise(setImmediate);
  await object(id, "/later?ms=-40000");
});

test("a report is as it stands at its first piece, whatever is recorded while it is read", async (t) => {
  isLost = true;
  t.after(() => {
    isLost = false;
  });
  const targets = [host("fast", 1), host("fast", 2), host("fast", 3)];
  const { id } = await begin(targets);
  const say = (path, word) => object(id, path, { shard: 0, holder: "one", ...word });
  const results = targets.map((target) => [told(target, "http-probe", "found")]);
  await say("/claim");
  await say("/record", { results: results[0] });
  const meanwhile = async (path, n) => (await say(`/meanwhile?path=${path}`, { results: results[n] })).text;
  const report = JSON.parse(await meanwhile("/report", 1));
  assert.deepEqual(
    [report.summary.runs.ok, report.results.map(({ target }) => target)],
    [1, targets.slice(0, 1)],
  );
  const [head, ...lines] = (await meanwhile("/lines", 2))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual([head.report.summary.runs.ok, lines.length], [2, 2]);
  assert.equal((await json(`/scans/${id}`)).summary.runs.ok, 3);
});

test("an alarm that was lost is set again by whoever asks how far the scan is", async (t) => {
  isLost = true;
  t.after(() => {
    isLost = false;
  });
  const { id } = await begin([host("fast", 1)]);
  await object(id, "/lose-alarm");
  assert.equal((await object(id, "/seen")).alarm, null);
  assert.equal((await json(`/scans/${id}`)).state, "running");
  assert.notEqual((await object(id, "/seen")).alarm, null);
});

test("what is no order, no scan and no event is told so", async () => {
  for (const order of [null, {}, { targets: [] }, { targets: [1] }, { targets: ["a.example"], plugins: "x" }])
    assert.equal((await ask("/scans", { order })).status, 400, JSON.stringify(order));
  const unknown = await json("/scans", { order: { targets: ["a.example"], plugins: ["nope"] } });
  assert.equal(unknown.status, 400);
  assert.match(unknown.error, /nope/);
  const many = { targets: Array.from({ length: 10_001 }, () => "a.example") };
  assert.equal((await ask("/scans", { order: many })).status, 400);
  assert.equal((await ask("/scans", { order: { targets: ["x".repeat(1_100_000)] } })).status, 400);
  assert.equal((await ask("/scans")).status, 405);
  for (const id of ["x", "00000000-0000-4000-8000-000000000000"])
    assert.equal((await ask(`/scans/${id}`)).status, 404);
  const { id } = await begin([host("fast", 1)]);
  assert.equal((await ask(`/scans/${id}`, { method: "PUT" })).status, 405);
  assert.equal((await ask(`/scans/${id}/events`, { headers: { "last-event-id": "x" } })).status, 400);
});

test("at the oldest compatibility date that is promised, it is the same", async () => {
  const current = worker;
  worker = await start("scans-2023", { date: "2023-01-01", queue: new LocalQueue() });
  try {
    const targets = Array.from({ length: 100 }, (_, n) => host(KINDS[n % 7], n));
    const { id } = await begin(targets);
    const { seen } = await watch(id);
    const told = seen.filter(({ type }) => type === "result").map(({ result }) => keyOf(result));
    assert.deepEqual(told.sort(), targets.map((target) => `${target} http-probe`).sort());
  } finally {
    worker.stop();
    worker = current;
  }
});

test("a worker without a queue says so", async () => {
  const sql = { exec: () => ({ toArray: () => [] }) };
  const object = new ScanJobObject({ storage: { sql } }, {});
  const jobs = {
    idFromName: (id) => id,
    get: () => ({ fetch: (url, init) => object.fetch(new Request(url, init)) }),
  };
  const handle = scanHandler({ Scanner, tokens: [TOKEN], targets: { allow: ["*"] }, scans: { jobs } });
  const request = new Request("https://worker.example/scans", {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ targets: ["a.example.com"] }),
  });
  const response = await handle(request);
  assert.equal(response.status, 503);
  assert.match((await response.json()).error, /`SCAN_QUEUE`/);
});

test("an option of large scans that is none is told at construction", () => {
  const jobs = { idFromName: () => "", get: () => ({}) };
  for (const [scans, message] of [
    [{}, /`scans.jobs` to be a Durable Object namespace/],
    [{ jobs, formats: { pdf: () => "" } }, /`scans.formats`/],
    [{ jobs, formats: { csv: "text" } }, /`scans.formats.csv`/],
    [{ jobs, formats: { sarif: () => "" } }, /`scans.formats` to be of csv and html/],
    [{ jobs, maxTargets: 10_001 }, /`scans.maxTargets`/],
    [{ jobs, shard: 0 }, /`scans.shard`/],
    [{ jobs, lease: 1 }, /`scans.lease`/],
    [{ jobs, keep: -1 }, /`scans.keep`/],
  ])
    assert.throws(() => scanHandler({ Scanner, scans }), { name: "TypeError", message });
});

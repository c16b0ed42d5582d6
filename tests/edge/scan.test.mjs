/** The worker of `edge/` in real workerd: who may ask, what is contacted, what comes back. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { scanHandler } from "tidegate/edge";
import { LocalQueue } from "./queue.mjs";
import { serve } from "./serve.mjs";
import { HOSTILE } from "./targets.mjs";

const TOKEN = "a token that is long enough".replaceAll(" ", "-");
const SHY = "another token, for the rate of it".replace(/\W+/g, "-");
const hostile = HOSTILE.filter((target) => target !== "");
let worker;
let outside;
/** The hosts that were contacted. */
let contacted = [];

before(async () => {
  outside = createServer((request, response) => {
    const { host } = request.headers;
    contacted.push(host);
    const [, index] = /^redirects-(\d+)\./.exec(host) ?? [];
    if (index !== undefined) response.writeHead(302, { location: encodeURI(hostile[index]) });
    else response.writeHead(200, { "x-evil": "<script>", "content-type": "text/html" });
    response.end("<script>alert(1)</script>");
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => outside.once("listening", resolve));
  worker = await serve("scan", readFileSync(new URL("../../edge/worker.js", import.meta.url), "utf8"), {
    objects: ["CoordinatorObject", "ScanJobObject"],
    queue: new LocalQueue(),
    vars: {
      TOKENS: `${TOKEN} ${SHY}`,
      ALLOW: "*:*",
      ORIGINS: "https://page.example",
      SCANS_PER_MINUTE: "10",
    },
    outside: `127.0.0.1:${outside.address().port}`,
  });
});
after(() => {
  worker?.stop();
  outside?.closeAllConnections();
  outside?.close();
});

function ask(path, { token, order, ...init } = {}) {
  return fetch(`${worker.url}${path}`, {
    signal: AbortSignal.timeout(60_000),
    ...(order === undefined ? {} : { method: "POST", body: JSON.stringify(order) }),
    ...init,
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...init.headers },
  });
}

async function scan(targets, plugins = ["http-probe"]) {
  contacted = [];
  const response = await ask("/scan", { token: TOKEN, order: { targets, plugins } });
  const text = await response.text();
  assert.equal(response.status, 200, `${text} ${worker.said()}`);
  assert.match(response.headers.get("content-type"), /^application\/x-ndjson/);
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("without a token, or with a wrong one, the answer is 401 and nothing is contacted", async () => {
  contacted = [];
  for (const token of [undefined, "wrong", TOKEN.slice(0, -1), `${TOKEN}x`])
    for (const path of ["/scan", "/metrics"])
      assert.equal((await ask(path, { token, order: { targets: ["http://example.com/"] } })).status, 401);
  assert.deepEqual(contacted, []);
  assert.equal((await ask("/healthz")).status, 200);
  assert.equal((await ask("/elsewhere")).status, 404);
});

test("hostile targets and redirects are all refused, and nothing is sent to them", async () => {
  const refused = (await scan(hostile)).filter(({ type }) => type === "refused");
  assert.equal(refused.length, hostile.length);
  assert.deepEqual(contacted, []);
  const redirects = hostile.map((_, index) => `http://redirects-${index}.example/`);
  const lines = await scan(redirects);
  const { report } = lines.at(-1);
  assert.equal(report.results.length, redirects.length);
  assert.deepEqual(
    contacted.filter((host) => !/^redirects-\d+\.example$/.test(host)),
    [],
  );
  assert.deepEqual(
    report.results.filter(({ details }) => details?.reachable && details.status === 200),
    [],
  );
});

test("twenty allowed targets are all scanned, and what they say is only text", async () => {
  const targets = Array.from({ length: 20 }, (_, index) => `http://host-${index}.example/`);
  const lines = await scan(targets, ["http-probe", "security-headers"]);
  const { type, report } = lines.at(-1);
  assert.equal(type, "done");
  const probes = report.results.filter(({ plugin }) => plugin === "http-probe");
  assert.deepEqual(
    probes.map(({ status, details }) => `${status} ${details?.status}`),
    targets.map(() => "ok 200"),
  );
  assert.equal(new Set(contacted).size, 20);
});

test("an address with commas in it is one target, as it is counted", async () => {
  const lines = await scan(["http://one.example/,http://two.example/,http://three.example/"]);
  const { report } = lines.at(-1);
  assert.deepEqual(report.targets, ["http://one.example/%2Chttp://two.example/%2Chttp://three.example/"]);
  assert.deepEqual([...new Set(contacted)], ["one.example"]);
});

test("scans of many clients at once all end, and what one isolate cannot take is told to come back", async () => {
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      ask("/scan", {
        token: TOKEN,
        order: { targets: [`http://many-${index}.example/`], plugins: ["http-probe"] },
      }),
    ),
  );
  for (const answer of answers) {
    const text = await answer.text();
    if (answer.status === 200) assert.match(text, /"type":"done"/);
    else {
      assert.ok([429, 503].includes(answer.status), text);
      assert.ok(Number(answer.headers.get("retry-after")) >= 1);
    }
  }
  assert.ok(answers.some(({ status }) => status === 200));
});

test("the same worker splits large scans into shards", async () => {
  const targets = Array.from({ length: 50 }, (_, index) => `http://shard-${index}.example/`);
  const answer = await ask("/scans", { token: TOKEN, order: { targets, plugins: ["http-probe"] } });
  assert.equal(answer.status, 202);
  const scan = await answer.json();
  assert.equal(new URL(answer.headers.get("location")).pathname, `/scans/${scan.id}`);
  const { waiting, running, done } = scan.shards;
  assert.equal(waiting + running + done, 3);
  const events = await (await ask(`/scans/${scan.id}/events`, { token: TOKEN })).text();
  assert.equal(events.match(/^event: result$/gm).length, 50);
  const csv = await (await ask(`/scans/${scan.id}/report?format=csv`, { token: TOKEN })).text();
  assert.equal(csv.trim().split("\n").length, 51);
});

test("an order that is none is told so", async () => {
  for (const order of [
    null,
    [],
    {},
    { targets: [] },
    { targets: "x" },
    { targets: [1] },
    { targets: ["a.example"], plugins: "x" },
  ])
    assert.equal((await ask("/scan", { token: SHY, order })).status, 400, JSON.stringify(order));
  const many = { targets: Array.from({ length: 101 }, () => "http://a.example/") };
  assert.equal((await ask("/scan", { token: SHY, order: many })).status, 400);
  const long = { targets: ["x".repeat(300_000)] };
  assert.equal((await ask("/scan", { token: SHY, order: long })).status, 400);
  assert.equal((await ask("/scan", { token: SHY })).status, 405);
});

test("a token that scans too often is told when to come back", async () => {
  const answers = [];
  for (let index = 0; index < 30; index += 1)
    answers.push(await ask("/scan", { token: SHY, order: { targets: ["http://127.0.0.1/"] } }));
  const late = answers.filter(({ status }) => status === 429);
  assert.ok(late.length >= 1);
  for (const { headers } of late) assert.ok(Number(headers.get("retry-after")) >= 1);
});

test("pages of other origins are not answered as theirs; a named one is", async () => {
  const evil = await ask("/metrics", { token: TOKEN, headers: { origin: "https://evil.example" } });
  assert.equal(evil.headers.get("access-control-allow-origin"), null);
  const page = await ask("/metrics", { token: TOKEN, headers: { origin: "https://page.example" } });
  assert.equal(page.headers.get("access-control-allow-origin"), "https://page.example");
  assert.match(page.headers.get("access-control-expose-headers"), /retry-after/);
  assert.equal(page.headers.get("x-content-type-options"), "nosniff");
  assert.match(await page.text(), /# EOF\n$/);
  const preflight = await ask("/scan", { method: "OPTIONS", headers: { origin: "https://page.example" } });
  assert.equal(preflight.status, 204);
  assert.equal(
    (await ask("/scan", { method: "OPTIONS", headers: { origin: "https://evil.example" } })).status,
    401,
  );
});

test("what has not been looked up after 20 s is refused, and the answer begins", async (t) => {
  const asked = [];
  const resolve = async (name) => {
    asked.push(name);
    return ["93.184.216.34"];
  };
  class Recorder {
    scan() {
      return [].values();
    }
  }
  const { timeout } = AbortSignal;
  t.mock.method(AbortSignal, "timeout", (ms) => (ms === 20_000 ? AbortSignal.abort() : timeout(ms)));
  const handle = scanHandler({ Scanner: Recorder, tokens: [TOKEN], targets: { allow: ["*"], resolve } });
  const targets = ["https://a.example/", "https://b.example/"];
  const response = await handle(
    new Request("https://worker.example/scan", {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify({ targets }),
    }),
  );
  const lines = (await response.text()).trim().split("\n");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    targets.map((target) => ({ type: "refused", target, reason: "unresolved" })),
  );
  assert.deepEqual(asked, []);
});

test("names that nobody resolves stand in no line with others: a few are looked up at once, and each in its turn", async () => {
  const asked = [];
  let running = 0;
  let most = 0;
  const resolve = async (name) => {
    asked.push(name);
    most = Math.max(most, (running += 1));
    await new Promise(setImmediate);
    running -= 1;
    if (name.startsWith("hung")) throw new DOMException("late", "TimeoutError");
    return ["93.184.216.34"];
  };
  const begun = [];
  class Recorder {
    scan(targets) {
      begun.push(...targets);
      return [].values();
    }
  }
  const handle = scanHandler({ Scanner: Recorder, tokens: [TOKEN], targets: { allow: ["*"], resolve } });
  const targets = Array.from(
    { length: 30 },
    (_, n) => `https://${n % 5 === 4 ? "good" : "hung"}${n}.example/`,
  );
  const response = await handle(
    new Request("https://worker.example/scan", {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify({ targets }),
    }),
  );
  const lines = (await response.text())
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.equal(most, 3);
  assert.equal(asked.length, 30);
  assert.deepEqual(
    begun,
    targets.filter((target) => target.includes("good")),
  );
  assert.deepEqual(
    lines.map(({ type, target, reason }) => [type, target, reason]),
    targets.filter((target) => target.includes("hung")).map((target) => ["refused", target, "unresolved"]),
  );
});

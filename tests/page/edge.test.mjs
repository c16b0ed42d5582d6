/** The page with a worker on the edge as its engine: in Chromium, against real workerd. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launchChromium } from "../chromium.mjs";
import { LocalQueue } from "../edge/queue.mjs";
import { serve } from "../edge/serve.mjs";
import { openPage, openSite } from "./site.mjs";

const TOKEN = "a-token-that-is-long-enough";
const TARGETS = ["http://plain.example/", "http://strict.example/", "http://hostile.example/"];
const MARKUP = `<img src=x onerror="alert(1)">`;

let outside;
let worker;
let site;
let browser;
/** Answers that are never given, for a scan that lasts. */
let held = [];
before(async () => {
  // What the worker finds on the internet. None of it speaks of CORS, so a page alone would see no header of it.
  outside = createServer((request, response) => {
    const { host } = request.headers;
    if (host.startsWith("slow")) return held.push(response);
    const headers = { "content-type": "text/html", server: "tideworks/4.2" };
    if (host === "strict.example")
      Object.assign(headers, {
        "content-security-policy": "default-src 'none'",
        "strict-transport-security": "max-age=63072000",
        "x-content-type-options": "nosniff",
      });
    if (host === "hostile.example") headers.server = MARKUP;
    response.writeHead(200, headers).end(`<title>${MARKUP}</title>`);
  }).listen(0, "127.0.0.1");
  await once(outside, "listening");
  site = await openSite();
  [browser, worker] = await Promise.all([
    launchChromium(),
    serve("page", readFileSync(new URL("../../edge/worker.js", import.meta.url), "utf8"), {
      objects: ["CoordinatorObject", "ScanJobObject"],
      queue: new LocalQueue(),
      vars: { TOKENS: TOKEN, ALLOW: "*.example", ORIGINS: new URL(site.url).origin },
      assets: fileURLToPath(new URL("../../dist/page", import.meta.url)),
      outside: `127.0.0.1:${outside.address().port}`,
    }),
  ]);
});
after(async () => {
  await browser?.close();
  await site?.close();
  worker?.stop();
  outside?.closeAllConnections();
  outside?.close();
});

function openServed(settings) {
  return openPage(browser, `${worker.url}/`, { ready: "#engine[data-engine='edge']", ...settings });
}

test("served by the worker, the page scans by it, says so, and shows headers that a browser hides", async () => {
  const page = await openServed();
  assert.match(
    await page.textContent("#engine-now"),
    /^on the edge worker, all headers visible: 127\.0\.0\.1:\d+$/,
  );
  assert.match(await page.textContent("#range-about"), /edge worker/);
  await page.fill("#engine-token", TOKEN);
  await page.targets([...TARGETS, "http://127.0.0.1/", "https://elsewhere.org/ # not allowed"]);
  await page.click("#scan");
  await page.ended();
  assert.equal(await page.phase(), "done", await page.textContent("#settings-note"));
  const report = JSON.parse(await page.exported("json"));
  assert.deepEqual(report.targets, TARGETS);
  assert.equal(report.complete, true);
  const probe = (target) =>
    report.results.find((result) => result.target === target && result.plugin === "http-probe").details;
  assert.deepEqual(
    TARGETS.map((target) => probe(target).status),
    [200, 200, 200],
  );
  assert.equal(probe(TARGETS[0]).server, "tideworks/4.2");
  const missing = (target) =>
    report.results
      .filter((result) => result.target === target && result.plugin === "security-headers")
      .flatMap(({ findings }) => findings.map(({ id }) => id));
  for (const header of ["csp", "nosniff"]) {
    const finding = `security-headers/${header}-missing`;
    assert.deepEqual(
      TARGETS.map((target) => missing(target).includes(finding)),
      [true, false, true],
      finding,
    );
  }
  const note = await page.textContent("#targets-note");
  assert.match(note, /http:\/\/127\.0\.0\.1\/ is refused: it is not on the public internet/);
  assert.match(note, /elsewhere\.org\/ is refused: the worker does not allow this host/);
  await page.click("[data-row='2']");
  assert.ok((await page.textContent("#detail")).includes(MARKUP), "what the target said is text");
  assert.match(await page.exported("csv"), /plain\.example/);
  assert.deepEqual(page.complaints, []);
  assert.ok((await page.layoutShift()) < 0.01);
});

test("the same targets scanned in the tab show no header, and the page says which engine that is", async () => {
  const page = await openServed();
  await page.check("input[name='engine'][value='tab']");
  assert.equal(await page.textContent("#engine-now"), "in this tab");
  await page.targets([`http://127.0.0.1:${outside.address().port}/`]);
  await page.click("#scan");
  await page.ended();
  const report = JSON.parse(await page.exported("json"));
  const { details } = report.results.find(({ plugin }) => plugin === "http-probe");
  assert.deepEqual([details.status, details.server], [null, null]);
});

test("a worker that refuses is quoted: without a token, with too many targets, at a wrong address", async () => {
  const page = await openServed();
  await page.targets(TARGETS);
  const refusal = async () => {
    await page.click("#scan");
    await page.waitForFunction(() => document.querySelector("#settings-note").classList.contains("bad"));
    return page.textContent("#settings-note");
  };
  assert.equal(await refusal(), "The worker refuses: a token is needed.");
  await page.fill("#engine-token", TOKEN);
  // Pasted, as nobody types so many.
  await page.$eval("#targets", (field) => {
    field.value = Array.from({ length: 10_001 }, (_, index) => `t${index}.example`).join("\n");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  assert.equal(await refusal(), "The worker refuses: expected at most 10000 targets.");
  await page.targets(["http://10.0.0.1/"]);
  assert.equal(
    await refusal(),
    "The worker refused the target: http://10.0.0.1/ is refused: it is not on the public internet.",
  );
  await page.targets(TARGETS);
  for (const [address, message] of [
    ["", /^The worker needs an address/],
    ["http://", /^The worker needs an address/],
    ["http://127.0.0.1:9", /^The worker cannot be reached, or does not allow/],
  ]) {
    await page.fill("#engine-url", address);
    assert.match(await refusal(), message);
  }
});

test("more targets than are streamed at once are scanned in shards, and seen as they come", async () => {
  const page = await openServed();
  await page.fill("#engine-token", TOKEN);
  const targets = Array.from({ length: 150 }, (_, index) => `http://many-${index}.example/`);
  const watched = [];
  page.on("request", (request) => watched.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await page.targets([...targets, "http://10.0.0.1/"]);
  await page.click("#scan");
  await page.ended();
  assert.equal(await page.phase(), "done", await page.textContent("#settings-note"));
  const report = JSON.parse(await page.exported("json"));
  assert.deepEqual(report.targets, targets);
  assert.equal(report.complete, true);
  assert.equal(report.results.length, 150 * report.plugins.length);
  assert.equal(report.summary.reachable, 150);
  assert.deepEqual(
    report.invalid.map(({ input }) => input),
    ["http://10.0.0.1/"],
  );
  const probe = report.results.find(({ plugin }) => plugin === "http-probe");
  assert.equal(probe.details.server, "tideworks/4.2", "headers that a browser hides are seen");
  assert.equal(
    await page.textContent("#progress-text"),
    `${report.results.length} of ${report.results.length} runs`,
  );
  assert.match(
    await page.textContent("#targets-note"),
    /10\.0\.0\.1\/ is refused: it is not on the public internet/,
  );
  assert.equal(watched[0], "POST /scans");
  assert.match(watched.join("\n"), /GET \/scans\/[0-9a-f-]{36}\/events/);
  assert.deepEqual(page.complaints, []);
});

test("a scan in shards that is cancelled ends at the worker too, and leaves a report of what there was", async () => {
  const page = await openServed();
  await page.fill("#engine-token", TOKEN);
  held = [];
  const targets = Array.from(
    { length: 120 },
    (_, index) => `http://${index < 20 ? "plain" : "slow"}-${index}.example/`,
  );
  let id;
  page.on("request", (request) => {
    [, id = id] = /\/scans\/([0-9a-f-]{36})\/events/.exec(request.url()) ?? [];
  });
  await page.targets(targets);
  await page.click("#scan");
  await page.waitForFunction(() => document.querySelector("[data-row='0']")?.textContent.includes("200"));
  await page.click("#cancel");
  await page.ended();
  assert.equal(await page.phase(), "cancelled");
  const report = JSON.parse(await page.exported("json"));
  assert.equal(report.complete, false);
  assert.equal(report.results.length, report.targets.length * report.plugins.length);
  assert.ok(report.summary.runs.ok > 0 && report.summary.runs.cancelled > 0, JSON.stringify(report.summary));
  const headers = { authorization: `Bearer ${TOKEN}` };
  assert.equal((await (await fetch(`${worker.url}/scans/${id}`, { headers })).json()).state, "cancelled");
  for (const answer of held) answer.destroy();
});

test("events that break off are taken up where they did, and none is missed", async () => {
  const page = await openServed();
  await page.fill("#engine-token", TOKEN);
  const asked = [];
  // The network between them: the first time, it ends in the midst of an event.
  await page.route("**/events", async (route) => {
    asked.push(route.request().headers()["last-event-id"]);
    if (asked.length > 1) return route.continue();
    const response = await route.fetch();
    const body = await response.text();
    const cut = body.indexOf("data: ", body.length / 2) + 20;
    return route.fulfill({ response, body: body.slice(0, cut) });
  });
  const targets = Array.from({ length: 101 }, (_, index) => `http://again-${index}.example/`);
  await page.targets(targets);
  await page.click("#scan");
  await page.ended();
  assert.equal(await page.phase(), "done", await page.textContent("#settings-note"));
  assert.equal(asked.length, 2);
  assert.ok(Number(asked[1]) > 0);
  const report = JSON.parse(await page.exported("json"));
  assert.equal(report.complete, true);
  assert.deepEqual(report.summary.runs.cancelled, 0);
});

test("served from elsewhere, the page scans by a worker that allows its origin", async () => {
  const page = await site.open();
  assert.equal(await page.textContent("#engine-now"), "in this tab");
  await page.check("input[name='engine'][value='edge']");
  await page.fill("#engine-url", worker.url);
  await page.fill("#engine-token", TOKEN);
  await page.targets(TARGETS);
  await page.click("#scan");
  await page.ended();
  assert.equal(await page.phase(), "done", await page.textContent("#settings-note"));
  assert.equal(JSON.parse(await page.exported("json")).summary.reachable, 3);
  await page.targets(Array.from({ length: 101 }, (_, index) => `http://far-${index}.example/`));
  await page.click("#scan");
  await page.waitForFunction(() => document.documentElement.dataset.phase === "scanning");
  await page.ended();
  assert.equal(JSON.parse(await page.exported("json")).summary.reachable, 101);
  assert.deepEqual(page.complaints, []);
});

test("a scan that is cancelled ends at the worker too, and leaves a report of what there was", async () => {
  const page = await openServed();
  await page.fill("#engine-token", TOKEN);
  await page.targets(["http://plain.example/", "http://slow.example/"]);
  held = [];
  await page.click("#scan");
  await page.waitForFunction(() => document.querySelector("[data-row='0']")?.textContent.includes("200"));
  assert.equal(await page.getAttribute("#pause", "aria-disabled"), "true");
  while (held.length === 0) await new Promise((resolve) => outside.once("request", resolve));
  const gone = once(held[0].socket, "close");
  await page.click("#cancel");
  await page.ended();
  assert.equal(await page.phase(), "cancelled");
  await gone;
  const report = JSON.parse(await page.exported("json"));
  assert.equal(report.complete, false);
  assert.equal(report.results.length, report.targets.length * report.plugins.length);
  assert.ok(report.summary.runs.ok > 0 && report.summary.runs.cancelled > 0, JSON.stringify(report.summary));
});

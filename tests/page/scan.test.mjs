import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openSite } from "./site.mjs";

let site;
before(async () => {
  site = await openSite();
});
after(() => site?.close());

test("one click scans the whole range, and each target is found as the index says", async () => {
  const page = await site.open();
  const { targets } = site.range.index();
  await page.click("#scan");
  await page.ended();
  assert.equal(await page.phase(), "done");
  assert.equal(await page.textContent("#count-all"), String(targets.length));

  const report = JSON.parse(await page.exported("json"));
  assert.equal(report.complete, true);
  assert.deepEqual(
    report.targets,
    targets.map(({ url }) => url),
  );
  const run = (url, plugin) =>
    report.results.find((result) => result.target === url && result.plugin === plugin);
  assert.equal(
    report.results.length,
    targets.length * report.plugins.length,
    "one record for each target and plugin",
  );
  for (const { name, url, expect } of targets) {
    const probe = run(url, "http-probe");
    if (expect.outcome === "answers")
      assert.equal(probe.details?.reachable, true, `${name}: ${JSON.stringify(probe)}`);
    if (expect.outcome === "fails")
      assert.equal(probe.details?.reachable, false, `${name}: ${JSON.stringify(probe)}`);
    if (expect.outcome === "answers" && expect.headers === "all")
      assert.equal(probe.details.status, expect.status, name);
    if (expect.outcome === "answers" && expect.headers === "none")
      assert.equal(probe.details.status, null, name);
    if (expect.mcp?.tools === undefined) continue;
    const mcp = run(url, "mcp-introspect");
    assert.equal(mcp.status, "ok", `${name}: ${mcp.error}`);
    assert.deepEqual(mcp.details.tools.map((tool) => tool.name).sort(), [...expect.mcp.tools].sort(), name);
  }
  for (const { name, openSessions } of site.range.state().targets)
    assert.equal(openSessions, 0, `${name}: every MCP session was ended`);
  assert.deepEqual(page.complaints, []);
});

test("the reference server's real tool names can be read in its detail view", async () => {
  const page = await site.open();
  await page.targets([site.range.url("mcp-reference")]);
  await page.click("#scan");
  await page.ended();
  await page.click("[data-row='0']");
  const names = await page.locator("#detail .thing-name").allInnerTexts();
  for (const tool of ["echo", "get-sum", "get-tiny-image", "trigger-long-running-operation"])
    assert.ok(names.includes(tool), tool);
});

test("nothing moves from the first paint to the end of a scan, wide, narrow and in between", async () => {
  for (const viewport of [
    { width: 1440, height: 1000 },
    { width: 1024, height: 768 },
    { width: 390, height: 844 },
  ]) {
    const page = await site.open({ viewport });
    await page.targets([
      ...site.range
        .index()
        .targets.slice(0, 20)
        .map(({ url }) => url),
      "http://",
      "no such target",
    ]);
    await page.click("#scan");
    await page.ended();
    const shift = await page.layoutShift();
    assert.ok(shift < 0.005, `${viewport.width}: ${shift}`);
  }
});

test("every instrument has a reading, and the numbers agree with the report", async () => {
  const page = await site.open();
  await page.targets(
    ["fast", "steady", "slow", "headers-good", "mcp-json"].map((name) => site.range.url(name)),
  );
  await page.click("#scan");
  await page.ended();
  const titles = await page.locator(".plot-title").allInnerTexts();
  assert.deepEqual(titles, [
    "Throughput",
    "In flight",
    "Queue depth",
    "Breakers",
    "Latency",
    "Error rate",
    "Utilisation",
    "Memory",
  ]);
  for (const plot of await page.locator(".plot").all()) {
    const readings = await plot.locator(".reading b").allInnerTexts();
    assert.ok(
      readings.some((reading) => /\d/.test(reading)),
      `${await plot.textContent()}`,
    );
  }
  const { summary, results } = JSON.parse(await page.exported("json"));
  assert.match(
    await page.textContent("#progress-text"),
    new RegExp(`^${results.length} of ${results.length} runs$`),
  );
  assert.equal(summary.targets, 5);
  const csv = await page.exported("csv");
  assert.match(csv, /^target,plugin,status,/);
  const { version, runs } = JSON.parse(await page.exported("sarif"));
  assert.equal(version, "2.1.0");
  assert.ok(runs[0].results.length > 0);
  assert.match(await page.exported("html"), /<h1>Scan of 5 targets<\/h1>/);
});

test("a paused scan begins nothing until it goes on, and a cancelled one still has a report", async () => {
  const page = await site.open();
  await page.click("#scan");
  await page.click("#pause");
  assert.equal(await page.phase(), "paused");
  assert.equal(await page.textContent("#pause"), "Resume");
  await settled(page);
  const hits = () => site.range.state().targets.reduce((sum, target) => sum + target.hits, 0);
  const before = hits();
  await page.waitForTimeout(1000); // the proof is that nothing happens meanwhile
  assert.equal(hits(), before);
  await page.click("#pause");
  assert.equal(await page.phase(), "scanning");
  await page.click("#cancel");
  await page.ended(15_000);
  assert.equal(await page.phase(), "cancelled");
  const report = JSON.parse(await page.exported("json"));
  assert.equal(report.complete, false);
  assert.ok(report.summary.runs.cancelled > 0);
  assert.deepEqual(page.complaints, []);
});

/** Waits until what was under way when the scan was paused has ended: no request in two looks. */
async function settled(page) {
  let last = -1;
  for (;;) {
    const now = site.range.state().targets.reduce((sum, target) => sum + target.hits, 0);
    if (now === last) return;
    last = now;
    await page.waitForTimeout(3600); // longer than any target of the range takes to answer or to be given up
  }
}

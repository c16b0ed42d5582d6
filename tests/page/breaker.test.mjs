import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openSite } from "./site.mjs";

let site;
before(async () => {
  site = await openSite({ reference: false });
});
after(() => site?.close());

test(
  "faults open a host's breaker, and it recovers when they end",
  async () => {
    const page = await site.open();
    const harbour = site.range.index().targets.filter(({ name }) => name.startsWith("harbour/"));
    assert.equal(harbour.length, 12);
    await page.targets(harbour.map(({ url }) => url));
    await page.click("#faults");
    await page.waitForFunction(
      () => document.querySelector("#faults").getAttribute("aria-checked") === "true",
    );
    assert.equal(site.range.faults, true);

    await page.click("#scan");
    await page.locator('#events [data-kind="open"]').first().waitFor({ timeout: 30_000 });
    await page.waitForFunction(
      () => gauge("Breakers open") === "1 of 1" && reading("Breakers", "open") === "1",
      null,
      { timeout: 10_000 },
    );

    await page.click("#faults");
    await page.locator('#events [data-kind="closed"]').first().waitFor({ timeout: 30_000 });
    await page.ended();
    assert.equal(await page.evaluate(() => gauge("Breakers open")), "0 of 1");
    const kinds = await page
      .locator("#events [data-kind]")
      .evaluateAll((items) => items.map((item) => item.dataset.kind).filter((kind) => kind !== "note"));
    assert.equal(kinds[0], "open");
    assert.ok(kinds.includes("half-open"));
    assert.equal(kinds.at(-1), "closed");

    const report = JSON.parse(await page.exported("json"));
    const answered = report.results.filter(
      (result) => result.plugin === "http-probe" && result.details?.status === 200,
    );
    assert.ok(answered.length > 0, "after the recovery targets answer again");
    assert.deepEqual(page.complaints, []);
  },
  { timeout: 120_000 },
);

test(
  "one host's breaker leaves the others alone",
  async () => {
    const page = await site.open();
    const harbour = site.range.index().targets.filter(({ name }) => name.startsWith("harbour/"));
    site.range.faults = true;
    await page.targets([
      ...harbour.map(({ url }) => url),
      site.range.url("headers-good"),
      site.range.url("cors-open"),
    ]);
    await page.click("#scan");
    await page.ended();
    site.range.faults = false;
    const report = JSON.parse(await page.exported("json"));
    for (const name of ["headers-good", "cors-open"]) {
      const runs = report.results.filter((result) => result.target === site.range.url(name));
      assert.deepEqual(
        runs.filter((run) => !["ok", "skipped"].includes(run.status)),
        [],
        name,
      );
    }
  },
  { timeout: 120_000 },
);

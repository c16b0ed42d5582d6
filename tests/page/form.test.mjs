import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openSite } from "./site.mjs";

let site;
before(async () => {
  site = await openSite({ reference: false });
});
after(() => site?.close());

test("every line that is no target is named beside its reason, and the rest is scanned", async () => {
  const page = await site.open();
  const good = ["fast", "cors-open"].map((name) => site.range.url(name));
  const bad = [
    "http://",
    "ftp://example.com/",
    "example.com:99999",
    "127.0.0.1:9000-8000",
    "http://example.com:0/",
    "http://[::1",
  ];
  await page.targets(["# a comment", good[0], ...bad, "", good[1]]);
  await page.click("#scan");
  await page.ended();
  const note = await page.textContent("#targets-note");
  assert.match(note, /^6 lines are no target; the rest is scanned/);
  bad.forEach((line, index) => {
    assert.match(note, new RegExp(`Line ${index + 3}: `), line);
    assert.ok(note.includes(line), `${line} is named`);
  });
  assert.equal(await page.getAttribute("#targets", "aria-invalid"), "true");
  assert.equal(await page.textContent("#count-all"), "2");
  const report = JSON.parse(await page.exported("json"));
  assert.deepEqual(report.targets, good);
  assert.equal(report.invalid.length, bad.length);
  assert.deepEqual(page.complaints, []);
});

test("a field that cannot be is named, gets the focus, and nothing is sent", async () => {
  const page = await site.open();
  site.range.reset();
  const refused = async (field, pattern, note = "#settings-note") => {
    await page.click("#scan");
    assert.match(await page.textContent(note), pattern);
    assert.equal(await page.evaluate(() => document.activeElement.id || document.activeElement.name), field);
    assert.equal(await page.phase(), undefined);
  };
  await page.fill("#max-workers", "0");
  await refused("max-workers", /Max workers must be a whole number from 1 to 100, not 0\./);
  await page.fill("#max-workers", "5");
  await page.fill("#request-timeout", "1000");
  await refused("request-timeout", /timeout must be from 0\.1 to 300 seconds, not 1000\./);
  await page.fill("#request-timeout", "2");
  for (const box of await page.locator("#plugins input:not(:disabled)").all()) await box.uncheck();
  await refused("plugin", /Choose at least one plugin/);
  await page.locator("#plugins input").first().check();
  await page.targets(["", "  ", "# only a comment"]);
  await refused("targets", /No target yet/, "#targets-note");
  assert.equal(
    site.range.state().targets.reduce((sum, target) => sum + target.hits, 0),
    0,
  );
  assert.deepEqual(page.complaints, []);
});

test("a scan is set up, run, read and left with the keyboard alone, and the focus can always be seen", async () => {
  const page = await site.open();
  const here = () =>
    page.evaluate(() => {
      const element = document.activeElement;
      const frame = element.matches(".segmented input") ? element.parentElement : element;
      const { outlineStyle, outlineWidth } = getComputedStyle(frame);
      return {
        id: element.id || element.name || element.tagName,
        seen: outlineStyle !== "none" && outlineWidth !== "0px",
      };
    });
  const stops = [];
  for (let stop = 0; stop < 24; stop += 1) {
    await page.keyboard.press("Tab");
    const { id, seen } = await here();
    assert.ok(seen, `the focus on ${id} can be seen`);
    stops.push(id);
    if (id === "export-csv") break;
  }
  for (const id of [
    "faults",
    "targets",
    "plugin",
    "mode",
    "max-workers",
    "request-timeout",
    "scan",
    "pause",
    "cancel",
    "filter",
  ]) {
    assert.ok(stops.includes(id), `${id} is reached by Tab, after ${stops.join(" ")}`);
  }
  await page.focus("#targets");
  await page.keyboard.press("Control+A");
  await page.keyboard.type(
    ["headers-weak", "fast", "missing"].map((name) => site.range.url(name)).join("\n"),
  );
  await page.keyboard.press("Control+Enter");
  await page.ended();
  await page.focus("#list");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.match(await page.textContent("#detail h3"), /headers-weak/);
  const active = await page.getAttribute("#list", "aria-activedescendant");
  assert.match(await page.getAttribute(`#${active}`, "aria-label"), /headers-weak.*findings.*runs done/);
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  assert.match(await page.textContent("#detail h3"), /missing/);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#detail h3").count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.id), "list");
  await page.focus("#scan");
  await page.keyboard.press("Enter");
  assert.equal(
    await page.evaluate(() => document.activeElement.id),
    "scan",
    "the button keeps the focus while it is out",
  );
  await page.ended();
  assert.match(await page.textContent("#status"), /^Scan done: 3 targets/);
});

test("on a narrow screen the detail view covers the page, and Escape leads back to the list", async () => {
  const page = await site.open({ viewport: { width: 390, height: 844 } });
  await page.targets([site.range.url("headers-weak")]);
  await page.click("#scan");
  await page.ended();
  assert.equal(
    await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
    true,
    "nothing sticks out sideways",
  );
  await page.click("[data-row='0']");
  assert.equal(await page.evaluate(() => document.activeElement.id), "detail");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.id), "list");
});

test("whatever a target writes is shown as text and never becomes markup", async () => {
  const page = await site.open();
  await page.targets(["hostile", "mcp-hostile"].map((name) => site.range.url(name)));
  await page.check('input[name="mode"][value="active"]');
  await page.click("#scan");
  await page.ended();
  for (const row of ["0", "1"]) {
    await page.click(`[data-row='${row}']`);
    for (const fold of await page.locator("#detail details > summary").all()) await fold.click();
    const foreign = await page.evaluate(() => ({
      pwned: document.documentElement.dataset.pwned,
      scripts: document.scripts.length,
      elements: document.querySelectorAll(
        "#list img, #list svg, #detail img, #detail svg, #detail script, #detail a, #events img",
      ).length,
      unseen: ["\u202e", "\u200b", "\u0000", "\u0007", "\u001b"].filter((character) =>
        document.body.textContent.includes(character),
      ),
    }));
    assert.deepEqual(foreign, { pwned: undefined, scripts: 1, elements: 0, unseen: [] });
  }
  const text = await page.textContent("#detail");
  assert.ok(text.includes("<img src=x onerror="), "the tool's name is there, as text");
  assert.ok(text.includes("⟨U+202E⟩"), "a reversal of direction is spelled out");
  const csv = await page.exported("csv");
  assert.doesNotMatch(csv, /(^|,)"?[=+@-]/m, "no cell begins like a formula");
  JSON.parse(await page.exported("json"));
  assert.deepEqual(page.complaints, []);
});

test("the page's own policy would stop a script that came in all the same", async () => {
  const page = await site.open();
  const ran = await page.evaluate(async () => {
    const script = document.createElement("script");
    try {
      script.textContent = "document.documentElement.dataset.pwned = 'inline'";
      document.head.append(script);
      document.body.innerHTML = "<img src=x>";
    } catch {
      // trusted types refuse the sink itself
    }
    return document.documentElement.dataset.pwned ?? "no";
  });
  assert.equal(ran, "no");
});

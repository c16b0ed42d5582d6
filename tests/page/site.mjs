/**
 * What every test of the page needs: the built page with a range beside it, a real browser, and an ear for
 * everything a page may complain about.
 */

import { readFile } from "node:fs/promises";
import { serve } from "../../range/serve.mjs";
import { launchChromium } from "../chromium.mjs";

/** Starts the range and Chromium; `open` gives a page of its own to each test. */
export async function openSite(options = {}) {
  const [site, browser] = await Promise.all([serve({ port: 0, ...options }), launchChromium()]);
  return {
    ...site,
    open: (settings) => openPage(browser, site.url, settings),
    async close() {
      await browser.close();
      await site.close();
    },
  };
}

/** A page that remembers its complaints and its layout shifts. */
export async function openPage(browser, url, { ready, ...settings } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, ...settings });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !isOfTarget(message, url))
      complaints.push(message.text());
  });
  await page.addInitScript(() => {
    globalThis.layoutShift = 0;
    const named = (frame, name) =>
      [...document.querySelectorAll(frame)].find((element) => element.firstElementChild.textContent === name);
    globalThis.gauge = (name) => named(".gauge", name)?.lastElementChild.textContent;
    globalThis.reading = (plot, channel) => {
      const caption = named(".plot figcaption", plot);
      const entry = [...caption.querySelectorAll(".reading")].find((element) =>
        element.textContent.startsWith(`${channel} `),
      );
      return entry?.querySelector("b").textContent;
    };
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) globalThis.layoutShift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(url);
  if (ready === undefined) await page.waitForFunction(() => document.querySelector("#targets").value !== "");
  else await page.waitForSelector(ready);
  return Object.assign(page, {
    complaints,
    layoutShift: () => page.evaluate(() => globalThis.layoutShift),
    phase: () => page.evaluate(() => document.documentElement.dataset.phase),
    /** Waits for the end of a scan. */
    ended: (timeout = 120_000) =>
      page.waitForFunction(
        () => ["done", "cancelled", "failed"].includes(document.documentElement.dataset.phase),
        null,
        { timeout },
      ),
    async targets(lines) {
      await page.fill("#targets", lines.join("\n"));
    },
    /** What the export button hands out. */
    async exported(format) {
      const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#export-${format}`)]);
      return readFile(await download.path(), "utf8");
    },
    async events() {
      return page.locator("#events li").allInnerTexts();
    },
  });
}

/** The browser itself reports each request that a target let fail; that is the targets' doing, not the page's. */
function isOfTarget(message, url) {
  const text = message.text();
  if (/^Access to fetch at '(?!data:)/.test(text)) return !text.startsWith(`Access to fetch at '${url}`);
  if (!/^Failed to load resource|net::ERR_/.test(text)) return false;
  return !message.location().url.startsWith(url);
}

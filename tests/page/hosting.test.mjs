import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { launchChromium } from "../chromium.mjs";
import { openPage } from "./site.mjs";

const PAGE = fileURLToPath(new URL("../../dist/page/", import.meta.url));
const TYPES = {
  html: "text/html",
  js: "text/javascript",
  css: "text/css",
  json: "application/json",
  svg: "image/svg+xml",
  wasm: "application/wasm",
};

let host;
let browser;
before(async () => {
  // A plain file host that knows nothing of ranges, and the page not at its root.
  host = createServer(async (request, response) => {
    const path = request.url?.replace(/^\/some\/folder\//, "") || "index.html";
    try {
      const bytes = await readFile(PAGE + path.replace(/\?.*/, ""));
      response
        .writeHead(200, { "content-type": TYPES[path.split(".").at(-1)] ?? "application/octet-stream" })
        .end(bytes);
    } catch {
      response.writeHead(404, { "content-type": "text/html" }).end("<h1>Not found</h1>");
    }
  });
  host.listen(0, "127.0.0.1");
  await once(host, "listening");
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  host?.close();
  host?.closeAllConnections();
});

test("on a plain file host the page scans targets that it simulates itself", async () => {
  const page = await openPage(browser, `http://127.0.0.1:${host.address().port}/some/folder/`);
  assert.match(await page.textContent("#range-about"), /synthetic targets/);
  await page.click("#scan");
  await page.ended();
  assert.equal(await page.phase(), "done");
  const report = JSON.parse(await page.exported("json"));
  assert.ok(report.targets.length >= 20);
  assert.ok(report.summary.reachable >= 15);
  const mcp = report.results.find(
    (result) => result.plugin === "mcp-introspect" && result.target.includes("//tools."),
  );
  assert.deepEqual(
    mcp.details.tools.map((tool) => tool.name),
    ["tide_table", "lock_status"],
  );
  assert.deepEqual(page.complaints, []);
});

test("the page's own script weighs well under 100 KB", () => {
  // The wasm of the scans lies in its scripts as letters, so it is taken out before weighing.
  const scripts = readdirSync(`${PAGE}assets`).filter((name) => name.endsWith(".js"));
  const weight = scripts.reduce((sum, name) => {
    const text = readFileSync(`${PAGE}assets/${name}`, "utf8").replace(/[^"'`\\$<\s]{2000,}/g, "");
    return sum + gzipSync(text).length;
  }, 0);
  assert.ok(weight < 70_000, `${weight} bytes gzip`);
});

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import * as slim from "tidegate/slim";
import { browsers } from "../../setup/browsers.mjs";
import { root } from "../../setup/needs.mjs";
import { launchChromium } from "../chromium.mjs";
import { recovered, trapAndRecover } from "./recovery.mjs";

const module = join(root, "tests/generated/core_bg.wasm");

test("after a trap waiters are rejected, live work still counts and the next call works, in Node", async () => {
  assert.deepEqual(await trapAndRecover(slim, await readFile(module)), recovered);
});

test("after a trap waiters are rejected, live work still counts and the next call works, in Chromium", {
  skip: browsers.chromium.find() ? false : "Chromium is not installed",
}, async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `import * as slim from "tidegate/slim";
import { trapAndRecover } from "./recovery.mjs";
globalThis.seen = fetch("/module").then((response) => response.arrayBuffer()).then((bytes) => trapAndRecover(slim, bytes));`,
      resolveDir: import.meta.dirname ?? join(root, "tests/trap"),
    },
    bundle: true,
    format: "esm",
    conditions: ["browser"],
    write: false,
  });
  const server = createServer(async (request, response) => {
    if (request.url === "/module") return response.end(await readFile(module));
    response.setHeader("content-type", "text/html");
    return response.end(`<!doctype html><script type="module">${outputFiles[0].text}</script>`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    assert.deepEqual(await page.evaluate(() => globalThis.seen), recovered);
  } finally {
    await browser.close();
    server.close();
  }
});

/** The fault load in a page of real Chromium, served from here. */

import { createServer } from "node:http";
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "../../setup/needs.mjs";
import { launchChromium } from "../chromium.mjs";

export async function withstandInChromium() {
  const server = await serve(await bundled());
  const browser = await launchChromium({ args: ["--js-flags=--expose-gc", "--enable-precise-memory-info"] });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction(() => globalThis.withstand !== undefined);
    return await page.evaluate(() => globalThis.withstand());
  } finally {
    await browser.close();
    server.close();
  }
}

async function bundled() {
  const file = (name) => new URL(name, import.meta.url).pathname;
  const { outputFiles } = await build({
    entryPoints: { page: file("fault-page.mjs"), worker: file("fault-worker-page.mjs") },
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["browser", "import"],
    nodePaths: [join(root, "tests/node_modules")],
    outdir: "/",
    write: false,
    logLevel: "warning",
  });
  return new Map(outputFiles.map(({ path, text }) => [path, text]));
}

async function serve(scripts) {
  const server = createServer((request, response) => {
    // Shared memory is for pages that are isolated.
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    const script = scripts.get(request.url);
    if (script !== undefined) return response.setHeader("content-type", "text/javascript").end(script);
    if (request.url !== "/") return response.writeHead(404).end();
    return response
      .setHeader("content-type", "text/html")
      .end(`<!doctype html><script type="module" src="/page.js"></script>`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** The contests in real Chromium: one page, served from here. */

import { createServer } from "node:http";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { browsers, installBrowser } from "../../setup/browsers.mjs";
import { PlainError } from "../../setup/step.mjs";
import { inTurns, told, versionOf } from "../side-by-side.mjs";
import { bars, pairs, rounds, sizes } from "./bars.mjs";
import { kernelRows } from "./kernels.mjs";

const SCRIPTS = {
  noop: "page-noop.mjs",
  ours: "worker-ours.mjs",
  comlink: "worker-comlink.mjs",
  workerpool: "worker-workerpool.mjs",
  kernels: "page-kernels.mjs",
  own: "worker-own.mjs",
  bare: "worker-bare.mjs",
};

export async function inChromium() {
  const missing = await installBrowser("chromium");
  if (missing) throw new PlainError(missing);
  const server = await serve(await bundled());
  const browser = await chromium.launch({
    executablePath: browsers.chromium.find(),
    headless: true,
    args: ["--no-sandbox", "--disable-gpu"],
  });
  try {
    const open = async (name) => {
      const page = await browser.newPage();
      page.on("pageerror", (error) => console.error(error));
      await page.goto(`http://127.0.0.1:${server.address().port}/${name}`);
      await page.evaluate(() => globalThis.readiness);
      return page;
    };
    return [...(await noopRows(await open("noop"))), ...(await kernelRows(browser, await open("kernels")))];
  } finally {
    await browser.close();
    server.close();
  }
}

async function noopRows(page) {
  const rows = [];
  for (const [load, peers] of Object.entries(bars.chromium)) {
    for (const [peer, bar] of Object.entries(peers)) {
      const timed = [];
      for (let pair = 0; pair < pairs[load]; pair += 1) timed.push(...(await contest(page, peer, load)));
      const bench = `workers: no-ops ${load} in Chromium`;
      rows.push(told({ bench, n: sizes[load], peer, version: versionOf(peer), bar, timed }));
    }
  }
  await page.close();
  return rows;
}

/** A pair of fresh contestants. */
async function contest(page, peer, load) {
  const run = (who) => page.evaluate(([who, load]) => globalThis.run(who, load), [who, load]);
  const both = ["ours", peer];
  for (const who of both) await page.evaluate((who) => globalThis.enter(who), who);
  const timed = await inTurns({ rounds: rounds[load], ours: () => run("ours"), theirs: () => run(peer) });
  for (const who of both) await page.evaluate((who) => globalThis.leave(who), who);
  return timed;
}

/** Every script of a page or a worker, each in one file. */
async function bundled() {
  const { outputFiles } = await build({
    entryPoints: Object.fromEntries(
      Object.entries(SCRIPTS).map(([name, file]) => [name, new URL(file, import.meta.url).pathname]),
    ),
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["browser", "import"],
    // What workerpool asks for in Node alone.
    external: ["worker_threads", "os", "child_process"],
    outdir: "/",
    write: false,
    logLevel: "warning",
  });
  return new Map(outputFiles.map(({ path, text }) => [path, text]));
}

async function serve(scripts) {
  const server = createServer((request, response) => {
    const script = scripts.get(request.url);
    if (script !== undefined) return response.setHeader("content-type", "text/javascript").end(script);
    response
      .setHeader("content-type", "text/html")
      .end(`<!doctype html><script type="module" src="${request.url}.js"></script>`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

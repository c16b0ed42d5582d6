/** A program in Rust whose pool has Web Workers, in a page of real Chromium: `examples/web-workers`, and what befalls its workers. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { installBrowser } from "../../setup/browsers.mjs";
import { root } from "../../setup/needs.mjs";
import { launchChromium } from "../chromium.mjs";
import { buildRustExample } from "../rust-example.mjs";

const example = join(root, "examples/web-workers");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const missing = await installBrowser("chromium");
let server;
let browser;
let page;

before(
  async () => {
    if (missing) return;
    await buildRustExample("web-workers");
    server = createServer(async ({ url }, response) => {
      const path = url === "/" ? "/index.html" : url;
      try {
        const content = await readFile(join(example, path));
        response.setHeader("content-type", TYPES[extname(path)]).end(content);
      } catch {
        response.writeHead(404).end();
      }
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    browser = await launchChromium();
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    // Each test has a pool of its own.
    await page.evaluate(async () => {
      const { Work } = await import("/load.js");
      globalThis.pool = (most, url = "/worker.js") => new Work(url, most);
      globalThis.numbered = (n) => new Uint8Array(new BigUint64Array([BigInt(n)]).buffer);
      globalThis.steps = async (work, n) =>
        new Uint32Array((await work.run("collatz", numbered(n))).buffer)[0];
      globalThis.failure = (promise) =>
        promise.then(
          () => "",
          (error) => error.message,
        );
    });
  },
  { timeout: 1_200_000 },
);

after(async () => {
  await browser?.close();
  server?.close();
});

const inPage = (name, run) =>
  test(name, async (t) => {
    if (missing) return t.skip(missing);
    await run();
  });

inPage("pieces are hashed by two workers, and their digests come in order", async () => {
  const bytes = randomBytes(2_000_000);
  const { digests, workers, here } = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const work = pool(2);
    const digests = [...(await work.hashPieces(bytes, 65_536))];
    const answer = { digests, workers: work.workers, here: work.runsHere };
    work.free();
    return answer;
  }, bytes.toString("base64"));
  assert.deepEqual({ workers, here }, { workers: 2, here: false });
  const expected = [];
  for (let at = 0; at < bytes.length; at += 65_536)
    expected.push(
      ...createHash("sha256")
        .update(bytes.subarray(at, at + 65_536))
        .digest(),
    );
  assert.deepEqual(digests, expected);
});

inPage("what a kernel refuses, and one that there is not, are told", async () => {
  const told = await page.evaluate(async () => {
    const work = pool(1);
    const told = [
      await failure(work.run("collatz", new Uint8Array(3))),
      await failure(work.run("nothing", new Uint8Array(8))),
      await steps(work, 27),
    ];
    work.free();
    return told;
  });
  assert.match(told[0], /expected 8 bytes/);
  assert.match(told[1], /`nothing`/);
  assert.equal(told[2], 111);
});

inPage(
  "a kernel that panics ends its worker, the tasks behind it run elsewhere, and another takes its place",
  async () => {
    const told = await page.evaluate(async () => {
      const work = pool(1);
      await steps(work, 27);
      const [trapped, ...rest] = await Promise.all([
        failure(work.run("collatz", undefined)),
        ...[6, 7, 9].map((n) => steps(work, n)),
      ]);
      const answer = { trapped, rest, workers: work.workers };
      work.free();
      return answer;
    });
    assert.match(told.trapped, /worker/);
    assert.deepEqual({ ...told, trapped: "" }, { trapped: "", rest: [8, 16, 19], workers: 1 });
  },
);

inPage("a task that never ends runs out of time, and its worker is ended", async () => {
  const told = await page.evaluate(async () => {
    const work = pool(1);
    const late = await failure(work.run("collatz", numbered(0)));
    const answer = { late, next: await steps(work, 27) };
    work.free();
    return answer;
  });
  assert.match(told.late, /longer than the pool allows/);
  assert.equal(told.next, 111);
});

inPage("a pool that is let go ends its workers", async () => {
  await page.evaluate(async () => {
    globalThis.held = pool(2);
    await Promise.all([6, 7, 9, 27].map((n) => steps(held, n)));
  });
  const held = page.workers();
  assert.ok(held.length > 0);
  const ended = Promise.all(held.map((worker) => worker.waitForEvent("close")));
  await page.evaluate(() => globalThis.held.free());
  await ended;
});

inPage(
  "where a worker cannot be made the page does the work; a script that is not there is told",
  async () => {
    const told = await page.evaluate(async () => {
      const { Worker: Given } = globalThis;
      globalThis.Worker = undefined;
      const work = pool(2);
      const without = [await steps(work, 27), work.runsHere];
      globalThis.Worker = Given;
      const lost = pool(1, "/nowhere.js");
      const answer = { without, lost: [await steps(lost, 27), lost.runsHere] };
      work.free();
      lost.free();
      return answer;
    });
    assert.deepEqual(told, { without: [111, true], lost: [111, true] });
  },
);

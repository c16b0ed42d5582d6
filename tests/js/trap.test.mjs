/**
 * Recovery from traps, in Node and in Chromium: the package's own files over the `trap` build of the core.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { root } from "../../setup/needs.mjs";
import { chromium } from "../conformance/runtimes/browsers.mjs";

const entry = `
import { load } from "./dist/core.js";
import { bytesOf } from "./dist/letters.js";
import { letters } from "./tests/generated/core_letters.js";
import "./tests/trap/cases.ts";
import "./tests/trap/store-cases.ts";
import "./tests/trap/kin-cases.ts";
import "./tests/trap/worker-cases.ts";
import { runCases } from "./tests/conformance/registry.ts";
import { surroundings } from "./tests/conformance/surroundings.ts";
load(new WebAssembly.Module(bytesOf(letters)));
`;

/** Their workers' script, as it is. */
const inWorkers = `import "./tests/trap/workers.ts";`;

const inlined = (path) => join(root, "dist", path);

/** A script over the trap build, with the package as `platform` has it: "node" or "browser". */
async function bundled(name, contents, platform) {
  const outfile = join(root, "tests/.build/trap", `${name}.mjs`);
  const instead = [
    [/^tidegate$/, inlined("index.js")],
    [/^tidegate\/workers$/, inlined("worker/index.js")],
    [/\/core_bg\.js$/, join(root, "tests/trap/armed.ts")],
    [/^trap-bindings$/, join(root, "tests/generated/core_bg.js")],
    [/\/store_bg\.js$/, join(root, "tests/trap/armed-store.ts")],
    [/^store-bindings$/, inlined("generated/store_bg.js")],
    [/\/rate_bg\.js$/, join(root, "tests/trap/armed-rate.ts")],
    [/^rate-bindings$/, inlined("generated/rate_bg.js")],
    [/^#rate-module$/, inlined("rate-module/browser.js")],
    [/^#store-module$/, inlined("store-module/browser.js")],
    [/^#worker-platform$/, inlined(`worker-platform/${platform}.js`)],
    [/^#worker-inside$/, inlined(`worker-inside/${platform}.js`)],
  ];
  await build({
    stdin: { contents, resolveDir: root, sourcefile: `${name}.js` },
    outfile,
    bundle: true,
    format: "esm",
    target: "es2022",
    sourcemap: "inline",
    logLevel: "warning",
    nodePaths: [join(root, "tests/node_modules")],
    external: ["node:*"],
    plugins: [
      {
        name: "trap-build",
        setup(plugin) {
          for (const [filter, path] of instead) plugin.onResolve({ filter }, () => ({ path }));
        },
      },
    ],
  });
  return outfile;
}

function judge(results, atLeast = 10) {
  const failed = results.filter(({ outcome }) => outcome === "failed");
  assert.equal(failed.length, 0, failed.map(({ name, why }) => `${name}\n${why}`).join("\n\n"));
  assert.ok(results.length >= atLeast);
}

test("after a trap everybody knows and everything goes on, in Node", async () => {
  await bundled("node-worker", inWorkers, "node");
  const run = `
import { Worker } from "node:worker_threads";
surroundings.worker = ({ name }) => new Worker(new URL("./node-worker.mjs", import.meta.url), { name });
export const results = await runCases("node");`;
  const path = await bundled("node", entry + run, "node");
  const { results } = await import(pathToFileURL(path).href);
  judge(results);
});

test("after a trap those who passed without asking have their slots", async () => {
  const passing = `
import { attend } from "./dist/presence.js";
import { Passing } from "./dist/passing.js";
import { passingHost } from "./tests/js/passing-host.mjs";
import { load } from "./dist/core.js";
import { bytesOf } from "./dist/letters.js";
import { letters } from "./tests/generated/core_letters.js";
import "./tests/trap/passing-cases.ts";
import { runCases } from "./tests/conformance/registry.ts";
attend(passingHost(Passing));
load(new WebAssembly.Module(bytesOf(letters)));
export const results = await runCases("node");`;
  const { results } = await import(pathToFileURL(await bundled("passing", passing, "node")).href);
  judge(results, 5);
});

test("after a trap everybody knows and everything goes on, in Chromium", async (t) => {
  const missing = await chromium.missing();
  if (missing) return t.skip(missing);
  const worker = await bundled("chromium-worker", inWorkers, "browser");
  const run = `
surroundings.worker = ({ name }) => new Worker("/worker.js", { type: "module", name });
const results = await runCases("chromium");
await fetch("/results", { method: "POST", body: JSON.stringify({ version: navigator.userAgent, results }) });`;
  const path = await bundled("chromium", entry + run, "browser");
  const { results } = await chromium.open(readFileSync(path), readFileSync(worker));
  judge(results);
});

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
import { runCases } from "./tests/conformance/registry.ts";
load(new WebAssembly.Module(bytesOf(letters)));
`;

/** The cases over the trap build: `last` is what becomes of their results. */
async function bundled(name, last) {
  const outfile = join(root, "tests/.build/trap", `${name}.mjs`);
  await build({
    stdin: { contents: entry + last, resolveDir: root, sourcefile: `${name}.js` },
    outfile,
    bundle: true,
    format: "esm",
    target: "es2022",
    sourcemap: "inline",
    logLevel: "warning",
    nodePaths: [join(root, "tests/node_modules")],
    plugins: [
      {
        name: "trap-build",
        setup(plugin) {
          plugin.onResolve({ filter: /^tidegate$/ }, () => ({ path: join(root, "dist/index.js") }));
          plugin.onResolve({ filter: /\/core_bg\.js$/ }, () => ({ path: join(root, "tests/trap/armed.ts") }));
          plugin.onResolve({ filter: /^trap-bindings$/ }, () => ({
            path: join(root, "tests/generated/core_bg.js"),
          }));
          plugin.onResolve({ filter: /\/store_bg\.js$/ }, () => ({
            path: join(root, "tests/trap/armed-store.ts"),
          }));
          plugin.onResolve({ filter: /^store-bindings$/ }, () => ({
            path: join(root, "dist/generated/store_bg.js"),
          }));
          plugin.onResolve({ filter: /^#store-module$/ }, () => ({
            path: join(root, "dist/store-module/browser.js"),
          }));
        },
      },
    ],
  });
  return outfile;
}

function judge(results) {
  const failed = results.filter(({ outcome }) => outcome === "failed");
  assert.equal(failed.length, 0, failed.map(({ name, why }) => `${name}\n${why}`).join("\n\n"));
  assert.ok(results.length > 10);
}

test("after a trap everybody knows and everything goes on, in Node", async () => {
  const path = await bundled("node", `export const results = await runCases("node");`);
  const { results } = await import(pathToFileURL(path).href);
  judge(results);
});

test("after a trap everybody knows and everything goes on, in Chromium", async (t) => {
  const missing = await chromium.missing();
  if (missing) return t.skip(missing);
  const path = await bundled(
    "chromium",
    `const results = await runCases("chromium");
await fetch("/results", { method: "POST", body: JSON.stringify({ version: navigator.userAgent, results }) });`,
  );
  const { results } = await chromium.open(readFileSync(path));
  judge(results);
});

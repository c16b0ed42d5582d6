/**
 * `npm run build`: `dist/` as the package is published, and `dist/page/` as static files that work on any host.
 */

import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { readFlags } from "../setup/flags.mjs";
import { ensure, packages, root, toolchains, wasmTarget } from "../setup/needs.mjs";
import { main, must, PlainError, run, step } from "../setup/step.mjs";
import { missingExports } from "./exports.mjs";

const dist = join(root, "dist");
const page = join(dist, "page");
const generated = join(root, "js/generated");
const bin = (name) => join(root, "node_modules", name);

/** Everything the build needs, and nothing that only tests need. */
export const buildNeeds = [toolchains, packages(), wasmTarget];

/** Rust to wasm and glue. `modules` are names that xtask knows; by default what the package publishes. */
export async function buildWasm(modules = []) {
  const { code } = await run("cargo", ["run", "--quiet", "-p", "xtask", "--", "build", ...modules], {
    cwd: root,
  });
  if (code !== 0) throw new PlainError("The wasm could not be built.");
}

/** TypeScript to `dist/`, with the generated files beside it and nothing left of former builds. */
export async function buildPackage() {
  const emitted = await must(
    process.execPath,
    [bin("typescript/bin/tsc"), "-p", "tsconfig.json", "--noEmitOnError", "--listEmittedFiles"],
    { cwd: root, advice: "The sources do not compile." },
  );
  const kept = new Set(
    [...emitted.matchAll(/^TSFILE: (.*)$/gm)].map(([, path]) => resolve(root, path.trim())),
  );
  for (const file of filesBelow(generated)) {
    if (file.endsWith(".stamp")) continue;
    kept.add(copy(file, join(dist, "generated", relative(generated, file))));
  }
  for (const file of filesBelow(join(root, "js"))) {
    if (file.endsWith(".schema.json")) kept.add(copy(file, join(dist, relative(join(root, "js"), file))));
  }
  kept.add(copy(join(root, "src/kernels/secrets/rules.json"), join(dist, "secret-rules.json")));
  for (const file of filesBelow(dist)) {
    if (!kept.has(file) && !file.startsWith(page + sep)) rmSync(file);
  }
  const missing = missingExports(root);
  if (missing.length > 0)
    throw new PlainError(`package.json exports what the build does not make: ${missing.join(", ")}`);
}

/** The page, by Vite; nothing is served, so the result works from any host and any path. */
export async function buildPage() {
  if (!existsSync(join(root, "www/index.html"))) return;
  await must(
    process.execPath,
    [
      bin("vite/bin/vite.js"),
      "build",
      "www",
      "--outDir",
      page,
      "--emptyOutDir",
      "--base",
      "./",
      "--logLevel",
      "warn",
    ],
    { cwd: root },
  );
}

/** Sets up and builds everything. */
export async function build() {
  await ensure(...buildNeeds);
  await step("building the wasm", () => buildWasm());
  await step("building the package", buildPackage);
  await step("building the page", buildPage);
}

function copy(from, to) {
  mkdirSync(join(to, ".."), { recursive: true });
  cpSync(from, to);
  return to;
}

function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  main(async () => {
    readFlags({});
    await build();
  });
}

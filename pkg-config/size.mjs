/**
 * `npm run size -- [--json FILE]`: gzip bytes of what each entry point costs a page, wasm and JavaScript apart.
 *
 * An entry is bundled and minified as an application would, and weighed with what it loads at once: what is fetched later,
 * when a deadlock is suspected, is a chunk of its own. A module that lies in the script as letters is taken out and weighed as the
 * wasm it is; `inlined_gzip` says what the whole script weighs with it inside.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { readFlags } from "../setup/flags.mjs";
import { ensure, packages, root } from "../setup/needs.mjs";
import { main, PlainError } from "../setup/step.mjs";
import { buildNeeds, buildPackage, buildWasm } from "./build.mjs";
import { manifest } from "./exports.mjs";

const budgets = JSON.parse(readFileSync(new URL("size-budget.json", import.meta.url), "utf8"));

await main(async () => {
  const { json } = readFlags({ json: { kind: "text" } });
  await ensure(...buildNeeds, packages("tests", "the tests"));
  await buildWasm();
  await buildPackage();
  const rows = [];
  for (const budget of budgets) {
    if (budget.specifier in manifest(root).exports) rows.push(await weigh(budget));
  }
  for (const { entry, wasm_gzip, js_gzip, total_gzip, inlined_gzip, budget, pass } of rows) {
    console.log(
      `${entry}: wasm ${wasm_gzip} + js ${js_gzip} = ${total_gzip} bytes gzip (budget ${budget}: ${pass ? "kept" : "EXCEEDED"}); as one script ${inlined_gzip}`,
    );
  }
  if (json) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);
  return rows.every(({ pass }) => pass) ? 0 : 1;
});

async function weigh({ entry, specifier, names, modules: carried, budget }) {
  const { build } = await import(new URL("../tests/node_modules/esbuild/lib/main.js", import.meta.url));
  const from = specifier.replace(/^\./, "tidegate");
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: `${names ? `export { ${names.join(", ")} }` : "export *"} from ${JSON.stringify(from)};`,
      resolveDir: join(root, "tests"),
    },
    bundle: true,
    minify: true,
    splitting: true,
    metafile: true,
    outdir: root,
    format: "esm",
    target: "es2022",
    conditions: ["browser", "import"],
    external: ["node:*"],
    write: false,
    logLevel: "warning",
  });
  const script = loadedAtOnce(outputFiles, metafile);
  const { rest, modules } = await withoutModules(script);
  if (modules.some((module, at) => modules.slice(0, at).some((other) => other.equals(module))))
    throw new PlainError(`${entry} carries one module twice`);
  if (carried !== undefined && modules.length !== carried)
    throw new PlainError(`${entry} carries ${modules.length} modules instead of ${carried}`);
  const wasm_gzip = modules.reduce((sum, module) => sum + gzip(module), 0);
  const js_gzip = gzip(rest);
  const total_gzip = wasm_gzip + js_gzip;
  return {
    entry,
    wasm_gzip,
    js_gzip,
    total_gzip,
    inlined_gzip: gzip(script),
    budget,
    pass: total_gzip <= budget,
  };
}

/** The entry and the chunks that it imports statically. */
function loadedAtOnce(files, { outputs }) {
  const entry = Object.keys(outputs).find((path) => outputs[path].entryPoint?.includes("stdin"));
  const paths = new Set([entry]);
  for (const path of paths) {
    for (const { kind, path: next } of outputs[path].imports) {
      if (kind === "import-statement" && next in outputs) paths.add(next);
    }
  }
  const names = new Set([...paths].map((path) => basename(path)));
  return files
    .filter(({ path }) => names.has(basename(path)))
    .map(({ text }) => text)
    .join("\n");
}

/** Takes the letters of wasm modules out of a script: long strings that stand for bytes which begin with `\0asm`. */
async function withoutModules(script) {
  const { bytesOf } = await import(new URL("../dist/letters.js", import.meta.url));
  const modules = [];
  const rest = script.replace(/[^"'`\\$<\s]{1000,}/g, (letters) => {
    const module = Buffer.from(bytesOf(letters));
    if (!module.subarray(0, 4).equals(Buffer.from("\0asm"))) return letters;
    modules.push(module);
    return "";
  });
  return { rest, modules };
}

function gzip(bytes) {
  return gzipSync(bytes, { level: 9 }).length;
}

/**
 * `npm run size -- [--json FILE]`: gzip bytes of what each entry point costs a page, wasm and JavaScript apart.
 *
 * An entry is bundled and minified as an application would. A module inlined as base64 is taken out and weighed as the
 * wasm it is; `inlined_gzip` says what the whole script weighs with it inside.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
  const { outputFiles } = await build({
    stdin: {
      contents: `${names ? `export { ${names.join(", ")} }` : "export *"} from ${JSON.stringify(from)};`,
      resolveDir: join(root, "tests"),
    },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    conditions: ["browser", "import"],
    external: ["node:*"],
    write: false,
    logLevel: "warning",
  });
  const script = outputFiles[0].text;
  const { rest, modules } = withoutModules(script);
  if (new Set(modules).size < modules.length) throw new PlainError(`${entry} carries one module twice`);
  if (carried !== undefined && modules.length !== carried)
    throw new PlainError(`${entry} carries ${modules.length} modules instead of ${carried}`);
  const wasm_gzip = modules.reduce((sum, module) => sum + gzip(Buffer.from(module, "base64")), 0);
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

/** Takes the base64 of wasm modules (they begin with `\0asm`) out of a script. */
function withoutModules(script) {
  const modules = [];
  const rest = script.replace(/AGFzb[A-Za-z0-9+/=]{1000,}/g, (module) => {
    modules.push(module);
    return "";
  });
  return { rest, modules };
}

function gzip(bytes) {
  return gzipSync(bytes, { level: 9 }).length;
}

/**
 * The suite as files a runtime can start: the cases are compiled once, and each runtime's entry is linked to that one file.
 */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { root } from "../../setup/needs.mjs";

const out = join(root, "tests/.build/conformance");
const shared = { bundle: true, format: "esm", target: "es2022", logLevel: "warning" };

/** `cases.js`: every case, and `worker.js`: what their workers do, with the package left as an import. */
export async function bundleCases() {
  rmSync(out, { recursive: true, force: true });
  await build({
    ...shared,
    entryPoints: {
      cases: join(root, "tests/conformance/all.ts"),
      worker: join(root, "tests/conformance/worker-functions.ts"),
    },
    outdir: out,
    external: ["tidegate", "tidegate/*"],
    sourcemap: "inline",
  });
  return join(out, "cases.js");
}

/** The script of the cases' workers, linked with the package as `conditions` select it. */
export async function linkWorker(name, conditions) {
  const { main } = await link(`${name}-worker`, `import "./worker.js";`, conditions);
  return main;
}

/**
 * An entry that runs the cases, linked with the package as `conditions` select it; a `.wasm` stays an import of a
 * file beside it. What stands in `before` runs before everything else. Gives the path of the entry and the names of those files.
 */
export async function link(name, entry, conditions, before = "") {
  const folder = join(out, name);
  const wasm = new Map();
  mkdirSync(out, { recursive: true });
  await build({
    ...shared,
    stdin: { contents: entry, resolveDir: out, sourcefile: `${name}.js` },
    outfile: join(folder, "main.js"),
    banner: { js: before },
    conditions,
    mainFields: ["module", "main"],
    nodePaths: [join(root, "tests/node_modules"), join(root, "benches/node_modules")],
    external: ["node:*", "cloudflare:*"],
    plugins: [
      {
        name: "wasm-beside",
        setup(plugin) {
          plugin.onResolve({ filter: /\.wasm$/ }, ({ path, resolveDir }) => {
            wasm.set(basename(path), join(resolveDir, path));
            return { path: `./${basename(path)}`, external: true };
          });
        },
      },
    ],
  });
  for (const [file, source] of wasm) writeFileSync(join(folder, file), readFileSync(source));
  return { folder, main: join(folder, "main.js"), wasm: [...wasm.keys()] };
}

/** An entry that is not linked: a file beside the cases, which the runtime resolves by itself. */
export function beside(name, entry) {
  const path = join(out, `${name}.mjs`);
  writeFileSync(path, entry);
  return path;
}

/**
 * Suites of node:test: TypeScript ones are bundled first, `.mjs` ones run as they are.
 */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { build, buildNeeds, buildPackage, buildWasm } from "../../pkg-config/build.mjs";
import { installBrowser } from "../../setup/browsers.mjs";
import { packages, root } from "../../setup/needs.mjs";
import { run, step } from "../../setup/step.mjs";
import { buildRustExample } from "../rust-example.mjs";

const testPackages = packages("tests", "the tests");

export const javascript = {
  name: "javascript",
  what: "JavaScript tests in Node: models against the real wasm, the range, the tools",
  needs: [...buildNeeds, testPackages],
  async run(tally) {
    await buildWasm(["core", "store", "scan", "kernels", "kernels-scalar", "trap"]);
    await buildPackage();
    // The first time it takes minutes, which are not the test's.
    await step("compiling the page in Rust", () => buildRustExample("web-workers"));
    await nodeTest(tally, [
      ...(await compiled("tests/js")),
      ...[
        "tests/js",
        "tests/mutants",
        "tests/trap",
        "tests/workers",
        "range",
        "setup",
        "pkg-config",
        "benches",
        "bin",
      ].flatMap((folder) => testsIn(folder, ".test.mjs")),
    ]);
  },
};

export const docs = {
  name: "docs",
  what: "the examples, links and commands of the README, the guides and the doc comments",
  needs: [...buildNeeds, testPackages],
  async run(tally) {
    await buildWasm();
    await buildPackage();
    await nodeTest(tally, testsIn("tests/docs", ".test.mjs"));
  },
};

export const page = {
  name: "page",
  what: "the page in real Chromium",
  needs: [...buildNeeds, testPackages],
  async run(tally) {
    const files = [...(await compiled("tests/page")), ...testsIn("tests/page", ".test.mjs")];
    if (files.length === 0) return tally.skip("there is no test of the page yet");
    const missing = await installBrowser("chromium");
    if (missing) return tally.skip(missing);
    await build();
    await nodeTest(tally, files);
  },
};

export const packaging = {
  name: "packaging",
  what: "the packed tarball in an empty project, in Node and TypeScript, and through six bundlers in Chromium",
  needs: [...buildNeeds, testPackages],
  async run(tally) {
    await buildWasm();
    await buildPackage();
    const missing = await installBrowser("chromium");
    const files = testsIn("tests/packaging", ".test.mjs");
    if (missing) tally.skip(missing);
    await nodeTest(
      tally,
      files.filter((file) => !(missing && /(vite|bundlers)\.test\.mjs$/.test(file))),
    );
  },
};

export const edge = {
  name: "edge",
  what: "handles that many requests share, in real workerd at three compatibility dates",
  needs: [...buildNeeds, testPackages],
  async run(tally) {
    await buildWasm();
    await buildPackage();
    await step("compiling the Worker in Rust", () => buildRustExample("workers-rs"));
    await nodeTest(tally, testsIn("tests/edge", ".test.mjs"));
  },
};

/** Runs node:test over files and reads its summary. */
async function nodeTest(tally, files) {
  const args = ["--enable-source-maps", "--test", "--test-reporter=spec", "--test-timeout=300000", ...files];
  const { code, output } = await run(process.execPath, args, { cwd: root, timeout: 1_200_000 });
  const count = (word) => Number(output.match(new RegExp(`^ℹ ${word} (\\d+)$`, "m"))?.[1] ?? 0);
  const failed = count("fail") + count("cancelled");
  tally.pass(count("pass"));
  if (failed > 0) {
    const names = [
      ...(output.split(/^✖ failing tests:$/m)[1]?.matchAll(/^✖ (.+?)(?: \([\d.]+ms\))?$/gm) ?? []),
    ];
    tally.fail(names.map(([, name]) => name).join("; ") || `${failed} failed`, failed);
  } else if (code !== 0) tally.fail(`node --test ended with ${code}`);
  for (const [, name, reason] of output.matchAll(/^\s*﹣ (.+?) \([\d.]+ms\) # (?:SKIP|TODO)?\s*(.*)$/gm))
    tally.skip(`${name}: ${reason || "no reason given"}`);
}

/** Bundles the TypeScript tests of a folder; packages stay imports, so every test meets the built package. */
async function compiled(folder) {
  const sources = testsIn(folder, ".test.ts");
  if (sources.length === 0) return [];
  const { build: bundle } = await import("esbuild");
  const out = join(root, "tests/.build", basename(folder));
  rmSync(out, { recursive: true, force: true });
  await bundle({
    entryPoints: sources.map((source) => join(root, source)),
    outdir: out,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "inline",
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
  });
  return sources.map((source) => join(out, `${basename(source, ".ts")}.mjs`));
}

/** Test files below a folder, without entering installed packages: links in there lead back here. */
function testsIn(folder, ending) {
  const place = join(root, folder);
  if (!existsSync(place)) return [];
  return readdirSync(place, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return /^(node_modules|\..*)$/.test(entry.name) ? [] : testsIn(path, ending);
      return entry.name.endsWith(ending) ? [path] : [];
    })
    .sort();
}

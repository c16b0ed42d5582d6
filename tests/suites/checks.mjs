/**
 * Checks that pass or fail as one: format, lint and types.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { buildPackage, buildWasm } from "../../pkg-config/build.mjs";
import { packages, root, toolchains, wasmTarget } from "../../setup/needs.mjs";
import { run } from "../../setup/step.mjs";

const node = process.execPath;
const bin = (name) => join(root, "node_modules", name);

/** Runs one program; its exit code is the verdict. */
async function check(tally, name, command, args) {
  const { code } = await run(command, args, { cwd: root, timeout: 900_000 });
  if (code === 0) tally.pass();
  else tally.fail(`${name} (\`${[command === node ? "node" : command, ...args].join(" ")}\`)`);
}

export const format = {
  name: "format",
  what: "rustfmt and Biome",
  isQuick: true,
  needs: [toolchains, packages()],
  async run(tally) {
    await check(tally, "rustfmt", "cargo", ["fmt", "--all", "--check"]);
    await check(tally, "Biome", node, [bin("@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "."]);
  },
};

export const lint = {
  name: "lint",
  what: "clippy, for the host and for wasm",
  isQuick: true,
  needs: [toolchains, wasmTarget],
  async run(tally) {
    const strict = ["--", "-D", "warnings"];
    const crate = ["clippy", "--quiet", "-p", "tidegate", "--all-features", "--all-targets"];
    await check(tally, "clippy", "cargo", [...crate, ...strict]);
    await check(tally, "clippy for wasm", "cargo", [
      ...crate,
      "--target",
      "wasm32-unknown-unknown",
      ...strict,
    ]);
    await check(tally, "clippy without features", "cargo", [
      "clippy",
      "--quiet",
      "-p",
      "tidegate",
      ...strict,
    ]);
    await check(tally, "clippy of the build tool", "cargo", ["clippy", "--quiet", "-p", "xtask", ...strict]);
  },
};

export const types = {
  name: "types",
  what: "TypeScript of the package, the page and the tests",
  isQuick: true,
  needs: [toolchains, packages(), packages("tests", "the tests"), wasmTarget],
  async run(tally) {
    await buildWasm();
    await buildPackage();
    tally.pass();
    for (const project of ["tests", "www", "edge", "benches"]) {
      if (!existsSync(join(root, project, "tsconfig.json"))) continue;
      await check(tally, `types of ${project}/`, node, [
        bin("typescript/bin/tsc"),
        "--noEmit",
        "-p",
        project,
      ]);
    }
  },
};

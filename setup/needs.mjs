/**
 * What a clone needs before it can do anything, each as `{ what, isMet(), meet() }`. Nothing here depends on a package.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must, PlainError, run, step } from "./step.mjs";

export const root = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");

/** Meets what is not met yet, in order, saying so. */
export async function ensure(...needs) {
  for (const need of needs) {
    if (!(await need.isMet())) await step(need.what, need.meet);
  }
}

/** Node and the Rust toolchain: the two that nobody but the user should install. */
export const toolchains = {
  what: "looking for the toolchains",
  async isMet() {
    const major = Number(process.versions.node.split(".")[0]);
    if (major < 20)
      throw new PlainError(`Node 20 or newer is needed, this is ${process.version}: see https://nodejs.org`);
    const { code, output } = await run("cargo", ["--version"], { quiet: true });
    if (code !== 0) throw new PlainError("Rust is needed and `cargo` was not found: see https://rustup.rs");
    const [, minor] = output.match(/cargo 1\.(\d+)/) ?? [];
    if (Number(minor) < 88)
      throw new PlainError(`Rust 1.88 or newer is needed, this is ${output.trim()}: run \`rustup update\``);
    return true;
  },
  async meet() {},
};

/** The npm packages of one folder, as its lock file names them. */
export function packages(folder = ".", why = "the build") {
  const place = join(root, folder);
  const stamp = join(place, "node_modules", ".installed-from");
  const lock = () =>
    createHash("sha256")
      .update(readFileSync(join(place, "package-lock.json")))
      .digest("hex");
  return {
    what: `installing the npm packages of ${why}`,
    isMet: async () => existsSync(stamp) && readFileSync(stamp, "utf8") === lock(),
    async meet() {
      await must("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
        cwd: place,
        advice: `Is the npm registry reachable? Otherwise run \`npm ci\` in \`${folder}\` where it is, and copy \`node_modules\`.`,
      });
      // `import "tidegate"` in a room below means this clone, under the conditions of whichever runtime asks.
      if (folder !== ".") symlinkSync(root, join(place, "node_modules/tidegate"), "junction");
      writeFileSync(stamp, lock());
    },
  };
}

/** The standard library for wasm. */
export const wasmTarget = {
  what: "adding the Rust target wasm32-unknown-unknown",
  async isMet() {
    const sysroot = (await must("rustc", ["--print", "sysroot"])).trim();
    return existsSync(join(sysroot, "lib/rustlib/wasm32-unknown-unknown/lib"));
  },
  meet: () =>
    must("rustup", ["target", "add", "wasm32-unknown-unknown"], {
      cwd: root,
      advice:
        "Run `rustup target add wasm32-unknown-unknown` where https://static.rust-lang.org is reachable, or install your distribution's package of that target.",
    }),
};

/** The runner of wasm tests, built from our own lock file; cargo itself knows when it is up to date. */
export const wasmTestRunner = {
  what: "building the runner of the wasm tests",
  isMet: async () => existsSync(wasmTestRunnerPath()),
  meet: () =>
    must(
      "cargo",
      ["build", "--quiet", "-p", "xtask", "--features", "test-runner", "--bin", "wasm-test-runner"],
      {
        cwd: root,
        advice: "Is crates.io reachable?",
      },
    ),
};

export function wasmTestRunnerPath() {
  return join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug/wasm-test-runner");
}

const MUTANTS_VERSION = "27.1.0";

/** cargo-mutants, for `npm run mutants` alone: it stays in this clone. */
export const cargoMutants = {
  what: `installing cargo-mutants ${MUTANTS_VERSION} from crates.io`,
  async isMet() {
    const { code, output } = await run(cargoMutantsPath(), ["mutants", "--version"], { quiet: true });
    return code === 0 && output.includes(MUTANTS_VERSION);
  },
  meet: () =>
    must(
      "cargo",
      ["install", "cargo-mutants", "--version", MUTANTS_VERSION, "--locked", "--root", toolsPath()],
      {
        cwd: root,
        advice: "Is crates.io reachable?",
      },
    ),
};

function toolsPath() {
  return join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "tools");
}

export function cargoMutantsPath() {
  return join(toolsPath(), "bin/cargo-mutants");
}

/**
 * The machines as a crate of their own: without the futures, the scans and the bindings, a mutant is compiled and
 * tested in seconds instead of a minute. `machine` depends on nothing else of the house, so it is the same code.
 */

import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cargoMutantsPath, root } from "../../setup/needs.mjs";
import { must, PlainError, run } from "../../setup/step.mjs";

const crate = join(root, "target/mutants");
const runner = join(crate, "runner.sh");

/** A mutant under which the tests hang is stopped after so many seconds; all of them together take about three. */
const TEST_SECONDS = 60;

/** And one that computes without end after so many of its own, however busy the machine is: that tests end is asked of them too. */
const CPU_SECONDS = 15;

/** A mutant that never stops asking for memory is refused it here, before the machine is out of it. In KiB. */
const MEMORY = 4_000_000;

const manifest = (proptest) => `[package]
name = "tidegate-machines"
version = "0.0.0"
edition = "2024"

[lib]
doctest = false

[dev-dependencies]
${proptest}

[profile.dev]
debug = false

[profile.dev.package."*"]
opt-level = 2

[workspace]
`;

// The tests of the mutant's own room come first: they notice most, and then nobody waits for the others.
const RUN_TESTS = `#!/bin/sh
ulimit -v ${MEMORY}
ulimit -t ${CPU_SECONDS}
"$1" --quiet "$OWN_TESTS" && exec "$1" --quiet --skip "$OWN_TESTS"
`;

/** Makes the crate anew; what is compiled of it stays. */
export function makeCrate() {
  rmSync(join(crate, "src"), { recursive: true, force: true });
  mkdirSync(join(crate, "src"), { recursive: true });
  cpSync(join(root, "src/machine"), join(crate, "src/machine"), { recursive: true });
  writeFileSync(join(crate, "src/lib.rs"), "pub mod machine;\n");
  const proptest = readFileSync(join(root, "Cargo.toml"), "utf8").match(/^proptest = .+$/m)?.[0];
  writeFileSync(join(crate, "Cargo.toml"), manifest(proptest));
  copyFileSync(join(root, "Cargo.lock"), join(crate, "Cargo.lock"));
  writeFileSync(runner, RUN_TESTS);
  chmodSync(runner, 0o755);
}

/** All mutants that can be made of the machines, as `{ name, file }`. */
export async function everyMutant() {
  const output = await must(cargoMutantsPath(), ["mutants", "--list", "--json"], {
    cwd: crate,
  });
  return JSON.parse(output).map(({ name, file }) => ({ name, file }));
}

/** Whether the tests pass as the code is. */
export async function testsPass() {
  const { code } = await run("cargo", ["test", "--quiet", "--lib"], {
    cwd: crate,
    env: await environment("machine::"),
  });
  return code === 0;
}

const OUTCOMES = {
  CaughtMutant: "killed",
  MissedMutant: "missed",
  Timeout: "timeouts",
  Unviable: "unviable",
};

/** Tests some mutants of one file and says of each what became of it, as `{ name, outcome }`. */
export async function judge(file, mutants) {
  const room = file.match(/^src\/machine\/([a-z_]+)/)[1];
  const names = mutants.map(({ name }) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const out = join(crate, "out");
  rmSync(out, { recursive: true, force: true });
  const { output } = await run(
    cargoMutantsPath(),
    [
      ...["mutants", "--in-place", "--baseline=skip", "--file", file, "--re", `^(${names.join("|")})$`],
      ...[
        `--timeout=${TEST_SECONDS}`,
        "--build-timeout=600",
        "--colors=never",
        "--output",
        out,
        "--",
        "--lib",
      ],
    ],
    { cwd: crate, quiet: true, env: await environment(`machine::${room}::`) },
  );
  try {
    const { outcomes } = JSON.parse(readFileSync(join(out, "mutants.out/outcomes.json"), "utf8"));
    return outcomes.map(({ scenario, summary }) => ({
      name: scenario.Mutant.name,
      outcome: OUTCOMES[summary] ?? "unviable",
    }));
  } catch {
    throw new PlainError(`cargo-mutants could not test ${file}:\n${output}`);
  }
}

let variable;

async function environment(ownTests) {
  variable ??= `CARGO_TARGET_${(await host()).toUpperCase().replaceAll("-", "_")}_RUNNER`;
  return {
    OWN_TESTS: ownTests,
    CARGO_TARGET_DIR: join(crate, "target"),
    CARGO_TERM_COLOR: "never",
    // The same cases each time, and no search for smaller ones: that a test fails is all that is asked.
    PROPTEST_RNG_SEED: "1",
    PROPTEST_MAX_SHRINK_ITERS: "0",
    ...(process.platform !== "win32" && { [variable]: runner }),
  };
}

async function host() {
  const [, triple] = (await must("rustc", ["-vV"])).match(/^host: (.+)$/m);
  return triple;
}

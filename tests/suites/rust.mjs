/**
 * The Rust tests: on the host, in the docs, and the same ones again in wasm.
 */

import {
  packages,
  root,
  toolchains,
  wasmTarget,
  wasmTestRunner,
  wasmTestRunnerPath,
} from "../../setup/needs.mjs";
import { run } from "../../setup/step.mjs";

/** Tests that say something about one side only: a panic can be caught on the host, a promise exists in wasm. */
const ONE_SIDED = /(^|::)(on_the_host|in_wasm)(_|::|$)/;

/** What each binary of the last run on the host reported, to compare with wasm. */
let hostTests;

async function cargoTest(tally, args, env) {
  const found = new Map();
  let binary = "";
  const { code, output } = await run("cargo", ["test", "--no-fail-fast", ...args], {
    cwd: root,
    env: { CARGO_TERM_COLOR: "never", ...env },
    timeout: 1_200_000,
  });
  const failedBefore = tally.failed;
  for (const line of output.split("\n")) {
    const running = line.match(/^\s*Running (?:unittests )?(\S+)/);
    if (running) binary = running[1];
    const one = line.match(/^test (\S+)(?: - should panic)? \.\.\. (\w+)/);
    if (one) found.set(binary, [...(found.get(binary) ?? []), one[1]]);
    if (one?.[2] === "FAILED" || one?.[2] === "FAIL") tally.failures.push(`${binary} ${one[1]}`);
    const ignored = line.match(/^test (.+) \.\.\. ignored(?:, (.*))?$/);
    if (ignored) tally.skip(`${ignored[1]}: ${ignored[2] ?? "ignored in the source, without a reason"}`);
    const sum = line.match(/^test result: \w+\. (\d+) passed; (\d+) failed/);
    if (sum) {
      tally.pass(Number(sum[1]));
      if (Number(sum[2]) > 0) tally.fail(`${binary}: ${sum[2]} failed`, Number(sum[2]));
    }
  }
  if (code !== 0 && tally.failed === failedBefore) tally.fail(`\`cargo test ${args.join(" ")}\` failed`);
  return found;
}

export const rustHost = {
  name: "rust-host",
  what: "Rust tests on this machine",
  isQuick: true,
  needs: [toolchains],
  async run(tally) {
    hostTests = await cargoTest(tally, ["-p", "tidegate", "--features", "scan", "--lib", "--tests"]);
  },
};

export const rustDocs = {
  name: "rust-docs",
  what: "the Rust docs: their examples, and that they say something of everything and link to what is there",
  needs: [toolchains],
  async run(tally) {
    await cargoTest(tally, ["-p", "tidegate", "--features", "scan", "--doc"]);
    const { code } = await run(
      "cargo",
      ["doc", "--quiet", "-p", "tidegate", "--no-deps", "--features", "scan"],
      {
        cwd: root,
        env: { RUSTDOCFLAGS: "-D warnings" },
        timeout: 1_200_000,
      },
    );
    if (code === 0) tally.pass();
    else tally.fail("rustdoc (`RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --features scan`)");
  },
};

/** Seeds and steps that are walked each time; any other by `npm run sim -- --seed S --steps N`. */
const SIMULATED = ["--seed", "2", "--seeds", "20", "--steps", "50000"];

export const simulation = {
  name: "simulation",
  what: "every policy at once in virtual time, with faults, by 20 seeds",
  needs: [toolchains],
  async run(tally) {
    const build = ["run", "--quiet", "--profile", "sim", "--example", "sim", "--", ...SIMULATED];
    const { code, output } = await run("cargo", build, { cwd: root, timeout: 1_200_000 });
    const walked = output.match(/no invariant broken/g)?.length ?? 0;
    tally.pass(walked);
    if (code !== 0 || walked !== 20) tally.fail(`simulation: ${output.trim().split("\n").at(-1)}`);
  },
};

export const rustWasm = {
  name: "rust-wasm",
  what: "the same Rust tests in wasm",
  needs: [toolchains, packages(), wasmTarget, wasmTestRunner],
  async run(tally) {
    const args = ["-p", "tidegate", "--features", "scan,bindings", "--lib", "--tests"];
    const wasmTests = await cargoTest(tally, [...args, "--target", "wasm32-unknown-unknown"], {
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: wasmTestRunnerPath(),
      WASM_BINDGEN_TEST_TIMEOUT: "300",
      // A panic names its line without it, and the runner reads a tenth of the bytes.
      CARGO_PROFILE_DEV_DEBUG: "false",
    });
    if (hostTests === undefined || tally.failed > 0) return;
    const strays = differences(hostTests, wasmTests);
    if (strays.length === 0) tally.pass();
    else
      tally.fail(
        `${strays.length} tests run on one side only: ${strays.slice(0, 10).join(", ")}${strays.length > 10 ? ", …" : ""}`,
      );
  },
};

// By name alone: cargo says which binary runs on another stream than the binary says its tests, so the two can cross.
function differences(host, wasm) {
  const names = (found) => {
    const counts = new Map();
    for (const name of [...found.values()].flat()) {
      if (!ONE_SIDED.test(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return counts;
  };
  const [here, there] = [names(host), names(wasm)];
  const more = (one, other, side) =>
    [...one].filter(([name, count]) => count > (other.get(name) ?? 0)).map(([name]) => `${name} (${side})`);
  return [...more(here, there, "host"), ...more(there, here, "wasm")];
}

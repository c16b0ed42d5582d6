/** The example Worker in Rust, compiled, and bound by the wasm-bindgen that the repository has locked; nothing to do where it is current. */

import { join } from "node:path";
import { root } from "../../setup/needs.mjs";
import { must } from "../../setup/step.mjs";

const example = join(root, "examples/workers-rs");
/** A folder of its own: the crate's tree is without what the example depends on. */
const target = join(root, "target/workers-rs");
const triple = "wasm32-unknown-unknown";

export async function buildRustWorker() {
  const wasm = join(target, triple, "release/tidegate_workers_rs_example.wasm");
  await must("cargo", ["build", "--release", "--locked", "--target", triple, "--target-dir", target], {
    cwd: example,
    advice: "The crate `worker` and what it needs come from crates.io.",
  });
  await must("cargo", ["run", "-q", "-p", "xtask", "--bin", "glue", "--", wasm, join(example, "build")], {
    cwd: root,
  });
}

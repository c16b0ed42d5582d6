/** The examples in Rust, compiled, and bound by the wasm-bindgen that the repository has locked; nothing to do where that is current. */

import { join } from "node:path";
import { root } from "../setup/needs.mjs";
import { must } from "../setup/step.mjs";

/** One folder for all of them, and not the crate's own: its tree is without what the examples depend on. */
const target = join(root, "target/examples");
const triple = "wasm32-unknown-unknown";

/** Compiles `examples/<name>`; the module and its glue are in its folder `build` then. */
export async function buildRustExample(name) {
  const example = join(root, "examples", name);
  const wasm = join(target, triple, `release/tidegate_${name.replaceAll("-", "_")}_example.wasm`);
  await must("cargo", ["build", "--release", "--locked", "--target", triple, "--target-dir", target], {
    cwd: example,
    advice: "What the example needs comes from crates.io.",
  });
  await must("cargo", ["run", "-q", "-p", "xtask", "--bin", "glue", "--", wasm, join(example, "build")], {
    cwd: root,
  });
}

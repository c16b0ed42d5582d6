/** The rate module, for Node, Deno and Bun: it is read from its file. */
import { readFileSync } from "node:fs";

/** Compiles it, synchronously. */
export function compile(): WebAssembly.Module {
  return new WebAssembly.Module(readFileSync(new URL("../generated/rate_bg.wasm", import.meta.url)));
}

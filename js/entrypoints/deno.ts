/** Deno: the module is read from the file, synchronously. */
import { readFileSync } from "node:fs";
import { load } from "../core.js";

load(new WebAssembly.Module(readFileSync(new URL("../generated/core_bg.wasm", import.meta.url))));

export * from "../index.js";

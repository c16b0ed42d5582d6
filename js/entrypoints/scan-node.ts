/** Loads the scan module from its file, synchronously, when it is first needed. */
import { readFileSync } from "node:fs";
import { provide } from "../scan/instance.js";

provide(() => new WebAssembly.Module(readFileSync(new URL("../generated/scan_bg.wasm", import.meta.url))));

export * from "../scan/index.js";

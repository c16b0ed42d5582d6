/** Imports the compiled scan module statically: workerd compiles nothing at run time. */
import module from "../generated/scan_bg.wasm";
import { provide } from "../scan/instance.js";

provide(() => module);

export * from "../scan/index.js";

/** Cloudflare Workers: the platform compiles the module at deployment; bytes may not be compiled at run time. */
import module from "../generated/core_bg.wasm";
import { load } from "../instance.js";

load(module);

export * from "../index.js";

/** Cloudflare Workers: the platform compiles the module at deployment; bytes may not be compiled at run time. */

import { load } from "../core.js";
import module from "../generated/core_bg.wasm";

load(module);

export * from "../index.js";

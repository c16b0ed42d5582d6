/** Cloudflare Workers: the platform compiles the modules at deployment; bytes may not be compiled at run time. */

import { load } from "../core.js";
import module from "../generated/core_bg.wasm";
import edge from "../generated/edge_bg.wasm";
import { attend } from "../presence.js";
import { load as loadEdge, workerd } from "../workerd.js";

load(module);
loadEdge(edge);
attend(workerd);

export * from "../index.js";

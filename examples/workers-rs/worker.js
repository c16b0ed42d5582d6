/** Instantiates the module and hands its requests on; `worker-build` writes such a file too. */

import * as glue from "./build/index_bg.js";
import module from "./build/index_bg.wasm";

const { exports } = new WebAssembly.Instance(module, { "./index_bg.js": glue });
glue.__wbg_set_wasm(exports);
exports.__wbindgen_start();

export default {
  fetch: (request, env, ctx) => glue.fetch(request, env, ctx),
};

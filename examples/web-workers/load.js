/** An instance of the program: the page has one, and each worker another. `wasm-bindgen --target web` writes such a file too. */

import * as glue from "./build/index_bg.js";

const source = fetch(new URL("./build/index_bg.wasm", import.meta.url));
const { instance } = await WebAssembly.instantiateStreaming(source, { "./index_bg.js": glue });
glue.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start?.();

export const { serve, Work } = glue;

/** Browsers, bundlers and whatever else: the module lies inside the script and compiles synchronously. */
import { base64 } from "../generated/core_base64.js";
import { load } from "../instance.js";

const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
load(new WebAssembly.Module(bytes));

export * from "../index.js";

/** Browsers, bundlers and whatever else: the module lies inside the script and compiles synchronously. */

import { load } from "../core.js";
import { base64 } from "../generated/core_base64.js";

const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
load(new WebAssembly.Module(bytes));

export * from "../index.js";

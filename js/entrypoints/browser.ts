/** Browsers, bundlers and whatever else: the module lies inside the script and compiles synchronously. */

import { load } from "../core.js";
import { letters } from "../generated/core_letters.js";
import { bytesOf } from "../letters.js";

load(new WebAssembly.Module(bytesOf(letters)));

export * from "../index.js";

/** The rate module, for browsers, bundlers and whatever else: it lies inside the script. */
import { letters } from "../generated/rate_letters.js";
import { bytesOf } from "../letters.js";

/** Compiles it, synchronously. */
export function compile(): WebAssembly.Module {
  return new WebAssembly.Module(bytesOf(letters));
}

/** The store module, for browsers, bundlers and whatever else: it lies inside the script. */
import { base64 } from "../generated/store_base64.js";

/** Compiles it, synchronously. */
export function compile(): WebAssembly.Module {
  return new WebAssembly.Module(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
}

/** Stands in for the bindings of the core: the `trap` build, whose export `trap` traps in the midst of a call. */

import { __wbg_set_wasm as setWasm } from "trap-bindings";
import { armed } from "./arming.js";

export * from "trap-bindings";

/** Called instead of the one of the build, for an export here hides its namesake there. */
export function __wbg_set_wasm(exports: WebAssembly.Exports): void {
  setWasm(armed(exports, exports.trap as () => void));
}

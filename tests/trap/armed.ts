/** Stands in for the bindings of the core: the `trap` build, whose export `trap` traps in the midst of a call. */

import { type Bindings, use as useExports } from "trap-bindings";
import { armed } from "./arming.js";

export * from "trap-bindings";

/** Called instead of the one of the build, for an export here hides its namesake there. */
export function use(exports: WebAssembly.Exports): Bindings {
  return useExports(armed(exports, exports.trap as () => void));
}

/** Stands in for the bindings of the store, which has no export that traps. */

import { type Bindings, use as useExports } from "store-bindings";
import { armed, elsewhere } from "./arming.js";

export * from "store-bindings";

/** Called instead of the one of the build, for an export here hides its namesake there. */
export function use(exports: WebAssembly.Exports): Bindings {
  return useExports(armed(exports, elsewhere()));
}

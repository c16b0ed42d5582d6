/** Stands in for the bindings of the store, which has no export that traps: a module of its own that does is called instead. */

import { type Bindings, use as useExports } from "store-bindings";
import { armed } from "./arming.js";

export * from "store-bindings";

// (module (func (export "trap") unreachable))
const unreachable = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 8, 1, 4, 116, 114, 97, 112, 0, 0, 10, 5, 1,
  3, 0, 0, 11,
]);

/** Called instead of the one of the build, for an export here hides its namesake there. */
export function use(exports: WebAssembly.Exports): Bindings {
  const { trap } = new WebAssembly.Instance(new WebAssembly.Module(unreachable)).exports;
  return useExports(armed(exports, trap as () => void));
}

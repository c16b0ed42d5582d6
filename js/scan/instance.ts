/**
 * The scan module's one instance: a module of its own, because strings and objects cross there, made when it is first
 * needed. An entry point says where the module comes from.
 */
import { RuntimeTrapError } from "../errors.js";
import * as glue from "../generated/scan_bg.js";

let source: (() => WebAssembly.Module) | undefined;
let instance: typeof glue | undefined;
let broken: RuntimeTrapError | undefined;

/** Says where the module comes from. The first one to say so decides. */
export function provide(module: () => WebAssembly.Module): void {
  source ??= module;
}

/** The exports, instantiated at the first call. @throws {RuntimeTrapError} after a trap */
export function scanModule(): typeof glue {
  if (broken !== undefined) throw broken;
  if (instance === undefined) {
    if (source === undefined) throw new TypeError("The scan module has no source: import `tidegate/scan`.");
    const imports = { "./scan_bg.js": glue as unknown as WebAssembly.ModuleImports };
    const made = new WebAssembly.Instance(source(), imports);
    glue.__wbg_set_wasm(made.exports);
    (made.exports as { __wbindgen_start?: () => void }).__wbindgen_start?.();
    instance = glue;
  }
  return instance;
}

/**
 * Passes an error on; one that came from a trap ends the instance for good. Unlike the policies, a scan has callbacks of
 * the host's under way that point into its memory, so it is not replaced: the error says to start anew.
 */
export function passOn(error: unknown): unknown {
  if (!(error instanceof WebAssembly.RuntimeError)) return error;
  broken ??= new RuntimeTrapError(
    "The scan engine trapped and cannot go on here; the policies are not affected.",
    {
      cause: error,
    },
  );
  return broken;
}

/** The kernels module's one instance: compiled at the first call, with vectors where the engine has them. */

import { compile } from "#kernels-module";
import { RuntimeTrapError } from "../errors.js";
import * as glue from "../generated/kernels_bg.js";

/** The module, ready. */
export interface Loaded {
  readonly glue: typeof glue;
  readonly memory: WebAssembly.Memory;
  /** Whether it has vectors. */
  readonly simd: boolean;
  /** The secret search, built when it is first asked for. Of its rules: id, title and severity, one after the other. */
  secrets(): { finder: glue.Secrets; rules: string[] };
}

let loaded: Loaded | undefined;
let loading: Promise<Loaded> | undefined;
let broken: RuntimeTrapError | undefined;

/** A function over the module: synchronous once that is there, and before it a promise. */
export function kernel<A extends unknown[], R>(
  run: (module: Loaded, ...args: A) => R,
): (...args: A) => R | Promise<R> {
  const guarded = (module: Loaded, args: A): R => {
    try {
      return run(module, ...args);
    } catch (error) {
      throw passOn(error);
    }
  };
  return (...args) => {
    if (broken !== undefined) throw broken;
    return loaded === undefined ? load().then((module) => guarded(module, args)) : guarded(loaded, args);
  };
}

/** Compiles the module, once; `simd: false` takes the one without vectors, which must not be loaded together with the other. */
export async function load(simd = WebAssembly.validate(VECTORS)): Promise<Loaded> {
  loading ??= compile(simd).then((module) => {
    const imports = { "./kernels_bg.js": glue as unknown as WebAssembly.ModuleImports };
    const { exports } = new WebAssembly.Instance(module, imports);
    glue.__wbg_set_wasm(exports);
    (exports as { __wbindgen_start?: () => void }).__wbindgen_start?.();
    let found: ReturnType<Loaded["secrets"]> | undefined;
    const secrets = () => {
      if (found === undefined) {
        const finder = new glue.Secrets();
        found = { finder, rules: finder.rules() };
      }
      return found;
    };
    loaded = { glue, memory: exports.memory as WebAssembly.Memory, simd, secrets };
    return loaded;
  });
  try {
    return await loading;
  } catch (error) {
    loading = undefined; // it may have been the network's fault
    throw error;
  }
}

/** Bytes of memory that the module has taken; it never gives any back. 0 while it is not there. */
export function kernelMemory(): number {
  return loaded?.memory.buffer.byteLength ?? 0;
}

/** A trap (there was no memory left) ends the instance for good: whoever runs in a worker gets a new one with it. */
function passOn(error: unknown): unknown {
  if (!(error instanceof WebAssembly.RuntimeError)) return error;
  broken ??= new RuntimeTrapError("The kernels trapped and cannot go on in this worker.", { cause: error });
  return broken;
}

/** `(module (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt))`: valid where there are vectors. */
const VECTORS = /* @__PURE__ */ Uint8Array.of(
  0,
  97,
  115,
  109,
  1,
  0,
  0,
  0,
  1,
  5,
  1,
  96,
  0,
  1,
  123,
  3,
  2,
  1,
  0,
  10,
  10,
  1,
  8,
  0,
  65,
  0,
  253,
  15,
  253,
  98,
  11,
);

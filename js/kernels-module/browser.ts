/** The kernels module, for browsers, bundlers and whatever else: it lies inside a script of its own, loaded when it is needed. */
import { bytesOf } from "../letters.js";

/** Compiles it, with vectors or without. */
export async function compile(simd: boolean): Promise<WebAssembly.Module> {
  const { letters } = await (simd
    ? import("../generated/kernels_letters.js")
    : import("../generated/scalar/kernels_letters.js"));
  return WebAssembly.compile(bytesOf(letters));
}

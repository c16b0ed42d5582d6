/** The kernels module, for browsers, bundlers and whatever else: it lies inside a script of its own, loaded when it is needed. */

/** Compiles it, with vectors or without. */
export async function compile(simd: boolean): Promise<WebAssembly.Module> {
  const { base64 } = await (simd
    ? import("../generated/kernels_base64.js")
    : import("../generated/scalar/kernels_base64.js"));
  return WebAssembly.compile(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
}

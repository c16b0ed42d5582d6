/** The kernels module, for Cloudflare Workers: the platform has compiled it at deployment, and has vectors. */
import module from "../generated/kernels_bg.wasm";

/** Gives what the platform compiled. */
export async function compile(_simd: boolean): Promise<WebAssembly.Module> {
  return module;
}

/** The kernels module, for Node, Deno and Bun: it is read from its file. */
import { readFileSync } from "node:fs";

/** Compiles it, with vectors or without. */
export async function compile(simd: boolean): Promise<WebAssembly.Module> {
  const file = simd ? "../generated/kernels_bg.wasm" : "../generated/scalar/kernels_bg.wasm";
  return new WebAssembly.Module(readFileSync(new URL(file, import.meta.url)));
}

/** The rate module, for Cloudflare Workers: the platform has compiled it at deployment. */
import module from "../generated/rate_bg.wasm";

/** Gives what the platform compiled. */
export function compile(): WebAssembly.Module {
  return module;
}

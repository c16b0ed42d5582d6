/** The same names and the same instance, with the module brought by the caller. */
import { load, loaded } from "../core.js";
import { show } from "../options.js";

let loading: Promise<void> | undefined;
let source: unknown;

/**
 * Loads the module: compiled, as bytes, or from a URL or response. Idempotent for the same source, and may be called again
 * after a failure. Before it, every constructor throws `NotInitialisedError`.
 *
 * @throws TypeError where a second, different module is given
 * @example
 * ```ts network
 * import { init, Pool } from "tidegate/slim";
 * await init(new URL("tidegate/tidegate.wasm", import.meta.url));
 * const pool = new Pool({ concurrency: 2 });
 * ```
 */
export function init(
  module: WebAssembly.Module | BufferSource | URL | string | Response | PromiseLike<Response>,
): Promise<void> {
  // Modules, bytes, URLs, responses and promises are objects; only an address may be a string.
  if (typeof module !== "string" && (typeof module !== "object" || module === null)) {
    return Promise.reject(
      new TypeError(`Expected \`module\` to be a WebAssembly.Module, bytes or a URL, got ${show(module)}`),
    );
  }
  const key = module instanceof URL ? module.href : module;
  if (loading !== undefined && source === key) return loading;
  if (loaded() && !(module instanceof WebAssembly.Module)) {
    return Promise.reject(
      new TypeError(
        "Expected `init` to be called with the module that is already loaded, got a different one",
      ),
    );
  }
  const attempt = compile(module).then(load);
  const keep = () => {
    source = key;
    loading = attempt;
  };
  if (!loaded()) keep();
  attempt.then(keep, () => {
    // The next may succeed.
    if (loading === attempt) loading = undefined;
  });
  return attempt;
}

async function compile(
  module: WebAssembly.Module | BufferSource | URL | string | Response | PromiseLike<Response>,
): Promise<WebAssembly.Module> {
  if (module instanceof WebAssembly.Module) return module;
  if (module instanceof ArrayBuffer || ArrayBuffer.isView(module))
    return WebAssembly.compile(module as BufferSource);
  const response = await (typeof module === "string" || module instanceof URL ? fetch(module) : module);
  if (typeof response?.arrayBuffer !== "function")
    throw new TypeError(
      `Expected \`module\` to be a WebAssembly.Module, bytes or a URL, got ${show(response)}`,
    );
  if (!response.ok)
    throw new Error(`Could not load the wasm module from ${response.url}: status ${response.status}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

export * from "../index.js";

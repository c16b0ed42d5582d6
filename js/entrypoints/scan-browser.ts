/** Carries the scan module as base64, so that no bundler needs to know of it, and compiles it when it is first needed. */
import { base64 } from "../generated/scan_base64.js";
import { provide } from "../scan/instance.js";

provide(() => new WebAssembly.Module(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))));

export * from "../scan/index.js";

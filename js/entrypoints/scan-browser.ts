/** Carries the scan module as letters, so that no bundler needs to know of it, and compiles it when it is first needed. */
import { letters } from "../generated/scan_letters.js";
import { bytesOf } from "../letters.js";
import { provide } from "../scan/instance.js";

provide(() => new WebAssembly.Module(bytesOf(letters)));

export * from "../scan/index.js";

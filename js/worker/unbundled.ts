/**
 * The inside of a worker in a browser, for those who bundle nothing: import maps do not reach into workers, so here every
 * import is a path.
 */

import { inside } from "../worker-inside/browser.js";
import type { Functions } from "./call.js";
import { type ExposeOptions, exposeOn } from "./expose-on.js";

export { callOutside } from "./call-outside.js";
export { transfer } from "./transfer.js";

/**
 * The same as `expose` of `tidegate/workers`.
 *
 * @throws TypeError where what it is given is not an object of functions
 * @example
 * ```ts no-run
 * import { expose } from "tidegate/workers/unbundled.js"; // in a page without a bundler the path to it
 *
 * expose({ square: (n: number) => n * n });
 * ```
 */
export function expose(functions: Functions, options: ExposeOptions = {}): void {
  exposeOn(inside, functions, options);
}

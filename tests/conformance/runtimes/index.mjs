/** The seven runtimes, each with `missing()` (why it cannot be had, if so) and `start(only)`. */

import { chromium, firefox, webkit } from "./browsers.mjs";
import { bun, deno, node } from "./processes.mjs";
import { workerd } from "./workerd.mjs";

export const runtimes = { node, deno, bun, workerd, chromium, firefox, webkit };

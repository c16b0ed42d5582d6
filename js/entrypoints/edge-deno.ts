/** `tidegate/edge`, with the policies loaded as `tidegate` loads them here. */

import "./deno.js";

export * from "../edge/index.js";

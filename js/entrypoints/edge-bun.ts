/** `tidegate/edge`, with the policies loaded as `tidegate` loads them here. */

import "./bun.js";

export * from "../edge/index.js";

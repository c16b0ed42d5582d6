/** `tidegate/edge`, with the policies loaded as `tidegate` loads them here. */

import "./node.js";

export * from "../edge/index.js";

/** `tidegate/edge`, with the policies loaded as `tidegate` loads them here. */

import "./workerd.js";

export * from "../edge/index.js";

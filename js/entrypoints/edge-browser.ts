/** `tidegate/edge`, with the policies loaded as `tidegate` loads them here. */

import "./browser.js";

export * from "../edge/index.js";

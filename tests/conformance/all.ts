/**
 * Every case of the suite. A new file of cases is one line here.
 */

import "./loading.js";

export { type RuntimeName, runCases } from "./registry.js";

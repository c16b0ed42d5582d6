/**
 * The package is ready to use when its import resolves, in every runtime.
 */

import * as tidegate from "tidegate";
import { assert, test } from "./registry.js";

test("the import brings the names without any call to initialise", () => {
  assert.isFunction(tidegate.Pool);
});

/** Workers in Node. */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Platform } from "./platform.js";

export const platform: Platform = {
  own: ({ name }) => new Worker(new URL("../worker/own.js", import.meta.url), { name }),
  cores: availableParallelism,
  has: () => true,
};

/** Cloudflare Workers: `SharedArrayBuffer` exists there, `Worker` does not. */

import type { Platform } from "./platform.js";

export const platform: Platform = {
  own: () => {
    throw new TypeError("There are no workers here");
  },
  cores: () => undefined,
  has: () => false,
};

/** Workers where the platform is a browser's: browsers themselves, Deno and Bun. */

import type { Platform } from "./platform.js";

export const platform: Platform = {
  own: ({ name }) => new Worker(new URL("../worker/own.js", import.meta.url), { type: "module", name }),
  cores: () => navigator.hardwareConcurrency || undefined,
  has: () => typeof Worker === "function",
};

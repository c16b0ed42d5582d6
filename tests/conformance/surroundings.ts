/** What the cases cannot know of the runtime they run in; its entry says. */

import type { WorkerLike } from "tidegate/workers";

export const surroundings: {
  /** Starts the module `worker-functions.ts` in a worker; absent where there are none. */
  worker?: (options: { name: string }) => WorkerLike;
} = {};

/**
 * Concurrency that finds itself, as far as every pool carries it: what follows the ends of tasks lies with the store module,
 * and is fetched when the first of them ends. Until it is there, a pool stays where it began.
 */

import type { AdaptiveConfig } from "./adaptive-options.js";
import type { Pool } from "./pool.js";
import type { Work } from "./work.js";

/** Called with each task that ends or runs out of time, while it still has its ticket. */
export type Seek = (work: Work, outcome: number, error: unknown) => void;

/** Follows the ends of a pool's tasks, and resizes it. */
export function seeking(pool: Pool, config: AdaptiveConfig): Seek {
  let seek: Seek | undefined;
  let fetching = false;
  return (work, outcome, error) => {
    if (seek !== undefined) return seek(work, outcome, error);
    if (fetching) return;
    fetching = true;
    import("./pool-limit.js")
      .then(({ follow }) => {
        seek = follow(pool, config);
      })
      // Without it the pool keeps its size; the next end tries again.
      .catch(() => {
        fetching = false;
      });
  };
}

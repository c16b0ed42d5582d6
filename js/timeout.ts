import { callable, milliseconds, reject } from "./options.js";
import type { RunOptions } from "./pool-options.js";
import { unbounded } from "./unbounded.js";
import type { Task } from "./work.js";

const owner = { name: "timeout" };

/**
 * Runs a task that may take so long and no longer. Its promise rejects, and its signal aborts, in the tick in which the
 * time is over; what the function still does then is its own affair.
 *
 * @throws TimeoutError: `Operation "probe" timed out after 2 s`; after an abort `signal.reason`
 * @example
 * ```ts
 * import { withTimeout } from "tidegate";
 *
 * const response = await withTimeout(2000, "greeting", ({ signal }) => fetch("data:,hello", { signal }));
 * console.log(await response.text()); // → hello
 * ```
 */
export async function withTimeout<T>(
  ms: number,
  name: string,
  task: Task<T>,
  options?: Pick<RunOptions, "signal" | "parent" | "deadline" | "locals">,
): Promise<Awaited<T>> {
  milliseconds("ms", ms);
  if (typeof name !== "string") reject("name", "a string", name);
  callable("task", task);
  return await unbounded(owner).run(task, { ...options, timeout: ms, name });
}

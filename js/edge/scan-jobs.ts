/** How the object of a scan is reached from outside of it. */

import type { CoordinatorNamespace } from "./coordinator.js";

/** An object that restarts is there again at once; one that is not there after that many tries is away. */
const TRIES = 5;

/** Asks the object of a scan; whatever it is asked may be asked twice. @throws what the last try threw */
export async function askJob(
  jobs: CoordinatorNamespace,
  id: string,
  path: string,
  init: RequestInit = {},
): Promise<Response> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      // A stub belongs to the request that made it, and is broken once it has thrown.
      const response = await jobs.get(jobs.idFromName(id)).fetch(`https://scan${path}`, init);
      if (response.status >= 500) throw new Error(`the scan answered ${response.status}`);
      return response;
    } catch (error) {
      if ((error as { overloaded?: boolean }).overloaded === true || attempt === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20 * 2 ** attempt * (0.5 + Math.random() / 2)));
    }
  }
}

/** Says something to the object of a scan. @throws what the last try threw */
export async function tellJob<T>(
  jobs: CoordinatorNamespace,
  id: string,
  path: string,
  word: object,
): Promise<T> {
  const response = await askJob(jobs, id, path, { method: "POST", body: JSON.stringify(word) });
  if (!response.ok) throw new Error(`the scan answered ${response.status}`);
  return (await response.json()) as T;
}

/** Calls that nobody waits for. */

import { isRuntimeTrapError } from "../errors.js";

/** Makes a call; a trap of the store is no error here, because everybody who waits has been told of it. */
export function survive(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!isRuntimeTrapError(error)) throw error;
  }
}

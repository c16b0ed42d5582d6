/** What this host says of its processor. */

/** How many cores this host says it has; 0 where it does not say. */
export function coresHere(): number {
  const cores = (globalThis.navigator as { hardwareConcurrency?: unknown } | undefined)?.hardwareConcurrency;
  return typeof cores === "number" && cores > 0 ? Math.floor(cores) : 0;
}

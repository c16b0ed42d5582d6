/** How much of a machine to use. */

/** Half of the cores, as many as there are, or twice as many up to 8. */
export type Strategy = "conservative" | "balanced" | "aggressive";

/** By the numbers that the machines know them by. */
export const STRATEGIES: readonly Strategy[] = ["conservative", "balanced", "aggressive"];

/** How many cores this host says it has; 0 where it does not say. */
export function coresHere(): number {
  const cores = (globalThis.navigator as { hardwareConcurrency?: unknown } | undefined)?.hardwareConcurrency;
  return typeof cores === "number" && cores > 0 ? Math.floor(cores) : 0;
}

/** How much of a machine to use. */

/** Half of the cores, as many as there are, or twice as many up to 8. */
export type Strategy = "conservative" | "balanced" | "aggressive";

/** All of them. */
export const STRATEGIES: readonly Strategy[] = ["conservative", "balanced", "aggressive"];

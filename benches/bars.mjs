/** Higher, by more than rounding. */
const HIGHER = 1.0001;
const HARDLY_LOWER = 0.99;

/**
 * The bars of hit ratios on four traces: higher on the three on which ours does best, hardly lower on the one left.
 *
 * @param {{ name: string, ours: number, theirs: number }[]} measured
 */
export function hitRatioBars(measured) {
  const byRatio = measured.toSorted((a, b) => b.ours / b.theirs - a.ours / a.theirs);
  return new Map(byRatio.map(({ name }, place) => [name, place < 3 ? HIGHER : HARDLY_LOWER]));
}

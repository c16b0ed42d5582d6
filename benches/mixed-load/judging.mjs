/**
 * What a mixed load must come to, and whether it did: each figure beside its bar.
 */

/** Figure by figure: its bar, on which side of it is good, and how it is written. */
const BARS = {
  averageTask: { what: "average task, from call to answer", below: 500, unit: "ms" },
  tasksPerSecond: { what: "tasks a second, faults on", above: 100, unit: "/s" },
  lost: { what: "lost: calls without an answer, updates that are not there", atMost: 0, unit: "" },
  slotsUsed: { what: "slots used", above: 80, unit: "%" },
  asThePolicySays: { what: "answered as their policy says", atLeast: 99.9, unit: "%" },
  networkFaster: { what: "concurrent faster than sequential, network", atLeast: 65, unit: "%" },
  batchesFaster: { what: "concurrent faster than sequential, batches", atLeast: 65, unit: "%" },
  contentionFew: { what: "contention overhead, 1–2 waiters", below: 5, unit: "%" },
  contentionSome: { what: "contention overhead, 3–10 waiters", below: 5, unit: "%" },
  contentionMany: { what: "contention overhead, more than 10 waiters", below: 5, unit: "%" },
};

const RULES = {
  below: { sign: "<", holds: (value, bar) => value < bar },
  above: { sign: ">", holds: (value, bar) => value > bar },
  atMost: { sign: "≤", holds: (value, bar) => value <= bar },
  atLeast: { sign: "≥", holds: (value, bar) => value >= bar },
};

/** The names of all figures that are judged. */
export const figures = Object.keys(BARS);

/**
 * Judges figures by name. One that is missing, or is no number, has missed its bar.
 *
 * @param {Record<string, number>} measured
 * @returns {{ figure: string, what: string, value: number | undefined, unit: string, bar: string, pass: boolean }[]}
 */
export function judged(measured) {
  return Object.entries(BARS).map(([figure, { what, unit, ...bar }]) => {
    const [[side, limit]] = Object.entries(bar);
    const value = measured[figure];
    const pass = typeof value === "number" && RULES[side].holds(value, limit);
    return { figure, what, value, unit, bar: `${RULES[side].sign} ${withUnit(limit, unit)}`, pass };
  });
}

/** A judged figure as one line. */
export function described({ what, value, unit, bar, pass }) {
  const shown = value === undefined ? "not measured" : withUnit(Number(value.toPrecision(4)), unit);
  return `${pass ? "met   " : "MISSED"}  ${what}: ${shown} (bar ${bar})`;
}

/** How much faster, in percent of the slower. */
export function faster(sequential, concurrent) {
  return ((sequential - concurrent) / sequential) * 100;
}

function withUnit(value, unit) {
  return unit === "" || unit === "/s" ? `${value}${unit}` : `${value} ${unit}`;
}

/**
 * Two contestants in one process: taken in turns, so that a slow minute of the machine hits both, and judged by medians.
 */

import { readFileSync } from "node:fs";

/**
 * Measures `ours` and `theirs`, each an async function that does all of the work once and throws if it did not; where
 * it runs in another process it gives its own milliseconds.
 *
 * @param {{ bench: string, n: number, peer: string, version: string, bar: number, rounds?: number,
 *   ours(): Promise<number | void>, theirs(): Promise<number | void> }} contest
 */
export async function sideBySide({ bench, n, peer, version, bar, rounds = 21, ours, theirs }) {
  const times = { ours: [], theirs: [] };
  const warmUp = 5;
  for (let round = 0; round < warmUp + rounds; round += 1) {
    const order = round % 2 === 0 ? ["ours", "theirs"] : ["theirs", "ours"];
    for (const side of order) {
      const began = performance.now();
      const took = await (side === "ours" ? ours() : theirs());
      if (round >= warmUp) times[side].push(took ?? performance.now() - began);
    }
  }
  return row({
    bench,
    n,
    peer,
    version,
    unit: "ms",
    ours: median(times.ours),
    theirs: median(times.theirs),
    direction: "lower",
    bar,
  });
}

/** A row as every bench gives it; `ratio` is ours ÷ theirs. */
export function row({ bench, n, peer, version, unit, ours, theirs, direction, bar }) {
  const ratio = ours / theirs;
  const pass = direction === "lower" ? ratio <= bar : ratio >= bar;
  return {
    bench,
    n,
    peer,
    version,
    unit,
    ours: rounded(ours),
    theirs: rounded(theirs),
    ratio: rounded(ratio),
    direction,
    bar,
    pass,
  };
}

/** The version of an installed peer. */
export function versionOf(peer) {
  return JSON.parse(readFileSync(new URL(`node_modules/${peer}/package.json`, import.meta.url), "utf8"))
    .version;
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function rounded(value) {
  return Number(value.toPrecision(4));
}

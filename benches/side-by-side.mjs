/**
 * Two contestants in one process, taken in turns. What the machine does beside them hits both halves of a round, so the two are
 * compared round by round, and it is the round with the median ratio that is told.
 */

import { readFileSync } from "node:fs";
import { cpus } from "node:os";

/**
 * Measures `ours` and `theirs`, each an async function that does all of the work once and throws if it did not; where
 * it runs in another process it gives its own milliseconds. `rounds` is odd, so that one lies in the middle.
 *
 * @param {{ bench: string, n: number, peer: string, version: string, bar: number, rounds?: number,
 *   ours(): Promise<number | void>, theirs(): Promise<number | void> }} contest
 */
export async function sideBySide({ rounds = 21, ours, theirs, ...contest }) {
  return told({ ...contest, timed: await inTurns({ rounds, ours, theirs }) });
}

/** The milliseconds of both in each round, and how many the cores had to do meanwhile, with this or anything else. */
export async function inTurns({ rounds, ours, theirs }) {
  const timed = [];
  const warmUp = 5;
  for (let round = 0; round < warmUp + rounds; round += 1) {
    const order = round % 2 === 0 ? ["ours", "theirs"] : ["theirs", "ours"];
    const times = {};
    const before = busy();
    for (const side of order) {
      const began = performance.now();
      const took = await (side === "ours" ? ours() : theirs());
      times[side] = took ?? performance.now() - began;
    }
    if (round >= warmUp) timed.push({ ...times, busy: busy() - before });
  }
  return timed;
}

function busy() {
  const worked = ({ times: { user, nice, sys, irq } }) => user + nice + sys + irq;
  return cpus().reduce((sum, core) => sum + worked(core), 0);
}

/** The row of a contest: the round in which ours took the median share of theirs. */
export function told({ timed, ...contest }) {
  return row({ ...contest, unit: "ms", ...medianOf(timed), direction: "lower" });
}

/** The round in which ours took the median share of theirs. */
export function medianOf(timed) {
  const sorted = timed.toSorted((a, b) => a.ours / a.theirs - b.ours / b.theirs);
  const { ours, theirs } = sorted[sorted.length >> 1];
  return { ours, theirs };
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

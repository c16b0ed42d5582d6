/** The host's clocks: a monotonic one for the machines, the wall's for people. */

// Held here: to find a global again costs a good part of what it costs to read it.
const source: { now(): number } =
  typeof performance === "object" && typeof performance.now === "function" ? performance : Date;

function clock(): number {
  return source.now();
}

/** The last reading of the host's monotonic clock, in milliseconds. */
export let readAt = 0;

/** Reads the host's monotonic clock, in milliseconds. */
export function now(): number {
  readAt = clock();
  return readAt;
}

/** A reading of {@link now} as a moment of the wall clock, in epoch milliseconds. */
export function toEpoch(at: number): number {
  return Date.now() + (at - clock());
}

/** A moment of the wall clock in milliseconds of {@link now}. */
export function fromEpoch(ms: number): number {
  return ms === Number.POSITIVE_INFINITY ? ms : clock() + (ms - Date.now());
}

/**
 * The milliseconds between two readings of {@link now}, in whole microseconds as the machines count them: so that it can be held
 * against a time that a machine has measured between the same readings.
 */
export function between(from: number, to: number): number {
  return (Math.trunc(to * 1000) - Math.trunc(from * 1000)) / 1000;
}

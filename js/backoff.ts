import { choice, milliseconds, reject } from "./options.js";

/** Delays that grow by a factor from `initial` to at most `max`, spread by jitter. Times are milliseconds. */
export type Backoff = {
  /** The first delay, before jitter. */
  initial: number;
  /** The longest delay. */
  max: number;
  /** By how much each delay is longer than the last. @default 2 */
  factor?: number;
  /**
   * `full`: anything from nothing to the delay; `equal`: from half of it; `decorrelated`: up to three times the last one.
   * @default "full", which puts the least load on whoever is called
   */
  jitter?: "full" | "equal" | "decorrelated" | "none";
};

const JITTERS = ["full", "equal", "decorrelated", "none"] as const;

/** Reads a backoff as the numbers that cross: initial, max, factor, jitter. @throws TypeError that names what is wrong */
export function parseBackoff(name: string, value: Backoff): readonly [number, number, number, number] {
  if (typeof value !== "object" || value === null) reject(name, "an object with `initial` and `max`", value);
  const initial = milliseconds(`${name}.initial`, value.initial);
  const max = milliseconds(`${name}.max`, value.max);
  if (max < initial) reject(`${name}.max`, `a number of milliseconds ≥ \`initial\` (${initial})`, value.max);
  const factor = value.factor === undefined ? 2 : finite(`${name}.factor`, value.factor);
  const jitter =
    value.jitter === undefined ? 0 : JITTERS.indexOf(choice(`${name}.jitter`, value.jitter, JITTERS));
  return [initial, max, factor, jitter];
}

function finite(name: string, value: unknown): number {
  if (typeof value !== "number" || !(value >= 1 && value < Number.POSITIVE_INFINITY))
    reject(name, "a finite number ≥ 1", value);
  return value;
}

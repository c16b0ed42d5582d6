import { LIST } from "./instance.js";
import { choice, integer, milliseconds, object, reject } from "./options.js";

/** One rule of a rate; several hold together. */
export interface RateOptions {
  /** `token-bucket` allows bursts and then a steady flow; `sliding-window` allows `limit` in any window of `per`. */
  kind: "token-bucket" | "sliding-window";
  /** Tokens in `per`. */
  limit: number;
  /** The window, or the time in which a bucket fills by `limit`, in milliseconds. */
  per: number;
  /** Tokens that a bucket holds; a window has none. @default limit, so that a rate means the same however it is written */
  burst?: number;
}

/** A rule as the numbers that cross. */
export type RateRule = readonly [kind: number, limit: number, per: number, burst: number];

// What fits the reply area.
const MOST_RULES = 12;

/** Reads the rules of a rate. @throws TypeError that names what is wrong */
export function parseRateOptions(
  name: string,
  options: RateOptions | readonly RateOptions[] | undefined,
): readonly RateRule[] {
  if (options === undefined) return [];
  const list = Array.isArray(options) ? (options as readonly RateOptions[]) : [options as RateOptions];
  if (list.length > MOST_RULES) reject(name, `at most ${MOST_RULES} rules`, list.length);
  return list.map((rule, at) => {
    const each = Array.isArray(options) ? `${name}[${at}]` : name;
    if (object(each, rule) === undefined) reject(each, "an object", rule);
    const kind = choice(`${each}.kind`, rule.kind, ["token-bucket", "sliding-window"]);
    const limit = integer(
      `${each}.limit`,
      rule.limit,
      1,
      kind === "token-bucket" ? 4_294_967_294 : 1_000_000,
    );
    const per = milliseconds(`${each}.per`, rule.per, 0.001);
    if (!Number.isFinite(per)) reject(`${each}.per`, "a finite number of milliseconds", per);
    const burst = rule.burst === undefined ? limit : integer(`${each}.burst`, rule.burst, 1, 4_294_967_294);
    return [kind === "token-bucket" ? 0 : 1, limit, per, burst];
  });
}

/** Lays rules into the reply area where the next call reads them; how many they are. */
export function layRules(cells: Float64Array, rules: readonly RateRule[]): number {
  rules.flat().forEach((number, at) => {
    cells[LIST + at] = number;
  });
  return rules.length;
}

/** What a cache is told, judged where it is told. */

import { abortSignal, callable, choice, integer, milliseconds, object, reject } from "./options.js";

/** How a cache behaves. */
export interface CacheOptions<V> {
  /** In metrics and events. @default "cache" */
  name?: string;
  /** How much it holds, in the unit of `weigh`: values, unless that is set. @default no bound */
  max?: number;
  /** What a value takes of `max`: an integer, where 0 counts as 1. @default 1 for each, so that the bound is one by count */
  weigh?: (value: V, key: string) => number;
  /** Milliseconds for which a value is fresh. @default 3,600,000: long enough to help and short enough to heal by itself */
  ttl?: number;
  /** Milliseconds after that for which it may still be served, while `load` brings it anew. @default 0 */
  staleFor?: number;
  /** Milliseconds for which a failed load is remembered and answered with the same failure. @default 0, so that the next caller tries again */
  negativeTtl?: number;
  /**
   * Who shares a load under way. On workerd a request that waits for another one's promise may wait for ever, because the other may
   * be given up without a word: there the loads of one request are its own. `"isolate"` shares them all the same, by
   * waiters that can be left and a load that passes on. Elsewhere there is nothing to choose.
   *
   * @default "request", since values are what is worth sharing
   */
  share?: "request" | "isolate";
  /** Milliseconds that a loader may take, before the load passes to the next who waits. @default no limit */
  loadTimeout?: number;
}

/** How one value is kept. */
export interface EntryOptions {
  /** Milliseconds for which it is fresh. @default as the cache is made */
  ttl?: number;
  /** What it was computed from: other keys of the cache, or tags that name no value. @default nothing */
  dependsOn?: readonly string[];
}

/** How one value is loaded and kept. */
export interface LoadOptions extends EntryOptions {
  /** Gives up: if it was this caller's loader that ran, the load passes to the next who waits. */
  signal?: AbortSignal;
}

/** What a loader is called with. */
export interface LoadContext {
  readonly key: string;
  /** Aborts when nobody wants the result of this call any more; made when it is first read. */
  readonly signal: AbortSignal;
}

/** Brings a value that is not there. */
export type Loader<V> = (ctx: LoadContext) => V | PromiseLike<V>;

/** Entry options as they cross: a negative time is the cache's own. */
export interface ParsedEntry {
  readonly ttl: number;
  readonly dependsOn: readonly string[];
  readonly signal: AbortSignal | undefined;
}

const PLAIN: ParsedEntry = { ttl: -1, dependsOn: [], signal: undefined };

export function parseEntry(options: LoadOptions | undefined): ParsedEntry {
  if (options === undefined) return PLAIN;
  object("options", options);
  const { ttl, dependsOn, signal } = options;
  if (dependsOn !== undefined && !Array.isArray(dependsOn)) {
    reject("dependsOn", "an array of strings", dependsOn);
  }
  return {
    ttl: ttl === undefined ? -1 : milliseconds("ttl", ttl),
    dependsOn:
      dependsOn === undefined ? [] : dependsOn.map((name, index) => key(name, `dependsOn[${index}]`)),
    signal: abortSignal("signal", signal),
  };
}

/** Cache options, judged; infinity is no bound and no limit. */
export interface ParsedCache<V> {
  readonly name: string;
  readonly share: "request" | "isolate";
  readonly weigh: ((value: V, key: string) => number) | undefined;
  readonly max: number;
  readonly ttl: number;
  readonly staleFor: number;
  readonly negativeTtl: number;
  readonly loadTimeout: number;
}

export function parseCache<V>(options: CacheOptions<V>): ParsedCache<V> {
  object("options", options);
  const {
    name = "cache",
    share = "request",
    weigh,
    ttl = 3_600_000,
    staleFor = 0,
    negativeTtl = 0,
    loadTimeout,
  } = options;
  return {
    max: parseMax(options.max),
    share: choice("share", share, ["request", "isolate"]),
    name: key(name, "name"),
    weigh: weigh === undefined ? undefined : callable("weigh", weigh),
    loadTimeout:
      loadTimeout === undefined ? Number.POSITIVE_INFINITY : milliseconds("loadTimeout", loadTimeout),
    ttl: milliseconds("ttl", ttl),
    staleFor: milliseconds("staleFor", staleFor),
    negativeTtl: milliseconds("negativeTtl", negativeTtl),
  };
}

function parseMax(max: unknown): number {
  return max === undefined || max === Number.POSITIVE_INFINITY
    ? Number.POSITIVE_INFINITY
    : integer("max", max, 1);
}

/** A key or tag. */
export function key(value: unknown, name = "key"): string {
  if (typeof value !== "string") reject(name, "a string", value);
  return value;
}

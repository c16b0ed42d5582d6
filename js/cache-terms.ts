/** The words of a cache: what it tells. */

/** What a cache tells those who listen. */
export interface CacheEvents {
  /** A value has left by itself or with what it was computed from. */
  gone: { key: string; why: "evicted" | "expired" | "invalidated" };
  /** A value past its time could not be loaded anew in the background. */
  refreshFailed: { key: string; error: unknown };
}

/** Every number of a cache. */
export interface CacheMetrics {
  readonly name: string;
  /** Values and remembered failures. */
  readonly size: number;
  readonly weight: number;
  /** Looks that found a value, stale ones among them. */
  readonly hits: number;
  readonly misses: number;
  readonly staleHits: number;
  /** Looks that found a remembered failure. */
  readonly negativeHits: number;
  /** Hits among all looks; 0 before the first. */
  readonly hitRatio: number;
  readonly evictions: number;
  readonly expirations: number;
  readonly invalidations: number;
  readonly loads: number;
  readonly loadFailures: number;
  /** Callers who shared somebody else's load. */
  readonly coalesced: number;
}

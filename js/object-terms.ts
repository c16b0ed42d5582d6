/** The words of object and connection pools: what they are told, and what they tell. */

/** What is done with the objects, and for how long they are kept; `create` is the pool's own. */
export interface ObjectOptions<T> {
  /** In metrics, events and errors. @default "objects" */
  name?: string;
  /** Makes an object fit to be used again; one for which this throws is destroyed. @default nothing is done */
  reset?: (value: T) => unknown;
  /** Whether an idle object is still good, asked before it is used again. @default it is */
  validate?: (value: T) => boolean | PromiseLike<boolean>;
  /** Takes an object apart that is not used any more. @default nothing is done */
  destroy?: (value: T) => unknown;
  /** How many there are at most, of each key where there are keys. @default 10: enough to overlap, few enough for any server */
  max?: number;
  /** Milliseconds after which an object is destroyed as soon as nobody uses it. @default no limit */
  maxAge?: number;
  /** Milliseconds after which an object that nobody used is destroyed. @default no limit */
  idle?: number;
  /** Bytes that using one again saves, for `bytesSaved`. @default 0 */
  bytes?: number;
}

/** What a pool of objects tells those who listen. */
export interface ObjectEvents {
  created: { id: number; key: string };
  destroyed: { id: number; key: string };
}

/** How long something took, in milliseconds. */
export interface Durations {
  readonly count: number;
  readonly total: number;
  readonly max: number;
}

/** Every number of a pool of objects. */
export interface ObjectMetrics {
  readonly name: string;
  /** Objects, those being made included. */
  readonly size: number;
  readonly inUse: number;
  readonly idle: number;
  readonly waiting: number;
  readonly requests: number;
  /** Requests that got one that was there. */
  readonly hits: number;
  readonly misses: number;
  /** Hits among both; 0 before the first. */
  readonly hitRatio: number;
  readonly created: number;
  readonly failed: number;
  readonly returned: number;
  readonly invalid: number;
  readonly destroyed: number;
  readonly timeouts: number;
  readonly bytesSaved: number;
  readonly acquireMs: Durations;
  readonly resetMs: Durations;
}

/** Who loads a value of a cache, who waits for it, and what comes of it. */

import type { LoadContext, Loader, ParsedEntry } from "./cache-options.js";
import { onAbort } from "./signals.js";

export type Result<V> = { readonly value: V } | { readonly error: unknown };

/** Where the one who loads leaves the result for those who wait. */
export interface Landing<V> {
  result: Result<V> | undefined;
  /** Whether the request that loads is the one that is running; absent where that makes no difference. */
  readonly isHere: (() => boolean) | undefined;
}

/** Somebody who loads or waits, with what it would load by. */
export interface Seat<V> {
  readonly id: number;
  readonly key: string;
  readonly loader: Loader<V>;
  readonly entry: ParsedEntry;
  readonly landing: Landing<V>;
  readonly resolve: (value: V) => void;
  readonly reject: (reason: unknown) => void;
  unwatch: () => void;
  /** Of one who loads: what its loader was given. */
  context: Load | undefined;
  /** A background refresh: its caller has the stale value already. */
  readonly refreshes: boolean;
}

/** What a loader is called with; the signal is made when it is first read. */
export class Load implements LoadContext {
  readonly key: string;
  #controller: AbortController | undefined;
  #reason: unknown;
  ended = false;

  constructor(key: string) {
    this.key = key;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.ended) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Nobody wants the result any more. */
  end(reason: unknown): void {
    this.ended = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

/** Loads beside everybody else; `keep` takes what it brings. */
export function loadAlone<V>(
  key: string,
  loader: Loader<V>,
  signal: AbortSignal | undefined,
  keep: (value: V) => void,
): Promise<V> {
  return new Promise((resolve, reject) => {
    const context = new Load(key);
    const unwatch = onAbort(signal, () => {
      unwatch();
      context.end(signal?.reason);
      reject(signal?.reason);
    });
    const land = (value: V) => {
      unwatch();
      keep(value);
      resolve(value);
    };
    new Promise<V>((loaded) => loaded(loader(context))).then(land).catch((error) => {
      unwatch();
      reject(error);
    });
  });
}

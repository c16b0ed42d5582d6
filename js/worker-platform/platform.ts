/** What differs between the places where workers are, and where there are none. */

/** A worker as the platform makes it: a browser's `Worker`, or one of `node:worker_threads`. */
export interface WorkerLike {
  postMessage(message: unknown, transfer: never[]): void;
  terminate(): unknown;
}

export interface Platform {
  /** A worker of the package itself. */
  own(options: { name: string }): WorkerLike;
  /** How many cores there are, where the platform says. */
  cores(): number | undefined;
  /** Whether there are workers at all. */
  has(): boolean;
}

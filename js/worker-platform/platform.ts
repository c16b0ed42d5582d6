/** What differs between the places where workers are, and where there are none. */

/** A worker as the platform makes it: a browser's `Worker`, or one of `node:worker_threads`. */
export interface WorkerLike {
  postMessage(message: unknown, transfer: never[]): void;
  terminate(): unknown;
}

/** The other end, inside a worker. */
export interface Inside {
  post(message: unknown, transfer: Transferable[]): void;
  listen(fn: (message: unknown) => void): void;
  close(): void;
  /** Calls `fn` when the code of the worker closes it, where nobody else would tell. */
  onClose(fn: () => void): void;
  /** Bytes taken, where the platform says. */
  memory(): number | undefined;
}

export interface Platform {
  /** A worker of the package itself. */
  own(options: { name: string }): WorkerLike;
  /** How many cores there are, where the platform says. */
  cores(): number | undefined;
  /** Whether there are workers at all. */
  has(): boolean;
  /** The way out, where this is a worker. */
  inside(): Inside | undefined;
}

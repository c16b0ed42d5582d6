/**
 * What differs inside of workers. It stands apart from what makes them, so that the package's own worker is no part of itself:
 * bundlers would go round in a circle.
 */

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

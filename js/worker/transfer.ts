const lists = new WeakMap<object, Transferable[]>();

/**
 * Says that a value that a worker's function returns or yields takes these buffers or ports along instead of copies of
 * them. They are no longer the worker's then.
 *
 * @example
 * ```ts no-run
 * import { expose, transfer } from "tidegate/workers";
 *
 * expose({
 *   render(width: number, height: number) {
 *     const pixels = new Uint8ClampedArray(width * height * 4);
 *     return transfer(pixels, [pixels.buffer]);
 *   },
 * });
 * ```
 */
export function transfer<T extends object>(value: T, transferables: Transferable[]): T {
  lists.set(value, transferables);
  return value;
}

/** What a value takes along, once. */
export function takenAlong(value: unknown): Transferable[] | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const list = lists.get(value);
  if (list !== undefined) lists.delete(value);
  return list;
}

/** Holds something without keeping it. workerd has no weak references before 2025-05-05: there it is kept as long as its isolate. */
export function weakly<T extends object>(value: T): { deref(): T | undefined } {
  return typeof WeakRef === "function" ? new WeakRef(value) : { deref: () => value };
}

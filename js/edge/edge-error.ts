/** What the errors of the edge have in common: a stable code, and a mark by which guards know them across bundles and workers. */

const MARK = Symbol.for("tidegate.edge.error");

export abstract class EdgeError extends Error {
  /** Stable: compare this, not the message. */
  abstract readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    Object.defineProperty(this, MARK, { value: true });
  }
}

/** Something was refused, and why. */
export abstract class RefusedError<R extends string> extends EdgeError {
  /** Why. */
  readonly reason: R;

  constructor(reason: R, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Knows the errors of one code. */
export function guard<T extends EdgeError>(code: T["code"]): (error: unknown) => error is T {
  return (error): error is T =>
    typeof error === "object" &&
    error !== null &&
    (error as Record<symbol, unknown>)[MARK] === true &&
    (error as { code?: unknown }).code === code;
}

/** Where the package's own events go: nowhere, until somebody sets a logger. */

/** One thing that happened in a policy. */
export interface LogEvent {
  /** `overflow`, `breaker`, `throttle`, `scale`, `alert`, `panic`, `deadlock`, … */
  readonly event: string;
  /** The kind of policy: `pool`, `breaker`, … */
  readonly policy: string;
  /** The name of the handle. */
  readonly name: string;
  /** What the event carries. */
  readonly detail: unknown;
}

let logger: ((event: LogEvent) => void) | undefined;

/**
 * Sends every typed event of every policy to `fn`; without an argument the package is silent again.
 *
 * @default silent, because a library that prints is a library that gets wrapped
 * @example
 * ```ts
 * import { setLogger } from "tidegate";
 * setLogger(({ policy, name, event, detail }) => console.debug(policy, name, event, detail));
 * ```
 */
export function setLogger(fn?: (event: LogEvent) => void): void {
  logger = fn;
}

/** Whether anybody listens, so that nobody builds an event for nothing. */
export function logging(): boolean {
  return logger !== undefined;
}

/** Sends one event. A logger that throws does not break the policy that logs. */
export function log(event: LogEvent): void {
  try {
    logger?.(event);
  } catch (error) {
    reportError(error);
  }
}

/** Reports an error of user code that has no promise of its own, where the platform shows uncaught errors. */
export function reportError(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

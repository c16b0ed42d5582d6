/** Why locks were not had: what the machine reports, and the error that says it. */

import { ClosedError, ConflictError, DeadlockError, TimeoutError } from "./errors.js";
import { bindings } from "./generated/store_bg.js";
import { chainOf } from "./kin.js";
import type { Claim } from "./lock-lease.js";
import type { LockTimeout } from "./lock-terms.js";
import { CLOSED, CONFLICT, DEADLOCK } from "./refusal.js";

/** What a claim that was refused had to do with which locks, and with whom. */
export interface LockReport extends LockTimeout {
  /** The steps of the circle that its waiting would have closed. */
  readonly chain: readonly string[];
}

/** Reads so many numbers that the machine has left: three lists of locks, each after its length, then steps of three. */
export function readReport(
  length: number,
  nameOf: (lock: number) => string,
  lockOf: (set: number, lock: number) => string,
): LockReport {
  let at = 0;
  const next = () => {
    at += 1;
    return bindings.told(at - 1);
  };
  const list = () => Array.from({ length: Math.max(0, next()) }, () => nameOf(next()));
  const [wanted, held, taken] = [list(), list(), list()];
  const steps: (readonly [owner: number, set: number, lock: number])[] = [];
  while (at < length) steps.push([next(), next(), next()]);
  return { wanted, held, taken, chain: chainOf(steps, lockOf) };
}

/** The error of a refusal by a lock set of that name. */
export function lockError(
  set: string,
  code: number,
  claim: Claim,
  { wanted, held, taken, chain }: LockReport,
): Error {
  switch (code) {
    case CLOSED:
      return new ClosedError(`The locks "${set}" are closed`);
    case DEADLOCK:
      return new DeadlockError(
        `Locks "${set}": waiting for ${quoted(wanted)} would never end: ${chain.join(", ")}`,
        chain,
      );
    case CONFLICT:
      return new ConflictError(
        `Locks "${set}": ${quoted(wanted)} cannot be had together: ${quoted(taken)} taken by others`,
        taken,
      );
    default: {
      const details = `held: ${quoted(held)}; taken by others: ${quoted(taken)}`;
      const verb = claim.unit ? "reserve" : "acquire";
      const error = new TimeoutError(`${verb} ${quoted(wanted)} of ${set} (${details})`, claim.timeout);
      return Object.assign(error, { wanted, held, taken } satisfies LockTimeout);
    }
  }
}

function quoted(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.map((name) => `"${name}"`).join(", ");
}

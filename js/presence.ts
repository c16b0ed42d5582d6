/**
 * The seam for hosts where many requests share one instance and none may settle another's promises: edge isolates.
 *
 * Everywhere else nobody attends, and each use of this costs one comparison.
 */

import type { Handle } from "./instance.js";
import type { Passing } from "./passing.js";
import type { Pool } from "./pool.js";

/** What such a host does for those who wait. `js/workerd.ts` is one; a waiter is known by its handle and its ticket there. */
export interface Attendant {
  /** How long whoever took something may hold it without a word, in milliseconds. */
  readonly leaseTimeout: number;
  /** Somebody waits in the request that is running: its wakes are carried out there, and it is heard of until it rises. */
  sit(handle: Handle, ticket: number, patience: number): void;
  /** Somebody who runs is told of its end, in so many milliseconds or never, in the request that is running. */
  stay(handle: Handle, ticket: number, ms: number): void;
  /** All decisions about a handle are carried out in the request that is running, until ticket −1 rises. */
  dwell(handle: Handle): void;
  /** Somebody does not wait any more. */
  rise(handle: Handle, ticket: number): void;
  /** A decision about somebody, made in whichever request; `carry` carries it out and settles what follows. */
  wake(handle: Handle, ticket: number, why: number, detail: number, carry: Carry): void;
  /** Does something in the request of somebody who waits. */
  post(handle: Handle, ticket: number, deed: () => void): void;
  /** What settles a promise of the request that is running, made fit to be called from any other. */
  own<T>(settle: (value: T) => void): (value: T) => void;
  /** Somebody holds something that `handle.lapse` takes back unless it ends before. */
  lease(handle: Handle, ticket: number, ms: number): void;
  /** The end of a lease is so far from now. False when it is over. */
  renew(handle: Handle, ticket: number, ms: number): boolean;
  /** Somebody gave back what it held. */
  endLease(handle: Handle, ticket: number): void;
  /** After a trap: no ticket of the handle means anything any more. */
  forget(handle: Handle): void;
  /** Keeps whoever starts in a pool without asking its machine. */
  passing(pool: Pool): Passing;
  /** Says later whether the request that is running then is the one that is running now. */
  here(): () => boolean;
}

/** Carries out a decision and settles what follows from it. */
export type Carry = (handle: Handle, ticket: number, why: number, detail: number) => void;

/** Who attends, if anybody does. */
export let attendant: Attendant | undefined;

/** For the entry of a runtime, before anything is made. */
export function attend(host: Attendant): void {
  attendant = host;
}

/** Instances whose timer may have died with the request that set it: each carries out what is overdue. */
export const overdue: (() => void)[] = [];

/** Does something in the request of somebody who waits, which is this one unless somebody attends. */
export function inRequestOf(handle: Handle, ticket: number, deed: () => void): void {
  if (attendant === undefined) deed();
  else attendant.post(handle, ticket, deed);
}

/** What settles a promise of this request, made fit to be called from any other. */
export function own<T>(settle: (value: T) => void): (value: T) => void {
  return attendant === undefined ? settle : attendant.own(settle);
}

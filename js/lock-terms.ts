/** What is said to a lock set, and what it says. */

import type { LockOwner } from "./lock-owners.js";
import type { Lease } from "./work.js";

/** How a lock set behaves. */
export interface LockSetOptions {
  /** In metrics, events and errors. @default "locks" */
  name?: string;
  /** Locks that are taken before all others, in this order. @default none: all are taken by name */
  order?: readonly string[];
}

/** What a caller says about a claim. */
export interface LockOptions {
  /**
   * Who asks: a string, or an object such as `ctx`. It passes the locks that it holds already, and is told at once when its
   * waiting would close a cycle. To name an owner is to say that it does nothing else while it waits. @default nobody
   */
  owner?: LockOwner;
  /** Milliseconds that all of it may take; 0 would not wait. @default 10,000 to acquire, 30,000 to reserve, since several must be free at once */
  timeout?: number;
  /** Gives up. */
  signal?: AbortSignal;
}

/** Locks that are held. */
export interface LockLease extends Lease {
  /** What is held, in the order in which it was taken. */
  readonly names: readonly string[];
}

/** A `TimeoutError` of locks says more. */
export interface LockTimeout {
  /** All that was wanted, in the order of taking. */
  readonly wanted: readonly string[];
  /** What was held when the time was over; it has been given back. */
  readonly held: readonly string[];
  /** What somebody else held then. */
  readonly taken: readonly string[];
}

/** What a lock set tells those who listen. */
export interface LockEvents {
  /** `wanted` was asked for while `held` was held, though it has been the other way round, or a declared order says so. Told once for each pair, before it ever deadlocks. */
  inversion: { held: string; wanted: string; declared: boolean };
  /** Somebody was refused, because its waiting would never have ended. */
  deadlock: { chain: readonly string[] };
}

/** Every number of a lock set. */
export interface LockMetrics {
  readonly name: string;
  /** Leases that are held. */
  readonly held: number;
  readonly waiting: number;
  /** The most that wait for any one lock. */
  readonly mostWaiting: number;
  readonly granted: number;
  readonly timeouts: number;
  readonly conflicts: number;
  readonly deadlocks: number;
}

/** What is said to a state, and what it says. */

import type { LockOwner } from "./lock-owners.js";
import { reject } from "./options.js";

/** How a state behaves. */
export interface StateOptions {
  /** In metrics and events. @default "state" */
  name?: string;
  /** How often one `update` is tried before it rejects with `ConflictError`. @default 100: an update that updates its own key inside would otherwise never end */
  attempts?: number;
}

/** A value and its version: only ever higher, over all keys, and never the same for two writes. */
export interface Versioned<V> {
  readonly value: V;
  readonly version: number;
}

/** What a subscriber is told. */
export interface StateChange<V> {
  readonly key: string;
  /** The value at the time it is told; `undefined` where there is none. */
  readonly value: V | undefined;
  /** The version of the change; 0 for a deletion. */
  readonly version: number;
}

/** What a state tells those who listen. */
export interface StateEvents {
  /** An update was computed again, because somebody else wrote meanwhile. */
  conflict: { key: string };
}

/** Every number of a state. */
export interface StateMetrics {
  readonly name: string;
  readonly size: number;
  /** Writes and deletions. */
  readonly writes: number;
  /** Writes refused and updates computed again, because of another's version. */
  readonly conflicts: number;
  readonly updates: number;
  /** Waits that timed out. */
  readonly timeouts: number;
}

/** How long somebody waits for a value, and what is known about it. */
export interface WaitForOptions {
  /** Milliseconds. @default none */
  timeout?: number;
  /** Gives up. */
  signal?: AbortSignal;
  /** Who waits. It does nothing else while it waits. @default nobody */
  owner?: LockOwner;
  /** Those of whom one will write what is waited for. @default nobody is known */
  writers?: readonly LockOwner[];
}

/** A wait that names its owner and its writers. */
export interface Told {
  readonly owner: LockOwner;
  readonly writers: readonly LockOwner[];
}

/** Reads them; nothing is told where no owner is named. @throws TypeError that names what is wrong */
export function parseTold({ owner, writers = [] }: WaitForOptions): Told | undefined {
  if (!Array.isArray(writers)) reject("writers", "a list of owners", writers);
  if (owner === undefined) return undefined;
  for (const one of [owner, ...writers]) {
    if (typeof one !== "string" && (typeof one !== "object" || one === null)) {
      reject(one === owner ? "owner" : "writers", "a string or an object", one);
    }
  }
  return { owner, writers: [...writers] };
}

import { dispose } from "./dispose.js";
import type { LockOwner } from "./lock-owners.js";
import type { LockLease } from "./lock-terms.js";
import { attendant } from "./presence.js";

/** What was asked of a lock set. */
export interface Claim {
  readonly names: readonly string[];
  readonly unit: boolean;
  readonly owner: LockOwner | undefined;
  readonly number: number;
  readonly timeout: number;
}

let leases = 0;

/** Locks that somebody holds. */
export class Held implements LockLease {
  readonly id: number;
  readonly names: readonly string[];
  readonly claim: Claim;
  ticket: number;
  readonly #renew: (ms: number) => boolean;
  #release: ((lease: Held) => void) | undefined;

  constructor(
    ticket: number,
    claim: Claim,
    names: readonly string[],
    renew: (ms: number) => boolean,
    release: (lease: Held) => void,
  ) {
    leases += 1;
    this.id = leases;
    this.ticket = ticket;
    this.claim = claim;
    this.names = names;
    this.#renew = renew;
    this.#release = release;
  }

  /** Locks do not expire, except where a holder may vanish without a word: true as long as they are held. */
  renew(ms?: number): boolean {
    return this.#release !== undefined && this.#renew(ms ?? attendant?.leaseTimeout ?? 0);
  }

  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.(this);
  }

  [dispose](): void {
    this.release();
  }
}

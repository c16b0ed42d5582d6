/** What one caller has asked for, in the registry of metrics. */

import { observe } from "../observed.js";
import type { Quota } from "./quotas.js";

/** Every number of a caller, in this isolate. */
export interface CallerMetrics {
  /** `token 0`, or `access` and an identity. */
  readonly name: string;
  /** Requests within the quota. */
  readonly requests: number;
  /** Requests beyond it. */
  readonly requestsLimited: number;
  /** Scans that began. */
  readonly scans: number;
  /** Scans beyond the quota. */
  readonly scansLimited: number;
  /** Targets that were asked for within the quota. */
  readonly targets: number;
  /** Targets beyond it. */
  readonly targetsLimited: number;
  /** Of those within it, the ones that may not be contacted. */
  readonly targetsRefused: number;
}

export class CallerCounts {
  readonly kind = "caller" as const;
  readonly #name: string;
  readonly #allowed: Record<Quota, number> = { requests: 0, scans: 0, targets: 0 };
  readonly #limited: Record<Quota, number> = { requests: 0, scans: 0, targets: 0 };
  #refused = 0;

  constructor(name: string) {
    this.#name = name;
    observe(this);
  }

  allow(quota: Quota, count: number): void {
    this.#allowed[quota] += count;
  }

  limit(quota: Quota, count: number): void {
    this.#limited[quota] += count;
  }

  refuse(targets: number): void {
    this.#refused += targets;
  }

  metrics(): CallerMetrics {
    return {
      name: this.#name,
      requests: this.#allowed.requests,
      requestsLimited: this.#limited.requests,
      scans: this.#allowed.scans,
      scansLimited: this.#limited.scans,
      targets: this.#allowed.targets,
      targetsLimited: this.#limited.targets,
      targetsRefused: this.#refused,
    };
  }
}

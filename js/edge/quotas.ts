/** How much each caller may ask for: kept where the coordinator keeps it, so that one who goes to another isolate has no more. */

import { isNeverPossibleError, QueueTimeoutError } from "../errors.js";
import { Keyed } from "../keyed.js";
import { integer, milliseconds, object } from "../options.js";
import { CallerCounts } from "./caller-counts.js";
import type { Caller } from "./callers.js";
import { type Coordinator, isCoordinatorUnreachableError, localCoordinator } from "./coordinator.js";
import { refusal } from "./scan-order.js";
import { SharedRate } from "./shared-rate.js";

/** So many in so many milliseconds: as many at once as there are, and then as they come back, evenly. */
export interface Allowance {
  limit: number;
  per: number;
}

/** How much each caller may ask for. */
export interface QuotaOptions {
  /** Requests of any kind. @default 600 in a minute */
  requests?: Allowance;
  /** Scans that begin. @default 60 in a minute, as a pipeline that scans its targets one by one needs */
  scans?: Allowance;
  /** Targets that are asked for, those too that are then refused. @default 10,000 in a day, since each costs somebody else requests */
  targets?: Allowance;
}

/** What there are quotas of. */
export type Quota = keyof QuotaOptions;

const DEFAULTS: Required<QuotaOptions> = {
  requests: { limit: 600, per: 60_000 },
  scans: { limit: 60, per: 60_000 },
  targets: { limit: 10_000, per: 86_400_000 },
};

/** Callers that are remembered; whoever was away the longest is forgotten, which costs a coordinator nothing. */
const MOST_CALLERS = 1000;

export class Quotas {
  readonly #allowances: Required<QuotaOptions>;
  readonly #coordinator: Coordinator;
  readonly #callers: Keyed<{ rates: Record<Quota, SharedRate>; counts: CallerCounts }>;

  constructor(options: QuotaOptions | undefined, coordinator: Coordinator = localCoordinator()) {
    this.#allowances = parse(options);
    this.#coordinator = coordinator;
    this.#callers = new Keyed(
      "quotas",
      "quotas",
      { maxKeys: MOST_CALLERS },
      (id) => ({ rates: this.#rates(id), counts: new CallerCounts(id) }),
      () => false,
    );
  }

  /** The most that one caller could ever take at once. */
  most(quota: Quota): number {
    return this.#allowances[quota].limit;
  }

  /** What is counted of a caller. */
  counts({ id }: Caller): CallerCounts {
    return this.#callers.get(id).counts;
  }

  /** Takes so many of a quota, or says what is to be answered to one who has no more. */
  async take({ id }: Caller, quota: Quota, cost = 1): Promise<Response | undefined> {
    const { rates, counts } = this.#callers.get(id);
    try {
      await rates[quota].acquire({ cost, timeout: 0 });
      counts.allow(quota, cost);
      return undefined;
    } catch (error) {
      counts.limit(quota, cost);
      if (isCoordinatorUnreachableError(error))
        return refusal(503, "quotas cannot be looked up", this.#allowances.requests.per / 10);
      const { limit, per } = this.#allowances[quota];
      const rule = `${limit} ${quota} in ${seconds(per)}`;
      if (isNeverPossibleError(error)) return refusal(400, `more than a quota of ${rule} could ever give`);
      if (!(error instanceof QueueTimeoutError)) throw error;
      return refusal(429, `the quota of ${rule} is used up`, error.retryAfterMs);
    }
  }

  #rates(id: string): Record<Quota, SharedRate> {
    const rate = (quota: Quota, block: number) =>
      new SharedRate(this.#coordinator, { name: `${quota} of ${id}`, ...this.#allowances[quota], block });
    const { requests } = this.#allowances;
    return {
      // In blocks, because most requests cost less than a word with the coordinator.
      requests: rate("requests", Math.max(1, Math.floor(requests.limit / 20))),
      scans: rate("scans", 1),
      targets: rate("targets", 1),
    };
  }
}

function seconds(ms: number): string {
  const [count, unit] = ms % 60_000 === 0 ? [ms / 60_000, "minutes"] : [ms / 1000, "seconds"];
  return `${count} ${unit}`;
}

function parse(options: QuotaOptions = {}): Required<QuotaOptions> {
  object("quotas", options);
  const allowance = (quota: Quota): Allowance => {
    const { limit, per } = object(`quotas.${quota}`, options[quota]) ?? DEFAULTS[quota];
    return {
      limit: integer(`quotas.${quota}.limit`, limit, 1),
      per: milliseconds(`quotas.${quota}.per`, per, 1),
    };
  };
  return { requests: allowance("requests"), scans: allowance("scans"), targets: allowance("targets") };
}

/**
 * The rules by which a limit finds itself, written down a second time and as plainly as possible: what it is after a sample, before its
 * bounds are kept. Times are milliseconds.
 */

/** How one call went. Samples without a latency, and those that went badly for another reason than load, are not shown to a rule. */
export interface Told {
  readonly latency: number;
  readonly inFlight: number;
  readonly dropped: boolean;
  readonly queued: number;
  readonly queueCapacity: number | undefined;
}

export interface Options {
  readonly algorithm: "aimd" | "threshold" | "gradient" | "vegas";
  readonly min: number;
  readonly target: number | undefined;
  readonly factor: number | undefined;
  readonly interval: number;
}

export type Rule = (now: number, limit: number, told: Told) => number;

export function ruleOf(options: Options): Rule {
  return { aimd, threshold, gradient, vegas }[options.algorithm](options);
}

/** Below a half or above two is the same factor. */
function shrinkBy({ factor }: Options, usual: number): number {
  return Math.min(factor ?? usual, 1 / (factor ?? usual));
}

/** Too few run for the limit to be what holds them. */
function isIdle(inFlight: number, limit: number): boolean {
  return inFlight < Math.floor(limit) * 0.8;
}

function aimd(options: Options): Rule {
  const { target = Number.POSITIVE_INFINITY } = options;
  let shrankAt = Number.NEGATIVE_INFINITY;
  return (now, limit, { latency, inFlight, dropped }) => {
    if (dropped || latency > target) {
      // One overload, one decrease.
      if (now < shrankAt + latency) return limit;
      shrankAt = now;
      return Math.min(limit * shrinkBy(options, 0.9), limit - 1);
    }
    return isIdle(inFlight, limit) ? limit : limit + 1 / limit;
  };
}

function threshold(options: Options): Rule {
  let changedAt: number | undefined;
  const means = { samples: 0, load: 0, response: 0 };
  const target = options.target === undefined ? undefined : options.target * 1000;
  return (now, limit, { latency, inFlight, dropped, queued, queueCapacity = 0 }) => {
    means.samples = Math.min(100, means.samples + 1);
    const work = inFlight + queued;
    means.load += (work / (Math.floor(limit) + queueCapacity) - means.load) * (1 / means.samples);
    means.response += (latency * 1000 - means.response) * (1 / means.samples);
    if (dropped) return limit;
    changedAt ??= now;
    if (now - changedAt < options.interval) return limit;
    const isSlow = target !== undefined && means.response > 2 * target;
    const isFast = target === undefined || means.response < target;
    const shrink = shrinkBy(options, 1.5);
    let scaled: number;
    if (means.load > 0.8 || isSlow) scaled = Math.max(Math.ceil(limit / shrink), limit + 1);
    else if (means.load < 0.3 && isFast) scaled = Math.min(Math.floor(limit * shrink), limit - 1);
    else return limit;
    changedAt = now;
    means.samples = 0;
    return scaled;
  };
}

function gradient({ min }: Options): Rule {
  const rounds = new Rounds(min);
  return (now, limit, told) => {
    const slowdown = rounds.add(now, limit, told);
    if (slowdown === "dropped") return Math.min(limit * 0.9, limit - 1);
    if (slowdown === undefined) return limit;
    const aim = limit * Math.min(1, Math.max(0.5, 1.5 / slowdown)) + Math.sqrt(limit);
    const step = (aim - limit) * 0.2;
    return limit + (step > 0 ? Math.max(0.5, step) : step);
  };
}

function vegas({ min }: Options): Rule {
  const rounds = new Rounds(min);
  return (now, limit, told) => {
    const slowdown = rounds.add(now, limit, told);
    if (slowdown === "dropped") return Math.min(limit * 0.9, limit - 1);
    if (slowdown === undefined) return limit;
    const queued = limit * (1 - 1 / slowdown);
    const step = Math.max(1, Math.log10(limit));
    if (queued <= step) return limit + Math.min(6 * step, limit);
    if (queued > 6 * step || slowdown > 2) return limit - step;
    return queued < 3 * step ? limit + step : limit;
  };
}

/** How much slower calls are than at rest, told once a round. */
class Rounds {
  readonly #min: number;
  #droppedAt = Number.NEGATIVE_INFINITY;
  #logs: number[] = [];
  #most = 0;
  #rounds = 0;
  #slow = 0;
  #quick = 0;
  #rest = 0;
  #worst: { readonly quick: number; readonly most: number } | undefined;

  constructor(min: number) {
    this.#min = min;
  }

  add(now: number, limit: number, { latency, inFlight, dropped }: Told): number | "dropped" | undefined {
    if (dropped) {
      // One overload, one decrease.
      if (now < this.#droppedAt + latency) return undefined;
      this.#droppedAt = now;
      this.#begin();
      return "dropped";
    }
    this.#logs.push(Math.log(latency * 1000));
    this.#most = Math.max(this.#most, inFlight);
    if (this.#logs.length < Math.max(10, Math.floor(limit))) return undefined;
    const log = this.#logs.reduce((sum, each) => sum + each, 0) / this.#logs.length;
    const most = this.#most;
    this.#begin();
    this.#learn(log, most);
    if (this.#rounds < 5 || isIdle(most, limit)) return undefined;
    return Math.exp(this.#slow - this.#rest);
  }

  #begin(): void {
    this.#logs = [];
    this.#most = 0;
  }

  #learn(log: number, most: number): void {
    this.#rounds += 1;
    this.#slow += (log - this.#slow) * Math.max(0.1, 1 / this.#rounds);
    this.#quick += (log - this.#quick) * Math.max(0.4, 1 / this.#rounds);
    const quick = this.#quick;
    if (this.#rounds <= 5 || this.#slow <= this.#rest || most <= this.#min) this.#rests();
    else if (this.#worst === undefined || quick > this.#worst.quick + 0.05) this.#worst = { quick, most };
    // Half as many calls show whether it was their number: if they are not much faster, it was not.
    else if (most <= Math.floor(this.#worst.most / 2)) {
      if (quick > this.#worst.quick - 0.35) this.#rests();
      else this.#worst = { quick, most };
    }
  }

  #rests(): void {
    this.#rest = this.#slow;
    this.#worst = undefined;
  }
}

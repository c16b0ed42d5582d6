import { type AlertRule, builtInAlerts } from "./alerts.js";
import { CircuitBreaker } from "./breaker.js";
import type { BreakerGroup } from "./breaker-group.js";
import { dispose } from "./dispose.js";
import type { Disposer } from "./events.js";
import { Group } from "./keyed.js";
import { reportError } from "./log.js";
import { everything, type Kind, kindOf, type Numbers, type Observable } from "./observed.js";
import { renderOpenMetrics } from "./openmetrics.js";
import { callable, milliseconds, object, reject } from "./options.js";
import { Pool } from "./pool.js";
import type { PoolGroup } from "./pool-group.js";
import { RateLimiter } from "./rate.js";

/** Everything that is counted, at one moment. Times are milliseconds. */
export interface MetricsSnapshot {
  /** Epoch milliseconds. */
  readonly at: number;
  /** Pools, those inside `gather` and its kin included while they run. */
  readonly pools: readonly ReturnType<Pool["metrics"]>[];
  /** Circuit breakers. */
  readonly breakers: readonly ReturnType<CircuitBreaker["metrics"]>[];
  /** Rate limiters; the rates of a pool are counted with the pool. */
  readonly rates: readonly ReturnType<RateLimiter["metrics"]>[];
  /** Caches. */
  readonly caches: readonly Numbers["cache"][];
  /** Channels. */
  readonly channels: readonly Numbers["channel"][];
  /** Events. */
  readonly events: readonly Numbers["event"][];
  /** Barriers. */
  readonly barriers: readonly Numbers["barrier"][];
  /** Lock sets. */
  readonly locks: readonly Numbers["locks"][];
  /** Pools of objects and of connections. */
  readonly objects: readonly Numbers["objects"][];
  /** Versioned states. */
  readonly states: readonly Numbers["state"][];
  /** `Counter`s: how many keys, and all of them together. */
  readonly tallies: readonly Numbers["counter"][];
  /** What tries again: pools and policies by their names, and `retry`. */
  readonly retries: readonly Numbers["retry"][];
  /** Task graphs. */
  readonly graphs: readonly Numbers["graph"][];
  /** Orchestrators of plugins. */
  readonly orchestrators: readonly Numbers["orchestrator"][];
  /** Sinks. */
  readonly sinks: readonly Numbers["sink"][];
  /** Adaptive limits, those of pools under the names of the pools. */
  readonly limits: readonly Numbers["adaptive"][];
  /** Pressure monitors. */
  readonly pressures: readonly Numbers["pressure"][];
  /** Pools of workers. */
  readonly workers: readonly Numbers["workers"][];
  /** Those who ask for scans on the edge, as this isolate has seen them. */
  readonly callers: readonly Numbers["caller"][];
  /** The user's own counters. */
  readonly counters: Readonly<Record<string, number>>;
}

/** What is told when an alert goes on or off. */
export interface Alert {
  /** The name of the rule. */
  readonly name: string;
  /** True when it begins to hold, false when it no longer does. */
  readonly firing: boolean;
  /** Epoch milliseconds since when it holds, or held. */
  readonly since: number;
}

/** A counter of the user's own, in the same registry. */
export interface CounterMetric {
  /** Its name. */
  readonly name: string;
  /** What it has come to. */
  readonly value: number;
  /** Adds `by` (1) and gives the new value. @throws TypeError where `by` is not a number ≥ 0 */
  increment(by?: number): number;
}

/** Under which name the numbers of a kind stand. */
export const PLACES = {
  cache: "caches",
  channel: "channels",
  event: "events",
  barrier: "barriers",
  locks: "locks",
  objects: "objects",
  state: "states",
  counter: "tallies",
  retry: "retries",
  graph: "graphs",
  orchestrator: "orchestrators",
  sink: "sinks",
  adaptive: "limits",
  pressure: "pressures",
  workers: "workers",
  caller: "callers",
} as const satisfies Record<Kind, keyof MetricsSnapshot>;

interface Watched extends AlertRule {
  since: number | undefined;
  firing: boolean;
}

/**
 * One registry of all handles of this copy of the package, or of those it is given: as JSON, as OpenMetrics text, live to
 * subscribers, and watched by alerts.
 *
 * @example
 * ```ts
 * import { Metrics } from "tidegate";
 *
 * const metrics = new Metrics();
 * metrics.alert({
 *   name: "long-queue",
 *   when: ({ pools }) => pools.some(({ queued }) => queued > 100),
 *   for: 5_000,
 *   notify: ({ name, firing }) => console.warn(name, firing ? "began" : "is over"),
 * });
 * metrics.counter("logins").increment();
 * console.log(metrics.toOpenMetrics().split("\n")[2]); // → logins_total 1
 * ```
 */
export class Metrics {
  readonly #sources: readonly Observable[] | undefined;
  readonly #counters = new Map<string, number>();
  readonly #alerts = new Set<Watched>();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param sources the handles to look at, groups among them; without them all that are alive */
  constructor(sources?: readonly Observable[]) {
    if (sources !== undefined && !Array.isArray(sources)) reject("sources", "an array of handles", sources);
    this.#sources = sources;
  }

  /** Every number, now. */
  toJSON(): MetricsSnapshot {
    const pools: ReturnType<Pool["metrics"]>[] = [];
    const breakers: ReturnType<CircuitBreaker["metrics"]>[] = [];
    const rates: ReturnType<RateLimiter["metrics"]>[] = [];
    const others = Object.fromEntries(
      Object.values(PLACES).map((place): [string, object[]] => [place, []]),
    ) as Record<(typeof PLACES)[Kind], never[]>;
    for (const handle of [...(this.#sources ?? everything())]) {
      const kind = kindOf(handle);
      if (handle instanceof Pool) pools.push(handle.metrics());
      else if (handle instanceof CircuitBreaker) breakers.push(handle.metrics());
      else if (handle instanceof RateLimiter) rates.push(handle.metrics());
      else if (handle instanceof Group) {
        const members = (handle as PoolGroup | BreakerGroup).metrics();
        if ("pools" in members) pools.push(...members.pools);
        else breakers.push(...members.breakers);
      } else if (kind !== undefined) others[PLACES[kind]].push((handle as Observable).metrics() as never);
    }
    return {
      at: Date.now(),
      pools,
      breakers,
      rates,
      ...others,
      counters: Object.fromEntries(this.#counters),
    };
  }

  /** The same as OpenMetrics text, version 1.0.0, in base units, ending with `# EOF`. */
  toOpenMetrics(): string {
    return renderOpenMetrics(this.toJSON());
  }

  /** Calls `fn` with a snapshot every so many milliseconds, until the disposer is called. It keeps a Node process alive; an alert does not. @throws TypeError where an argument is wrong */
  subscribe(fn: (snapshot: MetricsSnapshot) => void, { every }: { every: number }): Disposer {
    callable("fn", fn);
    const timer = setInterval(
      () => {
        try {
          fn(this.toJSON());
        } catch (error) {
          reportError(error);
        }
      },
      milliseconds("every", every, 1),
    );
    return disposer(() => clearInterval(timer));
  }

  /**
   * Calls `notify` when `when` has held for `for` milliseconds, and again when it no longer holds. Looked at every second,
   * and at each {@link check}. A `when` or `notify` that throws is reported like any uncaught error and harms no other alert.
   *
   * @throws TypeError where a part of the rule is not what it should be
   */
  alert(rule: AlertRule): Disposer {
    if (object("rule", rule) === undefined) reject("rule", "an object", rule);
    if (typeof rule.name !== "string") reject("rule.name", "a string", rule.name);
    callable("rule.when", rule.when);
    callable("rule.notify", rule.notify);
    if (rule.for !== undefined) milliseconds("rule.for", rule.for);
    const watched: Watched = { ...rule, since: undefined, firing: false };
    this.#alerts.add(watched);
    this.#timer ??= setInterval(() => this.check(), 1000);
    // Where a process can end by itself, watching does not keep it from doing so.
    (this.#timer as { unref?: () => void }).unref?.();
    return disposer(() => {
      this.#alerts.delete(watched);
      if (this.#alerts.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    });
  }

  /**
   * The alerts that come built in: pools with more than 100 and 200 tasks at once, queues above 80 %, abandoned tasks, more
   * than 50 waiters on one lock; and pools of objects whose name says `channels`, `messages` or `responses`, where after 20
   * requests less than 85 %, 80 % or 70 % of them got one that was there.
   */
  builtInAlerts(notify: (alert: Alert) => void): Disposer {
    const all = builtInAlerts.map((rule) => this.alert({ ...rule, notify }));
    return disposer(() => {
      for (const one of all) one();
    });
  }

  /** Looks at every alert now. */
  check(): void {
    const snapshot = this.toJSON();
    for (const watched of this.#alerts) {
      try {
        judge(watched, snapshot);
      } catch (error) {
        reportError(error);
      }
    }
  }

  /** A counter of the user's own; the same name is the same counter. @throws TypeError where the name is not one that OpenMetrics takes: letters, digits and `_` */
  counter(name: string): CounterMetric {
    if (typeof name !== "string" || !/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name))
      reject("name", "letters, digits and `_`", name);
    if (name.startsWith("tidegate_")) reject("name", "a name of your own, not `tidegate_…`", name);
    // OpenMetrics adds the ending itself.
    if (name.endsWith("_total")) return this.counter(name.slice(0, -"_total".length));
    const counters = this.#counters;
    if (!counters.has(name)) counters.set(name, 0);
    return {
      name,
      get value() {
        return counters.get(name) ?? 0;
      },
      increment(by = 1) {
        if (typeof by !== "number" || !(by >= 0)) reject("by", "a number ≥ 0", by);
        const value = (counters.get(name) ?? 0) + by;
        counters.set(name, value);
        return value;
      },
    };
  }

  /** Ends every subscription to alerts. */
  [dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#alerts.clear();
  }
}

function judge(watched: Watched, snapshot: MetricsSnapshot): void {
  const holds = watched.when(snapshot);
  if (!holds) {
    const { since, firing } = watched;
    watched.since = undefined;
    watched.firing = false;
    if (firing) watched.notify({ name: watched.name, firing: false, since: since ?? snapshot.at });
    return;
  }
  watched.since ??= snapshot.at;
  if (watched.firing || snapshot.at - watched.since < (watched.for ?? 0)) return;
  watched.firing = true;
  watched.notify({ name: watched.name, firing: true, since: watched.since });
}

function disposer(end: () => void): Disposer {
  const call = (() => end()) as Disposer;
  Object.defineProperty(call, dispose, { value: call });
  return call;
}

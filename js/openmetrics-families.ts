/** The families of OpenMetrics text for each kind of handle: what each number is called, and what it says. */

import type { Kind, Numbers } from "./observed.js";

/** One family of a kind: `tidegate_<kind>_<name>`. */
export interface Numbered<M> {
  readonly name: string;
  readonly type: "counter" | "gauge" | "summary";
  readonly unit?: string;
  readonly help: string;
  /** The samples of one handle: labels besides its name, the value, and what is added to the family's name. */
  samples(
    metrics: M,
  ): readonly (readonly [labels: Readonly<Record<string, string>>, value: number, suffix?: string])[];
}

/** Families by kind. */
export const FAMILIES: { readonly [K in Kind]: readonly Numbered<Numbers[K]>[] } = {
  cache: [
    gauge("entries", "Values and remembered failures.", ({ size }) => size),
    gauge("weight", "What they weigh together.", ({ weight }) => weight),
    split("lookups", "Looks by what they found.", "outcome", (cache) => ({
      hit: cache.hits - cache.staleHits,
      stale: cache.staleHits,
      negative: cache.negativeHits,
      miss: cache.misses,
    })),
    ratio("hit", "Hits among all looks.", ({ hitRatio }) => hitRatio),
    split("departures", "Values that left, by why.", "reason", (cache) => ({
      evicted: cache.evictions,
      expired: cache.expirations,
      invalidated: cache.invalidations,
    })),
    counter("loads", "Loads.", ({ loads }) => loads),
    counter("load_failures", "Loads that failed.", ({ loadFailures }) => loadFailures),
    counter("coalesced", "Callers who shared somebody else's load.", ({ coalesced }) => coalesced),
  ],
  channel: [
    gauge("size", "Values in the buffer.", ({ size }) => size),
    gauge("capacity", "Values that the buffer takes.", ({ capacity }) => capacity),
    gauges("waiting", "Those who wait, by what for.", "side", (channel) => ({
      send: channel.waitingToSend,
      receive: channel.waitingToReceive,
    })),
    split("values", "Values by how far they came.", "outcome", ({ sent, received }) => ({ sent, received })),
    gauge("closed", "1 once it is closed.", ({ closed }) => Number(closed)),
  ],
  event: [
    gauge("is_set", "1 while it is set.", ({ set }) => Number(set)),
    gauge("waiting", "Those who wait.", ({ waiting }) => waiting),
    counter("sets", "How often it was set.", ({ sets }) => sets),
  ],
  barrier: [
    gauge("parties", "How many it takes.", ({ parties }) => parties),
    gauge("waiting", "Those who have arrived.", ({ waiting }) => waiting),
    counter("rounds", "How often all had arrived.", ({ rounds }) => rounds),
  ],
  locks: [
    gauge("held", "Leases that are held.", ({ held }) => held),
    gauge("waiting", "Those who wait.", ({ waiting }) => waiting),
    gauge("most_waiting", "The most that wait for any one lock.", ({ mostWaiting }) => mostWaiting),
    split("claims", "Claims by how they ended.", "outcome", (locks) => ({
      granted: locks.granted,
      timeout: locks.timeouts,
      conflict: locks.conflicts,
      deadlock: locks.deadlocks,
    })),
  ],
  objects: [
    gauges("count", "Objects, those being made included.", "state", ({ inUse, idle }) => ({
      in_use: inUse,
      idle,
    })),
    gauge("waiting", "Those who wait for one.", ({ waiting }) => waiting),
    split("requests", "Requests by what they got.", "outcome", ({ hits, misses }) => ({
      hit: hits,
      miss: misses,
    })),
    ratio("hit", "Requests that got one that was there.", ({ hitRatio }) => hitRatio),
    counter("created", "Objects made.", ({ created }) => created),
    counter("failed", "Objects that could not be made.", ({ failed }) => failed),
    counter("returned", "Objects that came back.", ({ returned }) => returned),
    counter("invalid", "Objects that were no longer good.", ({ invalid }) => invalid),
    counter("destroyed", "Objects that are gone.", ({ destroyed }) => destroyed),
    counter("timeouts", "Those who waited in vain.", ({ timeouts }) => timeouts),
    {
      name: "saved_bytes",
      type: "counter",
      unit: "bytes",
      help: "Memory that was used again.",
      samples: ({ bytesSaved }) => [[{}, bytesSaved, "_total"]],
    },
    took("acquire", "From asking to having one.", ({ acquireMs }) => acquireMs),
    took("reset", "What making one good again took.", ({ resetMs }) => resetMs),
  ],
  state: [
    gauge("entries", "Entries.", ({ size }) => size),
    counter("writes", "Writes and deletions.", ({ writes }) => writes),
    counter("conflicts", "Writes refused, and updates computed again.", ({ conflicts }) => conflicts),
    counter("updates", "Updates.", ({ updates }) => updates),
    counter("timeouts", "Waits that timed out.", ({ timeouts }) => timeouts),
  ],
  counter: [
    gauge("keys", "Keys that were counted.", ({ keys }) => keys),
    gauge("sum", "All values together.", ({ sum }) => sum),
  ],
  retry: [
    counter("calls", "Calls, however often each was tried.", ({ calls }) => calls),
    counter("attempts", "Attempts after the first.", ({ retries }) => retries),
    counter("exhausted", "Calls that no further attempt was left for.", ({ exhausted }) => exhausted),
  ],
  graph: [gauges("tasks", "Tasks by where they are.", "state", ({ name: _, ...states }) => states)],
  orchestrator: [
    gauge("plugins", "Plugins that are registered.", ({ plugins }) => plugins),
    gauge("max_workers", "Workers of a run that does not say otherwise.", ({ maxWorkers }) => maxWorkers),
    gauge("runs", "Runs under way.", ({ runs }) => runs),
    gauge("running", "Plugins at work.", ({ running }) => running),
    split("results", "Results by what became of the plugin.", "outcome", (plugins) => ({
      succeeded: plugins.succeeded,
      failed: plugins.failed,
      skipped: plugins.skipped,
      unavailable: plugins.unavailable,
      cancelled: plugins.cancelled,
    })),
  ],
  sink: [
    gauge("waiting", "Items that are not written yet.", ({ waiting }) => waiting),
    split("items", "Items by whether they were written.", "outcome", ({ written, failed }) => ({
      written,
      failed,
    })),
    gauge("closed", "1 once it is closed.", ({ closed }) => Number(closed)),
  ],
  pressure: [
    gauges("level", "1 for the level that holds.", "level", ({ level }) => ({ [level]: 1 })),
    gauges("used", "The shares that are known.", "source", ({ busy, memory, heap }) => ({
      ...(busy === undefined ? {} : { loop: busy }),
      ...(memory === undefined ? {} : { memory }),
      ...(heap === undefined ? {} : { heap }),
    })),
    counter("samples", "Samples taken.", ({ samples }) => samples),
    counter("changes", "Changes of the level.", ({ changes }) => changes),
    counter("alerts", "Alerts of nearly full memory.", ({ alerts }) => alerts),
  ],
  adaptive: [
    gauge("limit", "How many calls may run at once.", ({ limit }) => limit),
    split("changes", "Changes of the limit, by which way.", "direction", ({ ups, downs }) => ({
      up: ups,
      down: downs,
    })),
  ],
  workers: [
    gauge("cooperative", "1 where there are none, and the work is done on the host's thread.", ({ mode }) =>
      Number(mode === "cooperative"),
    ),
    gauge("configured", "Workers there may be.", ({ configured }) => configured),
    gauge("active", "Workers there are.", ({ workers }) => workers),
    gauge("busy", "Workers that have tasks.", ({ busy }) => busy),
    gauge("idle", "Workers that have none.", ({ idle }) => idle),
    gauge("queued", "Tasks that no worker has yet.", ({ queued }) => queued),
    gauge("running", "Tasks that workers have.", ({ running }) => running),
    split("tasks", "Tasks by how they ended.", "outcome", (workers) => ({
      completed: workers.completed,
      failed: workers.failed,
      cancelled: workers.cancelled,
      timeout: workers.timeouts,
      crashed: workers.crashed,
    })),
    counter("submitted", "Tasks taken in.", ({ submitted }) => submitted),
    counter("retried", "Tasks sent again after their worker died.", ({ retried }) => retried),
    counter("moved", "Tasks that moved from one worker's queue to an idle one.", ({ moved }) => moved),
    counter("messages", "Messages sent to workers.", ({ messages }) => messages),
    counter("spawned", "Workers started.", ({ spawned }) => spawned),
    counter("deaths", "Workers that died by themselves.", ({ deaths }) => deaths),
    counter(
      "recycled",
      "Workers replaced after enough tasks or too much memory.",
      ({ recycled }) => recycled,
    ),
  ],
  caller: [
    split("requests", "Requests by whether the quota had one left.", "outcome", (caller) => ({
      allowed: caller.requests,
      limited: caller.requestsLimited,
    })),
    split("scans", "Scans by whether the quota had one left.", "outcome", (caller) => ({
      allowed: caller.scans,
      limited: caller.scansLimited,
    })),
    split(
      "targets",
      "Targets by whether they may be contacted, and the quota had them left.",
      "outcome",
      (caller) => ({
        allowed: caller.targets - caller.targetsRefused,
        refused: caller.targetsRefused,
        limited: caller.targetsLimited,
      }),
    ),
  ],
};

function gauge<M>(name: string, help: string, of: (metrics: M) => number): Numbered<M> {
  return { name, type: "gauge", help, samples: (metrics) => [[{}, of(metrics)]] };
}

function counter<M>(name: string, help: string, of: (metrics: M) => number): Numbered<M> {
  return { name, type: "counter", help, samples: (metrics) => [[{}, of(metrics), "_total"]] };
}

function ratio<M>(name: string, help: string, of: (metrics: M) => number): Numbered<M> {
  return { ...gauge(`${name}_ratio`, help, of), unit: "ratio" };
}

type Parts<M> = (metrics: M) => Record<string, number>;

function split<M>(name: string, help: string, label: string, of: Parts<M>): Numbered<M> {
  return {
    name,
    type: "counter",
    help,
    samples: (metrics) =>
      Object.entries(of(metrics)).map(([key, value]) => [{ [label]: key }, value, "_total"]),
  };
}

function gauges<M>(name: string, help: string, label: string, of: Parts<M>): Numbered<M> {
  return {
    name,
    type: "gauge",
    help,
    samples: (metrics) => Object.entries(of(metrics)).map(([key, value]) => [{ [label]: key }, value]),
  };
}

function took<M>(
  name: string,
  help: string,
  of: (metrics: M) => { readonly count: number; readonly total: number },
): Numbered<M> {
  return {
    name: `${name}_seconds`,
    type: "summary",
    unit: "seconds",
    help,
    samples: (metrics) => [
      [{}, of(metrics).count, "_count"],
      [{}, of(metrics).total / 1000, "_sum"],
    ],
  };
}

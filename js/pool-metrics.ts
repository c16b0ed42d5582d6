import { now } from "./clock.js";
import { area, guarded } from "./core.js";
import { bindings } from "./generated/core_bg.js";
import { LIST } from "./instance.js";

/** A distribution in milliseconds; the quantiles are within 1 % of the value. */
export interface Summary {
  /** How many were measured. */
  readonly count: number;
  /** All of them together. */
  readonly sum: number;
  /** The shortest. */
  readonly min: number;
  /** The longest. */
  readonly max: number;
  /** Half were no longer than this. */
  readonly p50: number;
  /** Nine in ten were no longer than this. */
  readonly p90: number;
  /** 19 in 20 were no longer than this. */
  readonly p95: number;
  /** 99 in 100 were no longer than this. */
  readonly p99: number;
  /** 999 in 1,000 were no longer than this. */
  readonly p999: number;
}

/** Every number of a pool. Times are milliseconds. */
export interface PoolMetrics {
  /** The name given with the options. */
  readonly name: string;
  /** Tasks that hold slots, now. */
  readonly active: number;
  /** Tasks in the queue, now. */
  readonly queued: number;
  /** Tasks that wait outside the queue, now. */
  readonly waitingForRoom: number;
  /** Tasks without a slot whose function goes on, now. */
  readonly abandoned: number;
  /** Slots, now. */
  readonly concurrency: number;
  /** Slots that are taken, now: a task of weight 3 takes three. */
  readonly slotsInUse: number;
  /** Tasks the queue takes; infinite when it is unbounded. */
  readonly queueCapacity: number;
  /** The most tasks that ever ran at once. */
  readonly peakActive: number;
  /** How long the oldest running task has been at it. */
  readonly oldestRun: number;
  /** Let in: started, queued or waiting for room. */
  readonly accepted: number;
  /** Let run. */
  readonly started: number;
  /** Ended with a value. */
  readonly completed: number;
  /** Ended with an error that counts as a failure. */
  readonly failed: number;
  /** Called off, waiting or running, or ended in a way that says nothing about the target: a refusal of another policy. */
  readonly cancelled: number;
  /** Sacrificed by the overflow rule. */
  readonly dropped: number;
  /** Refused by a full queue or a closed intake. */
  readonly rejected: number;
  /** Refused by a rate or a breaker. */
  readonly blocked: number;
  /** Refused because they could not start before their deadline. */
  readonly shed: number;
  /** Waited as long as they would. */
  readonly queueTimeouts: number;
  /** Ran longer than they may. */
  readonly taskTimeouts: number;
  /** Leases released after they had been taken back. */
  readonly lateReleases: number;
  /** From call to start. */
  readonly wait: Summary;
  /** From start to end. */
  readonly run: Summary;
}

const NUMBERS = [
  "active",
  "queued",
  "waitingForRoom",
  "abandoned",
  "concurrency",
  "slotsInUse",
  "peakActive",
  "oldestRun",
  "accepted",
  "started",
  "completed",
  "failed",
  "cancelled",
  "dropped",
  "rejected",
  "blocked",
  "shed",
  "queueTimeouts",
  "taskTimeouts",
  "lateReleases",
] as const;

const SUMMARY = ["count", "sum", "min", "max", "p50", "p90", "p95", "p99", "p999"] as const;

/** Reads every number of a pool from the reply area. */
export function readPoolMetrics(name: string, id: number, queueCapacity: number): PoolMetrics {
  guarded(() => bindings.pool_stats(id, now()));
  const cells = area();
  const numbers = Object.fromEntries(NUMBERS.map((key, at) => [key, cells[LIST + at]]));
  const wait = readSummary(cells, LIST + NUMBERS.length);
  const run = readSummary(cells, LIST + NUMBERS.length + SUMMARY.length);
  return { name, queueCapacity, ...numbers, wait, run } as unknown as PoolMetrics;
}

/** Reads a distribution from the reply area. */
export function readSummary(cells: Float64Array, from: number): Summary {
  return Object.fromEntries(SUMMARY.map((key, at) => [key, cells[from + at]])) as unknown as Summary;
}

import { now } from "./clock.js";
import { area, guarded } from "./core.js";
import * as bindings from "./generated/core_bg.js";
import { LIST } from "./instance.js";

/** A distribution in milliseconds; the quantiles are within 1 % of the value. */
export interface Summary {
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
}

/** Every number of a pool. Times are milliseconds. */
export interface PoolMetrics {
  readonly name: string;
  readonly active: number;
  readonly queued: number;
  readonly waitingForRoom: number;
  readonly abandoned: number;
  readonly concurrency: number;
  readonly slotsInUse: number;
  /** Tasks the queue takes; infinite when it is unbounded. */
  readonly queueCapacity: number;
  /** The most tasks that ever ran at once. */
  readonly peakActive: number;
  /** How long the oldest running task has been at it. */
  readonly oldestRun: number;
  /** Let in: started, queued or waiting for room. */
  readonly accepted: number;
  readonly started: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly dropped: number;
  /** Refused by a full queue or a closed intake. */
  readonly rejected: number;
  /** Refused by a rate or a breaker. */
  readonly blocked: number;
  /** Refused because they could not start before their deadline. */
  readonly shed: number;
  readonly queueTimeouts: number;
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

/** What a pool of workers and its calls can be told, read and judged once. */

import { platform } from "#worker-platform";
import {
  abortSignal,
  boolean,
  bound,
  callable,
  choice,
  integer,
  milliseconds,
  nameOf,
  number,
  object,
  reject,
} from "../options.js";
import type { WorkerLike } from "../worker-platform/platform.js";

export type { WorkerLike } from "../worker-platform/platform.js";

/** What a pool of workers is made of. */
export interface WorkerPoolOptions {
  /**
   * Makes a worker whose module calls `expose`: a browser's `Worker`, or one of `node:worker_threads`. Bundlers find the
   * worker where this is the literal `new Worker(new URL("./my-worker.js", import.meta.url), { type: "module" })`. `name`
   * is what a debugger may show.
   * @default the package's own worker, with its kernels
   */
  worker?: (options: { name: string }) => WorkerLike;
  /**
   * Imports the worker's module here, where there are no workers or `worker` fails to load: `() => import("./my-worker.js")`.
   * The same calls then run on this thread, in slices. @default what `expose` was given on this thread
   */
  fallback?: () => unknown;
  /** How many workers. `min` are started at once and stay; up to `max` come when there is work for them. @default min 0, so that nothing starts before there is work; max the number of cores, or 4 where the platform does not say */
  size?: number | { min?: number; max?: number };
  /** For messages, metrics, and the workers' own names. @default "workers" */
  name?: string;
  /** Milliseconds without work after which a worker above `min` exits; `Infinity` keeps it. @default 60,000: a start costs 20 to 60 ms and an idle worker some megabytes */
  idle?: number;
  /** Milliseconds that a task may run; its worker is ended then, as nothing else stops a loop. @default none, because how long is too long only the caller knows */
  taskTimeout?: number;
  /** After so many tasks, or when it has taken so many bytes, a worker is replaced: linear memory never shrinks. @default never */
  recycle?: number | { tasks?: number; memory?: number };
  /** Who gets a task: the worker with the least work, by what such tasks have cost so far, or one after the other. @default "least-busy" */
  dispatch?: "least-busy" | "round-robin";
  /** How often an idempotent task whose worker died is tried again. @default 2 */
  retries?: number;
  /** Bounds how many tasks may wait for a worker. @default unbounded */
  queue?: {
    /** Tasks that may wait beside those that a worker could take at once. @default unbounded */
    capacity?: number;
    /** What happens to a task that finds it full: it is refused with `QueueFullError`, it is dropped, or the longest queued of the lowest priority is. @default "error" */
    overflow?: "error" | "drop-newest" | "drop-oldest";
    /** Milliseconds from call to a worker. @default none */
    waitTimeout?: number;
  };
  /** Async functions that a worker may call and wait for, by `callOutside`. @default none */
  outside?: Record<string, (...args: never[]) => unknown>;
  /** Milliseconds that a cancelled task which a worker has may go on before the worker is ended. @default 1,000 */
  grace?: number;
}

/** What one call can be told. */
export interface WorkerRunOptions {
  /** What goes along instead of a copy of it; the caller has it no longer. */
  transfer?: readonly Transferable[];
  /** Whether it may run again when its worker dies; not where something was transferred, which is gone with it. @default false */
  idempotent?: boolean;
  /** Gives the call up in the tick of the abort; its promise rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** −100 to 100, higher first. @default 0 */
  priority?: number;
  /** Milliseconds that it may run. @default the pool's `taskTimeout` */
  timeout?: number;
  /** Milliseconds from call to a worker. @default the queue's */
  waitTimeout?: number;
  /** Epoch milliseconds by which all of it must be over. */
  deadline?: number;
  /** Calls of one key go to one worker while it can keep up. @default none */
  key?: string;
}

export interface WorkerPoolConfig {
  readonly worker: ((options: { name: string }) => WorkerLike) | undefined;
  readonly fallback: (() => unknown) | undefined;
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly idle: number;
  readonly taskTimeout: number;
  readonly recycleTasks: number;
  readonly recycleMemory: number;
  readonly roundRobin: boolean;
  readonly retries: number;
  readonly capacity: number;
  readonly overflow: number;
  readonly waitTimeout: number;
  readonly outside: Record<string, (...args: never[]) => unknown>;
  readonly grace: number;
}

const NEVER = Number.POSITIVE_INFINITY;
const MOST = 1024;
const OVERFLOWS = ["error", "drop-newest", "drop-oldest"] as const;

/** @throws TypeError that names what is wrong */
export function parseWorkerPool(options: WorkerPoolOptions): WorkerPoolConfig {
  const name = nameOf(options, "workers");
  const {
    worker,
    fallback,
    idle = 60_000,
    taskTimeout = NEVER,
    dispatch = "least-busy",
    retries = 2,
  } = options;
  if (worker !== undefined) callable("worker", worker);
  if (fallback !== undefined) callable("fallback", fallback);
  const { min, max } = sizeOf(options.size);
  const recycle = typeof options.recycle === "number" ? { tasks: options.recycle } : options.recycle;
  const { tasks, memory } = object("recycle", recycle) ?? {};
  const { capacity, overflow = "error", waitTimeout = NEVER } = object("queue", options.queue) ?? {};
  const outside = object("outside", options.outside) ?? {};
  for (const [key, fn] of Object.entries(outside)) callable(`outside.${key}`, fn);
  return {
    worker,
    fallback,
    name,
    min,
    max,
    idle: milliseconds("idle", idle),
    taskTimeout: milliseconds("taskTimeout", taskTimeout),
    recycleTasks: bound("recycle.tasks", tasks, 1),
    recycleMemory: memory === undefined ? NEVER : number("recycle.memory", memory, 1),
    roundRobin: choice("dispatch", dispatch, ["least-busy", "round-robin"]) === "round-robin",
    retries: integer("retries", retries, 0, 1000),
    capacity: bound("queue.capacity", capacity, 0),
    overflow: OVERFLOWS.indexOf(choice("queue.overflow", overflow, OVERFLOWS)),
    waitTimeout: milliseconds("queue.waitTimeout", waitTimeout),
    outside,
    grace: milliseconds("grace", options.grace ?? 1000),
  };
}

function sizeOf(size: WorkerPoolOptions["size"]): { min: number; max: number } {
  if (typeof size === "number") {
    integer("size", size, 1, MOST);
    return { min: 0, max: size };
  }
  const { min, max } = object("size", size) ?? {};
  if (max !== undefined) integer("size.max", max, 1, MOST);
  if (min !== undefined) integer("size.min", min, 0, MOST);
  const most = max ?? Math.max(min ?? 0, platform.cores() ?? 4);
  if (min !== undefined && min > most) reject("size.min", `at most \`size.max\` (${most})`, min);
  return { min: min ?? 0, max: most };
}

/** The options of a call that are not what they usually are. */
export interface ParsedRun {
  readonly transfer: readonly Transferable[] | undefined;
  readonly idempotent: boolean;
  readonly signal: AbortSignal | undefined;
  readonly priority: number;
  readonly timeout: number;
  readonly waitTimeout: number;
  readonly deadline: number;
  readonly key: string | undefined;
}

export function parseRun(options: WorkerRunOptions, config: WorkerPoolConfig): ParsedRun {
  const {
    transfer,
    idempotent = false,
    signal,
    priority = 0,
    timeout,
    waitTimeout,
    deadline = NEVER,
    key,
  } = object("options", options) ?? {};
  if (transfer !== undefined && !Array.isArray(transfer)) reject("transfer", "an array", transfer);
  if (key !== undefined && typeof key !== "string") reject("key", "a string", key);
  return {
    transfer: transfer?.length === 0 ? undefined : transfer,
    idempotent: boolean("idempotent", idempotent),
    signal: abortSignal("signal", signal),
    priority: integer("priority", priority, -100, 100),
    timeout: timeout === undefined ? NEVER : milliseconds("timeout", timeout),
    waitTimeout: waitTimeout === undefined ? config.waitTimeout : milliseconds("waitTimeout", waitTimeout),
    deadline: milliseconds("deadline", deadline),
    key,
  };
}

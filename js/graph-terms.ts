/** What goes into a task graph, and what comes out of it. */

import type { TaskContext } from "./work.js";

/** Values by the names of those who gave them. Who did not succeed has none. */
export type Results = Readonly<Record<string, unknown>>;

/** A task of a graph. */
export interface GraphTask<T> {
  /** The tasks that must end before it starts; its results are theirs. Before `execute` they may be added later than it. */
  dependsOn?: readonly string[];
  /** −100 to 100, higher first among those that are ready. @default 0 */
  priority?: number;
  /** How many slots it takes; what is heavier than all of them takes all. @default 1 */
  weight?: number;
  /** What it does when something it depends on did not succeed. @default what `execute` is told */
  onFailure?: "skip" | "run";
  /** Called when it starts, with the results of what it depends on. */
  run(ctx: TaskContext, results: Results): T | PromiseLike<T>;
}

/** Where a task is. */
export type GraphTaskState =
  | "waiting"
  | "ready"
  | "running"
  | "succeeded"
  | "failed"
  | "skipped"
  | "cancelled";

/** How a graph is executed. */
export interface ExecuteOptions {
  /** Slots for tasks; one that waits for another holds none. @default 10 */
  concurrency?: number;
  /** What happens to dependents of a task that did not succeed, unless they say so themselves. @default "skip" */
  onFailure?: "skip" | "run";
  /** Cancels every task; the execution rejects with its reason. */
  signal?: AbortSignal;
  /**
   * The task that awaits this execution. A task of the graph that waits for what only that one could give back is turned away with
   * `DeadlockError` the moment it hangs; its deadline is inherited.
   */
  parent?: TaskContext;
  /** Called each time a task has ended, in whatever way. */
  onProgress?(done: number, total: number): void;
}

/** What became of one task. Moments are epoch milliseconds. */
export interface GraphTaskReport {
  readonly id: string;
  readonly state: GraphTaskState;
  /** What it gave, where it succeeded. */
  readonly value?: unknown;
  /** What it threw, where it failed; why, where it was cancelled. */
  readonly error?: unknown;
  /** The task at the root of its being skipped. */
  readonly because?: string;
  readonly addedAt: number;
  /** When the last of its dependencies had ended. */
  readonly readyAt?: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** Milliseconds it ran; absent where it did not. */
  readonly duration?: number;
}

/** What an execution came to. */
export interface GraphReport {
  /** The values of the tasks that succeeded. */
  readonly results: Results;
  /** Every task, in the order in which they were added. */
  readonly tasks: readonly GraphTaskReport[];
  /** The chain of dependent tasks whose running times add up to the most: with any number of slots it takes that long. */
  readonly criticalPath: readonly string[];
  /** Milliseconds along it. */
  readonly criticalTime: number;
  /** Milliseconds that the execution took. */
  readonly duration: number;
  /** How many tasks there are. */
  readonly total: number;
}

/** What a graph tells those who listen. */
export interface GraphEvents {
  /** A task is somewhere else now. */
  state: { id: string; from: GraphTaskState; to: GraphTaskState };
  /** A task was cancelled because it waited for those who waited for it. */
  deadlock: { id: string; chain: readonly string[] };
}

/** Every number of a graph. */
export interface GraphMetrics {
  readonly name: string;
  readonly waiting: number;
  readonly ready: number;
  readonly running: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly skipped: number;
  readonly cancelled: number;
}

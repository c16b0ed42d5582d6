/** A task in its graph, and one execution of it. */

import type {
  ExecuteOptions,
  GraphReport,
  GraphTask,
  GraphTaskReport,
  GraphTaskState,
} from "./graph-terms.js";
import type { LockOwner } from "./lock-owners.js";
import type { Pool, Submission } from "./pool.js";
import type { TaskContext } from "./work.js";

/** A task. */
export interface One {
  readonly id: string;
  readonly dependsOn: readonly string[];
  readonly weight: number;
  readonly run: GraphTask<unknown>["run"];
  readonly addedAt: number;
  ticket: number;
  state: GraphTaskState;
  work: Submission<unknown> | undefined;
  // As whom it holds and waits: its context, once it has one.
  owner: LockOwner | undefined;
  // Says that it does not wait to be started any more, where the wait was told.
  starts: (() => void) | undefined;
  value?: unknown;
  error?: unknown;
  // What it has come to, once it has: its moments do not change any more.
  report: GraphTaskReport | undefined;
}

/** An execution of all of them. */
export interface Execution {
  readonly pool: Pool;
  readonly concurrency: number;
  readonly parent: TaskContext | undefined;
  readonly began: number;
  readonly unwatch: () => void;
  readonly onProgress: ExecuteOptions["onProgress"];
  readonly resolve: (report: GraphReport) => void;
  readonly reject: (error: unknown) => void;
}

/** As whom a task holds and waits. */
export function ownerOf(one: One): LockOwner {
  return (one.owner ??= { name: one.id });
}

/** Whether a task is still to end. */
export function isOpen(one: One): boolean {
  return one.report === undefined;
}

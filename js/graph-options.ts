/** What a task graph and its tasks can be told, read and judged once. */

import type { ExecuteOptions, GraphTask } from "./graph-terms.js";
import { abortSignal, callable, choice, integer, object, reject } from "./options.js";
import { type TaskContext, workOf } from "./work.js";

/** What a task needs to start and what its end means, as it crosses. */
export interface ParsedTask {
  readonly needs: readonly string[];
  readonly priority: number;
  readonly weight: number;
  /** When a dependency does not succeed: 0 it is skipped, 1 it runs, 2 as the execution says. */
  readonly policy: number;
  readonly run: GraphTask<unknown>["run"];
}

export function parseTask<T>(id: string, task: GraphTask<T>): ParsedTask {
  if (typeof id !== "string") reject("id", "a string", id);
  if (object("task", task) === undefined) reject("task", "an object", task);
  const { dependsOn = [], priority = 0, weight = 1, onFailure, run } = task;
  if (!Array.isArray(dependsOn) || dependsOn.some((name) => typeof name !== "string"))
    reject("dependsOn", "an array of strings", dependsOn);
  return {
    needs: [...new Set<string>(dependsOn)],
    priority: integer("priority", priority, -100, 100),
    weight: integer("weight", weight, 1, 65_535),
    policy: onFailure === undefined ? 2 : Number(choice("onFailure", onFailure, ["skip", "run"]) === "run"),
    run: callable("run", run).bind(task) as GraphTask<unknown>["run"],
  };
}

export interface ParsedExecution {
  readonly concurrency: number;
  /** Whether tasks are skipped when a dependency does not succeed, unless they say otherwise. */
  readonly skips: boolean;
  readonly parent: TaskContext | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ExecuteOptions["onProgress"];
}

export function parseExecution(options: ExecuteOptions): ParsedExecution {
  if (object("options", options) === undefined) reject("options", "an object", options);
  const { concurrency = 10, onFailure = "skip", parent, onProgress } = options;
  integer("concurrency", concurrency, 1, 65_535);
  const skips = choice("onFailure", onFailure, ["skip", "run"]) === "skip";
  if (onProgress !== undefined) callable("onProgress", onProgress);
  if (parent !== undefined && workOf(parent) === undefined) reject("parent", "the context of a task", parent);
  return { concurrency, skips, parent, signal: abortSignal("signal", options.signal), onProgress };
}

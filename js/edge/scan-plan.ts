/** What a scan of many shards is: its plan, and what its parts say to each other. */

import type { Level, PluginResult, Report } from "../scan/types.js";

/** A target that is not contacted, and why. */
export interface RefusedTarget {
  target: string;
  /** Stable: compare this, not the message. */
  reason: string;
  /** One sentence. */
  message: string;
}

/** Everything that a job begins with. */
export interface ScanPlan {
  id: string;
  /** Whose it is: nobody else is told of it. */
  owner: string;
  /** The report before anything has run: it names tool, mode, plugins and targets. */
  report: Report;
  /** The level of each plugin of the scan. */
  levels: Record<string, Level>;
  refused: RefusedTarget[];
  /** Targets of one shard. */
  shard: number;
  /** Milliseconds until a consumer that says nothing is taken for dead. */
  lease: number;
  /** Milliseconds for which the results are kept after the end. */
  keep: number;
}

/** A message of the queue. It only says where there is work to do: the job knows what. */
export interface ShardMessage {
  job: string;
  shard: number;
}

/** What a consumer that asks for a shard is told. */
export type Claim =
  | {
      kind: "granted";
      lease: number;
      plugins: string[];
      levels: Record<string, Level>;
      targets: string[];
      /** What is known of these targets already. */
      report: Report;
    }
  /** Another consumer has it. */
  | { kind: "held" }
  /** Nothing is left to do. */
  | { kind: "over" };

/** What a consumer says of its shard. */
export interface ShardWord {
  shard: number;
  /** Who says it. */
  holder: string;
}

/**
 * Targets in shards. Those of one host stand together, because only a scan of its own knows what one host bears.
 */
export function shardsOf(targets: readonly string[], size: number): string[][] {
  const byHost = new Map<string, string[]>();
  for (const target of targets) {
    const host = new URL(target).host;
    const those = byHost.get(host);
    if (those === undefined) byHost.set(host, [target]);
    else those.push(target);
  }
  const shards: string[][] = [];
  let last: string[] | undefined;
  for (const those of byHost.values()) {
    for (const target of those) {
      if (last === undefined || last.length === size) shards.push((last = []));
      last.push(target);
    }
  }
  return shards;
}

/** The result of a run that never was. */
export function neverRan(
  target: string,
  plugin: string,
  level: Level,
  start: number,
  error: string,
): PluginResult {
  return {
    plugin,
    target,
    start,
    duration: null,
    status: "error",
    error,
    level,
    waited: 0,
    summary: "",
    findings: [],
    details: null,
  };
}

/** The longest result that is kept, in bytes: a row holds 2 MB. */
const LONGEST_RESULT = 1_000_000;

/** A result as it is kept: one that is too long is an error that says so. */
export function keepable(result: PluginResult): { result: PluginResult; json: string; bytes: number } {
  const { json, bytes } = written(result);
  if (bytes <= LONGEST_RESULT) return { result, json, bytes };
  const { target, plugin, level, start } = result;
  const short = neverRan(target, plugin, level, start, `The result is too long to be kept: ${bytes} bytes`);
  return { result: short, ...written(short) };
}

/** A value as JSON, and how many bytes that is. */
export function written(value: object): { json: string; bytes: number } {
  const json = JSON.stringify(value);
  return { json, bytes: new TextEncoder().encode(json).length };
}

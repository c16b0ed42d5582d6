// What is known of each target so far: one row a target, in the order given, filled as results come.

import type { PluginResult, RunStatus, Severity } from "tidegate/scan";
import type { SeenEvent } from "./edge-scanner.js";

export interface Row {
  readonly index: number;
  readonly target: string;
  readonly results: Map<string, PluginResult>;
  findings: number;
  worst: Severity | null;
  /** Some run did not end as it should have, or nobody answered. */
  failed: boolean;
  done: boolean;
}

export type Filter = "all" | "findings" | "failed";

const SEVERITIES: readonly Severity[] = ["critical", "high", "medium", "low", "info"];

export class Board {
  #rows: Row[] = [];
  #byTarget = new Map<string, Row>();
  #plugins: string[] = [];
  #counts: Record<Filter, number> = { all: 0, findings: 0, failed: 0 };

  /** Plugins of this scan, one column each. */
  get plugins(): readonly string[] {
    return this.#plugins;
  }

  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** Takes in what an event says of the targets. */
  take(event: SeenEvent): void {
    if (event.type === "started") this.#begin(event.targets, event.plugins);
    else if (event.type === "result") this.#record(event.result);
    else if (event.type === "target-done") this.#finish(event.target);
    else if (event.type === "done") for (const result of event.report.results) this.#record(result);
  }

  row(target: string): Row | undefined {
    return this.#byTarget.get(target);
  }

  visible(filter: Filter): readonly Row[] {
    return filter === "all" ? this.#rows : this.#rows.filter((row) => matches(row, filter));
  }

  count(filter: Filter): number {
    return this.#counts[filter];
  }

  #begin(targets: readonly string[], plugins: readonly string[]): void {
    this.#plugins = [...plugins];
    this.#rows = targets.map((target, index) => ({
      index,
      target,
      results: new Map(),
      findings: 0,
      worst: null,
      failed: false,
      done: false,
    }));
    this.#byTarget = new Map(this.#rows.map((row) => [row.target, row]));
    this.#counts = { all: this.#rows.length, findings: 0, failed: 0 };
  }

  #record(result: PluginResult): void {
    const row = this.#byTarget.get(result.target);
    if (row === undefined || row.results.has(result.plugin)) return;
    const before = { ...row };
    row.results.set(result.plugin, result);
    row.failed ||= failed(result.status) || unreachable(result);
    for (const { severity } of result.findings) {
      if (severity !== "info") row.findings += 1;
      row.worst = worse(row.worst, severity);
    }
    for (const filter of ["findings", "failed"] as const) {
      if (matches(row, filter) && !matches(before, filter)) this.#counts[filter] += 1;
    }
  }

  #finish(target: string): void {
    const row = this.#byTarget.get(target);
    if (row !== undefined) row.done = true;
  }
}

/** A run that ended, though not as it should have. */
export function failed(status: RunStatus): boolean {
  return status === "error" || status === "timeout";
}

function matches(row: Row, filter: Filter): boolean {
  switch (filter) {
    case "all":
      return true;
    case "findings":
      return row.findings > 0;
    case "failed":
      return row.failed;
  }
}

/** The HTTP probe ends well when it learns that nobody answers; to a reader that target failed. */
export function unreachable(result: PluginResult): boolean {
  return result.plugin === "http-probe" && result.details?.reachable === false;
}

function worse(a: Severity | null, b: Severity): Severity {
  return a === null || SEVERITIES.indexOf(b) < SEVERITIES.indexOf(a) ? b : a;
}

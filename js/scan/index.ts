/** `tidegate/scan`: scans of endpoints, with plugins, through levels of pools. */
import { scanModule } from "./instance.js";
import type { Level, Mode, PluginName, ReadTargets, Report } from "./types.js";

export { Scanner } from "./scanner.js";
export type * from "./types.js";

/** The plugins that come with the package. */
export function plugins(): { name: PluginName; mode: Mode; level: Level }[] {
  return scanModule().plugin_list() as { name: PluginName; mode: Mode; level: Level }[];
}

/** What a list of targets names, each once, and what in it names nothing, one sentence each. Nothing is contacted. */
export function readTargets(inputs: Iterable<string>): ReadTargets {
  return scanModule().read_targets(Array.from(inputs, String)) as ReadTargets;
}

/** A report as CSV: a row for each finding, and one for each run without any. */
export function toCsv(report: Report): string {
  return scanModule().report_csv(JSON.stringify(report));
}

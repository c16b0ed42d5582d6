/** `tidegate/scan`: scans of endpoints, with plugins, through levels of pools. */
import { scanModule } from "./instance.js";
import type { Level, Mode, PluginName, ReadTargets, Report } from "./types.js";

export { toHtml } from "./html.js";
export { toSarif } from "./sarif.js";
export { Scanner } from "./scanner.js";
export type * from "./types.js";

/**
 * The plugins that come with the package: name, mode, and the level they run in.
 *
 * @example
 * ```ts
 * import { plugins } from "tidegate/scan";
 *
 * console.log(plugins().filter(({ mode }) => mode === "active").map(({ name }) => name)); // → [ 'cors-policy' ]
 * ```
 */
export function plugins(): { name: PluginName; mode: Mode; level: Level }[] {
  return scanModule().plugin_list() as { name: PluginName; mode: Mode; level: Level }[];
}

/**
 * What a list of targets names, each once, and what in it names nothing, one sentence each. Nothing is contacted.
 *
 * @example
 * ```ts
 * import { readTargets } from "tidegate/scan";
 *
 * console.log(readTargets(["example.com, localhost:3000"]).targets.join(" ")); // → https://example.com/ http://localhost:3000/
 * ```
 */
export function readTargets(inputs: Iterable<string>): ReadTargets {
  return scanModule().read_targets(Array.from(inputs, String)) as ReadTargets;
}

/**
 * A report as CSV: a row for each finding, and one for each run without any.
 *
 * @example
 * ```ts
 * import { Scanner, toCsv } from "tidegate/scan";
 *
 * const scanner = new Scanner({ plugins: ["http-probe"], fetch: async () => new Response("hello") });
 * for await (const _ of scanner.scan(["https://shop.example"]));
 * console.log(toCsv(scanner.report()).split(",")[0]); // → target
 * ```
 */
export function toCsv(report: Report): string {
  return scanModule().report_csv(JSON.stringify(report));
}

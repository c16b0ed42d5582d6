/**
 * Reports as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which code hosts and editors read.
 *
 * What is found in a target stands in it as text: braces are doubled and brackets that would make a link are escaped, as the standard has it for
 * message strings (3.11.5 and 3.11.6).
 */

import type { Finding, PluginResult, Report, Severity } from "./types.js";

/** What a severity is in SARIF, and in the scale of CVSS by which code hosts sort (GitHub: `security-severity`). */
const LEVELS: Record<Severity, { level: "error" | "warning" | "note"; score: number }> = {
  critical: { level: "error", score: 9.5 },
  high: { level: "error", score: 8 },
  medium: { level: "warning", score: 5.5 },
  low: { level: "note", score: 2.5 },
  info: { level: "note", score: 0 },
};

/** Runs that failed and are told of one by one; of a network that was down, a hundred are as clear as ten thousand. */
const MOST_FAILURES = 100;

interface Rule {
  readonly index: number;
  readonly first: Finding;
  worst: Severity;
}

/** Writes a report some results at a time: what it keeps of them is one rule for each kind of finding, and the first failures. */
export class SarifWriter {
  readonly #rules = new Map<string, Rule>();
  readonly #failures: Pick<PluginResult, "plugin" | "target" | "error">[] = [];
  #failed = 0;
  #isFirst = true;

  begin(): string {
    return `{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"results":[`;
  }

  add(results: readonly PluginResult[]): string {
    let text = "";
    for (const result of results) {
      if (result.status === "error" || result.status === "timeout") {
        this.#failed += 1;
        const { plugin, target, error } = result;
        if (this.#failed <= MOST_FAILURES) this.#failures.push({ plugin, target, error });
      }
      for (const finding of result.findings) {
        text += (this.#isFirst ? "" : ",") + JSON.stringify(this.#resultOf(finding));
        this.#isFirst = false;
      }
    }
    return text;
  }

  /** The rest, with what only the whole knows. The results of `report` are not looked at. */
  end(report: Report): string {
    const { tool, mode, plugins, started, finished, complete, summary } = report;
    const driver = { name: tool.name, semanticVersion: tool.version, rules: this.#writtenRules() };
    const invocation = {
      executionSuccessful: complete,
      startTimeUtc: new Date(started).toISOString(),
      ...(finished === null ? {} : { endTimeUtc: new Date(finished).toISOString() }),
      toolExecutionNotifications: this.#notifications(),
    };
    const properties = { mode, plugins, summary };
    const rest = JSON.stringify({ tool: { driver }, invocations: [invocation], properties });
    return `],${rest.slice(1)}]}`;
  }

  #resultOf(finding: Finding): object {
    const { id, title, severity, evidence, remediation, vector, plugin, target } = finding;
    let rule = this.#rules.get(id);
    if (rule === undefined)
      this.#rules.set(id, (rule = { index: this.#rules.size, first: finding, worst: severity }));
    if (LEVELS[severity].score > LEVELS[rule.worst].score) rule.worst = severity;
    return {
      ruleId: id,
      ruleIndex: rule.index,
      level: LEVELS[severity].level,
      message: { text: plain(evidence === "" ? title : `${title}: ${evidence}`) },
      locations: locations(target),
      partialFingerprints: { "finding/v1": [target, id, title].join(" ") },
      properties: { severity, plugin, evidence, remediation, ...(vector === undefined ? {} : { vector }) },
    };
  }

  #writtenRules(): object[] {
    return [...this.#rules.values()].map(({ first, worst }) => ({
      id: first.id,
      shortDescription: { text: plain(first.title) },
      ...(first.remediation === "" ? {} : { help: { text: plain(first.remediation) } }),
      defaultConfiguration: { level: LEVELS[worst].level },
      properties: {
        "security-severity": LEVELS[worst].score.toFixed(1),
        tags: ["security", first.plugin],
      },
    }));
  }

  #notifications(): object[] {
    const told: object[] = this.#failures.map(({ plugin, target, error }) => ({
      level: "error",
      message: { text: plain(`${plugin}: ${error ?? "it failed"}`) },
      locations: locations(target),
    }));
    const more = this.#failed - this.#failures.length;
    if (more > 0) told.push({ level: "error", message: { text: `${more} more runs failed.` } });
    return told;
  }
}

/**
 * A report as SARIF 2.1.0: a result for each finding, a rule for each kind of them, and a notification for each run that failed, up to a hundred.
 *
 * @example
 * ```ts
 * import { Scanner, toSarif } from "tidegate/scan";
 *
 * const scanner = new Scanner({ plugins: ["security-headers"], fetch: async () => new Response("hello") });
 * for await (const _ of scanner.scan(["https://shop.example"]));
 * const { version, runs } = JSON.parse(toSarif(scanner.report()));
 * console.log(version, runs[0].tool.driver.name); // → 2.1.0 tidegate
 * ```
 */
export function toSarif(report: Report): string {
  const writer = new SarifWriter();
  return writer.begin() + writer.add(report.results) + writer.end(report);
}

/** A target is no file and has no lines; readers of SARIF want one all the same. */
function locations(target: string): object[] {
  return [{ physicalLocation: { artifactLocation: { uri: target }, region: { startLine: 1 } } }];
}

function plain(text: string): string {
  const whole = text.replace(/[{}]/g, "$&$&");
  // Every bracket before the last that could end a link's text: to find the pairs would take a target's long row of brackets squared.
  // With the backslashes before it: else two of them would be one, and the bracket as it was.
  const last = Math.max(0, whole.lastIndexOf("]("));
  return whole.slice(0, last).replace(/[\\[]/g, "\\$&") + whole.slice(last);
}

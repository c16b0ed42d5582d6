/**
 * Reports as one HTML page that needs nothing else: no script, no download, light and dark. What a target says stands in it as text, and a
 * policy in its head lets it run and fetch nothing, should that ever fail.
 */

import type { Finding, PluginResult, Report, Severity } from "./types.js";

const SEVERITIES: readonly Severity[] = ["critical", "high", "medium", "low", "info"];

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--quiet:#8882;font:15px/1.5 system-ui,sans-serif}
body{max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.25rem 0}
dl{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:1rem 0}dt{opacity:.7;font-size:.85rem}dt::first-letter{text-transform:capitalize}dd{margin:0;font-size:1.4rem}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0}summary{padding:.5rem .75rem;cursor:pointer;overflow-wrap:anywhere}
article,li{border-top:1px solid var(--line);padding:.5rem .75rem;overflow-wrap:anywhere}
ul{list-style:none;margin:0;padding:0;border:1px solid var(--line);border-radius:6px}li:first-child{border:0}
h3{font-size:1rem;margin:0}code{display:block;white-space:pre-wrap;background:var(--quiet);padding:.25rem .5rem;border-radius:4px}
small{opacity:.7}b{border-radius:4px;padding:0 .4rem;font-size:.8rem;color:#fff;background:#5c6770}
.critical{background:#8b1a3c}.high{background:#b3261e}.medium{background:#8a5300}.low{background:#1f5f8b}`;

/**
 * A report as a page of its own: what was found by target, the worst first, then what could not be looked at.
 *
 * @example
 * ```ts
 * import { Scanner, toHtml } from "tidegate/scan";
 *
 * const scanner = new Scanner({ plugins: ["security-headers"], fetch: async () => new Response("hello") });
 * for await (const _ of scanner.scan(["https://shop.example"]));
 * console.log(toHtml(scanner.report()).startsWith("<!doctype html>")); // → true
 * ```
 */
export function toHtml(report: Report): string {
  const found = new Map<string, Finding[]>();
  const failed: PluginResult[] = [];
  for (const result of report.results) {
    if (result.status === "error" || result.status === "timeout") failed.push(result);
    if (result.findings.length === 0) continue;
    const those = found.get(result.target);
    if (those === undefined) found.set(result.target, [...result.findings]);
    else those.push(...result.findings);
  }
  for (const findings of found.values()) findings.sort((a, b) => rank(a) - rank(b));
  const targets = [...found].sort(([, a], [, b]) => rank(a[0]) - rank(b[0]));
  return [
    `<!doctype html>\n<html lang="en"><head><meta charset="utf-8">`,
    `<meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    `<meta name="viewport" content="width=device-width"><title>Scan of ${count(report.summary.targets, "target")}</title>`,
    `<style>${STYLE}</style></head><body>`,
    headOf(report),
    `<h2>Findings</h2>`,
    targets.length === 0 ? "<p>Nothing was found.</p>" : targets.map(targetOf).join("\n"),
    listOf(
      "Runs that failed",
      failed.map(({ plugin, target, error }) => [target, `${plugin}: ${error ?? "it failed"}`]),
    ),
    listOf(
      "Not scanned",
      report.invalid.map(({ input, message }) => [input, message]),
    ),
    `</body></html>\n`,
  ].join("\n");
}

function headOf({ tool, mode, plugins, started, finished, complete, summary }: Report): string {
  const took = finished === null ? "" : `, ${((finished - started) / 1000).toFixed(1)} s`;
  const numbers: [string, number][] = [
    ["Targets", summary.targets],
    ["Reachable", summary.reachable],
    ...SEVERITIES.map((severity): [string, number] => [severity, summary.findings[severity]]),
  ];
  return [
    `<h1>Scan of ${count(summary.targets, "target")}</h1>`,
    `<p>${new Date(started).toISOString()}${took}, ${text(mode)}, by ${text(tool.name)} ${text(tool.version)}</p>`,
    `<p><small>${text(plugins.join(", "))}</small></p>`,
    complete ? "" : "<p><strong>It was not complete: more may be found.</strong></p>",
    `<dl>${numbers.map(([name, number]) => `<div><dt>${name}</dt><dd>${text(String(number))}</dd></div>`).join("")}</dl>`,
  ].join("\n");
}

function targetOf([target, findings]: [string, Finding[]]): string {
  const worst = findings[0]?.severity;
  const isOpen = worst === "critical" || worst === "high";
  return [
    `<details${isOpen ? " open" : ""}><summary>${badge(worst)} ${text(target)} <small>${count(findings.length, "finding")}</small></summary>`,
    ...findings.map(findingOf),
    `</details>`,
  ].join("\n");
}

function findingOf({ severity, title, evidence, remediation, vector, id }: Finding): string {
  return [
    `<article><h3>${badge(severity)} ${text(title)}</h3>`,
    evidence === "" ? "" : `<code>${text(evidence)}</code>`,
    remediation === "" ? "" : `<p>${text(remediation)}</p>`,
    `<small>${text(vector === undefined ? id : `${id}, ${vector}`)}</small></article>`,
  ].join("");
}

function listOf(title: string, rows: (readonly [subject: string, what: string])[]): string {
  if (rows.length === 0) return "";
  const items = rows.map(([subject, what]) => `<li>${text(subject)}<br><small>${text(what)}</small></li>`);
  return `<h2>${title}</h2>\n<ul>${items.join("\n")}</ul>`;
}

/** Reports are read from files and networks too: what is no severity is none of ours, and gets no class. */
function badge(severity: Severity | undefined): string {
  const at = SEVERITIES.indexOf(severity as Severity);
  return at < 0 ? "" : `<b class="${SEVERITIES[at]}">${SEVERITIES[at]}</b>`;
}

function rank(finding: Finding | undefined): number {
  const at = finding === undefined ? -1 : SEVERITIES.indexOf(finding.severity);
  return at < 0 ? SEVERITIES.length : at;
}

function count(number: number, what: string): string {
  return `${text(String(number))} ${what}${number === 1 ? "" : "s"}`;
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => ENTITIES[character] as string);
}

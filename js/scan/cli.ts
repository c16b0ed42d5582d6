/** `tidegate scan`: a scan from a terminal. The report goes to stdout or a file, everything else to stderr. */

import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { plugins, Scanner, toCsv, toHtml, toSarif } from "../entrypoints/scan-node.js";
import { type Format, nearest, type Order, readArguments, reason } from "./cli-arguments.js";
import { Progress, plain } from "./cli-progress.js";
import type { Report, Severity } from "./types.js";

const CLEAN = 0;
const FINDINGS = 1;
const MISUSE = 2;
/** What shells report for a program that Ctrl-C ended. */
const INTERRUPTED = 130;

const WRITERS: Record<Format, (report: Report) => string> = {
  json: (report) => `${JSON.stringify(report, null, 2)}\n`,
  csv: toCsv,
  sarif: (report) => `${toSarif(report)}\n`,
  html: toHtml,
};

const RANK: Severity[] = ["info", "low", "medium", "high", "critical"];

/** Runs the command and returns its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  if (command === "--version" || command === "-V") {
    process.stdout.write(`${version()}\n`);
    return CLEAN;
  }
  if (command === undefined || command === "--help" || command === "-h" || command === "help") {
    process.stdout.write(usage());
    return command === undefined ? MISUSE : CLEAN;
  }
  if (command !== "scan") {
    const near = nearest(command, ["scan", "help"]);
    say(
      `There is no command \`${command}\`${near === undefined ? "; there is `tidegate scan TARGET…`." : `; did you mean \`${near}\`?`}`,
    );
    return MISUSE;
  }
  const order = readArguments(rest, plugins());
  if (order.help) {
    process.stdout.write(usage());
    return CLEAN;
  }
  return scan(order);
}

async function scan(order: Order): Promise<number> {
  for (const mistake of order.mistakes) say(mistake);
  let misused = order.mistakes.length > 0;
  if (order.inputs.length === 0) {
    say(
      "Expected at least one target: a URL, a host, `host:port` or `host:8000-8010`. `tidegate scan --help` says more.",
    );
    return MISUSE;
  }
  if (order.hopeless) {
    say("No plugin is left to scan with.");
    return MISUSE;
  }
  let scanner: Scanner;
  try {
    const { plugins, mode, maxWorkers, resume } = order;
    scanner = new Scanner({ mode, maxWorkers, ...(plugins && { plugins }), ...(resume && { resume }) });
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return MISUSE;
  }
  const stop = new AbortController();
  const interrupted = () => stop.abort();
  process.once("SIGINT", interrupted);
  const progress = new Progress(process.stderr, order.verbose);
  let report: Report | undefined;
  try {
    for await (const event of scanner.scan(order.inputs, { signal: stop.signal })) {
      progress.take(event);
      if (event.type === "invalid-target") {
        misused = true;
        progress.say(event.line === null ? event.message : `${event.message} (line ${event.line})`);
      }
      if (event.type === "done") report = event.report;
    }
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return MISUSE;
  } finally {
    process.off("SIGINT", interrupted);
  }
  if (report === undefined) return MISUSE;
  if (!(await write(order, report))) misused = true;
  summarise(report);
  if (misused || report.targets.length === 0) return MISUSE;
  if (stop.signal.aborted) return INTERRUPTED;
  return fails(report, order.failOn) ? FINDINGS : CLEAN;
}

/** Whether the report could be written where it was asked for; if not, it goes to stdout, so that no scan is in vain. */
async function write(order: Order, report: Report): Promise<boolean> {
  const text = WRITERS[order.format](report);
  let written = true;
  if (order.out !== undefined && order.out !== "-") {
    try {
      writeFileSync(order.out, text);
      return true;
    } catch (error) {
      say(
        `The report cannot be written to \`${order.out}\`: ${reason(error)}. It follows on standard output.`,
      );
      written = false;
    }
  }
  // A reader that goes away (`| head`) is no error of ours.
  process.stdout.on("error", () => {});
  if (!process.stdout.write(text) && !process.stdout.destroyed) {
    await Promise.race([once(process.stdout, "drain"), once(process.stdout, "close")]).catch(() => {});
  }
  return written;
}

function summarise(report: Report): void {
  const { summary } = report;
  const findings = RANK.toReversed()
    .filter((severity) => summary.findings[severity] > 0)
    .map((severity) => `${summary.findings[severity]} ${severity}`);
  const runs = Object.values(summary.runs).reduce((sum, count) => sum + count, 0);
  const failed = summary.runs.error + summary.runs.timeout;
  const took =
    report.finished === null ? "" : ` in ${((report.finished - report.started) / 1000).toFixed(1)} s`;
  say(
    `${count(summary.targets, "target")}, ${summary.reachable} reachable; ${count(runs, "plugin run")}${failed > 0 ? `, ${failed} failed` : ""}${took}; ` +
      `findings: ${findings.length === 0 ? "none" : findings.join(", ")}${report.complete ? "" : " (interrupted)"}`,
  );
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

function fails(report: Report, failOn: Severity | "none"): boolean {
  if (failOn === "none") return false;
  const least = RANK.indexOf(failOn);
  return RANK.some((severity, rank) => rank >= least && report.summary.findings[severity] > 0);
}

function say(text: string): void {
  process.stderr.write(`${plain(text)}\n`);
}

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

function usage(): string {
  const names = plugins().map(({ name, mode }) => (mode === "active" ? `${name} (active)` : name));
  return `Usage: tidegate scan TARGET… [options]

Scans endpoints politely and writes a report. Only the targets you name are contacted.

A target is a URL, a host, host:port or a range of ports such as host:8000-8010.

  --file FILE           read targets from a file too (\`-\` is standard input); \`#\` begins a comment
  --plugins LIST        run only these, separated by commas: ${names.join(", ")}
  --mode MODE           passive (default) or active, which includes passive
  --max-workers N       plugins at work on one target at once, 1 to 100 (default 5)
  --format FORMAT       json (default), csv, sarif (2.1.0, which code hosts read) or html (one page)
  --out FILE            write the report to a file instead of standard output
  --resume FILE         take up an interrupted scan from its JSON report
  --fail-on SEVERITY    exit with 1 at findings this severe or worse: critical, high (default),
                        medium, low, info, none
  --verbose             tell every result on standard error

Exit codes: 0 clean, 1 findings at or above --fail-on, 2 bad usage (what is good is scanned all the same).
An unreachable target is a result, not an error.
`;
}

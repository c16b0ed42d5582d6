/** Reads the command line. Whatever is wrong with it gets one sentence, and the rest still counts. */
import { readFileSync } from "node:fs";
import type { Mode, PluginName, Report, Severity } from "./types.js";

export type Format = "json" | "csv" | "sarif" | "html";

/** What the command line asks for. */
export interface Order {
  inputs: string[];
  plugins: PluginName[] | undefined;
  mode: Mode;
  maxWorkers: number;
  format: Format;
  out: string | undefined;
  failOn: Severity | "none";
  resume: Report | undefined;
  verbose: boolean;
  help: boolean;
  /** One sentence for each thing that is wrong. */
  mistakes: string[];
  /** Nothing is left to scan with: the plugins that were asked for are all unknown. */
  hopeless: boolean;
}

const SEVERITIES = ["critical", "high", "medium", "low", "info"] as const;
const OPTIONS = [
  "--file",
  "--plugins",
  "--mode",
  "--max-workers",
  "--format",
  "--out",
  "--fail-on",
  "--resume",
  "--verbose",
  "--help",
];
const FLAGS = ["--verbose", "--help"];

export function readArguments(
  argv: readonly string[],
  known: readonly { name: PluginName; mode: Mode }[],
): Order {
  const order: Order = {
    inputs: [],
    plugins: undefined,
    mode: "passive",
    maxWorkers: 5,
    format: "json",
    out: undefined,
    failOn: "high",
    resume: undefined,
    verbose: false,
    help: false,
    mistakes: [],
    hopeless: false,
  };
  let names: string[] | undefined;
  const wrong = (sentence: string) => order.mistakes.push(sentence);
  const chosen = <T extends string>(option: string, value: string, words: readonly T[], fallback: T): T => {
    const word = words.find((candidate) => candidate === value);
    if (word !== undefined) return word;
    const near = nearest(value, words);
    const hint = near === undefined ? "" : ` (did you mean \`${near}\`?)`;
    wrong(
      `Expected \`${option}\` to be one of ${words.join(", ")}, got \`${value}\`${hint}; \`${fallback}\` is used.`,
    );
    return fallback;
  };
  const args = [...argv];
  for (let arg = args.shift(); arg !== undefined; arg = args.shift()) {
    if (arg === "--") {
      order.inputs.push(...args.splice(0));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      order.inputs.push(arg);
      continue;
    }
    const [typed, inline] = cut(arg);
    const option = { "-h": "--help", "-v": "--verbose", "-o": "--out", "-f": "--file" }[typed] ?? typed;
    if (!OPTIONS.includes(option)) {
      const near = nearest(option, OPTIONS);
      wrong(
        `There is no option \`${typed}\`${near === undefined ? "; `--help` lists them" : `; did you mean \`${near}\`?`}`,
      );
      // What follows a slip such as `--plugin http-probe` was meant for it, not as a target.
      if (near !== undefined && !FLAGS.includes(near) && inline === undefined && isValue(args[0]))
        args.shift();
      continue;
    }
    if (FLAGS.includes(option)) {
      if (inline !== undefined) wrong(`The option \`${option}\` takes no value, got \`${inline}\`.`);
      if (option === "--help") order.help = true;
      else order.verbose = true;
      continue;
    }
    const value = inline ?? (isValue(args[0]) ? args.shift() : undefined);
    if (value === undefined || value === "") {
      wrong(`The option \`${option}\` needs a value, and got none.`);
      continue;
    }
    switch (option) {
      case "--file":
        order.inputs.push(...contents(value, wrong));
        break;
      case "--plugins":
        names = [
          ...(names ?? []),
          ...value
            .split(",")
            .map((name) => name.trim())
            .filter(Boolean),
        ];
        break;
      case "--mode":
        order.mode = chosen(option, value, ["passive", "active"], order.mode);
        break;
      case "--max-workers":
        order.maxWorkers = workers(value, order.maxWorkers, wrong);
        break;
      case "--format":
        order.format = chosen(option, value, ["json", "csv", "sarif", "html"], order.format);
        break;
      case "--out":
        order.out = value;
        break;
      case "--fail-on":
        order.failOn = chosen(option, value, [...SEVERITIES, "none"], order.failOn);
        break;
      default:
        order.resume = earlier(value, wrong);
    }
  }
  if (names !== undefined) {
    order.plugins = choose(names, order.mode, known, wrong);
    order.hopeless = order.plugins.length === 0;
  }
  return order;
}

function cut(arg: string): [string, string | undefined] {
  const at = arg.indexOf("=");
  return at === -1 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)];
}

function isValue(arg: string | undefined): boolean {
  return arg !== undefined && !arg.startsWith("--");
}

function contents(path: string, wrong: (sentence: string) => void): string[] {
  try {
    return [readFileSync(path === "-" ? 0 : path, "utf8")];
  } catch (error) {
    wrong(`The file \`${path}\` cannot be read: ${reason(error)}.`);
    return [];
  }
}

function earlier(path: string, wrong: (sentence: string) => void): Report | undefined {
  try {
    const report: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof report === "object" && report !== null && "results" in report) return report as Report;
    wrong(`The file \`${path}\` is not a report of a scan; nothing is taken over from it.`);
  } catch (error) {
    wrong(`The report \`${path}\` cannot be read: ${reason(error)}.`);
  }
  return undefined;
}

function workers(value: string, fallback: number, wrong: (sentence: string) => void): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= 1 && number <= 100) return number;
  wrong(`Expected \`--max-workers\` to be an integer from 1 to 100, got \`${value}\`; ${fallback} is used.`);
  return fallback;
}

function choose(
  names: string[],
  mode: Mode,
  known: readonly { name: PluginName; mode: Mode }[],
  wrong: (sentence: string) => void,
): PluginName[] {
  const all = known.map((plugin) => plugin.name);
  const chosen: PluginName[] = [];
  for (const name of names) {
    const plugin = known.find((candidate) => candidate.name === name);
    if (plugin === undefined) {
      const near = nearest(name, all);
      wrong(
        `There is no plugin \`${name}\`; ${near === undefined ? `there are ${all.join(", ")}.` : `did you mean \`${near}\`?`}`,
      );
    } else if (plugin.mode === "active" && mode === "passive") {
      wrong(`The plugin \`${name}\` is active: it runs with \`--mode active\` only.`);
    } else if (!chosen.includes(plugin.name)) chosen.push(plugin.name);
  }
  return chosen;
}

/** What an error of the system says, without the code in front and the call behind. */
export function reason(error: unknown): string {
  const code = (error as { code?: string }).code;
  const plain: Record<string, string> = {
    ENOENT: "there is no such file or folder",
    EACCES: "permission is denied",
    EISDIR: "it is a folder",
    ENOTDIR: "a part of its path is not a folder",
    EROFS: "the file system is read-only",
    ENOSPC: "no space is left",
  };
  return (
    (code === undefined ? undefined : plain[code]) ?? (error instanceof Error ? error.message : String(error))
  );
}

/** The one that differs from what was typed in at most a third of its letters. */
export function nearest<T extends string>(typed: string, words: readonly T[]): T | undefined {
  let best: { word: T; distance: number } | undefined;
  for (const word of words) {
    const prefix = typed.length >= 3 && word.startsWith(typed) ? 1 : Number.POSITIVE_INFINITY;
    const found = Math.min(distance(typed.toLowerCase(), word), prefix);
    if (
      found <= Math.max(1, Math.floor(word.length / 3)) &&
      found < (best?.distance ?? Number.POSITIVE_INFINITY)
    ) {
      best = { word, distance: found };
    }
  }
  return best?.word;
}

/** How many letters were left out, added, mistaken or swapped: the optimal string alignment distance. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, at(before, j - 2) + 1);
      next.push(least);
    }
    [before, row] = [row, next];
  }
  return at(row, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}

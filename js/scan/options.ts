/** Reads scan options once, outside any wasm frame, into plain values; ranges are judged by the engine. */
import type { ScanOptions } from "./types.js";

type Rule = "number" | "string" | "strings" | { [name: string]: Rule };

const RULES: { [name: string]: Rule } = {
  plugins: "strings",
  mode: "string",
  maxWorkers: "number",
  levels: {
    discovery: "number",
    batch: "number",
    introspection: "number",
    analysis: "number",
    monitor: "number",
  },
  perHost: {
    concurrency: "number",
    rate: { limit: "number", per: "number" },
    breaker: { failures: "number", openFor: "number" },
  },
  taskTimeout: "number",
  requestTimeout: "number",
  tries: "number",
  progressEvery: "number",
};

const ELSEWHERE = ["resume", "fetch", "connect"];

/** The options that the engine reads, as JSON. @throws {TypeError} that names what is wrong */
export function readOptions(options: ScanOptions): string {
  if (typeof options !== "object" || options === null) throw expected("options", "an object", options);
  for (const name of ["fetch", "connect"] as const) {
    const given: unknown = options[name];
    const absent = given === undefined || (given === null && name === "connect");
    if (!absent && typeof given !== "function") throw expected(name, "a function", given);
  }
  const mode: unknown = options.mode;
  if (mode !== undefined && mode !== "passive" && mode !== "active") {
    throw expected("mode", '"passive" or "active"', mode);
  }
  const resume: unknown = options.resume;
  if (resume !== undefined && (typeof resume !== "object" || resume === null)) {
    throw expected("resume", "a report", resume);
  }
  return JSON.stringify(readObject(options, RULES, "", ELSEWHERE));
}

function readObject(
  given: object,
  rules: { [name: string]: Rule },
  path: string,
  elsewhere: string[] = [],
): object {
  const read: Record<string, unknown> = {};
  for (const name of Object.keys(given)) {
    if (elsewhere.includes(name)) continue;
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule === undefined) {
      throw new TypeError(
        `Expected no option \`${path}${name}\`; there are ${Object.keys(rules).concat(elsewhere).join(", ")}.`,
      );
    }
    const value = (given as Record<string, unknown>)[name];
    if (value !== undefined) read[name] = readValue(value, rule, path + name);
  }
  return read;
}

function readValue(value: unknown, rule: Rule, name: string): unknown {
  if (rule === "number") {
    // JSON has no NaN and no infinity: they would pass for an option left out.
    if (typeof value !== "number" || !Number.isFinite(value)) throw expected(name, "a finite number", value);
    return value;
  }
  if (rule === "string") {
    if (typeof value !== "string") throw expected(name, "a string", value);
    return value;
  }
  if (rule === "strings") {
    if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
      throw expected(name, "an array of names", value);
    }
    return [...value];
  }
  if (typeof value !== "object" || value === null) throw expected(name, "an object", value);
  return readObject(value, rule, `${name}.`);
}

function expected(name: string, what: string, got: unknown): TypeError {
  const kind = got === null ? "null" : typeof got;
  return new TypeError(`Expected \`${name}\` to be ${what}, got \`${shown(got)}\` (${kind}).`);
}

function shown(value: unknown): string {
  try {
    return (typeof value === "object" ? JSON.stringify(value) : String(value)).slice(0, 80);
  } catch {
    return "something that cannot be shown";
  }
}

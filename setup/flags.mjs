/**
 * Command lines, parsed once: a typing error is one sentence and exit code 2.
 */

import { parseArgs } from "node:util";
import { PlainError } from "./step.mjs";

/** Bad usage: one sentence, exit code 2. */
export class UsageError extends PlainError {
  exitCode = 2;
}

/**
 * Reads `process.argv` by a table of flags:
 * `{ port: { kind: "integer", min: 0, max: 65535, initial: 4173 }, only: { kind: "list" }, force: { kind: "flag" } }`.
 * A kind is `flag`, `text`, `list` (may be repeated, or separated by commas) or `integer`.
 */
export function readFlags(table, argv = process.argv.slice(2)) {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { kind }]) => [
      name,
      kind === "flag" ? { type: "boolean" } : { type: "string", multiple: kind === "list" },
    ]),
  );
  const { tokens } = parseArgs({ args: argv, options, strict: false, tokens: true, allowPositionals: true });
  const known = Object.keys(table).map((name) => `\`--${name}\``);
  const values = Object.fromEntries(
    Object.entries(table).map(([name, { kind, initial }]) => [
      name,
      initial ?? (kind === "list" ? [] : undefined),
    ]),
  );
  for (const token of tokens) {
    if (token.kind === "positional")
      throw new UsageError(`Expected ${alternatives(known)}, got \`${token.value}\``);
    if (token.kind !== "option") continue;
    const rule = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
    if (!rule) throw new UsageError(`Expected ${alternatives(known)}, got \`${token.rawName}\``);
    values[token.name] = parse(token.name, rule, token.value, values[token.name]);
  }
  return values;
}

function parse(name, rule, value, before) {
  if (rule.kind === "flag") {
    if (value !== undefined) throw new UsageError(`Expected \`--${name}\` without a value, got \`${value}\``);
    return true;
  }
  // `--json --quick` forgot a value; nobody calls a file `--quick`.
  if (value === undefined || value === "" || value.startsWith("--"))
    throw new UsageError(`Expected a value after \`--${name}\`, got none`);
  if (rule.kind === "integer") {
    const number = Number(value);
    const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = rule;
    if (!/^-?\d+$/.test(value) || number < min || number > max) {
      throw new UsageError(`Expected \`--${name}\` to be an integer from ${min} to ${max}, got \`${value}\``);
    }
    return number;
  }
  const items = rule.kind === "list" ? value.split(",").filter(Boolean) : [value];
  for (const item of items) {
    if (rule.of && !rule.of.includes(item)) {
      throw new UsageError(
        `Expected \`--${name}\` to be ${alternatives(rule.of.map((one) => `\`${one}\``))}, got \`${item}\``,
      );
    }
  }
  return rule.kind === "list" ? [...before, ...items] : value;
}

function alternatives(words) {
  if (words.length === 0) return "no arguments";
  return words.length === 1 ? words[0] : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

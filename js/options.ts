/**
 * Options are read once and judged here, so that what is wrong with them is said at construction, in one sentence that
 * names it: ``Expected `concurrency` to be an integer ≥ 1, got `0` (number)``.
 */

/** Throws a `TypeError` that names the option, what it should be and what came. */
export function reject(name: string, expected: string, got: unknown): never {
  throw new TypeError(`Expected \`${name}\` to be ${expected}, got ${show(got)}`);
}

/** A value as a message shows it: short, with its type. */
export function show(value: unknown): string {
  const type = value === null ? "null" : typeof value;
  if (value === null || value === undefined) return `\`${value}\``;
  if (type === "string") {
    const text = value as string;
    return `\`${text.length > 40 ? `${text.slice(0, 39)}…` : text}\` (string)`;
  }
  if (type === "object") return Array.isArray(value) ? "an array" : "an object";
  if (type === "function") return "a function";
  return `\`${String(value)}\` (${type})`;
}

/** An options object, or none. */
export function object<T extends object>(name: string, value: T | undefined): T | undefined {
  if (value !== undefined && (typeof value !== "object" || value === null)) reject(name, "an object", value);
  return value;
}

/** The name that options give, or the usual one. */
export function nameOf(options: { name?: string }, usual: string): string {
  const name = object("options", options)?.name ?? usual;
  return typeof name === "string" ? name : reject("name", "a string", name);
}

/** An integer within bounds. */
export function integer(name: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    // A bound that only 32 bits set is worth a word only to whoever exceeds it.
    const unsaid = most >= 4_294_967_294 && !((value as number) > most);
    const range = unsaid ? `an integer ≥ ${least}` : `an integer from ${least} to ${most}`;
    reject(name, range, value);
  }
  return value;
}

/** An integer within bounds, or infinity where it is absent. */
export function bound(name: string, value: unknown, least: number): number {
  return value === undefined || value === Number.POSITIVE_INFINITY
    ? Number.POSITIVE_INFINITY
    : integer(name, value, least, 4_294_967_294);
}

/** A number of milliseconds; `Infinity` is allowed and means never. */
export function milliseconds(name: string, value: unknown, least = 0): number {
  if (typeof value !== "number" || !(value >= least)) {
    reject(name, `a number of milliseconds ≥ ${least}`, value);
  }
  return value;
}

/** A number within bounds. */
export function number(name: string, value: unknown, least: number, most = Number.POSITIVE_INFINITY): number {
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    reject(
      name,
      most === Number.POSITIVE_INFINITY ? `a number ≥ ${least}` : `a number from ${least} to ${most}`,
      value,
    );
  }
  return value;
}

/** A share of a whole. */
export function share(name: string, value: unknown): number {
  if (typeof value !== "number" || !(value > 0 && value <= 1))
    reject(name, "a number above 0 and at most 1", value);
  return value;
}

/** One of a few words. */
export function choice<T extends string>(name: string, value: unknown, choices: readonly T[]): T {
  if (!choices.includes(value as T)) {
    reject(name, choices.map((word) => `\`${word}\``).join(", "), value);
  }
  return value as T;
}

/** True or false. */
export function boolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") reject(name, "a boolean", value);
  return value;
}

/** A function. */
export function callable<T>(name: string, value: T): T {
  if (typeof value !== "function") {
    const hint = value instanceof Promise ? " (a promise: its work has already started)" : "";
    throw new TypeError(`Expected \`${name}\` to be a function, got ${show(value)}${hint}`);
  }
  return value;
}

/** An `AbortSignal`, or none. */
export function abortSignal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  const signal = value as AbortSignal;
  if (
    typeof value !== "object" ||
    value === null ||
    typeof signal.addEventListener !== "function" ||
    !("aborted" in signal)
  ) {
    reject(name, "an AbortSignal", value);
  }
  return signal;
}

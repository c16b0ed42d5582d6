/** Errors across a boundary that keeps neither their class nor their own properties. */

/** An error as it crosses. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: unknown;
  readonly cause?: WireCause;
  readonly errors?: readonly WireCause[];
  /** Whether it is one of this package's. */
  readonly marked?: boolean;
  /** What else it carries, as far as it can be cloned: numbers, strings, booleans. */
  readonly numbers?: Record<string, unknown>;
}

type WireCause = { readonly error: WireError } | { readonly value: unknown };

const OUR_MARK = Symbol.for("tidegate.error");
const DEEPEST = 8;
const PLAIN = new Set(["name", "message", "stack", "code", "cause", "errors"]);

const CLASSES: Record<string, ErrorConstructor> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** What crosses in place of an error. */
export function toWire(error: Error, depth = 0): WireError {
  const { name, message, stack, cause } = error;
  const { code, errors } = error as { code?: unknown; errors?: unknown };
  const own: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error)) if (!PLAIN.has(key) && isPlain(value)) own[key] = value;
  return {
    name: String(name),
    message: String(message),
    ...(typeof stack === "string" ? { stack } : {}),
    ...(isPlain(code) ? { code } : {}),
    ...("cause" in error && depth < DEEPEST ? { cause: causeOf(cause, depth) } : {}),
    ...(Array.isArray(errors) && depth < DEEPEST
      ? { errors: errors.map((each) => causeOf(each, depth)) }
      : {}),
    ...(OUR_MARK in error ? { marked: true } : {}),
    ...(Object.keys(own).length > 0 ? { numbers: own } : {}),
  };
}

/** The error that crossed, of the same standard class if it has one. */
export function fromWire(wire: WireError): Error {
  const { name, message, stack, code, cause, errors, marked, numbers } = wire;
  const options = cause === undefined ? undefined : { cause: fromCause(cause) };
  const error =
    errors === undefined
      ? new (CLASSES[name] ?? Error)(message, options)
      : new AggregateError(errors.map(fromCause), message, options);
  Object.assign(error, numbers);
  if (error.name !== name) define(error, "name", name);
  if (stack !== undefined) define(error, "stack", stack);
  if (code !== undefined) Object.assign(error, { code });
  if (marked) Object.defineProperty(error, OUR_MARK, { value: true });
  return error;
}

/** Whether something was thrown that has a name, a message and a stack; errors of other realms are errors too. */
export function isError(thrown: unknown): thrown is Error {
  return (
    thrown instanceof Error ||
    (typeof thrown === "object" &&
      thrown !== null &&
      /Error|DOMException/.test(Object.prototype.toString.call(thrown)))
  );
}

function define(error: Error, key: string, value: string): void {
  Object.defineProperty(error, key, { value, configurable: true, writable: true });
}

function causeOf(cause: unknown, depth: number): WireCause {
  if (isError(cause)) return { error: toWire(cause, depth + 1) };
  return { value: isPlain(cause) ? cause : String(cause) };
}

function fromCause(cause: WireCause): unknown {
  return "error" in cause ? fromWire(cause.error) : cause.value;
}

function isPlain(value: unknown): boolean {
  return value === null || /^(string|number|boolean|bigint)$/.test(typeof value);
}

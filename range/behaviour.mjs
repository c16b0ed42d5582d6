// What a target does, as plain data: it can be written down in the catalogue, sent through the control
// endpoint and read back. A behaviour that passed `parseBehaviour` is one that every target can act out.

/**
 * @typedef {"reset" | "close" | "hang" | "status-500" | "status-503"} Fault
 *
 * @typedef {object} Behaviour
 * @property {"page" | "bytes" | "empty" | "redirect" | "mcp" | "hang" | "hang-body" | "trickle" | "reset" | "close" | "garbage"} answer
 *   What a request gets once the delay, the limit and the faults have let it through.
 * @property {number} status             Status of a page, of bytes or of an empty answer.
 * @property {[number, number]} delay    Milliseconds before the answer, drawn between the two.
 * @property {[string, string][]} headers  Sent as they are, in this order; a name may come twice.
 * @property {"open" | "closed" | "reflect" | "null"} cors
 *   `open`: `*`, every header exposed. `reflect`: whatever origin asks, with credentials.
 * @property {string} title              Title of the page, not escaped on purpose.
 * @property {string} body               Inner markup of the page, not escaped on purpose.
 * @property {string} script             What the port serves under names that end in `.js`; empty for the page itself.
 * @property {number} size               Length of a `bytes` answer.
 * @property {{ rate: number, how: Fault[] } | null} faults  A share of requests that fails, and how.
 * @property {{ requests: number, per: number, retryAfter: "seconds" | "date" } | null} limit
 *   More than `requests` in `per` milliseconds get a 429 with `Retry-After`.
 * @property {{ to: string, hops: number, status: number } | null} redirect
 *   `hops` redirects and then the page; `hops` of 0 never ends. `to` names a path or another target.
 */

const ANSWERS = [
  "page",
  "bytes",
  "empty",
  "redirect",
  "mcp",
  "hang",
  "hang-body",
  "trickle",
  "reset",
  "close",
  "garbage",
];
const FAULTS = ["reset", "close", "hang", "status-500", "status-503"];
const CORS = ["open", "closed", "reflect", "null"];

/** @type {Behaviour} */
const PLAIN = Object.freeze({
  answer: "page",
  status: 200,
  delay: [0, 0],
  headers: [],
  cors: "open",
  title: "A target of the range",
  body: "<p>Nothing to see here.</p>",
  script: "",
  size: 0,
  faults: null,
  limit: null,
  redirect: null,
});

const RULES = {
  answer: oneOf(ANSWERS),
  status: integer(200, 599),
  delay: span,
  headers: headerList,
  cors: oneOf(CORS),
  title: text,
  body: text,
  script: text,
  size: integer(0, 256 * 1024 * 1024),
  faults: orNull(faultShare),
  limit: orNull(limit),
  redirect: orNull(redirect),
};

/**
 * Reads a partial behaviour and lays it over a whole one.
 *
 * @param {Record<string, unknown>} patch
 * @param {Behaviour} [base]  Defaults to a page that answers at once.
 * @returns {Behaviour}
 * @throws {TypeError} One sentence that names the member and what it was given.
 */
export function parseBehaviour(patch, base = PLAIN) {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) {
    throw new TypeError(`Expected a behaviour to be an object, got ${show(patch)}`);
  }
  const parsed = { ...base };
  for (const [name, value] of Object.entries(patch)) {
    const rule = Object.hasOwn(RULES, name) ? RULES[name] : undefined;
    if (rule === undefined)
      throw new TypeError(
        `Expected a behaviour without \`${name}\`; it knows ${Object.keys(RULES).join(", ")}`,
      );
    parsed[name] = rule(value, name);
  }
  return parsed;
}

function oneOf(words) {
  return (value, name) => {
    if (!words.includes(value)) throw expected(name, `one of ${words.join(", ")}`, value);
    return value;
  };
}

function integer(low, high) {
  return (value, name) => {
    if (!Number.isInteger(value) || value < low || value > high)
      throw expected(name, `an integer from ${low} to ${high}`, value);
    return value;
  };
}

function text(value, name) {
  if (typeof value !== "string") throw expected(name, "a string", value);
  return value;
}

function orNull(rule) {
  return (value, name) => (value === null ? null : rule(value, name));
}

function span(value, name) {
  const pair = typeof value === "number" ? [value, value] : value;
  const fits =
    Array.isArray(pair) &&
    pair.length === 2 &&
    pair.every((ms) => Number.isFinite(ms) && ms >= 0) &&
    pair[0] <= pair[1];
  if (!fits) throw expected(name, "milliseconds, or two of them in order", value);
  return [pair[0], pair[1]];
}

function headerList(value, name) {
  const fits =
    Array.isArray(value) &&
    value.every(
      (pair) => Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === "string"),
    );
  if (!fits) throw expected(name, "a list of [name, value]", value);
  for (const [key, field] of value) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(key) || /[^\t\x20-\x7e\x80-\xff]/.test(field)) {
      throw expected(name, "headers that HTTP can carry", [key, field]);
    }
  }
  return value;
}

function faultShare(value, name) {
  const fits =
    typeof value.rate === "number" &&
    value.rate >= 0 &&
    value.rate <= 1 &&
    Array.isArray(value.how) &&
    value.how.length > 0 &&
    value.how.every((fault) => FAULTS.includes(fault));
  if (!fits) throw expected(name, `{ rate: 0 to 1, how: some of ${FAULTS.join(", ")} }`, value);
  return { rate: value.rate, how: [...value.how] };
}

function limit(value, name) {
  const fits =
    Number.isInteger(value.requests) &&
    value.requests >= 0 &&
    value.per > 0 &&
    ["seconds", "date"].includes(value.retryAfter);
  if (!fits) throw expected(name, '{ requests ≥ 0, per > 0, retryAfter: "seconds" or "date" }', value);
  return { requests: value.requests, per: value.per, retryAfter: value.retryAfter };
}

function redirect(value, name) {
  const fits =
    typeof value.to === "string" &&
    Number.isInteger(value.hops) &&
    value.hops >= 0 &&
    [301, 302, 303, 307, 308].includes(value.status);
  if (!fits) throw expected(name, "{ to, hops ≥ 0, status: 301, 302, 303, 307 or 308 }", value);
  return { to: value.to, hops: value.hops, status: value.status };
}

function expected(name, what, value) {
  return new TypeError(`Expected \`${name}\` to be ${what}, got ${show(value)}`);
}

function show(value) {
  return `\`${JSON.stringify(value) ?? String(value)}\``;
}

/** What cannot cross to a worker, by the path where it lies. */

import { show } from "../options.js";

/** The error for a value that could not be cloned: it names the first thing in it that cannot cross. */
export function uncloneable(root: string, value: unknown, cause: unknown): TypeError {
  const found = culprit(root, value, new Set());
  const message =
    found === undefined
      ? `\`${root}\` cannot be sent to another thread: ${(cause as Error)?.message ?? cause}`
      : `Expected \`${found.path}\` to be something that can be sent to another thread, got ${found.what}`;
  return new TypeError(message, { cause });
}

/** Why something can never be cloned, if that is so: functions, symbols, nodes of a page, and what is tied to its thread. */
function impossible(value: unknown): string | undefined {
  if (typeof value === "function") return "a function";
  if (typeof value === "symbol") return show(value);
  if (typeof value !== "object" || value === null) return undefined;
  if (typeof Node === "function" && value instanceof Node)
    return `a DOM node (${value.nodeName.toLowerCase()})`;
  if (typeof EventTarget === "function" && value instanceof EventTarget && !isTransferable(value))
    return `an object of the page (${nameOf(value)})`;
  for (const kind of [Promise, WeakMap, WeakSet]) if (value instanceof kind) return `a ${kind.name}`;
  if (typeof WeakRef === "function" && value instanceof WeakRef) return "a WeakRef";
  return undefined;
}

function isTransferable(value: object): boolean {
  return typeof MessagePort === "function" && value instanceof MessagePort;
}

function nameOf(value: object): string {
  return (value.constructor as { name?: string } | undefined)?.name ?? "object";
}

function culprit(
  path: string,
  value: unknown,
  seen: Set<unknown>,
): { path: string; what: string } | undefined {
  const what = impossible(value);
  if (what !== undefined) return { path, what };
  if (typeof value !== "object" || value === null || seen.has(value)) return undefined;
  seen.add(value);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return undefined;
  if (value instanceof Map) {
    for (const [key, each] of value) {
      const inside = culprit(`${path}.get(${String(key)})`, each, seen) ?? culprit(`${path} key`, key, seen);
      if (inside !== undefined) return inside;
    }
    return undefined;
  }
  if (value instanceof Set) {
    for (const each of value) {
      const inside = culprit(`${path} member`, each, seen);
      if (inside !== undefined) return inside;
    }
    return undefined;
  }
  for (const key of Object.keys(value)) {
    const step = Array.isArray(value)
      ? `[${key}]`
      : /^[A-Za-z_$][\w$]*$/.test(key)
        ? `.${key}`
        : `[${JSON.stringify(key)}]`;
    let each: unknown;
    try {
      each = (value as Record<string, unknown>)[key];
    } catch (error) {
      return { path: path + step, what: `a getter that throws (${(error as Error)?.message ?? error})` };
    }
    const inside = culprit(path + step, each, seen);
    if (inside !== undefined) return inside;
  }
  return undefined;
}

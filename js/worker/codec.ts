/**
 * Values as bytes in shared memory, where nothing can be cloned: JSON with names for what JSON has none for, and the bytes
 * of buffers behind it.
 */

import { fromWire, isError, toWire, type WireError } from "./wire-error.js";

const TAG = "$tidegate";
const VIEWS = [
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
] as const;

type Tagged = { [TAG]: string; value?: unknown; at?: number; bytes?: number };

/** A value as bytes. @throws TypeError for functions and symbols */
export function encode(value: unknown): Uint8Array {
  const buffers: Uint8Array[] = [];
  let total = 0;
  const keep = (bytes: Uint8Array) => {
    const at = total;
    buffers.push(bytes);
    total += bytes.byteLength;
    return { at, bytes: bytes.byteLength };
  };
  const text = JSON.stringify(named(value, keep, new Set()));
  const head = new TextEncoder().encode(text);
  const all = new Uint8Array(4 + head.byteLength + total);
  new DataView(all.buffer).setUint32(0, head.byteLength);
  all.set(head, 4);
  let at = 4 + head.byteLength;
  for (const bytes of buffers) {
    all.set(bytes, at);
    at += bytes.byteLength;
  }
  return all;
}

/** The value that {@link encode} was given. */
export function decode(all: Uint8Array): unknown {
  const length = new DataView(all.buffer, all.byteOffset).getUint32(0);
  const text = new TextDecoder().decode(all.slice(4, 4 + length));
  return unnamed(JSON.parse(text), all.subarray(4 + length));
}

function named(value: unknown, keep: (bytes: Uint8Array) => object, above: Set<object>): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number")
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { [TAG]: "number", value: Object.is(value, -0) ? "-0" : String(value) };
  if (value === undefined) return { [TAG]: "undefined" };
  if (typeof value === "bigint") return { [TAG]: "bigint", value: String(value) };
  if (typeof value !== "object") throw new TypeError(`A ${typeof value} cannot be sent to another thread`);
  if (above.has(value))
    throw new TypeError("A value that contains itself cannot be sent through shared memory");
  above.add(value);
  try {
    const inner = (each: unknown) => named(each, keep, above);
    if (isError(value)) return { [TAG]: "error", value: inner(toWire(value)) };
    if (value instanceof Date) return { [TAG]: "date", value: value.getTime() };
    if (value instanceof Map)
      return { [TAG]: "map", value: [...value].map(([key, each]) => [inner(key), inner(each)]) };
    if (value instanceof Set) return { [TAG]: "set", value: [...value].map(inner) };
    if (value instanceof ArrayBuffer) return { [TAG]: "buffer", ...keep(new Uint8Array(value)) };
    if (ArrayBuffer.isView(value)) {
      const kind = VIEWS.findIndex((each) => value instanceof each);
      const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      return { [TAG]: "view", value: Math.max(0, kind), ...keep(bytes) };
    }
    if (Array.isArray(value)) return value.map(inner);
    const plain = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inner(each)]));
    return TAG in plain ? { [TAG]: "object", value: Object.entries(plain) } : plain;
  } finally {
    above.delete(value);
  }
}

function unnamed(value: unknown, behind: Uint8Array): unknown {
  if (typeof value !== "object" || value === null) return value;
  const inner = (each: unknown) => unnamed(each, behind);
  if (Array.isArray(value)) return value.map(inner);
  if (!(TAG in value))
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inner(each)]));
  const { [TAG]: tag, value: held, at = 0, bytes = 0 } = value as Tagged;
  // Copies: shared memory is used again.
  const buffer = () => behind.slice(at, at + bytes).buffer;
  switch (tag) {
    case "number":
      return Number(held);
    case "bigint":
      return BigInt(held as string);
    case "error":
      return fromWire(inner(held) as WireError);
    case "date":
      return new Date(held as number);
    case "map":
      return new Map((held as unknown[][]).map((pair) => pair.map(inner) as [unknown, unknown]));
    case "set":
      return new Set((held as unknown[]).map(inner));
    case "buffer":
      return unshared(buffer());
    case "view":
      return new (VIEWS[held as number] as Uint8ArrayConstructor)(unshared(buffer()) as ArrayBuffer);
    case "object":
      return Object.fromEntries((held as [string, unknown][]).map(([key, each]) => [key, inner(each)]));
    default:
      return undefined;
  }
}

/** A slice of shared memory is shared memory in some engines, and a buffer must be one's own. */
function unshared(buffer: ArrayBufferLike): ArrayBufferLike {
  if (buffer instanceof ArrayBuffer) return buffer;
  const own = new Uint8Array(buffer.byteLength);
  own.set(new Uint8Array(buffer));
  return own.buffer;
}

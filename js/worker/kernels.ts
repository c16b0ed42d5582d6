/**
 * What the package's own worker does, by name: hashes, secret search, fingerprints, statistics, over bytes and numbers. The
 * module is compiled at the first call, with vectors where the engine has them; until it is there a call gives a promise.
 */

import { integer, number, reject } from "../options.js";
import { kernel } from "./kernel-module.js";
import { transfer } from "./transfer.js";

/** A credential that {@link Kernels.searchSecrets} found in a text. Places are in bytes. */
export interface SecretMatch {
  /** The rule that found it, by the name that `tidegate/secret-rules.json` gives it. */
  rule: string;
  /** What it is. */
  title: string;
  /** How much a leak of it matters. */
  severity: "low" | "medium" | "high" | "critical";
  /** `high`: its inner structure fits; `low`: its checksum does not fit, or documentation shows this very value. */
  confidence: "low" | "medium" | "high";
  start: number;
  end: number;
  /** What of it may be shown. */
  masked: string;
}

/** What {@link Kernels.statistics} gives. What is not finite is counted as skipped, and left out. */
export interface Statistics {
  count: number;
  skipped: number;
  min: number;
  max: number;
  mean: number;
  /** Of the numbers as a whole population. */
  variance: number;
  deviation: number;
  /** The sum of squares of differences from the mean: what {@link Kernels.mergeStatistics} needs of it. */
  squares: number;
}

/** What {@link Kernels.histogram} gives. */
export interface Histogram {
  counts: Uint32Array;
  below: number;
  above: number;
  /** Neither: `NaN`. */
  skipped: number;
}

/** The functions of the package's own worker. */
export interface Kernels {
  /** SHA-256: 32 bytes. */
  sha256(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** SHA-256 of each chunk of `size` bytes, the last one shorter: 32 bytes each, one after the other. Four are hashed at a time. */
  sha256Chunks(bytes: Uint8Array, size: number): Uint8Array | Promise<Uint8Array>;
  /** Credentials in a text, in the order in which they stand there. */
  searchSecrets(text: Uint8Array | string): SecretMatch[] | Promise<SecretMatch[]>;
  /** What a text is compared by: 256 numbers. */
  fingerprint(text: Uint8Array | string): Uint32Array | Promise<Uint32Array>;
  /** How alike two texts are by their fingerprints, 0 to 1: about the share of their shingles of eight bytes that both have. */
  similarity(one: Uint32Array, other: Uint32Array): number | Promise<number>;
  /** Count, bounds and moments. */
  statistics(values: Float64Array): Statistics | Promise<Statistics>;
  /** The statistics of both of two parts: what a reduce over workers needs. */
  mergeStatistics(one: Statistics, other: Statistics): Statistics | Promise<Statistics>;
  /** Quantiles, each a value that is there. */
  quantiles(values: Float64Array, shares: readonly number[]): Float64Array | Promise<Float64Array>;
  /** How many values fall into each of `bins` bins of equal width from `min` to `max`. */
  histogram(
    values: Float64Array,
    options: { min: number; max: number; bins: number },
  ): Histogram | Promise<Histogram>;
  /** How often each byte occurs: 256 numbers. */
  byteHistogram(bytes: Uint8Array): Uint32Array | Promise<Uint32Array>;
}

/** The functions, as plain data: what `expose` takes. */
export const kernels: { [Name in keyof Kernels]: Kernels[Name] } = {
  sha256: kernel(({ glue }, bytes: Uint8Array) => glue.sha256(bytesOf("bytes", bytes))),
  sha256Chunks: kernel(({ glue }, bytes: Uint8Array, size: number) => {
    const all = bytesOf("bytes", bytes);
    const chunk = integer("size", size, 1, MOST_BYTES);
    const out = new Uint8Array(Math.ceil(all.length / chunk) * DIGEST);
    const step = chunk * Math.max(LANES, Math.floor(PORTION / chunk));
    for (let at = 0; at < all.length; at += step) {
      out.set(glue.sha256_chunks(all.subarray(at, at + step), chunk), (at / chunk) * DIGEST);
    }
    return transfer(out, [out.buffer]);
  }),
  searchSecrets: kernel(({ secrets }, text: Uint8Array | string) => {
    const { finder, rules } = secrets();
    const bytes = textOf("text", text);
    const rows = finder.find(bytes);
    const found: SecretMatch[] = [];
    for (let at = 0; at < rows.length; at += 5) {
      const [rule = 0, confidence = 0, start = 0, end = 0, shown = 0] = rows.subarray(at, at + 5);
      found.push({
        rule: rules[3 * rule] ?? "",
        title: rules[3 * rule + 1] ?? "",
        severity: rules[3 * rule + 2] as SecretMatch["severity"],
        confidence: (["low", "medium", "high"] as const)[confidence] ?? "low",
        start,
        end,
        masked: `${decoder.decode(bytes.subarray(start, start + shown))}… (${end - start} characters)`,
      });
    }
    return found;
  }),
  fingerprint: kernel(({ glue }, text: Uint8Array | string) => glue.fingerprint(textOf("text", text))),
  similarity: kernel(({ glue }, one: Uint32Array, other: Uint32Array) => {
    const alike = glue.similarity(wordsOf("one", one), wordsOf("other", other));
    if (Number.isNaN(alike)) throw new TypeError("Expected two fingerprints: 256 numbers each");
    return alike;
  }),
  statistics: kernel(({ glue }, values: Float64Array) => {
    let cells: Float64Array = new Float64Array();
    for (const part of portions(floatsOf("values", values)))
      cells = glue.summaries_merged(cells, glue.summary(part));
    return told(cells);
  }),
  mergeStatistics: kernel(({ glue }, one: Statistics, other: Statistics) =>
    told(glue.summaries_merged(cellsOf(one), cellsOf(other))),
  ),
  quantiles: kernel(({ glue }, values: Float64Array, shares: readonly number[]) =>
    glue.quantiles(floatsOf("values", values), Float64Array.from(shares)),
  ),
  histogram: kernel(({ glue }, values: Float64Array, options: { min: number; max: number; bins: number }) => {
    const { min, max } = options;
    const bins = integer("bins", options.bins, 1, MOST_BINS);
    const [from, to] = [number("min", min, -Infinity), number("max", max, min)];
    const cells = summed(bins + 3, floatsOf("values", values), (part) =>
      glue.histogram(part, from, to, bins),
    );
    const [below = 0, above = 0, skipped = 0] = cells;
    return { counts: cells.slice(3), below, above, skipped };
  }),
  byteHistogram: kernel(({ glue }, bytes: Uint8Array) =>
    summed(256, bytesOf("bytes", bytes), (part) => glue.byte_histogram(part)),
  ),
};

const DIGEST = 32;
const LANES = 4;
/** Bytes that are handed to the module at once, where parts will do: its memory, which never shrinks, stays small so. */
const PORTION = 4 * 1024 * 1024;
/** What a wasm module of 32 bits can hold. */
const MOST_BYTES = 2 ** 31;
const MOST_BINS = 1_000_000;
const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder();

/** Parts of an array, in its order; one that is empty has one empty part. */
function* portions<T extends Uint8Array | Float64Array>(all: T): Iterable<T> {
  const step = PORTION / all.BYTES_PER_ELEMENT;
  for (let at = 0; at === 0 || at < all.length; at += step) yield all.subarray(at, at + step) as T;
}

/** Counts of the parts of an array, summed. */
function summed<T extends Uint8Array | Float64Array>(size: number, all: T, count: (part: T) => Uint32Array) {
  const sums = new Uint32Array(size);
  for (const part of portions(all)) {
    for (const [at, more] of count(part).entries()) sums[at] = (sums[at] ?? 0) + more;
  }
  return sums;
}

function told(cells: Float64Array): Statistics {
  const [count = 0, skipped = 0, min = 0, max = 0, mean = 0, squares = 0, variance = 0] = cells;
  return { count, skipped, min, max, mean, variance, deviation: Math.sqrt(variance), squares };
}

function cellsOf({ count, skipped, min, max, mean, squares }: Statistics): Float64Array {
  return Float64Array.of(count, skipped, min, max, mean, squares);
}

function bytesOf(name: string, value: Uint8Array): Uint8Array {
  return value instanceof Uint8Array ? value : reject(name, "a Uint8Array", value);
}

function textOf(name: string, value: Uint8Array | string): Uint8Array {
  if (typeof value === "string") return encoder.encode(value);
  return value instanceof Uint8Array ? value : reject(name, "a string or a Uint8Array", value);
}

function wordsOf(name: string, value: Uint32Array): Uint32Array {
  return value instanceof Uint32Array ? value : reject(name, "a Uint32Array", value);
}

function floatsOf(name: string, value: Float64Array): Float64Array {
  return value instanceof Float64Array ? value : reject(name, "a Float64Array", value);
}

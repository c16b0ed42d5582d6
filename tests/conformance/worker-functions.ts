/** What the workers of the suite do: everything that a worker can do wrong among it. The module is a worker's whole script. */

import { callOutside, expose, transfer, type WorkerContext } from "tidegate/workers";

const calls = new Map<string, number>();
let broken: WebAssembly.Instance | undefined;

/** Different in each worker, and the same as long as it lives. */
const identity = Math.random();

/** `(module (func (export "f") unreachable))` */
const UNREACHABLE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11,
];

export const functions = {
  add: (a: number, b: number) => a + b,
  square: (n: number) => n * n,
  squareLater: async (n: number) => n * n,
  sumLater: async (a: number, b: number) => a + b,
  echo: (value: unknown, _more?: unknown) => value,
  noop: () => {},
  identity: () => identity,
  /** Holds the thread. */
  spin(ms: number) {
    const until = performance.now() + ms;
    while (performance.now() < until);
    return ms;
  },
  hang() {
    for (;;);
  },
  wait: (ms: number) => new Promise<number>((resolve) => setTimeout(() => resolve(ms), ms)),
  join: (a: string, b: string) => a + b,
  waitAnd: (value: number) => new Promise<number>((resolve) => setTimeout(() => resolve(value), 1)),
  /** How often this worker was called with that name. */
  count(name: string) {
    const count = (calls.get(name) ?? 0) + 1;
    calls.set(name, count);
    return count;
  },
  *countTo(last: number) {
    for (let n = 1; n <= last; n += 1) yield n;
  },
  async *countLater(last: number) {
    for (let n = 1; n <= last; n += 1) yield await n;
  },
  *failAfter(last: number) {
    for (let n = 1; n <= last; n += 1) yield n;
    throw new RangeError("enough");
  },
  untilStopped(this: WorkerContext) {
    const { signal } = this;
    return new Promise<string>((resolve) => {
      signal.addEventListener("abort", () => resolve("stopped"));
    });
  },
  throwsTyped() {
    const cause = new RangeError("deeper");
    throw Object.assign(new TypeError("told", { cause }), { code: "E_TOLD", errno: 7 });
  },
  throwsValue: () => Promise.reject({ not: "an error" }),
  returnsFunction: () => ({ deep: [() => {}] }),
  filled(length: number) {
    const bytes = new Uint8Array(length).fill(7);
    return transfer(bytes, [bytes.buffer]);
  },
  byteLength: (bytes: Uint8Array) => bytes.byteLength,
  trap() {
    broken ??= new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(UNREACHABLE)));
    (broken.exports.f as () => void)();
  },
  /** The worker ends itself in the middle of a task. */
  exit() {
    const { process } = globalThis as { process?: { exit(code: number): void; versions?: { bun?: string } } };
    if (process?.exit !== undefined && typeof (globalThis as { close?: unknown }).close !== "function")
      process.exit(3);
    (globalThis as unknown as { close(): void }).close();
    return new Promise(() => {});
  },
  /** An error that belongs to no task. */
  throwLater(): void {
    setTimeout(() => {
      throw new Error("nobody's error");
    }, 0);
  },
  hasSharedMemory: () => typeof SharedArrayBuffer === "function",
  outside: (name: string, args: unknown[], timeout?: number) =>
    callOutside(name, args, timeout === undefined ? {} : { timeout }),
};

expose(functions);

import { TimeoutError } from "../errors.js";
import { milliseconds, object, reject } from "../options.js";
import { decode } from "./codec.js";
import { ownServer } from "./expose-on.js";
import { CELLS, LENGTH, LONGER, STATE, THROWN, WAITS } from "./outside-host.js";
import { MARK, OUTSIDE } from "./protocol.js";

/** Bytes for an answer; a longer one costs a second message. */
const ROOM = 65_536;

/**
 * Calls an async function that the pool offers (`outside`), from inside a worker, and gives its result: the worker waits, no
 * promise is made. For code that cannot wait itself, such as wasm that is called synchronously.
 *
 * What crosses is JSON and, besides, `undefined`, bigints, dates, maps, sets, errors, buffers and typed arrays.
 *
 * @default timeout none
 * @throws what the function throws; TimeoutError; TypeError outside of a worker, where the pool offers no such function, and
 * where there is no shared memory (a page that is not cross-origin isolated)
 * @example
 * ```ts no-run
 * import { callOutside, expose, WorkerPool } from "tidegate/workers";
 *
 * // In the worker:
 * expose({ greet: (id: number) => `Hello ${callOutside<string>("nameOf", [id], { timeout: 1000 })}` });
 *
 * // Outside:
 * const pool = new WorkerPool({
 *   worker: () => new Worker(new URL("./my-worker.js", import.meta.url), { type: "module" }),
 *   outside: { nameOf: async (id: number) => (await fetch(`/people/${id}`)).text() },
 * });
 * ```
 */
export function callOutside<R = unknown>(
  name: string,
  args: readonly unknown[] = [],
  options: { timeout?: number } = {},
): R {
  if (typeof name !== "string") reject("name", "a string", name);
  if (!Array.isArray(args)) reject("args", "an array", args);
  const { timeout = Number.POSITIVE_INFINITY } = object("options", options) ?? {};
  milliseconds("timeout", timeout);
  const server = ownServer();
  if (server === undefined)
    throw new TypeError(
      "`callOutside` waits, so it works only inside a worker whose module has called `expose`",
    );
  if (typeof SharedArrayBuffer !== "function")
    throw new TypeError(
      "`callOutside` needs shared memory, which a page has only when it is cross-origin isolated (headers `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`)",
    );
  const until = performance.now() + timeout;
  let shared = new SharedArrayBuffer(CELLS * 4 + ROOM);
  let ask: unknown = name;
  for (;;) {
    const cells = new Int32Array(shared, 0, CELLS);
    server.tell([MARK, OUTSIDE, ask, args, shared]);
    const left = timeout === Number.POSITIVE_INFINITY ? timeout : Math.max(0, until - performance.now());
    if (Atomics.wait(cells, STATE, WAITS, left) === "timed-out") throw new TimeoutError(name, timeout);
    const state = Atomics.load(cells, STATE);
    const length = Atomics.load(cells, LENGTH);
    if (state === LONGER) {
      ask = new DataView(shared, CELLS * 4).getInt32(0);
      shared = new SharedArrayBuffer(CELLS * 4 + length);
      continue;
    }
    const value = decode(new Uint8Array(shared, CELLS * 4, length).slice());
    if (state === THROWN) throw value;
    return value as R;
  }
}

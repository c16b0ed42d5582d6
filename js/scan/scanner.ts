/** `Scanner`: the engine's JavaScript host. It drives the engine, hands its events on, and decides nothing. */

import { dispose as disposeSymbol } from "../dispose.js";
import { type Disposer, Events } from "../events.js";
import type { ScanHandle, ScannerHandle } from "../generated/scan_bg.js";
import { hostConnect } from "./connect.js";
import { passOn, scanModule } from "./instance.js";
import { readOptions } from "./options.js";
import type { Report, ScanEvent, ScanMetrics, ScanOptions } from "./types.js";

/** Unread events beyond which the engine is not driven on: a consumer that stops reading stops the scan. */
const MOST_UNREAD = 500;

/** The events of a scan, by type. */
export type ScanEvents = { [Type in ScanEvent["type"]]: Extract<ScanEvent, { type: Type }> };

/**
 * Scans targets with plugins, politely, and tells what it finds as it finds it. What it learns of hosts (their breakers and
 * rates) lasts from scan to scan.
 *
 * @example
 * ```ts network
 * import { Scanner } from "tidegate/scan";
 *
 * const scanner = new Scanner({ maxWorkers: 5 });
 * for await (const event of scanner.scan(["https://example.com"])) {
 *   if (event.type === "result") console.log(event.result.target, event.result.summary);
 * }
 * console.log(scanner.report().summary);
 * ```
 */
export class Scanner implements Disposable {
  readonly #engine: ScannerHandle;
  readonly #listeners = new Events<ScanEvents>("scan", "");
  readonly #resume: Report | undefined;
  #drive: Drive | undefined;

  /** @throws {TypeError} that names the option that is wrong, what would do and what came */
  constructor(options: ScanOptions = {}) {
    const read = readOptions(options);
    const { fetch, connect, resume } = options;
    this.#resume = resume;
    const reached = connect === null ? undefined : (connect ?? hostConnect());
    const { ScannerHandle } = scanModule();
    this.#engine = guarded(
      () => new ScannerHandle(read, fetch && later(fetch), reached && later(reached), heapBytes),
    );
  }

  /**
   * Scans. The scan begins with the first event that is asked for, and goes on while events are read; it ends with `done`.
   * Breaking out of the loop ends it; aborting `signal` ends it too, and is told: every run that had not ended is recorded
   * as cancelled, and `done` says so.
   *
   * @throws {TypeError} while another scan of this scanner runs
   */
  scan(targets: Iterable<string>, options: { signal?: AbortSignal } = {}): AsyncIterableIterator<ScanEvent> {
    if (typeof targets === "string" || typeof targets?.[Symbol.iterator] !== "function") {
      throw new TypeError("Expected `targets` to be an iterable of strings, such as an array.");
    }
    const inputs = Array.from(targets, (target: unknown) => String(target));
    return this.#events(inputs, options.signal);
  }

  /** Calls `fn` with each event of this type that a scan's reader is given, just before; returns what takes it away again. */
  on<Type extends ScanEvent["type"]>(type: Type, fn: (event: ScanEvents[Type]) => void): Disposer {
    return this.#listeners.on(type, fn);
  }

  /** Starts no further plugin run until {@link resume}; what runs goes on. */
  pause(): void {
    this.#drive?.pause();
  }

  /** Starts plugin runs again. */
  resume(): void {
    this.#drive?.resume();
  }

  /** Ends the scan that runs, as aborting its signal does. */
  cancel(): void {
    this.#drive?.cancel();
  }

  /** Ends the scan that runs, if one does. */
  [disposeSymbol](): void {
    this.cancel();
  }

  /** The last scan as it stands. @throws {TypeError} before the first scan has begun */
  report(): Report {
    return this.#begun().report();
  }

  /** The last scan in numbers, now. @throws {TypeError} before the first scan has begun */
  metrics(): ScanMetrics {
    return this.#begun().metrics();
  }

  async *#events(
    inputs: string[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ScanEvent, void, undefined> {
    if (this.#drive?.running)
      throw new TypeError("This scanner is at work: end its scan first, or use another.");
    const drive = new Drive(this.#engine, inputs, this.#resume);
    this.#drive = drive;
    const aborted = () => drive.cancel();
    signal?.addEventListener("abort", aborted, { once: true });
    if (signal?.aborted) aborted();
    try {
      for (let event = await drive.next(); event !== undefined; event = await drive.next()) {
        this.#listeners.emit(event.type, event as never);
        yield event;
      }
    } finally {
      signal?.removeEventListener("abort", aborted);
      drive.cancel();
      drive.finish();
    }
  }

  #begun(): Drive {
    if (this.#drive === undefined) throw new TypeError("Expected a scan to have begun.");
    return this.#drive;
  }
}

/** One scan being driven: polled when it wants to be and somebody reads. */
class Drive {
  readonly #scan: ScanHandle;
  readonly #unread: ScanEvent[] = [];
  #wanted = true;
  #scheduled = false;
  #ended = false;
  #error: { error: unknown } | undefined;
  #reader: (() => void) | undefined;

  constructor(engine: ScannerHandle, inputs: string[], resume: Report | undefined) {
    const report = resume && JSON.stringify(resume);
    const epoch = Date.now() - performance.now();
    this.#scan = guarded(() => engine.scan(epoch, inputs, report, () => this.#wake()));
  }

  get running(): boolean {
    return !this.#ended;
  }

  /** The next event, or `undefined` after the last. */
  async next(): Promise<ScanEvent | undefined> {
    for (;;) {
      if (this.#unread.length <= MOST_UNREAD / 2 && this.#wanted) this.#schedule();
      const event = this.#unread.shift();
      if (event !== undefined) return event;
      if (this.#error !== undefined) throw this.#error.error;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#reader = resolve;
      });
    }
  }

  pause(): void {
    guarded(() => this.#scan.pause());
  }

  resume(): void {
    guarded(() => this.#scan.resume());
  }

  cancel(): void {
    if (!this.#ended) guarded(() => this.#scan.cancel());
  }

  /** Drives a scan that nobody reads any more to its end, so that what it began is ended too. */
  finish(): void {
    while (!this.#ended && this.#wanted) this.#poll();
    this.#unread.length = 0;
  }

  report(): Report {
    return guarded(() => this.#scan.report());
  }

  metrics(): ScanMetrics {
    return guarded(() => this.#scan.metrics());
  }

  #wake(): void {
    this.#wanted = true;
    if (this.#unread.length < MOST_UNREAD) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#ended) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#wanted) this.#poll();
    });
  }

  #poll(): void {
    if (this.#ended) return;
    this.#wanted = false;
    try {
      for (const event of guarded(() => this.#scan.poll()) as ScanEvent[]) {
        this.#unread.push(event);
        if (event.type === "done") this.#ended = true;
      }
    } catch (error) {
      this.#error = { error };
      this.#ended = true;
    }
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.();
  }
}

/** Errors of the engine's own reach the caller as `TypeError`s: they are about what it was given. */
function guarded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const passed = passOn(error);
    if (passed instanceof Error && passed.constructor === Error) throw new TypeError(passed.message);
    throw passed;
  }
}

/** A function that runs a user's code only after the wasm frame that calls it is gone. */
function later<A extends unknown[], T>(fn: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
  return async (...args) => {
    await null;
    return fn(...args);
  };
}

function heapBytes(): number | undefined {
  const { memory } = performance as { memory?: { usedJSHeapSize: number } };
  if (memory !== undefined) return memory.usedJSHeapSize;
  const host = globalThis.process as { memoryUsage?: () => { heapUsed: number } } | undefined;
  try {
    // Workers on the edge are told of no memory: what they read there is 0.
    return host?.memoryUsage?.().heapUsed || undefined;
  } catch {
    return undefined;
  }
}

/** What a host can tell of how hard it is pressed. Whatever a platform does not have, or lies about, is left out. */

import { now } from "./clock.js";
import { area as coreArea } from "./core.js";
import { callable, object, reject } from "./options.js";
import { area as storeArea } from "./store.js";
import { isWorkerd } from "./yield.js";

/** How hard it is, in the words of the W3C's Compute Pressure. `unknown`: no source tells the truth here. */
export type PressureLevel = "unknown" | "nominal" | "fair" | "serious" | "critical";

/** By the numbers that the machine knows them by. */
export const LEVELS: readonly PressureLevel[] = ["unknown", "nominal", "fair", "serious", "critical"];

/** What a source measures. What it leaves out is unknown. */
export interface PressureReading {
  /** Milliseconds by which the event loop comes round later than asked for. 0 is unknown until it was once more: a clock that stands still measures nothing else. */
  lag?: number;
  /** The share of wasm memory in use, from 0 to 1; 0 is unknown. */
  memory?: number;
  /** The share of the heap in use, from 0 to 1; 0 is unknown. */
  heap?: number;
  /** What the system itself says. */
  level?: PressureLevel;
}

/** Something that can tell how hard the host is pressed. */
export interface PressureSource {
  /** For messages. */
  readonly name: string;
  /** What it measures now. Called once a sample; where it throws, nothing is known. */
  read(): PressureReading;
  /** Begins to measure, where that takes more than a reading; called again after a rest. */
  start?(): void;
  /** Leaves nothing running: no timer, no listener. */
  stop?(): void;
}

/**
 * Every source that this platform has: how late its event loop comes round, its wasm memory, its heap, its Compute Pressure.
 * What a {@link PressureMonitor} asks unless it is told otherwise; with a source of your own beside them, give it both.
 *
 * @example
 * ```ts
 * import { PressureMonitor, platformSources } from "tidegate";
 *
 * let share = 0.95;
 * const database = { name: "database", read: () => ({ memory: share }) };
 * using monitor = new PressureMonitor({ sources: [...platformSources(), database] });
 * console.log(monitor.level); // → critical
 * ```
 */
export function platformSources(): PressureSource[] {
  // A loop that other isolates share, whose clock moves with I/O alone, says nothing of this one.
  const loop = isWorkerd ? [] : [loopLag()];
  return [...loop, wasmMemory(), heap(), computePressure()];
}

/** Reads the sources of a monitor. @throws TypeError that names what is wrong */
export function parseSources(sources: unknown): readonly PressureSource[] {
  if (sources === undefined) return platformSources();
  if (!Array.isArray(sources)) reject("sources", "an array of sources", sources);
  for (const [index, source] of (sources as PressureSource[]).entries()) {
    const name = `sources[${index}]`;
    if (object(name, source) === undefined) reject(name, "an object", source);
    callable(`${name}.read`, source.read);
    if (source.start !== undefined) callable(`${name}.start`, source.start);
    if (source.stop !== undefined) callable(`${name}.stop`, source.stop);
  }
  return [...(sources as PressureSource[])];
}

/** All that several sources say: of each number the highest, for the hardest pressed decides. */
export function together(readings: readonly PressureReading[]): {
  lag: number;
  memory: number;
  heap: number;
  level: number;
} {
  const highest = (of: (reading: PressureReading) => number | undefined) =>
    readings.reduce((most, reading) => {
      const value = of(reading);
      return typeof value === "number" && value > most ? value : most;
    }, -1);
  return {
    lag: highest(({ lag }) => lag),
    memory: highest(({ memory }) => memory),
    heap: highest(({ heap }) => heap),
    level: Math.max(
      0,
      highest(({ level }) => level && LEVELS.indexOf(level)),
    ),
  };
}

/** So often the loop is asked to come round. */
const ASK_EVERY = 100;
/** Nobody blocks a loop for so long: the machine slept. */
const SLEPT = 60_000;

/** How late a timer comes is how long what is queued before it takes: the mean over a sample is what a task waits that comes at any time. */
function loopLag(): PressureSource {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = Number.POSITIVE_INFINITY;
  let [late, asked] = [0, 0];
  const note = (lateness: number) => {
    // Timers of hidden pages are held back for up to a minute, which is no load.
    if (lateness >= SLEPT || isHidden()) return;
    late += Math.max(0, lateness);
    asked += 1;
  };
  const ask = () => {
    due = now() + ASK_EVERY;
    timer = setTimeout(() => {
      note(now() - due);
      ask();
    }, ASK_EVERY);
    (timer as { unref?: () => void }).unref?.();
  };
  return {
    name: "event loop",
    start() {
      if (timer === undefined) ask();
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
      due = Number.POSITIVE_INFINITY;
      [late, asked] = [0, 0];
    },
    read() {
      // Whoever asks in the middle of a long task hears of it.
      if (now() > due) note(now() - due);
      const lag = late / asked;
      [late, asked] = [0, 0];
      return lag >= 0 ? { lag } : {};
    },
  };
}

function isHidden(): boolean {
  return typeof document === "object" && document.visibilityState === "hidden";
}

/** What a wasm memory can grow to; on workerd all of an isolate has 128 MB. */
const MOST_WASM = isWorkerd ? 128 * 2 ** 20 : 2 ** 32;

/** The memories of this package: they never shrink, so they tell of the worst there was. */
function wasmMemory(): PressureSource {
  const bytes = (cells: Float64Array) => cells.buffer.byteLength;
  return {
    name: "wasm memory",
    read: () => ({ memory: Math.max(bytes(coreArea()), bytes(storeArea())) / MOST_WASM }),
  };
}

interface HeapHost {
  process?: { getBuiltinModule?(name: string): unknown };
  performance?: { memory?: { usedJSHeapSize?: number; jsHeapSizeLimit?: number } };
}

/** What is used of what the engine allows: V8 says so in Node, Deno and Chromium; elsewhere it is unknown. */
function heap(): PressureSource {
  const { process, performance } = globalThis as HeapHost;
  let statistics: (() => { used_heap_size?: number; heap_size_limit?: number }) | undefined;
  const used = (): [number | undefined, number | undefined] => {
    const memory = performance?.memory;
    if (memory !== undefined) return [memory.usedJSHeapSize, memory.jsHeapSizeLimit];
    const { used_heap_size, heap_size_limit } = statistics?.() ?? {};
    return [used_heap_size, heap_size_limit];
  };
  return {
    name: "heap",
    start() {
      // Zeros on workerd, and a limit that is none on Bun, whose engine is not V8.
      if (isWorkerd || "Bun" in globalThis || statistics !== undefined) return;
      const v8 = process?.getBuiltinModule?.("node:v8") as
        | { getHeapStatistics?: typeof statistics }
        | undefined;
      statistics = v8?.getHeapStatistics;
    },
    read() {
      const [bytes = 0, limit = 0] = used();
      return limit > 0 && bytes <= limit ? { heap: bytes / limit } : {};
    },
  };
}

interface Observer {
  observe(source: "cpu", options: { sampleInterval: number }): Promise<void>;
  disconnect(): void;
}
type ObserverClass = new (tell: (records: readonly { state: PressureLevel }[]) => void) => Observer;

/** The W3C's Compute Pressure, which Chromium has on secure pages (https://www.w3.org/TR/compute-pressure/). */
function computePressure(): PressureSource {
  const { PressureObserver } = globalThis as { PressureObserver?: ObserverClass };
  let observer: Observer | undefined;
  let level: PressureLevel = "unknown";
  return {
    name: "compute pressure",
    start() {
      if (PressureObserver === undefined || observer !== undefined) return;
      observer = new PressureObserver((records) => {
        level = records.at(-1)?.state ?? level;
      });
      // A page may be forbidden to know: then it is unknown.
      observer.observe("cpu", { sampleInterval: 1000 }).catch(() => {});
    },
    stop() {
      observer?.disconnect();
      observer = undefined;
      level = "unknown";
    },
    read: () => ({ level }),
  };
}

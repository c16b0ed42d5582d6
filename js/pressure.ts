import type { Pressed } from "./adaptive-options.js";
import { now, toEpoch } from "./clock.js";
import { coresHere } from "./cores.js";
import { dispose } from "./dispose.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { type Handle, LIST } from "./instance.js";
import { reportError } from "./log.js";
import { callable, choice, nameOf, number, reject } from "./options.js";
import {
  LEVELS,
  type PressureLevel,
  type PressureReading,
  type PressureSource,
  parseSources,
  together,
} from "./pressure-sources.js";
import { area, ask, open, register, unregister } from "./store.js";
import { STRATEGIES, type Strategy } from "./strategy.js";
import { weakly } from "./weak.js";
import { isWorkerd } from "./yield.js";

/** What a {@link PressureMonitor} looks at, and what it makes of that. */
export interface PressureOptions {
  /** @default "pressure" */
  name?: string;
  /** What it asks. @default {@link platformSources}: all that this platform has */
  sources?: readonly PressureSource[];
  /** Milliseconds between two samples. @default 1,000: what is decided by them lasts about as long */
  interval?: number;
  /** The share of time busy, or of memory in use, from which pressure is fair. @default 0.6 */
  fair?: number;
  /** From which it is serious. @default 0.8 */
  serious?: number;
  /** From which it is critical. @default 0.9 */
  critical?: number;
  /** The share of memory in use above which an alert is raised. @default 0.9 */
  alertAbove?: number;
}

/** One sample. Shares that are not known are absent. */
export interface PressureSample {
  /** Epoch milliseconds. */
  readonly at: number;
  /** The level from then on. */
  readonly level: PressureLevel;
  /** The share of time that the event loop seems busy: lag ÷ (lag + 50 ms), so that 50 ms are half, 200 ms 80 % and 450 ms 90 %. */
  readonly busy?: number;
  /** The share of wasm memory in use. */
  readonly memory?: number;
  /** The share of the heap in use. */
  readonly heap?: number;
}

/** Memory that ran nearly full. */
export interface PressureAlert {
  /** Epoch milliseconds. */
  readonly at: number;
  /** Which memory. */
  readonly source: "memory" | "heap";
  /** The share in use. */
  readonly share: number;
}

/** What a monitor tells those who listen. */
export interface PressureEvents {
  /** The level changed. */
  change: { from: PressureLevel; to: PressureLevel };
  /** A memory ran nearly full; told again only after it was not for once. */
  alert: PressureAlert;
  /** A source threw, and what it measures is unknown; told again only after it did not for once. */
  error: { source: string; error: unknown };
}

/** Every number of a monitor. Shares that are not known are absent. */
export interface PressureMetrics {
  readonly name: string;
  readonly level: PressureLevel;
  /** The share of time that the event loop seems busy. */
  readonly busy?: number;
  /** The share of wasm memory in use. */
  readonly memory?: number;
  /** The share of the heap in use. */
  readonly heap?: number;
  /** Samples taken. */
  readonly samples: number;
  /** Changes of the level. */
  readonly changes: number;
  /** Alerts raised. */
  readonly alerts: number;
}

/** Nobody has asked for so many intervals: it rests until somebody does. */
const RESTS_AFTER = 60;
/** A timer that has not come round for so many intervals went with its request. */
const LOST_AFTER = 10;

/**
 * How hard this host is pressed, from whatever it can measure: how late its event loop comes round, its wasm memory, its heap,
 * and Compute Pressure where there is some. The hardest pressed source decides. What a platform does not have, or lies about,
 * is unknown: it neither presses nor reassures, and where all is unknown so is the level.
 *
 * The level rises at once, and falls after two samples in a row that are clearly below. A sample is taken every second
 * from when somebody first asks; a monitor that nobody asks for a minute, and that has no listeners, rests.
 *
 * Give it to `batch` and to adaptive limits as `pressure`.
 *
 * @example
 * ```ts
 * import { PressureMonitor } from "tidegate";
 *
 * let share = 0.5;
 * using monitor = new PressureMonitor({ sources: [{ name: "mine", read: () => ({ heap: share }) }] });
 * console.log(monitor.level, monitor.shouldThrottle()); // → nominal false
 * share = 0.85;
 * console.log(monitor.sample().level, monitor.shouldThrottle()); // → serious true
 * ```
 */
export class PressureMonitor implements Handle, Pressed {
  /** @internal */
  readonly kind = "pressure";
  readonly #name: string;
  readonly #sources: readonly PressureSource[];
  readonly #numbers: readonly [
    interval: number,
    fair: number,
    serious: number,
    critical: number,
    alert: number,
  ];
  readonly #events: Events<PressureEvents>;
  readonly #subscribers = new Set<(sample: PressureSample) => void>();
  // Sources that threw when they were last called.
  readonly #broken = new Set<PressureSource>();
  #latest: PressureSample = { at: 0, level: "unknown" };
  #throttles = false;
  #dueAt = Number.NEGATIVE_INFINITY;
  #askedAt = 0;
  #tickedAt = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #samples = 0;
  #changes = 0;
  #alerts = 0;
  // −1 once it is done with.
  #id: number;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: PressureOptions = {}) {
    this.#name = nameOf(options, "pressure");
    const { interval = 1000, fair = 0.6, serious = 0.8, critical = 0.9, alertAbove = 0.9 } = options;
    number("interval", interval, 1, 2 ** 31 - 1);
    share("fair", fair);
    share("serious", serious, "fair", fair);
    share("critical", critical, "serious", serious);
    if (!(number("alertAbove", alertAbove, 0, 1) > 0 && alertAbove < 1))
      reject("alertAbove", "a number above 0 and below 1", alertAbove);
    this.#numbers = [interval, fair, serious, critical, alertAbove];
    this.#sources = parseSources(options.sources);
    this.#events = new Events("pressure", this.#name);
    this.#id = open("pressure monitors", () => bindings.pressure_open(...this.#numbers));
    register(this, this.#id, bindings.pressure_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /** How hard it is. */
  get level(): PressureLevel {
    return this.#asked().level;
  }

  /** The last 100 samples, oldest first. */
  get history(): readonly PressureSample[] {
    if (this.#id < 0) return [];
    this.#asked();
    const count = ask(() => bindings.pressure_history(this.#id));
    return chunks(count, 5).map(([at = 0, level = 0, ...shares]) => sampleOf(at, level, shares));
  }

  /** The last 100 alerts, oldest first. */
  get alerts(): readonly PressureAlert[] {
    if (this.#id < 0) return [];
    this.#asked();
    const count = ask(() => bindings.pressure_alerts(this.#id));
    return chunks(count, 3).map(([at = 0, source, share = 0]) => alertOf(at, source === 0, share));
  }

  /** Whether to take on less: from serious on. What is unknown is no reason to. */
  shouldThrottle(): boolean {
    this.#asked();
    return this.#throttles;
  }

  /**
   * How many workers this machine bears: by its cores (unknown ones are 4) and the strategy, and the conservative one above
   * 80 % busy or memory.
   *
   * @throws TypeError where there is no such strategy
   */
  concurrency(strategy: Strategy = "balanced"): number {
    const which = STRATEGIES.indexOf(choice("strategy", strategy, STRATEGIES));
    const { busy = -1, memory = -1, heap = -1 } = this.#asked();
    return ask(() => bindings.pressed_concurrency(which, coresHere(), busy, Math.max(memory, heap)));
  }

  /** Takes a sample now, due or not. */
  sample(): PressureSample {
    this.#begin();
    return this.#take();
  }

  /** Calls `fn` with each sample as it is taken; the disposer takes it away again. */
  subscribe(fn: (sample: PressureSample) => void): Disposer {
    callable("fn", fn);
    const one = (sample: PressureSample) => fn(sample);
    this.#subscribers.add(one);
    this.#begin();
    const end = (() => this.#subscribers.delete(one)) as unknown as Disposer;
    Object.defineProperty(end, dispose, { value: end });
    return end;
  }

  /** Every number of this monitor. Reading them takes no sample. */
  metrics(): PressureMetrics {
    const { at: _, ...latest } = this.#latest;
    const counts = { samples: this.#samples, changes: this.#changes, alerts: this.#alerts };
    return { name: this.#name, ...latest, ...counts };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof PressureEvents>(event: K, fn: (detail: PressureEvents[K]) => void): Disposer {
    const off = this.#events.on(event, fn);
    this.#begin();
    return off;
  }

  /** Measures no more; nothing of it remains. It throttles nobody from now on. */
  [dispose](): void {
    if (this.#id < 0) return;
    this.#rest();
    this.#subscribers.clear();
    unregister(this, this.#id);
    ask(() => bindings.pressure_drop(this.#id));
    this.#id = -1;
    this.#latest = { at: this.#latest.at, level: "unknown" };
    this.#throttles = false;
  }

  /** @internal Nobody waits at it. */
  wake(): void {}

  /** @internal What it remembers begins anew. */
  rebuild(): () => void {
    this.#id = bindings.pressure_open(...this.#numbers);
    register(this, this.#id, bindings.pressure_drop);
    this.#dueAt = Number.NEGATIVE_INFINITY;
    return () => {};
  }

  /** What holds now: where a sample is due, and no timer has come round to take it, it is taken. */
  #asked(): PressureSample {
    this.#begin();
    if (this.#askedAt >= this.#dueAt) this.#take();
    return this.#latest;
  }

  /** Begins to measure, and takes up again what ended with the request that began it, as timers do on workerd. */
  #begin(): void {
    if (this.#id < 0) return;
    this.#askedAt = now();
    const [interval] = this.#numbers;
    const isAlive = !isWorkerd || this.#askedAt - this.#tickedAt < LOST_AFTER * interval;
    if (this.#timer !== undefined && isAlive) return;
    this.#rest();
    this.#tickedAt = this.#askedAt;
    for (const source of this.#sources) this.#try(source, () => source.start?.());
    // Nothing there needs a timer of those who only ask, and a request's timer is worth nothing after it.
    if (isWorkerd && !this.#isHeard()) return;
    const weak = weakly<PressureMonitor>(this);
    const sources = this.#sources;
    const timer = setInterval(() => {
      const monitor = weak.deref();
      if (monitor !== undefined) return monitor.#tick();
      clearInterval(timer);
      for (const source of sources) source.stop?.();
    }, interval);
    (timer as { unref?: () => void }).unref?.();
    this.#timer = timer;
  }

  #tick(): void {
    this.#tickedAt = now();
    const [interval] = this.#numbers;
    if (this.#tickedAt - this.#askedAt > RESTS_AFTER * interval && !this.#isHeard()) this.#rest();
    else if (this.#tickedAt >= this.#dueAt - interval / 2) this.#take();
  }

  #rest(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const source of this.#sources) this.#try(source, () => source.stop?.());
  }

  #isHeard(): boolean {
    return this.#subscribers.size > 0 || this.#events.heard("change") || this.#events.heard("alert");
  }

  #take(): PressureSample {
    if (this.#id < 0) return this.#latest;
    const at = now();
    const readings = this.#sources.map((source) => this.#read(source));
    const { lag, memory, heap, level } = together(readings);
    ask(() => bindings.pressure_sample(this.#id, at, lag, memory, heap, level));
    const cells = area().slice(LIST, LIST + 9);
    const [to = 0, from = -1, busy = -1, ofMemory = -1, ofHeap = -1, memoryAlert = -1, heapAlert = -1] =
      cells;
    this.#latest = sampleOf(at, to, [busy, ofMemory, ofHeap]);
    this.#throttles = cells[7] === 1;
    this.#dueAt = cells[8] as number;
    this.#samples += 1;
    const sample = this.#latest;
    // Told last: whoever is told may end it, or ask again.
    if (from >= 0) this.#changes += 1;
    const alerts = [memoryAlert, heapAlert].flatMap((share, which) =>
      share < 0 ? [] : [alertOf(at, which === 0, share)],
    );
    this.#alerts += alerts.length;
    if (from >= 0) this.#events.emit("change", { from: LEVELS[from] ?? "unknown", to: sample.level });
    for (const alert of alerts) this.#events.emit("alert", alert);
    for (const tell of [...this.#subscribers]) {
      try {
        tell(sample);
      } catch (error) {
        reportError(error);
      }
    }
    return sample;
  }

  #read(source: PressureSource): PressureReading {
    const reading = this.#try(source, () => ({ ...source.read() }));
    if (reading !== undefined) this.#broken.delete(source);
    return reading ?? {};
  }

  #try<T>(source: PressureSource, call: () => T): T | undefined {
    try {
      return call();
    } catch (error) {
      const isNews = !this.#broken.has(source);
      this.#broken.add(source);
      if (isNews) this.#events.emit("error", { source: source.name, error });
      return undefined;
    }
  }
}

function sampleOf(at: number, level: number, shares: readonly number[]): PressureSample {
  const [busy = -1, memory = -1, heap = -1] = shares;
  return {
    at: toEpoch(at),
    level: LEVELS[level] ?? "unknown",
    ...(busy < 0 ? {} : { busy }),
    ...(memory < 0 ? {} : { memory }),
    ...(heap < 0 ? {} : { heap }),
  };
}

function alertOf(at: number, isMemory: boolean, share: number): PressureAlert {
  return { at: toEpoch(at), source: isMemory ? "memory" : "heap", share };
}

/** The numbers that the last call came with, so many at a time. */
function chunks(count: number, size: number): number[][] {
  return Array.from({ length: count / size }, (_, at) =>
    Array.from({ length: size }, (_, place) => bindings.told(at * size + place)),
  );
}

function share(name: string, value: unknown, above = "0", least = 0): void {
  if (typeof value !== "number" || !(value > least && value <= 1))
    reject(name, `a number above ${least === 0 ? above : `\`${above}\``} and at most 1`, value);
}

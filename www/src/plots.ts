// The instruments: eight small plots over one time axis, each with its readings above it.

import type { ScanMetrics } from "tidegate/scan";
import uPlot from "uplot";
import { build } from "./build.js";
import { amount, duration, megabytes, percent } from "./figures.js";
import { type Channel, LEVELS, Series } from "./series.js";

interface Instrument {
  title: string;
  channels: readonly Channel[];
  /** The scale shows at least up to here, so that noise near zero looks like what it is. */
  floor: number;
  ceiling?: number;
  stepped?: boolean;
  show(value: number | null): string;
  axis(value: number): string;
}

const MB = 2 ** 20;

const INSTRUMENTS: readonly Instrument[] = [
  {
    title: "Throughput",
    channels: [
      { label: "runs/s", read: (m) => m.throughput.runs },
      { label: "requests/s", read: (m) => m.throughput.requests },
    ],
    floor: 10,
    show: (value) => amount(value ?? Number.NaN),
    axis: amount,
  },
  {
    title: "In flight",
    channels: LEVELS.map((level) => ({ label: level, read: (m) => levelOf(m, level)?.active ?? 0 })),
    floor: 5,
    stepped: true,
    show: (value) => amount(value ?? Number.NaN),
    axis: amount,
  },
  {
    title: "Queue depth",
    channels: LEVELS.map((level) => ({
      label: level,
      read: (m) => (levelOf(m, level)?.queued ?? 0) + (levelOf(m, level)?.waiting ?? 0),
    })),
    floor: 5,
    stepped: true,
    show: (value) => amount(value ?? Number.NaN),
    axis: amount,
  },
  {
    title: "Breakers",
    channels: [
      { label: "open", read: (m) => breakers(m, "open") },
      { label: "half-open", read: (m) => breakers(m, "half-open") },
    ],
    floor: 4,
    stepped: true,
    show: (value) => amount(value ?? Number.NaN),
    axis: amount,
  },
  {
    title: "Latency",
    channels: [
      { label: "p50", read: (m) => (m.latency.count > 0 ? m.latency.p50 : null) },
      { label: "p95", read: (m) => (m.latency.count > 0 ? m.latency.p95 : null) },
      { label: "p99", read: (m) => (m.latency.count > 0 ? m.latency.p99 : null) },
    ],
    floor: 50,
    show: duration,
    axis: duration,
  },
  {
    title: "Error rate",
    channels: [{ label: "last 100 requests", read: (m) => m.errorRate }],
    floor: 0.1,
    ceiling: 1,
    show: (value) => percent(value ?? Number.NaN),
    axis: percent,
  },
  {
    title: "Utilisation",
    channels: [{ label: "slots with work", read: (m) => m.utilisation }],
    floor: 1,
    ceiling: 1,
    show: (value) => percent(value ?? Number.NaN),
    axis: percent,
  },
  {
    title: "Memory",
    channels: [
      { label: "wasm", read: (m) => m.memory.wasmBytes },
      { label: "heap", read: (m) => m.memory.heapBytes },
    ],
    floor: 8 * MB,
    show: megabytes,
    axis: megabytes,
  },
];

/** At least this much time is on the axis, so that a scan's first second does not fill it. */
const SHORTEST = 10;

export class Plots {
  #dials: Dial[];
  #drawn = 0;

  constructor(frame: HTMLElement) {
    const together = uPlot.sync("scan");
    this.#dials = INSTRUMENTS.map((instrument) => new Dial(frame, instrument, together));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const dial of this.#dials) dial.redraw();
    });
  }

  clear(): void {
    for (const dial of this.#dials) dial.clear();
  }

  add(metrics: ScanMetrics): void {
    for (const dial of this.#dials) dial.add(metrics);
    if (this.#drawn !== 0) return;
    this.#drawn = requestAnimationFrame(() => {
      this.#drawn = 0;
      for (const dial of this.#dials) dial.redraw();
    });
  }
}

class Dial {
  #series: Series;
  #plot: uPlot;
  #readings: HTMLElement[];
  #instrument: Instrument;

  constructor(frame: HTMLElement, instrument: Instrument, together: uPlot.SyncPubSub) {
    this.#instrument = instrument;
    this.#series = new Series(instrument.channels);
    this.#readings = instrument.channels.map(() => build("b", { class: "num", text: "–" }));
    const legend = instrument.channels.map((channel, index) =>
      build(
        "span",
        { class: "reading", data: { line: String(index) } },
        `${channel.label} `,
        this.#readings[index] ?? "",
      ),
    );
    const canvas = build("div", { class: "plot-canvas", attributes: { "aria-hidden": "true" } });
    frame.append(
      build(
        "figure",
        { class: "panel plot" },
        build(
          "figcaption",
          {},
          build("span", { class: "plot-title", text: instrument.title }),
          build("span", { class: "readings" }, ...legend),
        ),
        canvas,
      ),
    );
    this.#plot = new uPlot(this.#options(canvas, together), this.#data(), canvas);
    new ResizeObserver(() => {
      this.#plot.setSize({ width: canvas.clientWidth, height: canvas.clientHeight });
    }).observe(canvas);
  }

  add(metrics: ScanMetrics): void {
    this.#series.add(metrics);
  }

  clear(): void {
    this.#series.clear();
    this.redraw();
  }

  redraw(): void {
    this.#plot.setData(this.#data());
    this.#read(this.#plot.cursor.idx ?? this.#series.time.length - 1);
  }

  #read(at: number): void {
    this.#readings.forEach((reading, index) => {
      const value = this.#series.values[index]?.[at];
      const text = value === undefined ? "–" : this.#instrument.show(value);
      if (reading.textContent !== text) reading.textContent = text;
    });
  }

  #data(): uPlot.AlignedData {
    return [this.#series.time, ...this.#series.values];
  }

  #options(canvas: HTMLElement, together: uPlot.SyncPubSub): uPlot.Options {
    const { channels, floor, ceiling, stepped, axis } = this.#instrument;
    const lines = channels.map(
      (_, index): uPlot.Series => ({
        stroke: () => tint(`--line-${index}`),
        width: 1.5,
        points: { show: false },
        ...(stepped === true &&
          uPlot.paths.stepped !== undefined && { paths: uPlot.paths.stepped({ align: 1 }) }),
      }),
    );
    const shared = {
      stroke: () => tint("--muted"),
      font: `10px ${getComputedStyle(document.body).fontFamily}`,
      ticks: { show: false },
    };
    return {
      width: canvas.clientWidth,
      height: canvas.clientHeight,
      padding: [6, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 }, sync: { key: together.key } },
      scales: {
        x: { time: false, range: (_, __, last) => [0, Math.max(SHORTEST, last ?? 0)] },
        y: { range: (_, __, most) => [0, ceiling ?? Math.max(floor, (most ?? 0) * 1.1)] },
      },
      axes: [
        {
          ...shared,
          size: 20,
          gap: 5,
          grid: { show: false },
          space: 48,
          values: (_, marks) => marks.map((mark) => `${mark} s`),
        },
        {
          ...shared,
          size: 46,
          gap: 4,
          grid: { stroke: () => tint("--rule"), width: 1 },
          space: 28,
          values: (_, marks) => marks.map(axis),
        },
      ],
      series: [{}, ...lines],
      hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx ?? this.#series.time.length - 1)] },
    };
  }
}

function tint(variable: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

function levelOf(metrics: ScanMetrics, level: string) {
  return metrics.levels.find((candidate) => candidate.level === level);
}

function breakers(metrics: ScanMetrics, state: string): number {
  return metrics.hosts.reduce((count, host) => count + (host.breaker === state ? 1 : 0), 0);
}

// The samples behind the plots, in bounded memory: when the buffer is full, every second sample goes and
// from then on only every second one is taken, so a scan of hours still shows from its beginning.

import type { Level, ScanMetrics } from "tidegate/scan";

const CAPACITY = 960;

/** Levels that are worth a line; the monitor is the one who watches. */
export const LEVELS: readonly Level[] = ["discovery", "batch", "introspection", "analysis"];

export interface Channel {
  label: string;
  read(metrics: ScanMetrics): number | null;
}

export class Series {
  /** Seconds since the scan began. */
  readonly time: number[] = [];
  readonly values: (number | null)[][];
  #channels: readonly Channel[];
  #stride = 1;
  #skipped = 0;

  constructor(channels: readonly Channel[]) {
    this.#channels = channels;
    this.values = channels.map(() => []);
  }

  clear(): void {
    this.#stride = 1;
    this.#skipped = 0;
    this.time.length = 0;
    for (const column of this.values) column.length = 0;
  }

  /** Takes a sample, or lets it go by if the buffer holds coarser ones. */
  add(metrics: ScanMetrics): void {
    this.#skipped += 1;
    if (this.#skipped < this.#stride) return;
    this.#skipped = 0;
    const second = metrics.elapsed / 1000;
    if (second <= (this.time.at(-1) ?? -1)) return; // uPlot wants ascending time
    this.time.push(second);
    this.#channels.forEach((channel, index) => {
      this.values[index]?.push(channel.read(metrics));
    });
    if (this.time.length >= CAPACITY) this.#thin();
  }

  #thin(): void {
    this.#stride *= 2;
    for (const column of [this.time, ...this.values]) {
      let kept = 0;
      for (let index = 0; index < column.length; index += 2) column[kept++] = column[index] ?? null!;
      column.length = kept;
    }
  }
}

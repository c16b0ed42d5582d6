// How far the scan is and how it does, in numbers.

import type { ScanMetrics } from "tidegate/scan";
import { build, part, say } from "./build.js";
import type { SeenEvent } from "./edge-scanner.js";
import { amount, duration, percent, plural } from "./figures.js";
import type { Phase } from "./session.js";

const PHASES: Record<Phase, string> = {
  idle: "Ready",
  loading: "Loading",
  scanning: "Scanning",
  paused: "Paused",
  cancelling: "Cancelling",
  done: "Done",
  cancelled: "Cancelled",
  failed: "Failed",
};

interface Gauge {
  label: string;
  show(metrics: ScanMetrics): string;
}

const GAUGES: readonly Gauge[] = [
  { label: "Elapsed", show: (m) => duration(m.elapsed) },
  { label: "Requests", show: (m) => amount(m.requests.total) },
  { label: "Requests/s", show: (m) => amount(m.throughput.requests) },
  { label: "In flight", show: (m) => amount(m.requests.active) },
  { label: "Latency p95", show: (m) => (m.latency.count > 0 ? duration(m.latency.p95) : "–") },
  { label: "Error rate", show: (m) => percent(m.errorRate) },
  {
    label: "Breakers open",
    show: (m) => `${m.hosts.filter((host) => host.breaker !== "closed").length} of ${m.hosts.length}`,
  },
  { label: "Utilisation", show: (m) => percent(m.utilisation) },
];

export class Readouts {
  #phase = part("phase", HTMLElement);
  #text = part("progress-text", HTMLElement);
  #eta = part("eta", HTMLElement);
  #bar = part("progress", HTMLElement);
  #values: HTMLElement[];

  constructor() {
    this.#values = GAUGES.map(() => build("dd", { class: "num", text: "–" }));
    part("gauges", HTMLElement).append(
      ...GAUGES.map(({ label }, index) =>
        build("div", { class: "gauge" }, build("dt", { text: label }), this.#values[index] ?? ""),
      ),
    );
  }

  phase(phase: Phase): void {
    say(this.#phase, PHASES[phase]);
    this.#phase.dataset.phase = phase;
    if (phase !== "scanning") say(this.#eta, "");
  }

  take(event: SeenEvent): void {
    if (event.type === "started") this.#move(event.resumed, event.total);
    else if (event.type === "progress") {
      this.#move(event.done, event.total);
      say(this.#eta, event.paused || event.done === event.total ? "" : remaining(event.eta));
      this.metrics(event.metrics);
    } else if (event.type === "done") {
      const { started, finished, results } = event.report;
      const ended = results.filter((result) => result.status !== "cancelled").length;
      const total = Number(this.#bar.getAttribute("aria-valuemax"));
      this.#move(event.cancelled ? ended : total, total);
      say(this.#eta, `in ${duration((finished ?? event.at) - started)}`);
    }
  }

  metrics(metrics: ScanMetrics | null): void {
    GAUGES.forEach((gauge, index) => {
      const value = this.#values[index];
      if (value !== undefined) say(value, metrics === null ? "–" : gauge.show(metrics));
    });
  }

  #move(done: number, total: number): void {
    say(this.#text, `${done.toLocaleString("en")} of ${plural(total, "run")}`);
    this.#bar.setAttribute("aria-valuemax", String(total));
    this.#bar.setAttribute("aria-valuenow", String(done));
    this.#bar.style.setProperty("--share", String(total === 0 ? 0 : done / total));
  }
}

/** An estimate, in no finer steps than it deserves. */
function remaining(eta: number | null): string {
  if (eta === null) return "";
  return eta < 1000 ? "under 1 s to go" : `about ${duration(Math.round(eta / 1000) * 1000)} to go`;
}

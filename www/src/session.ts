// One scan from its start to its end, and what may be done to it meanwhile.

import type { Report, Scanner } from "tidegate/scan";
import { EdgeScanner, type SeenEvent } from "./edge-scanner.js";
import type { EdgeWorker } from "./edge-worker.js";
import { engine } from "./engine.js";
import type { Order } from "./form.js";

export type Phase =
  | "idle"
  | "loading"
  | "scanning"
  | "paused"
  | "cancelling"
  | "done"
  | "cancelled"
  | "failed";

export interface Listener {
  phase(phase: Phase): void;
  event(event: SeenEvent): void;
  /** The engine itself broke off; one sentence. */
  broke(message: string): void;
}

/** Who scans: a worker, or this tab, with a `fetch` of its own where it only pretends. */
export type Engine = { worker: EdgeWorker } | { fetch: typeof globalThis.fetch | undefined };

type State =
  | { phase: "idle" | "loading" | "failed" }
  | {
      phase: "scanning" | "paused" | "cancelling";
      scanner: Scanner | EdgeScanner;
      controller: AbortController;
    }
  | { phase: "done" | "cancelled"; report: Report };

export class Session {
  #state: State = { phase: "idle" };
  #listener: Listener;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  get phase(): Phase {
    return this.#state.phase;
  }

  /** The last report, or what there is of it while the scan runs. */
  get report(): Report | undefined {
    if ("report" in this.#state) return this.#state.report;
    return "scanner" in this.#state ? this.#state.scanner.report() : undefined;
  }

  /** Scans until the end; does nothing while a scan runs. Never rejects. */
  async run({ targets, options }: Order, by: Engine): Promise<void> {
    if ("scanner" in this.#state || this.#state.phase === "loading") return;
    const controller = new AbortController();
    this.#enter({ phase: "loading" });
    try {
      const scanner = await scannerOf(by, options);
      for await (const event of scanner.scan(targets, { signal: controller.signal })) {
        if (event.type === "started") this.#enter({ phase: "scanning", scanner, controller });
        if (event.type === "done")
          this.#enter({ phase: event.cancelled ? "cancelled" : "done", report: event.report });
        this.#listener.event(event);
      }
    } catch (error) {
      this.#enter({ phase: "failed" });
      this.#listener.broke(error instanceof Error ? error.message : String(error));
    }
  }

  /** Whether what runs can be paused: what another computer does cannot. */
  get canPause(): boolean {
    return "scanner" in this.#state && "pause" in this.#state.scanner;
  }

  /** Pauses, or goes on if paused. */
  pause(): void {
    if (this.#state.phase === "scanning" && "pause" in this.#state.scanner) {
      this.#state.scanner.pause();
      this.#enter({ ...this.#state, phase: "paused" });
    } else if (this.#state.phase === "paused" && "resume" in this.#state.scanner) {
      this.#state.scanner.resume();
      this.#enter({ ...this.#state, phase: "scanning" });
    }
  }

  cancel(): void {
    if (this.#state.phase !== "scanning" && this.#state.phase !== "paused") return;
    const { controller } = this.#state;
    this.#enter({ ...this.#state, phase: "cancelling" });
    controller.abort(new DOMException("The scan was cancelled.", "AbortError"));
  }

  #enter(state: State): void {
    this.#state = state;
    this.#listener.phase(state.phase);
  }
}

async function scannerOf(by: Engine, options: Order["options"]): Promise<Scanner | EdgeScanner> {
  if ("worker" in by) return new EdgeScanner(by.worker, options.plugins);
  const { Scanner } = await engine();
  return new Scanner({ ...options, ...(by.fetch !== undefined && { fetch: by.fetch }) });
}

// A scan that a worker on the edge makes: what it says comes over the network, a line an event, and is passed on as the engine's own.

import type { Level, PluginName, PluginResult, Report, ScanEvent, ScanMetrics } from "tidegate/scan";
import { version } from "../../package.json";
import { scanOfShards } from "./edge-shards.js";
import { ask, type EdgeWorker, linesOf, ordering, refusalOf } from "./edge-worker.js";

/** What the worker streams in one answer. What is more becomes a scan of shards, which it makes for as long as it takes. */
const MOST_AT_ONCE = 100;

/** What a worker says of a scan. */
export type WorkerEvent =
  | Exclude<SeenEvent, { type: "invalid-target" | "done" }>
  | { type: "refused"; target: string; reason: string; message?: string }
  | { type: "error"; message: string }
  | { type: "done"; at: number; cancelled: boolean; report?: Report };

/** What the page hears of a scan: of one of shards no engine tells how it does, only how far it is. */
export type SeenEvent =
  | Exclude<ScanEvent, { type: "progress" }>
  | (Omit<Extract<ScanEvent, { type: "progress" }>, "metrics"> & { metrics: ScanMetrics | null });

/** What the engine's `Scanner` can, as far as a page needs it. There is no pause: what another computer does goes on. */
export class EdgeScanner {
  #worker: EdgeWorker;
  #plugins: readonly PluginName[];
  #started: Extract<ScanEvent, { type: "started" }> | undefined;
  #invalid: Report["invalid"] = [];
  #results = new Map<string, PluginResult>();

  constructor(worker: EdgeWorker, plugins: readonly PluginName[]) {
    this.#worker = worker;
    this.#plugins = plugins;
  }

  async *scan([text]: readonly [string], { signal }: { signal: AbortSignal }): AsyncGenerator<SeenEvent> {
    const order = { targets: targetsIn(text), plugins: this.#plugins };
    const scan = order.targets.length > MOST_AT_ONCE ? scanOfShards : scanAtOnce;
    try {
      // What may not be contacted is told before the scan begins, and of one that does not begin at all.
      const early: SeenEvent[] = [];
      for await (const said of scan(this.#worker, order, signal)) {
        const event = this.#read(said);
        if (this.#started === undefined && event.type === "invalid-target") early.push(event);
        else yield event;
        if (event.type !== "started") continue;
        yield* early.splice(0);
      }
      if (this.#started === undefined)
        throw new Error(
          `The worker refused ${early.length === 1 ? "the target" : "every target"}: ${sentence(early)}`,
        );
    } catch (error) {
      if (!signal.aborted || this.#started === undefined) throw error;
      yield { type: "done", at: Date.now(), cancelled: true, report: this.report() };
    }
  }

  /** What came so far; of what did not come it says that it was cancelled. */
  report(): Report {
    return this.#reportAt(Date.now(), false);
  }

  #reportAt(finished: number, complete: boolean): Report {
    if (this.#started === undefined) throw new Error("The scan has not begun.");
    const { targets, plugins, mode, maxWorkers, at } = this.#started;
    const sorted = [...plugins].sort();
    const results = targets.flatMap((target) =>
      sorted.map((plugin) => this.#results.get(`${plugin} ${target}`) ?? cancelled(plugin, target)),
    );
    const runs = { ok: 0, error: 0, timeout: 0, skipped: 0, cancelled: 0 };
    const findings = { critical: 0, high: 0, medium: 0, low: 0, info: 0 };
    for (const result of results) {
      runs[result.status] += 1;
      for (const { severity } of result.findings) findings[severity] += 1;
    }
    const reachable = results.filter(({ details }) => details?.reachable === true).length;
    return {
      schema: "urn:tidegate:report:1",
      tool: { name: "tidegate", version },
      mode,
      plugins: sorted,
      maxWorkers,
      started: at,
      finished,
      complete,
      targets,
      invalid: this.#invalid,
      results,
      summary: { targets: targets.length, reachable, runs, findings },
    };
  }

  #read(event: WorkerEvent): SeenEvent {
    switch (event.type) {
      case "error":
        throw new Error(`The worker broke off: ${event.message}`);
      case "refused": {
        const { target, reason, message } = event;
        const why = REASONS[reason] ?? message ?? reason;
        const bad = { input: target, message: `${target} is refused: ${why}`, line: null };
        this.#invalid.push(bad);
        return { type: "invalid-target", ...bad };
      }
      case "done": {
        const { at, cancelled } = event;
        return { type: "done", at, cancelled, report: event.report ?? this.#reportAt(at, !cancelled) };
      }
      case "started":
        this.#started = event;
        return event;
      case "result":
        this.#results.set(`${event.result.plugin} ${event.result.target}`, event.result);
        return event;
      default:
        return event;
    }
  }
}

/** A scan that the worker streams while it makes it. */
async function* scanAtOnce(
  worker: EdgeWorker,
  order: object,
  signal: AbortSignal,
): AsyncGenerator<WorkerEvent> {
  const response = await ask(worker, "scan", { ...ordering(order), signal });
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || !type.startsWith("application/x-ndjson")) throw new Error(await refusalOf(response));
  for await (const line of linesOf(response)) yield JSON.parse(line) as WorkerEvent;
}

/** What a worker's reasons mean to a reader. */
const REASONS: Record<string, string> = {
  "not-a-url": "it is no address",
  scheme: "only http and https are scanned",
  credentials: "it carries a name or a password",
  port: "nothing of http is at that port",
  "not-allowed": "the worker does not allow this host",
  private: "it is not on the public internet",
  unresolved: "its name leads nowhere",
};

/** A list of targets as the worker takes it: one by one, and without comments. */
export function targetsIn(text: string): string[] {
  return text
    .split("\n")
    .flatMap((line) => line.replace(/(^|\s)#.*$/, "").split(/[\s,]+/))
    .filter((target) => target !== "");
}

function cancelled(plugin: string, target: string): PluginResult {
  return {
    plugin,
    target,
    level: LEVELS[plugin] ?? "introspection",
    start: Date.now(),
    duration: null,
    waited: 0,
    status: "cancelled",
    error: "The scan was cancelled.",
    summary: "",
    findings: [],
    details: null,
  };
}

const LEVELS: Record<string, Level> = {
  "http-probe": "discovery",
  "port-probe": "discovery",
  "content-secrets": "analysis",
  "mcp-threats": "analysis",
};

function sentence(events: readonly SeenEvent[]): string {
  const messages = events.flatMap((event) => (event.type === "invalid-target" ? [event.message] : []));
  return `${messages.slice(0, 3).join("; ")}${messages.length > 3 ? " …" : ""}.`;
}

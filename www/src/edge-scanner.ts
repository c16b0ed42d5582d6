// A scan that a worker on the edge makes: what it says comes over the network, a line an event, and is passed on as the engine's own.

import type { Level, PluginName, PluginResult, Report, ScanEvent } from "tidegate/scan";
import { version } from "../../package.json";

/** Where a worker is, and what lets this page ask it. */
export interface EdgeWorker {
  /** The address under which `scan` is. */
  url: string;
  /** Empty where something else says who asks, as Cloudflare Access does. */
  token: string;
}

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

  async *scan([text]: readonly [string], { signal }: { signal: AbortSignal }): AsyncGenerator<ScanEvent> {
    try {
      const response = await this.#order(targetsIn(text), signal);
      // What may not be contacted is told before the scan begins, and of one that does not begin at all.
      const early: ScanEvent[] = [];
      for await (const line of linesOf(response)) {
        const event = this.#read(line);
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
      finished: Date.now(),
      complete: false,
      targets,
      invalid: this.#invalid,
      results,
      summary: { targets: targets.length, reachable, runs, findings },
    };
  }

  async #order(targets: string[], signal: AbortSignal): Promise<Response> {
    const { url, token } = this.#worker;
    let response: Response;
    try {
      response = await fetch(new URL("scan", base(url)), {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
        },
        body: JSON.stringify({ targets, plugins: this.#plugins }),
        signal,
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new Error("The worker cannot be reached, or does not allow this page's origin (ORIGINS).");
    }
    const type = response.headers.get("content-type") ?? "";
    if (response.ok && type.startsWith("application/x-ndjson")) return response;
    throw new Error(await refusalOf(response));
  }

  #read(line: string): ScanEvent {
    const event = JSON.parse(line) as
      | ScanEvent
      | { type: "refused"; target: string; reason: string }
      | { type: "error"; message: string };
    if (event.type === "error") throw new Error(`The worker broke off: ${event.message}`);
    if (event.type === "refused") {
      const { target, reason } = event;
      const bad = {
        input: target,
        message: `${target} is refused: ${REASONS[reason] ?? reason}`,
        line: null,
      };
      this.#invalid.push(bad);
      return { type: "invalid-target", ...bad };
    }
    if (event.type === "started") this.#started = event;
    if (event.type === "result")
      this.#results.set(`${event.result.plugin} ${event.result.target}`, event.result);
    return event;
  }
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

/** An address that was typed: a host alone is meant as https, and a path as a folder. */
export function base(url: string): URL {
  const address = new URL(/^https?:\/\//i.test(url) ? url : `https://${url}`);
  if (!address.pathname.endsWith("/")) address.pathname += "/";
  return address;
}

/** A list of targets as the worker takes it: one by one, and without comments. */
export function targetsIn(text: string): string[] {
  return text
    .split("\n")
    .flatMap((line) => line.replace(/(^|\s)#.*$/, "").split(/[\s,]+/))
    .filter((target) => target !== "");
}

async function refusalOf(response: Response): Promise<string> {
  const said: unknown = await response.json().catch(() => undefined);
  const error =
    typeof said === "object" && said !== null && "error" in said && typeof said.error === "string"
      ? said.error.slice(0, 300)
      : `it answered ${response.status}`;
  const seconds = response.headers.get("retry-after");
  return `The worker refuses: ${error}${seconds === null ? "" : `, come back in ${seconds} s`}.`;
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + decoder.decode(part.value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") yield line;
    }
    if (rest !== "") yield rest;
  } finally {
    await reader.cancel().catch(() => {});
  }
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

function sentence(events: readonly ScanEvent[]): string {
  const messages = events.flatMap((event) => (event.type === "invalid-target" ? [event.message] : []));
  return `${messages.slice(0, 3).join("; ")}${messages.length > 3 ? " …" : ""}.`;
}

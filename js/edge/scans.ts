/** Scans of many shards over HTTP: ordered, watched, reported, ended. */

import { callable, integer, milliseconds, object, reject } from "../options.js";
import type { PluginName, Report, ScanEvent, ScanOptions } from "../scan/types.js";
import type { CoordinatorNamespace } from "./coordinator.js";
import { isTargetRefusedError, type TargetGuard } from "./guard.js";
import { bodyOf, FORMATS, type ReportWriters } from "./scan-formats.js";
import type { ScannerClass } from "./scan-handler.js";
import { askJob } from "./scan-jobs.js";
import type { ScanStatus } from "./scan-journal.js";
import { named, readOrder, refusal } from "./scan-order.js";
import type { RefusedTarget, ScanPlan } from "./scan-plan.js";

/** How scans of many shards are made. */
export interface ScansOptions {
  /** The namespace of {@link ScanJobObject}. */
  jobs: CoordinatorNamespace;
  /** Writes reports in more formats than JSON, NDJSON and SARIF: `{ csv: toCsv }`, with `toCsv` of `tidegate/scan`. @default none */
  formats?: ReportWriters;
  /** Targets of one scan. @default 10,000, the most that the engine takes */
  maxTargets?: number;
  /** Targets of one shard, which one consumer scans in one go. @default 20: a shard that begins again loses little, and its messages cost little */
  shard?: number;
  /** Milliseconds until a consumer that says nothing is taken for dead. @default 30 s, as leases on the edge have */
  lease?: number;
  /** Milliseconds for which results are kept after the end. @default a week */
  keep?: number;
}

/** Who asks. */
export interface Client {
  /** Whose scans these are: nobody else is told of them. */
  readonly owner: string;
  /** Why a scan of so many targets may not be started, if it may not. */
  mayStart(targets: number): Promise<Response | undefined>;
  /** So many of them were refused. */
  refuse(targets: number): void;
}

/** The longest body that is read: ten thousand addresses of a hundred bytes. */
const LONGEST_ORDER = 1_048_576;

const PATH = /^\/scans(?:\/([^/]*)(?:\/(events|report))?)?$/;
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** `POST /scans`, and `GET` and `DELETE` below it. */
export class Scans {
  readonly #options: Required<ScansOptions>;
  readonly #Scanner: ScannerClass;
  readonly #guard: TargetGuard;
  readonly #scan: ScanOptions;

  /** @throws TypeError where an option is not what it should be; the message names it */
  constructor(options: ScansOptions, Scanner: ScannerClass, guard: TargetGuard, scan: ScanOptions) {
    object("scans", options);
    const {
      jobs,
      formats = {},
      maxTargets = 10_000,
      shard = 20,
      lease = 30_000,
      keep = 604_800_000,
    } = options;
    if (typeof jobs?.idFromName !== "function") reject("scans.jobs", "a Durable Object namespace", jobs);
    for (const [format, write] of Object.entries(formats)) {
      if (format !== "csv" && format !== "html") reject("scans.formats", "of csv and html", format);
      callable(`scans.formats.${format}`, write);
    }
    this.#options = {
      jobs,
      formats,
      maxTargets: integer("scans.maxTargets", maxTargets, 1, 10_000),
      shard: integer("scans.shard", shard, 1),
      lease: finite("scans.lease", milliseconds("scans.lease", lease, 100)),
      keep: finite("scans.keep", milliseconds("scans.keep", keep, 0)),
    };
    this.#Scanner = Scanner;
    this.#guard = guard;
    this.#scan = scan;
  }

  /** Whether a path is one of these. */
  static has(pathname: string): boolean {
    return PATH.test(pathname);
  }

  /** Answers a client who may ask. */
  async answer(request: Request, client: Client): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const [, id, part] = PATH.exec(pathname) ?? [];
    const { method } = request;
    if (id === undefined)
      return method === "POST" ? this.#start(request, client) : refusal(405, "POST it is");
    if (!ID.test(id)) return refusal(404, "there is no such scan");
    if (part === undefined && method === "DELETE") return this.#ask(id, client, "/", { method });
    if (method !== "GET") return refusal(405, part === undefined ? "GET or DELETE it is" : "GET it is");
    if (part === "report") return this.#report(id, client, searchParams.get("format") ?? "json");
    if (part === "events") return this.#events(id, client, request);
    return this.#ask(id, client, "/status");
  }

  async #start(request: Request, client: Client): Promise<Response> {
    const order = await readOrder(request, this.#options.maxTargets, LONGEST_ORDER);
    if (typeof order === "string") return refusal(400, order);
    const no = await client.mayStart(order.targets.length);
    if (no !== undefined) return no;
    const refused: RefusedTarget[] = [];
    const admitted: string[] = [];
    for (const target of order.targets) {
      try {
        admitted.push(named(this.#guard.admit(target)));
      } catch (error) {
        if (!isTargetRefusedError(error)) throw error;
        refused.push({ target, reason: error.reason, message: error.message });
      }
    }
    let plan: ScanPlan;
    try {
      plan = await this.#plan(admitted, order.plugins, refused, client.owner);
    } catch (error) {
      return refusal(400, error instanceof Error ? error.message : "the scan cannot be made");
    }
    client.refuse(refused.length);
    const { id, report } = plan;
    if (report.targets.length === 0)
      return Response.json({ error: "none of the targets may be scanned", refused }, { status: 400 });
    const init = { method: "POST", body: JSON.stringify(plan) };
    const response = await this.#reach(() => askJob(this.#options.jobs, id, "/begin", init));
    // What the object refuses is a worker that is not whole.
    if (response.status === 409) return refusal(503, ((await response.json()) as { error: string }).error);
    if (!response.ok) return response;
    const status = (await response.json()) as ScanStatus;
    return Response.json(
      { ...status, refused },
      { status: 202, headers: { location: new URL(`/scans/${id}`, request.url).href } },
    );
  }

  /** What the engine makes of the order. It is asked by scans that are over before they begin, which contact nobody. */
  async #plan(
    admitted: string[],
    plugins: PluginName[] | undefined,
    refused: RefusedTarget[],
    owner: string,
  ): Promise<ScanPlan> {
    const { shard, lease, keep } = this.#options;
    const names = await this.#dry(["http-probe"], admitted);
    for (const { input, message } of names.invalid)
      refused.push({ target: input, reason: "not-a-url", message });
    const dry = await this.#dry(plugins, ["https://example.com/"]);
    const levels = Object.fromEntries(dry.results.map(({ plugin, level }) => [plugin, level]));
    const { runs } = dry.summary;
    const report: Report = {
      ...dry,
      finished: null,
      targets: names.targets,
      invalid: [],
      results: [],
      summary: { ...dry.summary, targets: names.targets.length, runs: { ...runs, cancelled: 0 } },
    };
    return { id: crypto.randomUUID(), owner, report, levels, refused, shard, lease, keep };
  }

  async #dry(plugins: PluginName[] | undefined, targets: string[]): Promise<Report> {
    const scanner = new this.#Scanner({
      ...this.#scan,
      ...(plugins === undefined ? {} : { plugins }),
      fetch: () => Promise.reject(new Error("This scan is over.")),
      connect: null,
    });
    let last: ScanEvent | undefined;
    for await (const event of scanner.scan(targets, { signal: AbortSignal.abort() })) last = event;
    if (last?.type !== "done") throw new Error("The engine did not say that it was done.");
    return last.report;
  }

  #ask(id: string, client: Client, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { "tidegate-owner": client.owner };
    return this.#reach(() => askJob(this.#options.jobs, id, path, { ...init, headers }));
  }

  /** What an object said as an answer of ours: nothing but its text is passed on. */
  async #reach(ask: () => Promise<Response>): Promise<Response> {
    let response: Response;
    try {
      response = await ask();
    } catch {
      return refusal(503, "the scan cannot be reached", 1000);
    }
    if (response.status === 404) return refusal(404, "there is no such scan");
    const { status, body } = response;
    const type = response.headers.get("content-type");
    return new Response(body, {
      status,
      headers: { "cache-control": "no-store", ...(type === null ? {} : { "content-type": type }) },
    });
  }

  #events(id: string, client: Client, request: Request): Promise<Response> | Response {
    const last = request.headers.get("last-event-id");
    if (last !== null && !/^(?:\d{1,15}|end)$/.test(last))
      return refusal(400, "expected `Last-Event-ID` to be the id of an event");
    const headers: Record<string, string> = { "tidegate-owner": client.owner };
    if (last !== null) headers["last-event-id"] = last;
    return this.#reach(() => askJob(this.#options.jobs, id, "/events", { headers }));
  }

  async #report(id: string, client: Client, format: string): Promise<Response> {
    const { formats } = this.#options;
    const offered = ["json", "ndjson", "sarif", ...Object.keys(formats)];
    if (!offered.includes(format))
      return refusal(400, `expected \`format\` to be one of ${offered.join(", ")}`);
    const response = await this.#ask(id, client, format === "json" ? "/report" : "/lines");
    if (response.status !== 200 || response.body === null) return response;
    let body: Awaited<ReturnType<typeof bodyOf>>;
    try {
      body = format === "json" ? response.body : await bodyOf(format, response.body, formats);
    } catch {
      return refusal(500, `the report broke off, or could not be written as ${format}`);
    }
    if (body === undefined) {
      const unbounded = offered.filter((each) => each !== "html").join(", ");
      return refusal(413, `the report is too long for this format; these have no bound: ${unbounded}`);
    }
    return new Response(body, {
      headers: {
        ...FORMATS[format],
        "cache-control": "no-store",
        "content-disposition": `attachment; filename="scan-${id}.${format}"`,
      },
    });
  }
}

/** What crosses to the object as JSON, which has no infinity. */
function finite(name: string, ms: number): number {
  return Number.isFinite(ms) ? ms : reject(name, "a finite number of milliseconds", ms);
}

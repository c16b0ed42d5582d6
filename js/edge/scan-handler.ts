/** Scans over HTTP: who may ask, for what, how often, and the answer as it comes. */

import { gather } from "../gather.js";
import { Metrics } from "../metrics.js";
import { everything, kindOf, type Observable } from "../observed.js";
import { integer, object, reject } from "../options.js";
import { Pool } from "../pool.js";
import type { ScanEvent, ScanOptions } from "../scan/types.js";
import type { Lease } from "../work.js";
import { type Caller, Callers, type CallersOptions } from "./callers.js";
import type { Coordinator } from "./coordinator.js";
import { isTargetRefusedError, TargetGuard, type TargetGuardOptions } from "./guard.js";
import { type QuotaOptions, Quotas } from "./quotas.js";
import { named, readOrder, refusal } from "./scan-order.js";
import { Scans, type ScansOptions } from "./scans.js";

/** What is needed of `Scanner` from `tidegate/scan`. */
export type ScannerClass = new (
  options: ScanOptions,
) => {
  scan(targets: Iterable<string>, options: { signal?: AbortSignal }): AsyncIterableIterator<ScanEvent>;
};

/** What {@link scanHandler} is made with. Nothing is open that is not named here. */
export interface ScanHandlerOptions extends CallersOptions {
  /** `Scanner` of `tidegate/scan`: handed over, so that a worker that scans nothing carries no engine. */
  Scanner: ScannerClass;
  /** What may be scanned, and how. @default nothing */
  targets?: TargetGuardOptions;
  /** How much each caller may ask for. @default 600 requests and 60 scans in a minute, 10,000 targets in a day */
  quotas?: QuotaOptions;
  /** Keeps the quotas of a caller everywhere together. @default each isolate keeps them by itself */
  coordinator?: Coordinator;
  /** Targets of one `POST /scan`, and never more than the quota has. @default 100, as many as stream in a request's time */
  maxTargets?: number;
  /** Scans that run at once in this isolate. @default 4 */
  concurrency?: number;
  /** Scans of many shards, by a queue and Durable Objects. @default none are made */
  scans?: ScansOptions;
  /** Origins of pages that may call, exactly as a browser names them. @default none */
  origins?: readonly string[];
  /**
   * Whose counts `GET /metrics` shows beside the isolate's own: `own`, those of the caller who asks, or `all`, everybody's, whose ids then
   * are everybody's to see. @default "own"; `all` is for a worker whose callers are one house, and its scraper
   */
  metrics?: "own" | "all";
  /** The options of each scan, apart from what the request says. */
  scan?: Omit<ScanOptions, "fetch" | "connect" | "resume" | "plugins" | "mode">;
}

/** The longest body that is read. */
const LONGEST_ORDER = 262_144;
/**
 * Names that are looked up at once for one order. A name takes two questions over HTTPS (A and AAAA), and a request on Workers has six connections
 * at once: of more names, those that nobody answers would use up the time of those that stand behind them in the platform's line.
 */
const RESOLVED_AT_ONCE = 3;

/** Milliseconds after which what has not been looked up is refused: nobody waits for the first line of an answer for minutes. */
const ALL_RESOLVED_IN = 20_000;

/**
 * Answers `POST /scan`, `GET /metrics` and `GET /healthz`, with `scans` also `POST /scans` and what is below it, and gives nothing for other paths.
 *
 * `POST /scan` with `{ "targets": ["https://…"], "plugins": […] }` answers one JSON object a line as results come (NDJSON): the events of
 * a `Scanner`, and `{ "type": "refused", "target", "reason" }` for what may not be contacted. What a target said is only ever text in JSON.
 * A client that leaves ends its scan. Only passive scans are made.
 *
 * `POST /scans` takes the same and answers 202 with the scan's `id` and with what is refused. `GET /scans/:id` says how far it is, `/events` tells
 * it while it happens (server-sent events, taken up after `Last-Event-ID`), and `/report?format=` what was found. `DELETE` ends what runs, and forgets
 * what has ended. Whoever bears another token is told that there is no such scan.
 *
 * @throws TypeError where an option is not what it should be; the message names it
 * @example
 * ```ts no-run
 * import { scanHandler } from "tidegate/edge";
 * import { Scanner } from "tidegate/scan";
 *
 * declare const env: { TOKEN: string };
 * const handle = scanHandler({ Scanner, tokens: [env.TOKEN], targets: { allow: ["*.example.com"] } });
 * const fetch = async (request: Request) => (await handle(request)) ?? new Response(null, { status: 404 });
 * ```
 */
export function scanHandler(
  options: ScanHandlerOptions,
): (request: Request) => Promise<Response | undefined> {
  object("options", options);
  const { Scanner, origins = [], coordinator, scan = {}, metrics = "own" } = options;
  if (typeof Scanner !== "function") reject("Scanner", "the class of `tidegate/scan`", Scanner);
  if (metrics !== "own" && metrics !== "all") reject("metrics", "`own` or `all`", metrics);
  const callers = new Callers(options);
  const quotas = new Quotas(options.quotas, coordinator);
  const guard = new TargetGuard(options.targets);
  const maxTargets = Math.min(integer("maxTargets", options.maxTargets ?? 100, 1), quotas.most("targets"));
  const scans = options.scans === undefined ? undefined : new Scans(options.scans, Scanner, guard, scan);
  const pool = new Pool({
    name: "scans",
    concurrency: integer("concurrency", options.concurrency ?? 4, 1),
    leaseTimeout: 60_000,
  });

  const mayStart = async (caller: Caller, targets: number) =>
    (await quotas.take(caller, "scans")) ?? quotas.take(caller, "targets", targets);

  async function start(request: Request, caller: Caller): Promise<Response> {
    const order = await readOrder(request, maxTargets, LONGEST_ORDER);
    if (typeof order === "string") return refusal(400, order);
    const lease = pool.tryAcquire();
    if (lease === undefined) return refusal(503, "other scans are running", pool.turnover);
    const limited = await mayStart(caller, order.targets.length);
    if (limited !== undefined) {
      lease.release();
      return limited;
    }
    const until = AbortSignal.timeout(ALL_RESOLVED_IN);
    const judge = async (target: string) => {
      // To look up many names may take longer than a lease.
      lease.renew();
      try {
        return await guard.admitResolved(target, { signal: until });
      } catch (error) {
        return isTargetRefusedError(error) ? error.reason : "unresolved";
      }
    };
    const judged = await gather(
      order.targets.map((target) => () => judge(target)),
      { concurrency: RESOLVED_AT_ONCE },
    );
    const admitted: string[] = [];
    const refused: { type: "refused"; target: string; reason: string }[] = [];
    for (const [index, each] of judged.entries()) {
      const target = order.targets[index] as string;
      if (each instanceof URL) admitted.push(named(each));
      else refused.push({ type: "refused", target, reason: String(each) });
    }
    quotas.counts(caller).refuse(refused.length);
    const { plugins } = order;
    try {
      const scanner = new Scanner({
        ...scan,
        ...(plugins === undefined ? {} : { plugins }),
        fetch: guard.fetch,
        connect: null,
      });
      return stream(scanner, admitted, refused, lease);
    } catch (error) {
      lease.release();
      return refusal(400, error instanceof Error ? error.message : "the scan cannot be made");
    }
  }

  async function answer(request: Request): Promise<Response | undefined> {
    const { pathname } = new URL(request.url);
    if (pathname === "/healthz") return new Response("ok\n", { headers: { "content-type": "text/plain" } });
    const isOfScans = scans !== undefined && Scans.has(pathname);
    if (pathname !== "/scan" && pathname !== "/metrics" && !isOfScans) return undefined;
    const caller = await callers.identify(request, origins);
    if (caller instanceof Response) return caller;
    const limited = await quotas.take(caller, "requests");
    if (limited !== undefined) return limited;
    if (guard.isClosed && request.method === "POST") return refusal(403, NOTHING_ALLOWED);
    if (isOfScans)
      return scans.answer(request, {
        owner: caller.id,
        mayStart: (targets) => mayStart(caller, targets),
        refuse: (targets) => quotas.counts(caller).refuse(targets),
      });
    const wanted = pathname === "/scan" ? "POST" : "GET";
    if (request.method !== wanted) return refusal(405, `${wanted} it is`);
    if (pathname === "/scan") return start(request, caller);
    const counts = quotas.counts(caller);
    const isShown = (handle: object) => kindOf(handle) !== "caller" || handle === counts;
    const shown = metrics === "all" ? undefined : ([...everything()].filter(isShown) as Observable[]);
    return new Response(new Metrics(shown).toOpenMetrics(), {
      headers: { "content-type": "application/openmetrics-text; version=1.0.0; charset=utf-8" },
    });
  }

  return async (request) => {
    const origin = request.headers.get("origin");
    const isAllowed = origin !== null && origins.includes(origin);
    if (request.method === "OPTIONS" && isAllowed)
      return withHeaders(new Response(null, { status: 204 }), {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST, DELETE",
        "access-control-allow-headers": "authorization, content-type, last-event-id",
        "access-control-max-age": "600",
      });
    const response = await answer(request);
    return (
      response &&
      withHeaders(
        response,
        isAllowed
          ? {
              "access-control-allow-origin": origin,
              "access-control-expose-headers": "retry-after, location",
            }
          : {},
      )
    );
  };
}

const NOTHING_ALLOWED =
  "nothing may be scanned yet: this worker is configured with no hosts that are allowed (ALLOW, the option `targets.allow`)";

/** Events as they come, no faster than they are read; a reader that leaves ends the scan. */
function stream(
  scanner: InstanceType<ScannerClass>,
  targets: string[],
  refused: readonly object[],
  lease: Lease,
): Response {
  const encoder = new TextEncoder();
  const line = (value: object) => encoder.encode(`${JSON.stringify(value)}\n`);
  const ends = new AbortController();
  const events = targets.length === 0 ? undefined : scanner.scan(targets, { signal: ends.signal });
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const each of refused) controller.enqueue(line(each));
    },
    async pull(controller) {
      if (!lease.renew()) {
        // Its place among the scans is another's by now.
        ends.abort();
        await events?.return?.();
        controller.error(new Error("the scan was ended, since nobody has read it for long"));
        return;
      }
      try {
        const event = await events?.next();
        if (event !== undefined && event.done !== true) {
          controller.enqueue(line(event.value));
          return;
        }
        controller.close();
      } catch (error) {
        controller.enqueue(
          line({ type: "error", message: error instanceof Error ? error.message : String(error) }),
        );
        controller.close();
      }
      lease.release();
    },
    async cancel() {
      ends.abort();
      lease.release();
      await events?.return?.();
    },
  });
  return new Response(body, {
    headers: { "content-type": "application/x-ndjson; charset=utf-8", "cache-control": "no-store" },
  });
}

function withHeaders(response: Response, more: Record<string, string>): Response {
  const headers = { "x-content-type-options": "nosniff", vary: "origin", ...more };
  for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
  return response;
}

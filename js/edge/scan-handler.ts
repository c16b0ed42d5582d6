/** Scans over HTTP: who may ask, for what, how often, and the answer as it comes. */

import { Metrics } from "../metrics.js";
import { integer, object, reject } from "../options.js";
import { Pool } from "../pool.js";
import { RateLimiter } from "../rate.js";
import type { ScanEvent, ScanOptions } from "../scan/types.js";
import type { Lease } from "../work.js";
import type { Coordinator } from "./coordinator.js";
import { isTargetRefusedError, TargetGuard, type TargetGuardOptions } from "./guard.js";
import { readOrder, refusal } from "./scan-order.js";
import { Scans, type ScansOptions } from "./scans.js";
import { SharedRate } from "./shared-rate.js";
import { Tokens } from "./tokens.js";

/** What is needed of `Scanner` from `tidegate/scan`. */
export type ScannerClass = new (
  options: ScanOptions,
) => {
  scan(targets: Iterable<string>, options: { signal?: AbortSignal }): AsyncIterableIterator<ScanEvent>;
};

/** What {@link scanHandler} is made with. Nothing is open that is not named here. */
export interface ScanHandlerOptions {
  /** `Scanner` of `tidegate/scan`: handed over, so that a worker that scans nothing carries no engine. */
  Scanner: ScannerClass;
  /** Who may ask: `authorization: Bearer …`. @default nobody */
  tokens?: readonly string[];
  /** What may be scanned, and how. @default nothing */
  targets?: TargetGuardOptions;
  /** Scans that one token may start. @default 10 in a minute */
  rate?: { limit: number; per: number };
  /** Counts the scans of a token everywhere together. @default each isolate counts by itself */
  coordinator?: Coordinator;
  /** Targets of one scan. @default 100, as many as stream in a request's time */
  maxTargets?: number;
  /** Scans that run at once in this isolate. @default 4 */
  concurrency?: number;
  /** Scans of many shards, by a queue and Durable Objects. @default none are made */
  scans?: ScansOptions;
  /** Origins of pages that may call, exactly as a browser names them. @default none */
  origins?: readonly string[];
  /** The options of each scan, apart from what the request says. */
  scan?: Omit<ScanOptions, "fetch" | "connect" | "resume" | "plugins" | "mode">;
}

interface Limiter {
  tryAcquire(): boolean | Promise<boolean>;
}

/** The longest body that is read. */
const LONGEST_ORDER = 262_144;

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
  const {
    Scanner,
    tokens = [],
    origins = [],
    rate = { limit: 10, per: 60_000 },
    coordinator,
    scan = {},
  } = options;
  if (typeof Scanner !== "function") reject("Scanner", "the class of `tidegate/scan`", Scanner);
  for (const [index, token] of tokens.entries())
    if (typeof token !== "string" || token.length < 16)
      throw new TypeError(`Expected \`tokens[${index}]\` to be a string of at least 16 characters`);
  const known = new Tokens(tokens);
  const guard = new TargetGuard(options.targets);
  const maxTargets = integer("maxTargets", options.maxTargets ?? 100, 1);
  const scans = options.scans === undefined ? undefined : new Scans(options.scans, Scanner, guard, scan);
  const pool = new Pool({
    name: "scans",
    concurrency: integer("concurrency", options.concurrency ?? 4, 1),
    leaseTimeout: 60_000,
  });
  const limiters = tokens.map((_, index): Limiter => {
    const name = `scans of token ${index}`;
    return coordinator === undefined
      ? new RateLimiter({ kind: "token-bucket", ...rate }, { name })
      : new SharedRate(coordinator, { name, ...rate, block: 1 });
  });

  const tooMany = () => refusal(429, "too many scans", rate.per / rate.limit);

  async function start(request: Request, limiter: Limiter): Promise<Response> {
    const order = await readOrder(request, maxTargets, LONGEST_ORDER);
    if (typeof order === "string") return refusal(400, order);
    if (!(await limiter.tryAcquire())) return tooMany();
    const lease = pool.tryAcquire();
    if (lease === undefined) return refusal(503, "other scans are running", pool.turnover);
    const admitted: string[] = [];
    const refused: { type: "refused"; target: string; reason: string }[] = [];
    for (const target of order.targets) {
      try {
        admitted.push((await guard.admitResolved(target)).href);
      } catch (error) {
        const reason = isTargetRefusedError(error) ? error.reason : "unresolved";
        refused.push({ type: "refused", target, reason });
      }
    }
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
    const index = await known.bearer(request);
    const limiter = index === undefined ? undefined : limiters[index];
    if (limiter === undefined) return refusal(401, "a token is needed");
    const owner = `token ${index}`;
    const mayStart = async () => ((await limiter.tryAcquire()) ? undefined : tooMany());
    if (isOfScans) return scans.answer(request, { owner, mayStart });
    const wanted = pathname === "/scan" ? "POST" : "GET";
    if (request.method !== wanted) return refusal(405, `${wanted} it is`);
    if (pathname === "/scan") return start(request, limiter);
    return new Response(new Metrics().toOpenMetrics(), {
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
    return response && withHeaders(response, isAllowed ? { "access-control-allow-origin": origin } : {});
  };
}

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
      lease.renew();
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

// Targets that exist in this page alone: a `fetch` that plays a dozen servers under a name that can never be
// registered (RFC 6761) and hands every other request on to the network. For static hosting, where no range runs.

const ZONE = ".range.example";

interface Play {
  delay: readonly [number, number];
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** How the request fails; `sometimes` by this share. */
  fails?: "network" | "hang";
  share?: number;
  redirectTo?: string;
  mcp?: boolean;
  faulty?: boolean;
}

const GOOD: Record<string, string> = {
  "content-security-policy":
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "strict-transport-security": "max-age=63072000; includeSubDomains; preload",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "permissions-policy": "camera=(), geolocation=()",
  "cross-origin-opener-policy": "same-origin",
};

const WEAK: Record<string, string> = {
  "content-security-policy": "script-src * 'unsafe-inline' 'unsafe-eval'",
  "x-frame-options": "ALLOWALL",
  "access-control-allow-origin": "*",
  server: "Apache/2.2.15",
};

const PLAYS: Record<string, Play> = {
  fast: { delay: [4, 12], headers: GOOD, faulty: true },
  steady: { delay: [20, 30], headers: GOOD, faulty: true },
  slow: { delay: [350, 500], headers: GOOD },
  uneven: { delay: [5, 300], headers: {} },
  weak: { delay: [15, 40], headers: WEAK },
  bare: { delay: [15, 40] },
  flaky: { delay: [10, 60], fails: "network", share: 0.3 },
  broken: { delay: [10, 30], status: 500 },
  limited: { delay: [5, 10], status: 429, headers: { "retry-after": "1" } },
  moved: { delay: [10, 20], redirectTo: `https://fast${ZONE}/` },
  hanging: { delay: [0, 0], fails: "hang" },
  gone: { delay: [30, 60], fails: "network" },
  missing: { delay: [10, 20], status: 404 },
  hostile: {
    delay: [10, 20],
    headers: { server: "<script>alert(1)</script>" },
    body: "<title><img src=x onerror=alert(1)></title>",
  },
  tools: { delay: [20, 50], mcp: true },
  ...Object.fromEntries(
    Array.from({ length: 8 }, (_, index) => [
      `berth-${index + 1}`,
      { delay: [60, 160], headers: WEAK, faulty: true } satisfies Play,
    ]),
  ),
};

export const SYNTHETIC_TARGETS: readonly string[] = Object.entries(PLAYS).map(
  ([name, play]) => `https://${name}${ZONE}/${play.mcp === true ? "mcp" : ""}`,
);

export interface Simulation {
  fetch: typeof globalThis.fetch;
  faults: boolean;
}

/** A `fetch` for which the synthetic targets exist. The same seed plays the same delays and failures. */
export function syntheticFetch(seed = 1): Simulation {
  const draw = generator(seed);
  const simulation: Simulation = {
    faults: false,
    async fetch(input, init) {
      const request = new Request(input, init);
      const { hostname } = new URL(request.url);
      const play = hostname.endsWith(ZONE) ? PLAYS[hostname.slice(0, -ZONE.length)] : undefined;
      if (play === undefined) return globalThis.fetch(input, init);
      return act(play, request, simulation.faults, draw);
    },
  };
  return simulation;
}

async function act(play: Play, request: Request, faults: boolean, draw: () => number): Promise<Response> {
  const [low, high] = play.delay;
  await pause(low + (high - low) * draw(), request.signal);
  if (play.fails === "hang") await pause(2 ** 31 - 1, request.signal);
  if (play.fails === "network" && draw() < (play.share ?? 1)) throw new TypeError("Failed to fetch");
  if (faults && play.faulty === true) return reply(request.url, "Unavailable", 503, {});
  if (play.mcp === true) return speakMcp(request);
  if (play.redirectTo !== undefined) return reply(play.redirectTo, page("Moved here"), 200, GOOD, true);
  return reply(request.url, play.body ?? page("A synthetic target"), play.status ?? 200, play.headers ?? {});
}

/** A `Response` cannot be made with a URL, and a scan asks for it. */
function reply(
  url: string,
  body: string | null,
  status: number,
  headers: Record<string, string>,
  redirected = false,
): Response {
  const response = new Response(body, {
    status,
    headers: { "content-type": "text/html; charset=utf-8", ...headers },
  });
  return Object.defineProperties(response, { url: { value: url }, redirected: { value: redirected } });
}

async function speakMcp(request: Request): Promise<Response> {
  const json = { "content-type": "application/json" };
  if (request.method === "DELETE") return reply(request.url, null, 204, {});
  if (request.method !== "POST") return reply(request.url, "POST only", 405, {});
  const message: unknown = await request.json().catch(() => undefined);
  if (typeof message !== "object" || message === null || !("method" in message))
    return reply(request.url, "{}", 400, json);
  if (!("id" in message)) return reply(request.url, null, 202, {});
  const result = mcpResult(String(message.method));
  const body = result === undefined ? { error: { code: -32601, message: "No such method" } } : { result };
  return reply(request.url, JSON.stringify({ jsonrpc: "2.0", id: message.id, ...body }), 200, {
    ...json,
    ...(message.method === "initialize" && { "mcp-session-id": "synthetic-session" }),
  });
}

function mcpResult(method: string): unknown {
  const inputSchema = { type: "object", properties: {} };
  switch (method) {
    case "initialize":
      return {
        protocolVersion: "2025-06-18",
        capabilities: { tools: {}, resources: {}, prompts: {} },
        serverInfo: { name: "synthetic", version: "1.0.0" },
      };
    case "tools/list":
      return {
        tools: [
          { name: "tide_table", description: "High and low water at a harbour", inputSchema },
          { name: "lock_status", description: "State of a lock's gates", inputSchema },
        ],
      };
    case "resources/list":
      return { resources: [{ uri: "range://harbours", name: "Harbours" }] };
    case "resources/templates/list":
      return { resourceTemplates: [] };
    case "prompts/list":
      return { prompts: [{ name: "plan_passage", description: "Plan a passage between two harbours" }] };
    case "ping":
      return {};
    default:
      return undefined;
  }
}

function page(title: string): string {
  return `<!doctype html><html lang="en"><title>${title}</title><p>${title}.</p></html>`;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Mulberry32: small, and good enough for delays. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The types of `tidegate/scan`: what a scan is told, what it says while it runs, and what it leaves behind.
 * Durations are milliseconds. Points in time are milliseconds since the Unix epoch unless a comment says otherwise.
 */

/** Whether a scan only sends what an ordinary client would send. `active` includes `passive`. */
export type Mode = "passive" | "active";

/** How much a finding matters, from the most to the least. */
export type Severity = "critical" | "high" | "medium" | "low" | "info";

/** The pools of a scan, in the order in which it goes through them. */
export type Level = "discovery" | "batch" | "introspection" | "analysis" | "monitor";

/** The plugins that come with the package. */
export type PluginName =
  | "http-probe"
  | "port-probe"
  | "security-headers"
  | "cors-policy"
  | "mcp-introspect"
  | "content-secrets"
  | "mcp-threats";

/** What a scan is told. Every field is optional. */
export interface ScanOptions {
  /** The plugins to run. @default all that `mode` allows */
  plugins?: readonly PluginName[];
  /** Whether probes may be sent that no ordinary client would send. @default "passive": the other needs the owner's consent */
  mode?: Mode;
  /** Plugins at work on one target at once, 1–100; with 1 they run strictly one after the other. @default 5, below what a browser allows one host */
  maxWorkers?: number;
  /** Slots of each level over the whole scan. @default discovery 50, batch 10, introspection 5, analysis 3, monitor 1 */
  levels?: Partial<Record<Level, number>>;
  /** What one host is asked to bear, whatever the levels allow. */
  perHost?: {
    /** Requests under way at once to one `host:port`. @default 6, what browsers allow themselves */
    concurrency?: number;
    /** Requests started to one `host:port` in `per` ms. @default { limit: 50, per: 1000 }, which an ordinary server does not notice */
    rate?: { limit: number; per: number };
    /** The breaker of one `host:port`. @default { failures: 5, openFor: 2000 }: five in a row is no accident, and a scan cannot wait for a minute */
    breaker?: { failures?: number; openFor?: number };
  };
  /** How long one plugin may take on one target, from its start. @default 30000, three requests that time out */
  taskTimeout?: number;
  /** How long one request may take. @default 10000 */
  requestTimeout?: number;
  /** The tries of `http-probe`, from which it draws its latency distribution, 1–20. @default 3 */
  tries?: number;
  /** How often `progress` and metrics are renewed. @default 250, about as often as a reader looks */
  progressEvery?: number;
  /** A report of an earlier scan: plugin runs that ended in it are taken over and not repeated. */
  resume?: Report;
  /** Used in place of `globalThis.fetch`. */
  fetch?: typeof globalThis.fetch;
  /** Opens a TCP connection, closes it again and says what it saw. @default TCP in Node, Deno and Bun; none in pages */
  connect?:
    | ((host: string, port: number, options: { timeout: number; signal: AbortSignal }) => Promise<PortState>)
    | null;
}

/** What a connection attempt tells about a port. */
export type PortState = "open" | "closed" | "no-answer" | "unknown";

/** One statement about one target. */
export interface Finding {
  /** What kind of finding this is, stable across versions: `plugin/kind`. */
  id: string;
  /** The statement in one line. */
  title: string;
  severity: Severity;
  /** What was seen. Text of the target's: never render it as markup. */
  evidence: string;
  /** What to do about it; empty where nothing is to be done. */
  remediation: string;
  /** How bad it is as a vector of CVSS 3.1, where the plugin rates that: `mcp-threats`. */
  vector?: string;
  plugin: string;
  target: string;
}

/** How a plugin run ended. `skipped`: there was nothing to do, and `error` says why. */
export type RunStatus = "ok" | "error" | "timeout" | "skipped" | "cancelled";

/** The timing record of one plugin on one target. It exists also where the run failed before it began. */
export interface PluginRun {
  plugin: string;
  target: string;
  /** When it began, or when it was refused. */
  start: number;
  /** From its start to its end; `null` if it never began. */
  duration: number | null;
  status: RunStatus;
  /** Why it is not `ok`, in one sentence; `null` if it is. */
  error: string | null;
}

/** What one plugin has to say about one target. */
export interface PluginResult extends PluginRun {
  level: Level;
  /** How long it waited for its slot. */
  waited: number;
  /** One line for a list, such as `200 in 12 ms`; empty where the run is not `ok`. */
  summary: string;
  findings: Finding[];
  /** What a detail view shows, by plugin; `null` where the run is not `ok`. Text in it is the target's: never markup. */
  details: PluginDetails | null;
}

/** A plugin's details: plain JSON. */
export type PluginDetails = { [key: string]: Json };

/** Plain JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The details of `http-probe`. */
export type HttpProbeDetails = {
  reachable: boolean;
  /** Why it is not reachable, or why the answer is hidden; `null` otherwise. */
  reason: string | null;
  /** `dns`, `refused`, `reset`, `unreachable`, `tls`, `timeout`, `blocked-by-cors`, `network`, `breaker-open`, `other`; `null` when reachable and readable. */
  errorKind: string | null;
  /** `null` where it is hidden or there is none. */
  status: number | null;
  finalUrl: string | null;
  redirected: boolean;
  /** `h2`, `h3`, `http/1.1` where the platform tells. */
  protocol: string | null;
  altSvc: string | null;
  server: string | null;
  contentType: string | null;
  retryAfter: string | null;
  tries: number;
  failures: number;
  latency: { min: number; mean: number; p50: number; p95: number; max: number; samples: number[] } | null;
};

/** The details of `port-probe`. */
export type PortProbeDetails = { host: string; port: number; state: PortState; how: string; latency: number };

/** The details of `mcp-introspect`. */
export type McpDetails = {
  endpoint: string;
  protocolVersion: string;
  serverInfo: { name: string; version: string; title?: string };
  session: boolean;
  transport: "json" | "sse";
  capabilities: { [key: string]: Json };
  instructions: string | null;
  tools: { name: string; title?: string; description?: string; inputSchema?: Json; annotations?: Json }[];
  resources: { uri: string; name?: string; title?: string; mimeType?: string; description?: string }[];
  resourceTemplates: { uriTemplate: string; name?: string; description?: string }[];
  prompts: { name: string; title?: string; description?: string; arguments?: Json }[];
  /** One sentence where the server says more of itself than is kept. */
  cut: string | null;
};

/** The details of `content-secrets`. A credential is nowhere in them: only what every one of its kind begins with. */
export type ContentSecretsDetails = {
  /** Bytes that were searched. */
  bytes: number;
  /** Rules that were searched for. */
  rules: number;
  /** Each credential once. `confidence`: `high`, its inner structure fits; `low`, most likely made up. */
  leaks: {
    name: string;
    rule: string;
    severity: Severity;
    confidence: "low" | "medium" | "high";
    masked: string;
    times: number;
    places: { address: string; line: number; column: number }[];
  }[];
  searched: { name: string; bytes: number; truncated: boolean }[];
  skipped: { name: string; why: string }[];
};

/** The details of `mcp-threats`. Scores are those of CVSS 3.1, 0 to 10. */
export type McpThreatsDetails = {
  /** The worst. */
  score: number;
  /** Each tool with the worst that is held against it, and the kinds of all of it. */
  tools: { name: string; severity: Severity | null; score: number; vector: string | null; kinds: string[] }[];
  combinations: { name: string; description: string; vector: string }[];
};

/** What a scan says while it runs. */
export type ScanEvent =
  /** The first event of every scan. `resumed` runs were taken over from an earlier report. */
  | {
      type: "started";
      at: number;
      targets: string[];
      plugins: string[];
      mode: Mode;
      maxWorkers: number;
      total: number;
      resumed: number;
    }
  /** One entry of the list that is not a target: which, and why in one sentence. The rest is scanned all the same. */
  | { type: "invalid-target"; input: string; message: string; line: number | null }
  /** One plugin run ended. */
  | { type: "result"; result: PluginResult }
  /** Every plugin run on one target ended. */
  | {
      type: "target-done";
      target: string;
      at: number;
      runs: PluginRun[];
      findings: number;
      worst: Severity | null;
    }
  /** How far the scan is: plugin runs done of all; `eta` ms to go, `null` while nothing is known. */
  | {
      type: "progress";
      at: number;
      done: number;
      total: number;
      targetsDone: number;
      targets: number;
      active: number;
      queued: number;
      eta: number | null;
      paused: boolean;
      metrics: ScanMetrics;
    }
  /** A host's breaker changed. */
  | { type: "breaker"; at: number; host: string; from: BreakerState; to: BreakerState; failures: number }
  | { type: "paused"; at: number }
  | { type: "resumed"; at: number }
  /** The last event of every scan, a cancelled one included. */
  | { type: "done"; at: number; cancelled: boolean; report: Report };

/** The state of a host's breaker. */
export type BreakerState = "closed" | "open" | "half-open";

/** A whole scan, finished or interrupted. Its JSON schema is `tidegate/report.schema.json`. */
export interface Report {
  schema: "urn:tidegate:report:1";
  tool: { name: "tidegate"; version: string };
  mode: Mode;
  plugins: string[];
  maxWorkers: number;
  started: number;
  /** `null` while it runs. */
  finished: number | null;
  /** False if it runs still, or was cancelled: `resume` takes it up again. */
  complete: boolean;
  targets: string[];
  invalid: { input: string; message: string; line: number | null }[];
  /** One for each target and plugin. Sorted by target (in the order given), then by plugin name. */
  results: PluginResult[];
  summary: {
    targets: number;
    reachable: number;
    runs: Record<RunStatus, number>;
    findings: Record<Severity, number>;
  };
}

/** Percentiles of a duration in ms; all 0 while `count` is 0. */
export interface Percentiles {
  count: number;
  mean: number;
  min: number;
  p50: number;
  p90: number;
  p95: number;
  p99: number;
  max: number;
}

/** One level, now. */
export interface LevelMetrics {
  level: Level;
  /** The most that may run at once. */
  limit: number;
  active: number;
  queued: number;
  /** Parked outside the full queue. */
  waiting: number;
  /** Ended so far, by how. */
  completed: number;
  failed: number;
  timedOut: number;
  skipped: number;
  cancelled: number;
  /** Turned away: no room, or waited too long. */
  rejected: number;
  /** The share of slots in use now, 0–1. */
  utilisation: number;
  wait: Percentiles;
  run: Percentiles;
}

/** One host's breaker, now. */
export interface HostMetrics {
  host: string;
  breaker: BreakerState;
  /** Failures in a row. */
  failures: number;
  active: number;
  requests: number;
  errors: number;
  /** Epoch ms of the next probe while open; `null` otherwise. */
  retryAt: number | null;
}

/** The scan, now. Everything the page plots. */
export interface ScanMetrics {
  at: number;
  /** Ms since the scan began, pauses included. */
  elapsed: number;
  levels: LevelMetrics[];
  /** At most 200, those in trouble first chosen; by name. */
  hosts: HostMetrics[];
  /** Plugin runs and requests that ended, a second, over the last 5 s. */
  throughput: { runs: number; requests: number };
  /** Of requests: to the head of the answer. */
  latency: Percentiles;
  requests: { total: number; active: number; errors: number; denied: number };
  /** Errors of the last 100 requests, 0–1. */
  errorRate: number;
  /** Slots in use of the levels that have work, 0–1. */
  utilisation: number;
  /** `heapBytes` is `null` where the platform does not tell. */
  memory: { wasmBytes: number; heapBytes: number | null };
  done: number;
  total: number;
  eta: number | null;
  paused: boolean;
}

/** What a list of targets names, and what in it names nothing. */
export interface ReadTargets {
  /** Canonical names, each once, in the order given. */
  targets: string[];
  invalid: { input: string; message: string; line: number | null }[];
}

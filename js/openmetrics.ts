/** OpenMetrics text (prometheus/OpenMetrics, specification 1.0.0) of a snapshot. Rendered here: formatting floats weighs 10 KB in wasm. */
import { type MetricsSnapshot, PLACES } from "./metrics.js";
import type { Kind } from "./observed.js";
import { FAMILIES, type Numbered } from "./openmetrics-families.js";
import type { Summary } from "./pool-metrics.js";

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number, suffix?: string];

interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge" | "summary" | "stateset";
  readonly unit?: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** Renders a snapshot. */
export function renderOpenMetrics(snapshot: MetricsSnapshot): string {
  const families = [
    ...poolFamilies(snapshot),
    ...breakerFamilies(snapshot),
    ...rateFamilies(snapshot),
    ...(Object.keys(FAMILIES) as Kind[]).flatMap((kind) => familiesOf(kind, snapshot)),
    ...ownFamilies(snapshot),
  ];
  return `${families
    .filter(({ samples }) => samples.length > 0)
    .map(render)
    .join("")}# EOF\n`;
}

const OUTCOMES = {
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
  dropped: "dropped",
  rejected: "rejected",
  blocked: "blocked",
  shed: "shed",
  queue_timeout: "queueTimeouts",
  task_timeout: "taskTimeouts",
} as const;

function poolFamilies({ pools }: MetricsSnapshot): Family[] {
  const named = distinct(pools, "pool");
  const gauge = (
    name: string,
    help: string,
    of: (pool: MetricsSnapshot["pools"][number]) => number,
  ): Family => ({
    name: `tidegate_pool_${name}`,
    type: "gauge",
    help,
    samples: named.map(([labels, pool]) => [labels, of(pool)]),
  });
  const summary = (
    name: string,
    help: string,
    of: (pool: MetricsSnapshot["pools"][number]) => Summary,
  ): Family => ({
    name: `tidegate_pool_${name}_seconds`,
    type: "summary",
    unit: "seconds",
    help,
    samples: named.flatMap(([labels, pool]) => (measured(pool) ? quantiles(labels, of(pool)) : [])),
  });
  return [
    {
      name: "tidegate_pool_tasks",
      type: "counter",
      help: "Tasks by how they ended.",
      samples: named.flatMap(([labels, pool]) =>
        Object.entries(OUTCOMES).map(
          ([outcome, key]): Sample => [{ ...labels, outcome }, pool[key], "_total"],
        ),
      ),
    },
    gauge("active", "Tasks that hold slots.", ({ active }) => active),
    gauge("queued", "Tasks in the queue.", ({ queued }) => queued),
    gauge("waiting_for_room", "Tasks that wait outside the queue.", ({ waitingForRoom }) => waitingForRoom),
    gauge("abandoned", "Tasks without a slot whose function goes on.", ({ abandoned }) => abandoned),
    gauge("concurrency", "Slots.", ({ concurrency }) => concurrency),
    gauge("peak_active", "The most tasks that ever ran at once.", ({ peakActive }) => peakActive),
    summary("wait", "From call to start.", ({ wait }) => wait),
    summary("run", "From start to end.", ({ run }) => run),
  ];
}

/** One that measures nothing has nothing to say of times, not that there were none. */
function measured({ wait, started }: MetricsSnapshot["pools"][number]): boolean {
  return wait.count > 0 || started === 0;
}

const STATES = ["closed", "open", "half-open", "isolated"] as const;

function breakerFamilies({ breakers }: MetricsSnapshot): Family[] {
  const named = distinct(breakers, "breaker");
  return [
    {
      name: "tidegate_breaker_state",
      type: "stateset",
      help: "What the breaker does with calls.",
      samples: named.flatMap(([labels, breaker]) =>
        STATES.map(
          (state): Sample => [{ ...labels, tidegate_breaker_state: state }, breaker.state === state ? 1 : 0],
        ),
      ),
    },
    {
      name: "tidegate_breaker_calls",
      type: "counter",
      help: "Calls by what they told the breaker.",
      samples: named.flatMap(([labels, { successes, failures, ignored, refused }]) =>
        Object.entries({ success: successes, failure: failures, ignored, refused }).map(
          ([outcome, value]): Sample => [{ ...labels, outcome }, value, "_total"],
        ),
      ),
    },
    {
      name: "tidegate_breaker_openings",
      type: "counter",
      help: "How often the breaker opened.",
      samples: named.map(([labels, { opened }]) => [labels, opened, "_total"]),
    },
  ];
}

function rateFamilies({ rates }: MetricsSnapshot): Family[] {
  const named = distinct(rates, "rate");
  return [
    {
      name: "tidegate_rate_requests",
      type: "counter",
      help: "Requests by how they ended.",
      samples: named.flatMap(([labels, { allowed, denied, cancelled }]) =>
        Object.entries({ allowed, denied, cancelled }).map(
          ([outcome, value]): Sample => [{ ...labels, outcome }, value, "_total"],
        ),
      ),
    },
    {
      name: "tidegate_rate_waiting",
      type: "gauge",
      help: "Requests in line.",
      samples: named.map(([labels, { waiting }]) => [labels, waiting]),
    },
  ];
}

function familiesOf(kind: Kind, snapshot: MetricsSnapshot): Family[] {
  const named = distinct<{ readonly name: string }>(snapshot[PLACES[kind]], kind);
  return (FAMILIES[kind] as readonly Numbered<{ readonly name: string }>[]).map(
    ({ name, samples, ...rest }) => ({
      ...rest,
      name: `tidegate_${kind}_${name}`,
      samples: named.flatMap(([labels, metrics]) =>
        samples(metrics).map(([more, value, suffix = ""]): Sample => [{ ...labels, ...more }, value, suffix]),
      ),
    }),
  );
}

function ownFamilies({ counters }: MetricsSnapshot): Family[] {
  return Object.entries(counters).map(([name, value]) => ({
    name,
    type: "counter",
    help: "A counter of the application.",
    samples: [[{}, value, "_total"]],
  }));
}

/** Label sets must differ: a second handle of the same name gets a number. */
function distinct<T extends { readonly name: string }>(
  handles: readonly T[],
  label: string,
): [Record<string, string>, T][] {
  const taken = new Set<string>();
  return handles.map((handle) => {
    let value = handle.name;
    for (let number = 2; taken.has(value); number += 1) value = `${handle.name}#${number}`;
    taken.add(value);
    return [{ [label]: value }, handle];
  });
}

function quantiles(
  labels: Record<string, string>,
  { count, sum, p50, p90, p95, p99, p999 }: Summary,
): Sample[] {
  const at =
    count === 0 ? [] : Object.entries({ "0.5": p50, "0.9": p90, "0.95": p95, "0.99": p99, "0.999": p999 });
  return [
    ...at.map(([quantile, ms]): Sample => [{ ...labels, quantile }, ms / 1000]),
    [labels, count, "_count"],
    [labels, sum / 1000, "_sum"],
  ];
}

function render({ name, type, unit, help, samples }: Family): string {
  const head = [
    `# TYPE ${name} ${type}`,
    ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
    `# HELP ${name} ${help}`,
  ];
  const lines = samples.map(
    ([labels, value, suffix = ""]) => `${name}${suffix}${renderLabels(labels)} ${value}`,
  );
  return `${[...head, ...lines].join("\n")}\n`;
}

function renderLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}

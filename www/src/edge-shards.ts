// A scan of more targets than a worker streams at once: ordered, and then watched for as long as it takes.

import type { PluginResult, Report } from "tidegate/scan";
import type { WorkerEvent } from "./edge-scanner.js";
import { ask, type EdgeWorker, linesOf, ordering, refusalOf } from "./edge-worker.js";

/** How often in a row one asks for events without hearing any. */
const TRIES = 6;
const PAUSE_MS = 1000;

/** What the worker says of such a scan beside results. */
type Told =
  | Extract<WorkerEvent, { type: "refused" | "result" | "done" }>
  | {
      type: "progress";
      at: number;
      done: number;
      total: number;
      targets: number;
      targetsDone: number;
      eta: number | null;
    };

/** The scan in the terms of a small one. Who gives it up ends it at the worker too. */
export async function* scanOfShards(
  worker: EdgeWorker,
  order: object,
  signal: AbortSignal,
): AsyncGenerator<WorkerEvent> {
  // Without the signal: a scan that begins must be known to be ended.
  const response = await ask(worker, "scans", ordering(order));
  const { id, refused = [] } = await begun(response);
  if (id === undefined) {
    for (const each of refused) yield { ...each, type: "refused" };
    return;
  }
  try {
    signal.throwIfAborted();
    const { started: at, targets, plugins, mode, maxWorkers } = await headOf(worker, id, signal);
    const total = targets.length * plugins.length;
    yield { type: "started", at, targets, plugins, mode, maxWorkers, total, resumed: 0 };
    const runs = new Map<string, PluginResult[]>();
    for await (const event of told(worker, id, signal)) {
      if (event.type === "progress") yield { ...event, active: 0, queued: 0, paused: false, metrics: null };
      else yield event;
      if (event.type !== "result") continue;
      const { target } = event.result;
      const those = [...(runs.get(target) ?? []), event.result];
      runs.set(target, those);
      if (those.length < plugins.length) continue;
      runs.delete(target);
      const findings = those.reduce((sum, result) => sum + result.findings.length, 0);
      yield { type: "target-done", target, at: Date.now(), runs: those, findings, worst: null };
    }
  } catch (error) {
    // Nobody would hear what else it does, nor could end it.
    await end(worker, id);
    throw error;
  }
}

/** The scan's id; of an order that is refused whole, what is refused. */
async function begun(
  response: Response,
): Promise<{ id?: string; refused?: { target: string; reason: string; message: string }[] }> {
  const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
  if (!isJson && !response.ok) throw new Error("The worker makes no scans of more than 100 targets.");
  const whole = response.clone();
  const said = (await response.json()) as Awaited<ReturnType<typeof begun>>;
  if (!response.ok && said.refused === undefined) throw new Error(await refusalOf(whole));
  return said;
}

/** The report as it was before anything had run: the first line of it. */
async function headOf(worker: EdgeWorker, id: string, signal: AbortSignal): Promise<Report> {
  const response = await ask(worker, `scans/${id}/report?format=ndjson`, { signal });
  if (!response.ok) throw new Error(await refusalOf(response));
  for await (const line of linesOf(response)) return (JSON.parse(line) as { report: Report }).report;
  throw new Error("The worker has no report of its scan.");
}

/** Server-sent events, taken up where they broke off. An `EventSource` would do that by itself, but sends no token. */
async function* told(worker: EdgeWorker, job: string, signal: AbortSignal): AsyncGenerator<Told> {
  let id: string | undefined;
  let last: string | undefined;
  let failure: unknown;
  for (let tries = 0; tries < TRIES; tries += 1) {
    if (tries > 0) await pause(PAUSE_MS * tries, signal);
    let response: Response | undefined;
    try {
      const headers: HeadersInit = last === undefined ? {} : { "last-event-id": last };
      response = await ask(worker, `scans/${job}/events`, { headers, signal });
      if (!response.ok) failure = new Error(await refusalOf(response.clone()));
      else
        for await (const line of linesOf(response)) {
          // A comment too says that the scan is there, however long nothing comes of it.
          tries = 0;
          if (line.startsWith("id: ")) id = line.slice(4);
          if (!line.startsWith("data: ")) continue;
          const event = JSON.parse(line.slice(6)) as Told;
          // Seen is what came whole.
          last = id;
          yield event;
          if (event.type === "done") return;
        }
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
    }
    // What is refused for a reason is not asked for again.
    if (response !== undefined && response.status >= 400 && response.status < 500 && response.status !== 429)
      break;
  }
  throw failure ?? new Error("The worker says no more of its scan.");
}

async function end(worker: EdgeWorker, id: string): Promise<void> {
  await ask(worker, `scans/${id}`, { method: "DELETE", signal: AbortSignal.timeout(5000) }).catch(() => {});
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
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

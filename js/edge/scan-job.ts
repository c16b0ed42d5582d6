/** The Durable Object of one scan: it tells consumers of shards, keeps what they find, and tells whoever watches. */

import type { PluginResult } from "../scan/types.js";
import { pause } from "./pause.js";
import { ScanJournal } from "./scan-journal.js";
import type { ScanPlan, ShardMessage, ShardWord } from "./scan-plan.js";
import type { SqlStorage } from "./scan-shards.js";
import { streamed } from "./streamed.js";

/** What is needed of the state of a Durable Object. */
export interface ScanJobState {
  storage: SqlStorage & {
    setAlarm(at: number): Promise<void>;
    deleteAlarm(): Promise<void>;
    deleteAll(): Promise<void>;
  };
}

/** What is needed of a queue that messages are sent to. */
export interface ScanQueue {
  sendBatch(messages: Iterable<{ body: ShardMessage; contentType: "json" }>): Promise<unknown>;
}

/** What is needed of the environment of the worker. */
export interface ScanJobEnvironment {
  SCAN_QUEUE: ScanQueue;
}

/** Who watches hears at least that often from us, so that nobody on the way takes the connection for dead. */
const SILENCE_MS = 15_000;
/** A queue that has not answered by then is asked again: what was sent may come twice. */
const SEND_MS = 30_000;
/** Whoever begins a scan waits no longer for the queue. */
const BEGIN_MS = 2_000;

/**
 * One scan of many shards. Export it from your worker and name it in `wrangler.jsonc` among `new_sqlite_classes`; the queue that it tells of
 * its shards is bound as `SCAN_QUEUE`. `scanHandler` makes and asks it, `queueConsumer` works for it; nobody else can call it.
 *
 * Everything it knows is in SQLite: it may be evicted at any moment. A message of the queue is only a hint that there is work. A message that is
 * lost is sent again, a message that comes twice finds nothing to do, and the shard of a consumer that is silent for its lease goes to another, which
 * takes up what is recorded. Results are recorded once by target and plugin.
 *
 * @example
 * ```ts no-run
 * export { ScanJobObject } from "tidegate/edge";
 * ```
 */
export class ScanJobObject {
  readonly #storage: ScanJobState["storage"];
  readonly #queue: ScanQueue;
  readonly #watchers = new Set<() => void>();
  #journal: ScanJournal;
  #alarmAt = Number.POSITIVE_INFINITY;
  /** Until when one waits for the queue. */
  #sendsUntil = 0;
  #unsent = 0;

  constructor(state: ScanJobState, env: ScanJobEnvironment) {
    this.#storage = state.storage;
    this.#queue = env.SCAN_QUEUE;
    this.#journal = new ScanJournal(state.storage);
  }

  /** Answers `scanHandler` and `queueConsumer`. */
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const owner = request.headers.get("tidegate-owner");
    if (pathname === "/begin") return this.#begin((await request.json()) as ScanPlan);
    const { plan } = this.#journal;
    // Whose scan it is not is told what everybody is told of a scan that is none.
    if (plan === undefined || (owner !== null && owner !== plan.owner))
      return pathname === "/claim" ? Response.json({ kind: "over" }) : new Response(null, { status: 404 });
    switch (`${request.method} ${pathname}`) {
      case "GET /status":
        // Should the alarm ever be lost, whoever looks sets it again.
        this.#wake();
        return Response.json(this.#journal.status(Date.now()));
      case "GET /events":
        return this.#events(request.headers.get("last-event-id"));
      case "GET /report":
        return new Response(streamed(this.#journal.report()), {
          headers: { "content-type": "application/json" },
        });
      case "GET /lines":
        return new Response(streamed(this.#journal.reportLines()), {
          headers: { "content-type": "application/x-ndjson; charset=utf-8" },
        });
      case "DELETE /":
        return this.#delete();
      default:
        return this.#hear(pathname, await request.json());
    }
  }

  /** Tells consumers what has fallen due, and forgets what is old; may come more than once, or late. */
  async alarm(): Promise<void> {
    this.#alarmAt = Number.POSITIVE_INFINITY;
    if (this.#journal.plan === undefined) return;
    if (this.#journal.isStale(Date.now())) await this.#forget();
    else await this.#send();
  }

  async #begin(plan: ScanPlan): Promise<Response> {
    if (typeof this.#queue?.sendBatch !== "function")
      return Response.json(
        { error: "this worker has no queue that is bound as `SCAN_QUEUE`" },
        { status: 409 },
      );
    this.#journal.begin(plan, Date.now());
    // It is recorded, and should the queue not answer, the alarm goes on with it.
    await pause(this.#send(), BEGIN_MS);
    return Response.json(this.#journal.status(Date.now()));
  }

  /** A word of a consumer. */
  async #hear(
    pathname: string,
    word: ShardWord & { results?: PluginResult[]; error?: string },
  ): Promise<Response> {
    const journal = this.#journal;
    const now = Date.now();
    let answer: object = {};
    if (pathname === "/claim") answer = journal.claim(word, now);
    else if (pathname === "/record") answer = { goOn: journal.record(word, word.results ?? [], now) };
    else if (pathname === "/finish") answer = { isDone: journal.finish(word, now) };
    else if (pathname === "/release") journal.release(word, word.error ?? "", now);
    else return new Response(null, { status: 404 });
    this.#wake();
    this.#tell();
    return Response.json(answer);
  }

  /** What runs ends at its next word, and what it found stays; what has ended is forgotten. */
  async #delete(): Promise<Response> {
    if (this.#journal.isOver) {
      await this.#forget();
      return new Response(null, { status: 204 });
    }
    this.#journal.cancel(Date.now());
    this.#wake();
    this.#tell();
    return Response.json(this.#journal.status(Date.now()));
  }

  async #forget(): Promise<void> {
    await this.#storage.deleteAlarm();
    await this.#storage.deleteAll();
    this.#alarmAt = Number.POSITIVE_INFINITY;
    this.#journal = new ScanJournal(this.#storage);
    this.#tell();
  }

  /** Sends what waits to be sent. */
  async #send(): Promise<void> {
    for (let shards = this.#toSend(); shards.length > 0; shards = this.#toSend()) {
      const job = this.#journal.plan?.id as string;
      const until = Date.now() + SEND_MS;
      this.#sendsUntil = until;
      // If this ends on the way, the alarm begins again.
      this.#wake();
      try {
        await this.#queue.sendBatch(shards.map((shard) => ({ body: { job, shard }, contentType: "json" })));
        this.#unsent = 0;
      } catch {
        this.#unsent += 1;
        if (this.#journal.plan !== undefined)
          this.#journal.notSent(shards, Date.now() + Math.min(30_000, 500 * 2 ** this.#unsent));
      }
      // It took so long that another has begun, and may have ended before.
      if (this.#sendsUntil !== until) return this.#wake();
      this.#sendsUntil = 0;
    }
    this.#wake();
  }

  /** Nothing while somebody else waits for the queue. */
  #toSend(): number[] {
    const now = Date.now();
    return this.#journal.plan === undefined || now < this.#sendsUntil ? [] : this.#journal.send(now);
  }

  /** An alarm that comes too early does nothing; so it is only moved to come earlier. */
  #wake(): void {
    if (this.#journal.plan === undefined) return;
    const now = Date.now();
    const at = Math.max(this.#journal.nextDeadline, this.#sendsUntil, now + 1);
    if (this.#alarmAt > now && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    void this.#storage.setAlarm(this.#alarmAt);
  }

  #tell(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /**
   * Server-sent events, from the one after `last` (HTML standard, 9.2). Their numbers are those of the journal, so that they can be taken up from any
   * object that has it.
   */
  #events(last: string | null): Response {
    // A client that has seen the end is told not to come again.
    if (last === END) return new Response(null, { status: 204 });
    const encoder = new TextEncoder();
    let seen = Number(last ?? 0);
    let isGone = false;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => controller.enqueue(encoder.encode("retry: 1000\n\n")),
        pull: async (controller) => {
          for (;;) {
            const text = this.#textSince(seen);
            if (text.events !== "") controller.enqueue(encoder.encode(text.events));
            seen = text.seen;
            if (text.isEnd) controller.close();
            if (text.isEnd || text.events !== "") return;
            const isNews = await this.#news();
            if (isGone) return;
            if (!isNews) {
              controller.enqueue(encoder.encode(": still here\n\n"));
              return;
            }
          }
        },
        cancel: () => {
          isGone = true;
        },
      },
      { highWaterMark: 0 },
    );
    return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  }

  #textSince(seen: number): { events: string; seen: number; isEnd: boolean } {
    const journal = this.#journal;
    if (journal.plan === undefined) return { events: "", seen, isEnd: true };
    const entries = journal.since(seen);
    let events = "";
    for (const { seq, kind, json } of entries) {
      const value = JSON.parse(json) as object;
      events += event(seq, kind, kind === "result" ? { result: value } : value);
    }
    const last = entries.at(-1)?.seq ?? seen;
    // Once it is over nothing is added.
    const isEnd = journal.isOver && entries.length === 0;
    const at = Date.now();
    const { state, done, total, targets, targetsDone, shards, eta } = journal.status(at);
    if (entries.length > 0)
      events += event(last, "progress", { at, done, total, targets, targetsDone, shards, eta });
    if (isEnd) events += event(END, "done", { at, cancelled: state === "cancelled" });
    return { events, seen: last, isEnd };
  }

  /** Waits until something has changed: false if nothing has for long. */
  async #news(): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let watcher: () => void = () => {};
    const changed = await new Promise<boolean>((resolve) => {
      watcher = () => resolve(true);
      this.#watchers.add(watcher);
      timer = setTimeout(() => resolve(false), SILENCE_MS);
    });
    clearTimeout(timer);
    this.#watchers.delete(watcher);
    return changed;
  }
}

/** The number of the last event. */
const END = "end";

function event(id: number | string, type: string, value: object): string {
  return `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify({ type, ...value })}\n\n`;
}

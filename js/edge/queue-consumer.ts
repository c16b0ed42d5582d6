/** Consumes the queue of scans: each message is a shard, and a shard is a scan of its own. */

import { callable, object, reject } from "../options.js";
import type { Level, PluginResult, ScanEvent, ScanOptions } from "../scan/types.js";
import type { CoordinatorNamespace } from "./coordinator.js";
import { isTargetRefusedError, TargetGuard, type TargetGuardOptions } from "./guard.js";
import type { ScannerClass } from "./scan-handler.js";
import { tellJob } from "./scan-jobs.js";
import { type Claim, keepable, neverRan, type ShardMessage, type ShardWord } from "./scan-plan.js";

/** What is needed of a batch of messages. */
export interface ScanBatch {
  readonly messages: readonly {
    readonly body: unknown;
    ack(): void;
    retry(options?: { delaySeconds?: number }): void;
  }[];
}

/** What {@link queueConsumer} is made with. */
export interface QueueConsumerOptions {
  /** `Scanner` of `tidegate/scan`. */
  Scanner: ScannerClass;
  /** The namespace of {@link ScanJobObject}. */
  jobs: CoordinatorNamespace;
  /** What may be scanned: judged here again, also after resolution. @default nothing */
  targets?: TargetGuardOptions;
  /** The options of each scan, apart from what was ordered. */
  scan?: Omit<ScanOptions, "fetch" | "connect" | "resume" | "plugins" | "mode">;
}

/** Results that are told together at most, */
const MOST_TOLD = 50;
/** and their bytes, so that no word fills the memory of who hears it. */
const MOST_BYTES = 1_000_000;
/** And the longest that one waits to be told, so that a consumer that dies takes little with it. */
const TELL_MS = 200;

/**
 * Scans the shards that messages name, and tells the job what is found while it is found. A message is taken when its shard is done, given back or another's:
 * what becomes of a shard is the job's affair, and a consumer that dies on the way leaves it to the next.
 *
 * Give it batches of one message (`max_batch_size: 1`): a shard is what one invocation scans.
 *
 * @throws TypeError where an option is not what it should be; the message names it
 * @example
 * ```ts no-run
 * import { queueConsumer } from "tidegate/edge";
 * import { Scanner } from "tidegate/scan";
 *
 * declare const env: { ScanJobObject: Parameters<typeof queueConsumer>[0]["jobs"] };
 * const consume = queueConsumer({ Scanner, jobs: env.ScanJobObject, targets: { allow: ["*.example.com"] } });
 * const queue = (batch: Parameters<typeof consume>[0]) => consume(batch);
 * ```
 */
export function queueConsumer(options: QueueConsumerOptions): (batch: ScanBatch) => Promise<void> {
  object("options", options);
  const { Scanner, jobs, scan = {} } = options;
  callable("Scanner", Scanner);
  if (typeof jobs?.idFromName !== "function") reject("jobs", "a Durable Object namespace", jobs);
  const guard = new TargetGuard(options.targets);

  return async ({ messages }) => {
    for (const message of messages) {
      const shard = readMessage(message.body);
      try {
        if (shard !== undefined) await consume(shard);
        message.ack();
      } catch {
        // Not even the job could be told.
        message.retry({ delaySeconds: 10 });
      }
    }
  };

  async function consume({ job, shard }: ShardMessage): Promise<void> {
    const word: ShardWord = { shard, holder: crypto.randomUUID() };
    for (;;) {
      const claim = await tellJob<Claim>(jobs, job, "/claim", word);
      if (claim.kind !== "granted") return;
      try {
        if (!(await scanShard(job, word, claim))) return;
      } catch (error) {
        await tellJob(jobs, job, "/release", { ...word, error: String(error) });
        return;
      }
      const { isDone } = await tellJob<{ isDone: boolean }>(jobs, job, "/finish", word);
      if (isDone) return;
    }
  }

  /** Whether the shard was scanned to its end, and nobody said that it is enough. */
  async function scanShard(
    job: string,
    word: ShardWord,
    { targets, report, plugins, levels, lease }: Claim & { kind: "granted" },
  ): Promise<boolean> {
    const ends = new AbortController();
    let untold: PluginResult[] = [];
    let bytes = 0;
    let toldAt = Date.now();
    const tell = async () => {
      const results = untold;
      untold = [];
      bytes = 0;
      toldAt = Date.now();
      const { goOn } = await tellJob<{ goOn: boolean }>(jobs, job, "/record", { ...word, results });
      if (!goOn) ends.abort();
    };
    const admitted: string[] = [];
    for (const target of targets) {
      const refused = await refusalOf(target, levels);
      if (refused.length === 0) admitted.push(target);
      untold.push(...refused);
      if (Date.now() - toldAt > lease / 4) await tell();
    }
    const scanner = new Scanner({
      // Progress is told as often as the job must hear that somebody is still at it.
      progressEvery: Math.max(50, Math.min(1000, lease / 4)),
      ...scan,
      plugins: plugins as NonNullable<ScanOptions["plugins"]>,
      mode: report.mode,
      resume: { ...report, targets: admitted },
      fetch: guard.fetch,
      connect: null,
    });
    try {
      if (admitted.length > 0) await follow(scanner.scan(admitted, { signal: ends.signal }));
    } finally {
      // What is known by then is known, also where the scan ends in an error.
      if (untold.length > 0) await tell();
    }
    return !ends.signal.aborted;

    async function follow(events: AsyncIterable<ScanEvent>): Promise<void> {
      for await (const event of events) {
        if (event.type === "result") {
          const kept = keepable(event.result);
          untold.push(kept.result);
          bytes += kept.bytes;
        }
        const waited = Date.now() - toldAt;
        const isMuch = untold.length >= MOST_TOLD || bytes >= MOST_BYTES;
        if (isMuch || (untold.length > 0 && waited >= TELL_MS) || waited >= lease / 4) await tell();
        if (ends.signal.aborted) return;
      }
    }
  }

  /** A target that may not be contacted has a result for each plugin all the same. */
  async function refusalOf(target: string, levels: Record<string, Level>): Promise<PluginResult[]> {
    try {
      await guard.admitResolved(target);
      return [];
    } catch (error) {
      const why = isTargetRefusedError(error) ? error.message : `\`${target}\` could not be resolved`;
      return Object.entries(levels).map(([plugin, level]) =>
        neverRan(target, plugin, level, Date.now(), why),
      );
    }
  }
}

/** A message that is none of ours is taken and forgotten. */
function readMessage(body: unknown): ShardMessage | undefined {
  const { job, shard } = (body ?? {}) as Partial<ShardMessage>;
  return typeof job === "string" && Number.isInteger(shard) ? (body as ShardMessage) : undefined;
}

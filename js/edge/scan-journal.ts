/** The truth about one scan: its plan, its shards and every result, in SQLite. Time is an argument; nothing waits in here. */

import type { Level, PluginResult, Report } from "../scan/types.js";
import {
  type Claim,
  keepable,
  neverRan,
  type ScanPlan,
  type ShardWord,
  shardsOf,
  written,
} from "./scan-plan.js";
import { type JournalEntry, ScanRows } from "./scan-rows.js";
import { FRUITLESS, FRUITLESS_ALONE, ScanShards, type Sql, type SqlStorage } from "./scan-shards.js";

/** How far a scan is. */
export interface ScanStatus {
  id: string;
  state: "running" | "done" | "cancelled";
  created: number;
  /** `null` while it runs. */
  finished: number | null;
  plugins: string[];
  /** Plugin runs: recorded of all. */
  done: number;
  total: number;
  targets: number;
  targetsDone: number;
  shards: { waiting: number; running: number; done: number };
  refused: number;
  /** Milliseconds to go, if it goes on like this; `null` while nothing is known. */
  eta: number | null;
  summary: Report["summary"];
}

/**
 * What changes while a scan runs; one row. Whatever is asked often is counted here when it is written, in one transaction with it, since a journal
 * is too long to be counted.
 */
interface Standing {
  state: ScanStatus["state"];
  finished: number | null;
  done: number;
  targetsDone: number;
  shardsDone: number;
  reachable: number;
  runs: Report["summary"]["runs"];
  findings: Report["summary"]["findings"];
}

/** What never changes; its targets and what was refused are rows of their own. */
interface Plan extends Omit<ScanPlan, "refused"> {
  counts: { targets: number; refused: number; shards: number };
}

const SCHEMA = `${ScanShards.SCHEMA}
CREATE TABLE kept (key TEXT PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE target (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, shard INTEGER NOT NULL, todo INTEGER NOT NULL);
CREATE INDEX target_by_shard ON target (shard, todo);
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, position INTEGER, plugin TEXT, bytes INTEGER NOT NULL, json TEXT NOT NULL,
  UNIQUE (position, plugin)
);`;

/** Each word to it is written whole, or not at all. */
export class ScanJournal {
  readonly #storage: SqlStorage;
  readonly #sql: Sql;
  readonly #shards: ScanShards;
  readonly #read: ScanRows;
  #plan: Plan | undefined;
  #standing: Standing | undefined;

  constructor(storage: SqlStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#shards = new ScanShards(storage.sql);
    this.#read = new ScanRows(storage.sql);
    const [table] = this.#rows("SELECT name FROM sqlite_master WHERE name = 'kept'");
    if (table === undefined) return;
    this.#plan = this.#kept<Plan>("plan");
    this.#standing = this.#kept<Standing>("standing");
  }

  get plan(): Plan | undefined {
    return this.#plan;
  }

  get isOver(): boolean {
    return this.#standing?.state !== "running";
  }

  /** Begins; a plan that comes twice begins once. */
  begin(plan: ScanPlan, now: number): void {
    if (this.#plan !== undefined) return;
    const { refused, ...rest } = plan;
    const { targets, plugins, summary } = plan.report;
    const shards = shardsOf(targets, plan.shard);
    const counts = { targets: targets.length, refused: refused.length, shards: shards.length };
    const begun: Plan = {
      ...rest,
      counts,
      report: { ...rest.report, targets: [], results: [], started: now },
    };
    const { runs, findings } = summary;
    const standing: Standing = {
      state: "running",
      finished: null,
      done: 0,
      targetsDone: 0,
      shardsDone: 0,
      reachable: 0,
      runs,
      findings,
    };
    this.#storage.transactionSync(() => {
      this.#sql.exec(SCHEMA);
      const places = new Map(targets.map((target, position) => [target, position]));
      for (const [shard, those] of shards.entries()) {
        this.#shards.add(shard, now);
        for (const target of those)
          this.#sql.exec(
            "INSERT INTO target VALUES (?, ?, ?, ?)",
            places.get(target),
            target,
            shard,
            plugins.length,
          );
      }
      for (const each of refused) {
        const { json, bytes } = written(each);
        this.#sql.exec("INSERT INTO journal (kind, bytes, json) VALUES ('refused', ?, ?)", bytes, json);
      }
      this.#keep("plan", begun);
      this.#keep("standing", standing);
    });
    this.#plan = begun;
    this.#standing = standing;
  }

  /** The shards that somebody must be told of; they count as sent. */
  send(now: number): number[] {
    return this.isOver ? [] : this.#shards.send(now, 4 * this.#begun.plan.lease);
  }

  /** The queue did not take them. */
  notSent(shards: readonly number[], until: number): void {
    if (!this.isOver) this.#shards.notSent(shards, until);
  }

  /** Gives a shard to a consumer, for as long as it goes on to say something. Asked twice, it is the same. */
  claim({ shard, holder }: ShardWord, now: number): Claim {
    const { plan } = this.#begun;
    return this.#atomically((standing) => {
      const at = this.#shards.at(shard);
      if (this.isOver || at === undefined || at.state === "done") return { kind: "over" };
      const isHeld = at.state === "held";
      if (isHeld && at.holder !== holder && at.due > now) return { kind: "held" };
      let fruitless = at.fruitless + (isHeld && at.holder === holder ? 0 : 1);
      let todo = this.#todo(shard);
      while (fruitless > FRUITLESS && todo[0] !== undefined) {
        const error = at.error ?? "it fell silent";
        this.#fail(
          standing,
          todo[0].name,
          `Its consumer ended ${FRUITLESS} times without a result: ${error}`,
          now,
        );
        fruitless = FRUITLESS_ALONE + 1;
        todo = this.#todo(shard);
      }
      if (todo.length === 0) {
        this.#finish(standing, shard, now);
        return { kind: "over" };
      }
      this.#shards.hold(shard, holder, fruitless, now + plan.lease);
      const { targets, results } = this.#known(fruitless > FRUITLESS_ALONE ? todo.slice(0, 1) : todo);
      const { plugins } = plan.report;
      const report = { ...plan.report, targets, results };
      return { kind: "granted", lease: plan.lease, plugins, levels: plan.levels, targets, report };
    });
  }

  /**
   * Records results, each once by target and plugin, whoever brings them: what is true does not cease to be because its consumer was
   * taken for dead. Whether the consumer is to go on.
   */
  record({ shard, holder }: ShardWord, results: readonly PluginResult[], now: number): boolean {
    if (this.isOver) return false;
    return this.#atomically((standing) => {
      const news = results.filter((result) => this.#append(standing, result)).length;
      if (news > 0) this.#shards.bearsFruit(shard);
      return this.#shards.extend(shard, holder, now + this.#begun.plan.lease);
    });
  }

  /** The consumer is through with what it was given: true if nothing of the shard is left. */
  finish({ shard, holder }: ShardWord, now: number): boolean {
    if (this.isOver) return true;
    return this.#atomically((standing) => {
      if (this.#todo(shard).length === 0) {
        this.#finish(standing, shard, now);
        return true;
      }
      this.#shards.release(shard, holder, now, null);
      return false;
    });
  }

  /** The consumer failed. The shard waits longer each time. */
  release({ shard, holder }: ShardWord, error: string, now: number): void {
    if (this.isOver) return;
    const { lease } = this.#begun.plan;
    const pause = 100 * 4 ** Math.max(0, (this.#shards.at(shard)?.fruitless ?? 1) - 1);
    this.#shards.release(shard, holder, now + Math.min(pause, lease), error.slice(0, 500));
  }

  cancel(now: number): void {
    if (this.isOver) return;
    this.#atomically((standing) => Object.assign(standing, { state: "cancelled", finished: now }));
  }

  /** When something must be done although nobody asks. */
  get nextDeadline(): number {
    const { plan, standing } = this.#begun;
    if (standing.finished !== null) return standing.finished + plan.keep;
    return this.#shards.nextDue;
  }

  /** Whether it has been kept for as long as it was to be. */
  isStale(now: number): boolean {
    const { plan, standing } = this.#begun;
    return standing.finished !== null && standing.finished + plan.keep <= now;
  }

  status(now: number): ScanStatus {
    const { plan, standing } = this.#begun;
    const { targets, refused, shards } = plan.counts;
    const total = targets * plan.report.plugins.length;
    const elapsed = now - plan.report.started;
    const running = this.#shards.held;
    return {
      id: plan.id,
      state: standing.state,
      created: plan.report.started,
      finished: standing.finished,
      plugins: plan.report.plugins,
      done: standing.done,
      total,
      targets,
      targetsDone: standing.targetsDone,
      shards: { waiting: shards - running - standing.shardsDone, running, done: standing.shardsDone },
      refused,
      eta: this.isOver
        ? 0
        : standing.done === 0
          ? null
          : Math.round((elapsed / standing.done) * (total - standing.done)),
      summary: this.#summary(),
    };
  }

  /** What happened after the entry of this number, in its order: nothing if that was the last. */
  since(seq: number): JournalEntry[] {
    return this.#read.since(seq);
  }

  /** The report in pieces of its JSON, as it stands at the first of them. */
  *report(): Generator<string, void, undefined> {
    const last = this.#read.last();
    // `results` stands last, so that what follows is appended.
    yield JSON.stringify(this.#head()).slice(0, -"]}".length);
    let before = "";
    for (const results of this.#read.results(last)) {
      yield before + results.join(",");
      before = ",";
    }
    yield "]}";
  }

  /** The same a line a result, after a line with everything else. */
  *reportLines(): Generator<string, void, undefined> {
    const last = this.#read.last();
    yield `${JSON.stringify({ type: "report", report: this.#head() })}\n`;
    for (const results of this.#read.results(last))
      yield results.map((json) => `{"type":"result","result":${json}}\n`).join("");
  }

  #head(): Report {
    const { plan, standing } = this.#begun;
    const { results: _, ...empty } = plan.report;
    return {
      ...empty,
      finished: standing.finished,
      complete: standing.state === "done",
      targets: this.#read.names(),
      invalid: this.#read
        .refused(plan.counts.refused)
        .map(({ target, message }) => ({ input: target, message, line: null })),
      summary: this.#summary(),
      results: [],
    };
  }

  /** Appends a result that is the first of its target and plugin, and counts it. */
  #append(standing: Standing, result: PluginResult): boolean {
    const { plan } = this.#begun;
    const { plugin } = result;
    if (plan.levels[plugin] === undefined) return false;
    const [target] = this.#rows("SELECT position FROM target WHERE name = ?", result.target);
    if (target === undefined) return false;
    const kept = keepable(result);
    const [appended] = this.#rows(
      "INSERT OR IGNORE INTO journal (kind, position, plugin, bytes, json) VALUES ('result', ?, ?, ?, ?) RETURNING seq",
      target.position,
      plugin,
      kept.bytes,
      kept.json,
    );
    if (appended === undefined) return false;
    const [{ todo }] = this.#rows(
      "UPDATE target SET todo = todo - 1 WHERE position = ? RETURNING todo",
      target.position,
    ) as [{ todo: number }];
    standing.done += 1;
    standing.targetsDone += todo === 0 ? 1 : 0;
    standing.runs[kept.result.status] += 1;
    standing.reachable += plugin === "http-probe" && kept.result.details?.reachable === true ? 1 : 0;
    for (const { severity } of kept.result.findings) standing.findings[severity] += 1;
    return true;
  }

  #fail(standing: Standing, target: string, error: string, now: number): void {
    for (const [plugin, level] of Object.entries(this.#begun.plan.levels))
      this.#append(standing, neverRan(target, plugin, level as Level, now, error));
  }

  /** Nothing of the shard is left. With the last of them the scan is done. */
  #finish(standing: Standing, shard: number, now: number): void {
    if (this.#shards.finish(shard)) standing.shardsDone += 1;
    if (standing.shardsDone < this.#begun.plan.counts.shards) return;
    standing.state = "done";
    standing.finished = now;
  }

  /** What of a shard is given at once. What is left out comes with the next claim. */
  #known(todo: readonly { position: number; name: string }[]): {
    targets: string[];
    results: PluginResult[];
  } {
    const { targets, results } = this.#read.known(todo);
    return {
      targets: targets.map(({ name }) => name),
      results: results.map((json) => JSON.parse(json) as PluginResult),
    };
  }

  #todo(shard: number): { position: number; name: string }[] {
    return this.#rows(
      "SELECT position, name FROM target WHERE shard = ? AND todo > 0 ORDER BY position",
      shard,
    ) as { position: number; name: string }[];
  }

  #summary(): Report["summary"] {
    const { plan, standing } = this.#begun;
    const { reachable, runs, findings } = standing;
    return { targets: plan.counts.targets, reachable, runs, findings };
  }

  get #begun(): { plan: Plan; standing: Standing } {
    if (this.#plan === undefined || this.#standing === undefined) throw new Error("No scan has begun here");
    return { plan: this.#plan, standing: this.#standing };
  }

  /** What is written stands, and is counted, only if all of it is. */
  #atomically<T>(work: (standing: Standing) => T): T {
    const before = this.#begun.standing;
    const standing = structuredClone(before);
    const result = this.#storage.transactionSync(() => {
      const result = work(standing);
      if (JSON.stringify(standing) !== JSON.stringify(before)) this.#keep("standing", standing);
      return result;
    });
    this.#standing = standing;
    return result;
  }

  #keep(key: string, value: object): void {
    this.#sql.exec(
      "INSERT INTO kept VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET json = excluded.json",
      key,
      JSON.stringify(value),
    );
  }

  #kept<T>(key: string): T {
    const [row] = this.#rows("SELECT json FROM kept WHERE key = ?", key);
    return JSON.parse(row?.json as string) as T;
  }

  #rows(query: string, ...values: unknown[]): Record<string, unknown>[] {
    return this.#sql.exec(query, ...values).toArray();
  }
}

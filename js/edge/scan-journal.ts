/** The truth about one scan: its plan, its shards and every result, in SQLite. Time is an argument; nothing waits in here. */

import type { Level, PluginResult, Report } from "../scan/types.js";
import {
  type Claim,
  neverRan,
  type RefusedTarget,
  type ScanPlan,
  type ShardWord,
  shardsOf,
} from "./scan-plan.js";
import { FRUITLESS, FRUITLESS_ALONE, ScanShards, type Sql } from "./scan-shards.js";

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

/** One thing that happened, by its number. */
export interface JournalEntry {
  seq: number;
  kind: "refused" | "result";
  json: string;
}

/** What changes while a scan runs; one row. */
interface Standing {
  state: ScanStatus["state"];
  finished: number | null;
  done: number;
  targetsDone: number;
  reachable: number;
  runs: Report["summary"]["runs"];
  findings: Report["summary"]["findings"];
}

type Plan = Omit<ScanPlan, "refused">;

/** The longest result that is kept, in bytes: a row holds 2 MB. */
const LONGEST_RESULT = 1_000_000;

/** About how many characters of results are in memory at once. */
const PIECE = 1_000_000;

const SCHEMA = `${ScanShards.SCHEMA}
CREATE TABLE kept (key TEXT PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE target (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, shard INTEGER NOT NULL, todo INTEGER NOT NULL);
CREATE INDEX target_by_shard ON target (shard, todo);
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, position INTEGER, plugin TEXT, json TEXT NOT NULL, UNIQUE (position, plugin)
);`;

export class ScanJournal {
  readonly #sql: Sql;
  readonly #shards: ScanShards;
  #plan: Plan | undefined;
  #standing: Standing | undefined;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#shards = new ScanShards(sql);
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
    this.#sql.exec(SCHEMA);
    const { refused, ...rest } = plan;
    const { targets } = plan.report;
    const places = new Map(targets.map((target, position) => [target, position]));
    for (const [shard, those] of shardsOf(targets, plan.shard).entries()) {
      this.#shards.add(shard, now);
      for (const target of those)
        this.#sql.exec(
          "INSERT INTO target VALUES (?, ?, ?, ?)",
          places.get(target),
          target,
          shard,
          plan.report.plugins.length,
        );
    }
    for (const each of refused)
      this.#sql.exec("INSERT INTO journal (kind, json) VALUES ('refused', ?)", JSON.stringify(each));
    this.#plan = { ...rest, report: { ...rest.report, targets: [], results: [], started: now } };
    this.#keep("plan", this.#plan);
    const { runs, findings } = plan.report.summary;
    this.#stand({ state: "running", finished: null, done: 0, targetsDone: 0, reachable: 0, runs, findings });
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
    const at = this.#shards.at(shard);
    if (this.isOver || at === undefined || at.state === "done") return { kind: "over" };
    const isHeld = at.state === "held";
    if (isHeld && at.holder !== holder && at.due > now) return { kind: "held" };
    let fruitless = at.fruitless + (isHeld && at.holder === holder ? 0 : 1);
    let todo = this.#todo(shard);
    while (fruitless > FRUITLESS && todo[0] !== undefined) {
      const error = at.error ?? "it fell silent";
      this.#fail(todo[0].name, `Its consumer ended ${FRUITLESS} times without a result: ${error}`, now);
      fruitless = FRUITLESS_ALONE + 1;
      todo = this.#todo(shard);
    }
    if (todo.length === 0) {
      this.finish({ shard, holder }, now);
      return { kind: "over" };
    }
    if (fruitless > FRUITLESS_ALONE) todo = todo.slice(0, 1);
    this.#shards.hold(shard, holder, fruitless, now + plan.lease);
    const targets = todo.map(({ name }) => name);
    const results = todo.flatMap(({ position }) =>
      this.#rows("SELECT json FROM journal WHERE position = ?", position).map(
        ({ json }) => JSON.parse(json as string) as PluginResult,
      ),
    );
    const { plugins } = plan.report;
    const report = { ...plan.report, targets, results };
    return { kind: "granted", lease: plan.lease, plugins, levels: plan.levels, targets, report };
  }

  /**
   * Records results, each once by target and plugin, whoever brings them: what is true does not cease to be because its consumer was
   * taken for dead. Whether the consumer is to go on.
   */
  record({ shard, holder }: ShardWord, results: readonly PluginResult[], now: number): boolean {
    if (this.isOver) return false;
    const news = results.filter((result) => this.#append(result)).length;
    if (news > 0) {
      this.#stand(this.#begun.standing);
      this.#shards.bearsFruit(shard);
    }
    return this.#shards.extend(shard, holder, now + this.#begun.plan.lease);
  }

  /** The consumer is through: true if nothing of the shard is left. */
  finish({ shard, holder }: ShardWord, now: number): boolean {
    if (this.isOver) return true;
    if (this.#todo(shard).length > 0) {
      this.#shards.release(shard, holder, now, null);
      return false;
    }
    this.#shards.finish(shard);
    if (this.#shards.areDone) this.#stand({ ...this.#begun.standing, state: "done", finished: now });
    return true;
  }

  /** The consumer failed. The shard waits longer each time. */
  release({ shard, holder }: ShardWord, error: string, now: number): void {
    if (this.isOver) return;
    const { lease } = this.#begun.plan;
    const pause = 100 * 4 ** Math.max(0, (this.#shards.at(shard)?.fruitless ?? 1) - 1);
    this.#shards.release(shard, holder, now + Math.min(pause, lease), error.slice(0, 500));
  }

  cancel(now: number): void {
    if (!this.isOver) this.#stand({ ...this.#begun.standing, state: "cancelled", finished: now });
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
    const [{ targets }] = this.#rows("SELECT COUNT(*) AS targets FROM target") as [{ targets: number }];
    const [{ refused }] = this.#rows("SELECT COUNT(*) AS refused FROM journal WHERE kind = 'refused'") as [
      { refused: number },
    ];
    const total = targets * plan.report.plugins.length;
    const elapsed = now - plan.report.started;
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
      shards: this.#shards.counts(),
      refused,
      eta: this.isOver
        ? 0
        : standing.done === 0
          ? null
          : Math.round((elapsed / standing.done) * (total - standing.done)),
      summary: this.#summary(targets),
    };
  }

  /** What happened after the entry of this number, in its order. */
  since(seq: number, limit: number): JournalEntry[] {
    return this.#piece(
      (columns) => `SELECT ${columns} FROM journal WHERE seq > ? ORDER BY seq`,
      "seq, kind, json",
      limit,
      seq,
    ) as unknown as JournalEntry[];
  }

  /** The report in pieces of its JSON, as it stands at the first of them. */
  *report(): Generator<string, void, undefined> {
    const { plan, standing } = this.#begun;
    const names = this.#rows("SELECT name FROM target ORDER BY position").map(({ name }) => name as string);
    const refused = this.#rows("SELECT json FROM journal WHERE kind = 'refused' ORDER BY seq").map(
      ({ json }) => JSON.parse(json as string) as RefusedTarget,
    );
    const { results: _, ...empty } = plan.report;
    const head = {
      ...empty,
      finished: standing.finished,
      complete: standing.state === "done",
      targets: names,
      invalid: refused.map(({ target, message }) => ({ input: target, message, line: null })),
      summary: this.#summary(names.length),
      results: [],
    };
    const [{ last }] = this.#rows("SELECT COALESCE(MAX(seq), 0) AS last FROM journal") as [{ last: number }];
    // `results` stands last, so that what follows is appended.
    yield JSON.stringify(head).slice(0, -"]}".length);
    let place: [number, string] = [-1, ""];
    for (let isFirst = true; ; isFirst = false) {
      const rows = this.#piece(
        (columns) =>
          `SELECT ${columns} FROM journal WHERE (position, plugin) > (?, ?) AND seq <= ? ORDER BY position, plugin`,
        "position, plugin, json",
        200,
        ...place,
        last,
      );
      const end = rows.at(-1);
      if (end === undefined) break;
      yield (isFirst ? "" : ",") + rows.map(({ json }) => json).join(",");
      place = [end.position as number, end.plugin as string];
    }
    yield "]}";
  }

  /** Appends a result that is the first of its target and plugin, and counts it. */
  #append(result: PluginResult): boolean {
    const { plan, standing } = this.#begun;
    const { plugin } = result;
    if (plan.levels[plugin] === undefined) return false;
    const [target] = this.#rows("SELECT position FROM target WHERE name = ?", result.target);
    if (target === undefined) return false;
    const kept = keepable(result);
    const [appended] = this.#rows(
      "INSERT OR IGNORE INTO journal (kind, position, plugin, json) VALUES ('result', ?, ?, ?) RETURNING seq",
      target.position,
      plugin,
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

  #fail(target: string, error: string, now: number): void {
    for (const [plugin, level] of Object.entries(this.#begun.plan.levels))
      this.#append(neverRan(target, plugin, level as Level, now, error));
    this.#stand(this.#begun.standing);
  }

  #todo(shard: number): { position: number; name: string }[] {
    return this.#rows(
      "SELECT position, name FROM target WHERE shard = ? AND todo > 0 ORDER BY position",
      shard,
    ) as { position: number; name: string }[];
  }

  #summary(targets: number): Report["summary"] {
    const { reachable, runs, findings } = this.#begun.standing;
    return { targets, reachable, runs, findings };
  }

  get #begun(): { plan: Plan; standing: Standing } {
    if (this.#plan === undefined || this.#standing === undefined) throw new Error("No scan has begun here");
    return { plan: this.#plan, standing: this.#standing };
  }

  #stand(standing: Standing): void {
    this.#standing = standing;
    this.#keep("standing", standing);
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

  /** The first rows of a query, as many as together are not too long. */
  #piece(
    query: (columns: string) => string,
    columns: string,
    limit: number,
    ...values: unknown[]
  ): Record<string, unknown>[] {
    const lengths = this.#rows(`${query("LENGTH(json) AS length")} LIMIT ${limit}`, ...values);
    let rows = 0;
    let sum = 0;
    for (const { length } of lengths as { length: number }[]) {
      sum += length;
      if (rows > 0 && sum > PIECE) break;
      rows += 1;
    }
    return rows === 0 ? [] : this.#rows(`${query(columns)} LIMIT ${rows}`, ...values);
  }

  #rows(query: string, ...values: unknown[]): Record<string, unknown>[] {
    return this.#sql.exec(query, ...values).toArray();
  }
}

function keepable(result: PluginResult): { result: PluginResult; json: string } {
  const json = JSON.stringify(result);
  const bytes = new TextEncoder().encode(json).length;
  if (bytes <= LONGEST_RESULT) return { result, json };
  const { target, plugin, level, start } = result;
  const short = neverRan(target, plugin, level, start, `The result is too long to be kept: ${bytes} bytes`);
  return { result: short, json: JSON.stringify(short) };
}

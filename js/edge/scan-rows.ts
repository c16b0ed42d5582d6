/** What is read of a journal: so many bytes at once, however long its rows are. */

import type { RefusedTarget } from "./scan-plan.js";
import type { Sql } from "./scan-shards.js";

/** One thing that happened, by its number. */
export interface JournalEntry {
  seq: number;
  kind: "refused" | "result";
  json: string;
}

/** About how many bytes of results are in memory at once. */
const PIECE = 1_000_000;
/** Rows that are read at once, however short they are. */
const MOST_ROWS = 200;

export class ScanRows {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** What happened after the entry of this number, in its order: as much as is bearable. */
  since(seq: number): JournalEntry[] {
    return this.#piece(
      (columns) => `SELECT ${columns} FROM journal WHERE seq > ? ORDER BY seq`,
      "seq, kind, json",
      seq,
    ) as unknown as JournalEntry[];
  }

  /** The number of the last entry so far. */
  last(): number {
    const [{ last }] = this.#rows("SELECT COALESCE(MAX(seq), 0) AS last FROM journal") as [{ last: number }];
    return last;
  }

  /** The JSON of every result up to the entry of this number, by target and plugin, some at a time. */
  *results(last: number): Generator<string[], void, undefined> {
    let place: [number, string] = [-1, ""];
    for (;;) {
      const rows = this.#piece(
        (columns) =>
          `SELECT ${columns} FROM journal WHERE (position, plugin) > (?, ?) AND seq <= ? ORDER BY position, plugin`,
        "position, plugin, json",
        ...place,
        last,
      );
      const end = rows.at(-1);
      if (end === undefined) return;
      yield rows.map(({ json }) => json as string);
      place = [end.position as number, end.plugin as string];
    }
  }

  /** Of these targets the first ones, with what is known of them: as many as is bearable, and one at least. */
  known<T extends { position: number }>(targets: readonly T[]): { targets: T[]; results: string[] } {
    const known: { targets: T[]; results: string[] } = { targets: [], results: [] };
    let sum = 0;
    for (const target of targets) {
      const [{ bytes }] = this.#rows(
        "SELECT COALESCE(SUM(bytes), 0) AS bytes FROM journal WHERE position = ?",
        target.position,
      ) as [{ bytes: number }];
      sum += bytes;
      if (known.targets.length > 0 && sum > PIECE) break;
      known.targets.push(target);
      const rows = this.#rows("SELECT json FROM journal WHERE position = ?", target.position);
      known.results.push(...rows.map(({ json }) => json as string));
    }
    return known;
  }

  /** The names of all targets; an order is short enough for that. */
  names(): string[] {
    return this.#rows("SELECT name FROM target ORDER BY position").map(({ name }) => name as string);
  }

  /** What was refused of the order; they are its first entries. */
  refused(count: number): RefusedTarget[] {
    const rows = this.#rows(
      "SELECT json FROM journal WHERE kind = 'refused' AND seq <= ? ORDER BY seq",
      count,
    );
    return rows.map(({ json }) => JSON.parse(json as string) as RefusedTarget);
  }

  /** The first rows of a query, as many as together are not too long. */
  #piece(
    query: (columns: string) => string,
    columns: string,
    ...values: unknown[]
  ): Record<string, unknown>[] {
    const lengths = this.#rows(`${query("bytes")} LIMIT ${MOST_ROWS}`, ...values) as { bytes: number }[];
    let rows = 0;
    let sum = 0;
    for (const { bytes } of lengths) {
      sum += bytes;
      if (rows > 0 && sum > PIECE) break;
      rows += 1;
    }
    return rows === 0 ? [] : this.#rows(`${query(columns)} LIMIT ${rows}`, ...values);
  }

  #rows(query: string, ...values: unknown[]): Record<string, unknown>[] {
    return this.#sql.exec(query, ...values).toArray();
  }
}

/** Which shard of a scan is where: one row for each, and a moment at which something must be done about it. */

/** What is needed of the storage of a Durable Object. */
export interface Sql {
  exec(query: string, ...values: unknown[]): { toArray(): Record<string, unknown>[] };
}

/** What is needed of the storage of a Durable Object to keep something whole. */
export interface SqlStorage {
  sql: Sql;
  /** All that `work` writes or, if it throws, nothing. */
  transactionSync<T>(work: () => T): T;
}

/** One shard. */
export interface Shard {
  /** `waiting` to be sent, `sent` to the queue, `held` by a consumer, `done`. */
  state: "waiting" | "sent" | "held" | "done";
  /** When it is to be sent, sent again, or taken from its holder. */
  due: number;
  /** How many consumers have begun since one of them found something. */
  fruitless: number;
  holder: string | null;
  /** What the last consumer failed of. */
  error: string | null;
}

/** Shards are sent at most that many at a time: what a batch of a queue takes. */
const MOST_SENT = 100;
/** A consumer that ended so often without a result is given one target at a time, to find the one that ends it. */
export const FRUITLESS_ALONE = 2;
/** And the one that is alone with it so often is recorded as failed. */
export const FRUITLESS = 5;

export class ScanShards {
  /** The table. */
  static readonly SCHEMA = `
CREATE TABLE shard (
  number INTEGER PRIMARY KEY, state TEXT NOT NULL, due INTEGER NOT NULL, sends INTEGER NOT NULL, fruitless INTEGER NOT NULL,
  holder TEXT, error TEXT
);
CREATE INDEX shard_by_due ON shard (state, due);`;
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  add(number: number, now: number): void {
    this.#rows("INSERT INTO shard VALUES (?, 'waiting', ?, 0, 0, NULL, NULL)", number, now);
  }

  at(number: number): Shard | undefined {
    const [row] = this.#rows(
      "SELECT state, due, fruitless, holder, error FROM shard WHERE number = ?",
      number,
    );
    return row as Shard | undefined;
  }

  /**
   * Those that somebody must be told of: who wait, whose message seems lost, whose consumer is silent. They count as sent from here on, since
   * their consumer may be done before the queue says that it has them. Who never hears of one is told again, ever later.
   */
  send(now: number, patience: number): number[] {
    this.#rows("UPDATE shard SET state = 'waiting' WHERE state IN ('sent', 'held') AND due <= ?", now);
    return this.#rows(
      `UPDATE shard SET state = 'sent', due = ? + ? * (1 << MIN(sends, 6)), sends = sends + 1
      WHERE number IN (SELECT number FROM shard WHERE state = 'waiting' AND due <= ? ORDER BY number LIMIT ?)
      RETURNING number`,
      now,
      patience,
      now,
      MOST_SENT,
    ).map(({ number }) => number as number);
  }

  /** The queue did not take them. */
  notSent(numbers: readonly number[], until: number): void {
    for (const number of numbers)
      this.#rows(
        "UPDATE shard SET state = 'waiting', due = ? WHERE number = ? AND state = 'sent'",
        until,
        number,
      );
  }

  /** A consumer has it. */
  hold(number: number, holder: string, fruitless: number, until: number): void {
    this.#rows(
      "UPDATE shard SET state = 'held', due = ?, sends = 0, fruitless = ?, holder = ? WHERE number = ?",
      until,
      fruitless,
      holder,
      number,
    );
  }

  /** Its consumer is still there: whether it is still its own. */
  extend(number: number, holder: string, until: number): boolean {
    return (
      this.#rows(
        "UPDATE shard SET due = ? WHERE number = ? AND state = 'held' AND holder = ? RETURNING number",
        until,
        number,
        holder,
      ).length > 0
    );
  }

  /** Something was found. Once alone, always alone: the target that ends consumers is still among the others. */
  bearsFruit(number: number): void {
    this.#rows(
      "UPDATE shard SET fruitless = CASE WHEN fruitless > ? THEN ? ELSE 0 END WHERE number = ?",
      FRUITLESS_ALONE,
      FRUITLESS_ALONE,
      number,
    );
  }

  /** Its consumer gives it back. */
  release(number: number, holder: string, due: number, error: string | null): void {
    this.#rows(
      `UPDATE shard SET state = 'waiting', due = ?, error = COALESCE(?, error)
      WHERE number = ? AND state = 'held' AND holder = ?`,
      due,
      error,
      number,
      holder,
    );
  }

  /** Nothing of it is left: whether that is news. */
  finish(number: number): boolean {
    return (
      this.#rows(
        "UPDATE shard SET state = 'done' WHERE number = ? AND state <> 'done' RETURNING number",
        number,
      ).length > 0
    );
  }

  /** The next moment at which something must be done about one: the first row of each state in the index. */
  get nextDue(): number {
    const dues = ["waiting", "sent", "held"].map((state) => {
      const [row] = this.#rows("SELECT MIN(due) AS due FROM shard WHERE state = ?", state);
      return (row?.due as number | null) ?? Number.POSITIVE_INFINITY;
    });
    return Math.min(...dues);
  }

  /** How many consumers are at work: no more rows than there are of those. */
  get held(): number {
    const [row] = this.#rows("SELECT COUNT(*) AS held FROM shard WHERE state = 'held'");
    return row?.held as number;
  }

  #rows(query: string, ...values: unknown[]): Record<string, unknown>[] {
    return this.#sql.exec(query, ...values).toArray();
  }
}

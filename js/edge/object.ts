/** The Durable Object behind `durableCoordinator`: one for each key, its truth one row. */

import { type CoordinatorRequest, decide, expire, type Ledger, newLedger, nextExpiry } from "./ledger.js";

/** What is needed of a Durable Object's state. */
export interface ObjectState {
  storage: {
    sql: { exec(query: string, ...values: unknown[]): { toArray(): Record<string, unknown>[] } };
    setAlarm(at: number): Promise<void>;
    getAlarm(): Promise<number | null>;
  };
}

/**
 * Decides about one key for all isolates that ask. Export it from your worker and name it in `wrangler.jsonc` among
 * `new_sqlite_classes`; nobody but your worker can call it.
 *
 * It is called by one request at a time, since it never waits between reading and writing; what it has answered is written. It forgets
 * what has run out by an alarm.
 *
 * @example
 * ```ts no-run
 * export { CoordinatorObject } from "tidegate/edge";
 * ```
 */
export class CoordinatorObject {
  readonly #storage: ObjectState["storage"];
  #ledger: Ledger | undefined;
  #alarmAt = Number.POSITIVE_INFINITY;

  constructor(state: ObjectState) {
    this.#storage = state.storage;
  }

  /** Answers one {@link CoordinatorRequest}. */
  async fetch(request: Request): Promise<Response> {
    const asked = (await request.json()) as CoordinatorRequest;
    const ledger = this.#read();
    const now = Date.now();
    const answer = decide(ledger, asked, now);
    this.#write(ledger);
    this.#wake(nextExpiry(ledger), now);
    return Response.json(answer);
  }

  /** Forgets what has run out; may come more than once, or late. */
  async alarm(): Promise<void> {
    const ledger = this.#read();
    const now = Date.now();
    expire(ledger, now);
    this.#write(ledger);
    this.#alarmAt = Number.POSITIVE_INFINITY;
    this.#wake(nextExpiry(ledger), now);
  }

  #read(): Ledger {
    if (this.#ledger !== undefined) return this.#ledger;
    const { sql } = this.#storage;
    sql.exec("CREATE TABLE IF NOT EXISTS ledger (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL)");
    const [row] = sql.exec("SELECT json FROM ledger WHERE id = 1").toArray();
    this.#ledger = row === undefined ? newLedger() : (JSON.parse(row.json as string) as Ledger);
    return this.#ledger;
  }

  /**
   * The platform holds the answer back until this is written; if it cannot be, the object is gone, and what it remembered with it.
   * What is too long to be written is forgotten: what stood there before stands.
   */
  #write(ledger: Ledger): void {
    this.#ledger = undefined;
    this.#storage.sql.exec(
      "INSERT INTO ledger (id, json) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET json = excluded.json",
      JSON.stringify(ledger),
    );
    this.#ledger = ledger;
  }

  /** Each request moves what runs out; the alarm is only moved where that is long before it. */
  #wake(at: number, now: number): void {
    if (at === Number.POSITIVE_INFINITY || (this.#alarmAt > now && this.#alarmAt <= at + 60_000)) return;
    this.#alarmAt = Math.max(at, now) + 1000;
    void this.#storage.setAlarm(this.#alarmAt);
  }
}

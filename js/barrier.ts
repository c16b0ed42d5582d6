import { now } from "./clock.js";
import { dispose } from "./dispose.js";
import { ClosedError, type RuntimeTrapError, TimeoutError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { type Handle, TICKET_SPAN } from "./instance.js";
import { integer, nameOf } from "./options.js";
import { CLOSED } from "./refusal.js";
import { ask, open, register, settle } from "./store.js";
import { type ParsedWait, parseWait, Waiters, type WaitOptions } from "./waiting.js";

/** What a barrier tells those who listen. */
export interface BarrierEvents {
  /** All have arrived, for the `round`th time. */
  pass: { round: number };
}

/** Every number of a barrier. */
export interface BarrierMetrics {
  readonly name: string;
  readonly parties: number;
  /** Those who have arrived and wait for the others, now. */
  readonly waiting: number;
  /** How often all had arrived. */
  readonly rounds: number;
}

/**
 * A point that nobody passes until so many have arrived; then all of them do, and the next round begins.
 *
 * Whoever leaves early, by an abort or its timeout, gives its place back: the others wait for somebody else instead.
 *
 * @example
 * ```ts
 * import { Barrier } from "tidegate";
 *
 * const barrier = new Barrier(3);
 * const last = await Promise.all([barrier.arrive(), barrier.arrive(), barrier.arrive()]);
 * console.log(last); // → [ false, false, true ]
 * ```
 */
export class Barrier implements Handle {
  /** @internal */
  readonly kind = "barrier";
  readonly #name: string;
  readonly #events: Events<BarrierEvents>;
  readonly #parties: number;
  readonly #waiters = new Waiters(
    this,
    () => this.#id,
    (ticket) => {
      ask(() => bindings.barrier_cancel(this.#id, ticket));
      settle();
    },
    (code, timeout) => this.#refusal(code, timeout),
  );
  #rounds = 0;
  #closed = false;
  #id: number;

  /** @throws TypeError where `parties` is not an integer ≥ 1 */
  constructor(parties: number, options: { name?: string } = {}) {
    this.#name = nameOf(options, "barrier");
    this.#events = new Events("barrier", this.#name);
    this.#parties = integer("parties", parties, 1, 4_294_967_294);
    this.#id = open("barriers", () => bindings.barrier_open(this.#parties));
    register(this, this.#id, bindings.barrier_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /** How many it takes. */
  get parties(): number {
    return this.#parties;
  }

  /**
   * Arrives, and waits for the others. Exactly one of each round, the last to arrive, is told `true`, so that it can do
   * what is to be done once.
   *
   * @throws TimeoutError; ClosedError; after an abort `signal.reason`
   */
  arrive(options?: WaitOptions): Promise<boolean> {
    return new Promise((resolve, reject) => this.#enter(parseWait(options), resolve, reject));
  }

  #enter(wait: ParsedWait, resolve: (last: boolean) => void, reject: (reason: unknown) => void): void {
    wait.signal?.throwIfAborted();
    const answer = ask(() => bindings.barrier_arrive(this.#id, now(), wait.timeout));
    if (answer < TICKET_SPAN) {
      this.#rounds += 1;
      resolve(true);
      this.#events.emit("pass", { round: this.#rounds });
    } else if (answer >= 3 * TICKET_SPAN) reject(this.#refusal(answer - 3 * TICKET_SPAN, wait.timeout));
    else
      this.#waiters.enter(
        answer - TICKET_SPAN,
        wait,
        () => resolve(false),
        reject,
        () => () => this.#enter(wait, resolve, reject),
      );
    settle();
  }

  /** Every number of this barrier. */
  metrics(): BarrierMetrics {
    return {
      name: this.#name,
      parties: this.#parties,
      waiting: this.#waiters.size,
      rounds: this.#rounds,
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof BarrierEvents>(event: K, fn: (detail: BarrierEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** Ends waiting: those who have arrived, and whoever arrives later, are rejected with `ClosedError`. */
  close(): void {
    this.#closed = true;
    ask(() => bindings.barrier_close(this.#id, now()));
    settle();
  }

  /** The same as {@link close}. */
  [dispose](): void {
    this.close();
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    this.#waiters.wake(ticket, why);
  }

  /** @internal Who waits is not there any more: its place is free again, unless the round is over. */
  forsake(ticket: number, word: number | undefined): (() => void) | undefined {
    return this.#waiters.forsake(ticket, word);
  }

  /** @internal Starts again after a trap, with nobody there, and closed if it was. */
  rebuild(error: RuntimeTrapError): () => void {
    const reject = this.#waiters.clear();
    this.#id = bindings.barrier_open(this.#parties);
    register(this, this.#id, bindings.barrier_drop);
    if (this.#closed) bindings.barrier_close(this.#id, now());
    return () => reject(error);
  }

  #refusal(code: number, timeout: number): Error {
    return code === CLOSED
      ? new ClosedError(`The barrier "${this.#name}" is closed`)
      : new TimeoutError("wait at barrier", timeout);
  }
}

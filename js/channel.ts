import { now } from "./clock.js";
import { dispose } from "./dispose.js";
import { ClosedError, type RuntimeTrapError, TimeoutError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { type Handle, LIST, REFUSED, TICKET_SPAN } from "./instance.js";
import { integer, reject as refuse } from "./options.js";
import { attendant } from "./presence.js";
import { CLOSED } from "./refusal.js";
import { onAbort } from "./signals.js";
import { area, ask, hold, open, register, settle } from "./store.js";
import { parseWait, type WaitOptions } from "./waiting.js";

/** Every number of a channel. */
export interface ChannelMetrics {
  readonly name: string;
  readonly capacity: number;
  /** Values in the buffer. */
  readonly size: number;
  readonly waitingToSend: number;
  readonly waitingToReceive: number;
  readonly sent: number;
  readonly received: number;
  readonly closed: boolean;
}

/** What a channel tells those who listen. */
export interface ChannelEvents {
  /** It was closed, with so many values still to be received. */
  close: { size: number };
}

/** How one operation ended. */
export type Outcome<T> =
  | { readonly kind: "done"; readonly value: T | undefined }
  | { readonly kind: "closed" }
  | { readonly kind: "late" }
  | { readonly kind: "trap"; readonly error: unknown };

interface Operation<T> {
  /** The number of the value that it sends; none for one that receives. */
  readonly sends: number | undefined;
  readonly end: (outcome: Outcome<T>) => void;
  /** Asks anew. */
  readonly again: () => number | undefined;
}

const CLOSED_OUTCOME: Outcome<never> = { kind: "closed" };
const LATE: Outcome<never> = { kind: "late" };
const SENT: Outcome<never> = { kind: "done", value: undefined };

/**
 * Values in order from those who send to those who receive. At most `capacity` lie in between; with 0 a value changes
 * hands only when both sides are there (a rendezvous). Each side is served first come, first served.
 *
 * Closing stops sending: what is in the buffer can still be received, in order. Aborting never loses a value: one that was
 * not sent was not sent, and one that was not received goes to the next receiver.
 *
 * @example
 * ```ts
 * import { Channel } from "tidegate";
 *
 * const channel = new Channel<number>(1);
 * const produce = async () => {
 *   for (let n = 1; n <= 3; n += 1) await channel.send(n);
 *   channel.close();
 * };
 * void produce();
 * for await (const n of channel) console.log(n); // → 1, 2, 3
 * ```
 */
export class Channel<T> implements Handle {
  /** @internal */
  readonly kind = "channel";
  readonly #events: Events<ChannelEvents>;
  readonly #name: string;
  readonly #capacity: number;
  // Values by the number under which the machine knows them, in the order of sending.
  readonly #values = new Map<number, T>();
  readonly #operations = new Map<number, Operation<T>>();
  // Where somebody was taken for gone and was there all the same: its new ticket by the one its caller knows.
  readonly #moved = new Map<number, number>();
  #numbers = 0;
  #closed = false;
  #id: number;

  /** @throws TypeError where `capacity` is not an integer ≥ 0 */
  constructor(capacity: number, { name = "channel" }: { name?: string } = {}) {
    this.#capacity = integer("capacity", capacity, 0, 4_294_967_294);
    if (typeof name !== "string") refuse("name", "a string", name);
    this.#name = name;
    this.#events = new Events("channel", name);
    this.#id = open("channels", () => bindings.channel_open(this.#capacity));
    register(this, this.#id, bindings.channel_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /** How many values may lie between the two sides. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Whether it is closed; there may still be values to receive. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Sends a value as soon as there is room for it, or somebody who takes it.
   *
   * @default timeout none
   * @throws ClosedError; TimeoutError; after an abort `signal.reason`: the value was not sent then
   */
  send(value: T, options?: WaitOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#begin({ value }, options, () => resolve(), reject);
    });
  }

  /** Sends a value if that is possible now, and says whether it was. @throws ClosedError */
  trySend(value: T): boolean {
    let outcome: Outcome<T> = LATE;
    this.start({ value }, 0, -1, (now) => {
      outcome = now;
    });
    return this.#judge(outcome) !== undefined;
  }

  /**
   * Receives the next value, as soon as there is one; `undefined` when the channel is closed and empty.
   *
   * @default timeout none
   * @throws TimeoutError; after an abort `signal.reason`: the value, if there was one, goes to the next receiver
   */
  receive(options?: WaitOptions): Promise<T | undefined> {
    return this.#receive(options).then((received) => received?.value);
  }

  /** Receives a value if there is one now. */
  tryReceive(): T | undefined {
    let received: T | undefined;
    this.start(undefined, 0, -1, (outcome) => {
      if (outcome.kind === "done") received = outcome.value;
    });
    return received;
  }

  /** Stops sending. Those who wait to send are rejected with `ClosedError`; what was sent can still be received. */
  close(): void {
    const before = this.#closed;
    this.#closed = true;
    ask(() => bindings.channel_close(this.#id, now()));
    settle();
    if (!before && this.#events.heard("close")) this.#events.emit("close", { size: this.metrics().size });
  }

  /** Every value until the channel is closed and empty. Leaving the loop early leaves the rest to others. */
  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      const received = await this.#receive(undefined);
      if (received === undefined) return;
      yield received.value;
    }
  }

  /** Every number of this channel. */
  metrics(): ChannelMetrics {
    ask(() => bindings.channel_stats(this.#id));
    const at = (index: number) => area()[LIST + index] as number;
    return {
      name: this.#name,
      capacity: this.#capacity,
      size: at(0),
      waitingToSend: at(1),
      waitingToReceive: at(2),
      sent: at(3),
      received: at(4),
      closed: this.#closed,
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof ChannelEvents>(event: K, fn: (detail: ChannelEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** The same as {@link close}. */
  [dispose](): void {
    this.close();
  }

  /** @internal Begins to send or to receive; gives a ticket if that has to wait, and tells the end otherwise. */
  start(
    sends: { value: T } | undefined,
    timeout: number,
    select: number,
    end: (outcome: Outcome<T>) => void,
  ): number | undefined {
    const at = now();
    let number: number | undefined;
    let answer: number;
    if (sends === undefined) {
      answer = ask(() => bindings.channel_receive(this.#id, at, timeout, select));
    } else {
      number = this.#numbers;
      this.#numbers += 1;
      const id = number;
      answer = ask(() => bindings.channel_send(this.#id, at, id, timeout, select));
      // Not before: what a call that traps would have sent is not in the buffer of the new instance.
      this.#values.set(id, sends.value);
    }
    let ticket: number | undefined;
    if (answer < TICKET_SPAN) {
      end(number === undefined ? { kind: "done", value: this.#take(answer) } : SENT);
    } else if (answer < 2 * TICKET_SPAN) {
      ticket = answer - TICKET_SPAN;
      if (this.#operations.size === 0) hold(this.#id, this);
      const again = () => this.start(sends, timeout, select, end);
      this.#operations.set(ticket, { sends: number, end, again });
      attendant?.sit(this, ticket, timeout);
    } else {
      if (number !== undefined) this.#values.delete(number);
      end(outcomeOf(answer - 3 * TICKET_SPAN));
    }
    settle();
    return ticket;
  }

  /** @internal Gives up what waits. */
  stop(first: number): void {
    const ticket = this.#moved.get(first) ?? first;
    this.#moved.delete(first);
    const operation = this.#leave(ticket);
    if (operation === undefined) return;
    if (operation.sends !== undefined) this.#values.delete(operation.sends);
    ask(() => bindings.channel_cancel(this.#id, now(), ticket));
    settle();
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number): void {
    const operation = this.#leave(ticket);
    if (operation === undefined) return;
    if (why >= REFUSED) {
      if (operation.sends !== undefined) this.#values.delete(operation.sends);
      operation.end(outcomeOf(why - REFUSED));
    } else if (operation.sends !== undefined) {
      operation.end(SENT);
    } else {
      const number = ask(() => bindings.channel_claim(this.#id, ticket));
      operation.end({ kind: "done", value: this.#take(number) });
    }
  }

  /** @internal Who waits is not there any more: what it was to receive goes to the next, what it sent was sent. */
  forsake(ticket: number, word: number | undefined): (() => void) | undefined {
    const operation = this.#leave(ticket);
    if (operation === undefined) return undefined;
    const { sends, end } = operation;
    if (sends !== undefined && word !== undefined && word < REFUSED) return () => end(SENT);
    if (sends !== undefined) this.#values.delete(sends);
    if (word !== undefined && word >= REFUSED) return () => end(outcomeOf(word - REFUSED));
    ask(() => bindings.channel_cancel(this.#id, now(), ticket));
    settle();
    return () => {
      const next = operation.again();
      if (next !== undefined) this.#moved.set(ticket, next);
    };
  }

  /** @internal Starts again after a trap with what was in the buffer. */
  rebuild(error: RuntimeTrapError): () => void {
    const operations = [...this.#operations.values()];
    this.#operations.clear();
    for (const { sends } of operations) if (sends !== undefined) this.#values.delete(sends);
    this.#id = bindings.channel_open(this.#capacity);
    register(this, this.#id, bindings.channel_drop);
    for (const number of this.#values.keys()) bindings.channel_send(this.#id, now(), number, 0, -1);
    if (this.#closed) bindings.channel_close(this.#id, now());
    return () => {
      for (const { end } of operations) end({ kind: "trap", error });
    };
  }

  #receive(options: WaitOptions | undefined): Promise<{ value: T } | undefined> {
    return new Promise((resolve, reject) => {
      const end = (received: { value: T | undefined }) => resolve(received as { value: T });
      this.#begin(undefined, options, end, reject, () => resolve(undefined));
    });
  }

  #begin(
    sends: { value: T } | undefined,
    options: WaitOptions | undefined,
    done: (outcome: { value: T | undefined }) => void,
    fail: (reason: unknown) => void,
    closed?: () => void,
  ): void {
    const { timeout, signal } = parseWait(options);
    signal?.throwIfAborted();
    let unwatch = () => {};
    const ticket = this.start(sends, timeout, -1, (outcome) => {
      unwatch();
      if (outcome.kind === "done") done(outcome);
      else if (outcome.kind === "trap") fail(outcome.error);
      else if (outcome.kind === "late") {
        const verb = sends === undefined ? "receive from" : "send to";
        fail(new TimeoutError(`${verb} ${this.#name}`, timeout));
      } else if (closed !== undefined) closed();
      else fail(this.#closedError());
    });
    // It may have been woken by what `start` carried out.
    if (ticket === undefined || !this.#operations.has(ticket)) return;
    unwatch = onAbort(signal, () => {
      unwatch();
      this.stop(ticket);
      fail(signal?.reason);
    });
  }

  #judge(outcome: Outcome<T>): Outcome<T> | undefined {
    if (outcome.kind === "closed") throw this.#closedError();
    return outcome.kind === "done" ? outcome : undefined;
  }

  #closedError(): ClosedError {
    return new ClosedError(`Channel "${this.#name}" is closed`);
  }

  #take(number: number): T | undefined {
    const value = this.#values.get(number);
    this.#values.delete(number);
    return value;
  }

  #leave(ticket: number): Operation<T> | undefined {
    const operation = this.#operations.get(ticket);
    if (operation === undefined) return undefined;
    this.#operations.delete(ticket);
    attendant?.rise(this, ticket);
    if (this.#operations.size === 0) hold(this.#id, undefined);
    return operation;
  }
}

function outcomeOf(refusal: number): Outcome<never> {
  return refusal === CLOSED ? CLOSED_OUTCOME : LATE;
}

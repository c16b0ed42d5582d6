/** The inside of a worker: takes tasks in, runs one at a time, and answers several at once when they are short. */

import { now } from "../clock.js";
import { isRuntimeTrapError } from "../errors.js";
import { isThenable } from "../thenable.js";
import type { Inside } from "../worker-inside/inside.js";
import { Context, call, collected, iteratorOf } from "./call.js";
import { uncloneable } from "./cloneable.js";
import {
  ANSWER_SPAN,
  ANSWERS,
  BYE,
  CANCEL,
  CREDIT,
  DONE,
  EXIT,
  HOWS,
  ITEMS,
  MARK,
  MEMORY,
  NEVER,
  ours,
  READY,
  STREAM,
  TASK_SPAN,
  TASKS,
  THROWN,
  THROWN_VALUE,
  TRAPPED,
  WINDOW,
} from "./protocol.js";
import { takenAlong } from "./transfer.js";
import { isError, toWire } from "./wire-error.js";

/** Milliseconds that an answer may lie before it is sent, and how many may lie together. */
const LIES = 1;
const TOGETHER = 128;
/** Milliseconds that answers may lie while the tasks that came with theirs still run: a frame, before which no page shows them. */
const FRAME = 16;

export class Server {
  readonly functions = new Map<string, (...args: unknown[]) => unknown>();
  memory: () => number | undefined;
  readonly #inside: Inside;
  readonly #names: string[] = [];
  readonly #cancelled = new Set<number>();
  // Tasks, flat, from `#next` on.
  #queue: unknown[] = [];
  #next = 0;
  #answers: unknown[] = [];
  // By where their answer begins.
  #takenAlong = new Map<number, Transferable[]>();
  #answeredAt = 0;
  // When the oldest answer that lies was given.
  #liesSince = 0;
  // Whether somebody watches the time of what was sent.
  #watched = false;
  /** By what is called: the longest it has taken, a tenth less with each that was quicker. */
  readonly #longest = new Map<number, number>();
  #busy = false;
  #running = -1;
  #context: Context | undefined;
  #stream: Stream | undefined;
  #exits = false;
  #saysMemory = false;
  #broken = false;

  constructor(inside: Inside) {
    this.#inside = inside;
    this.memory = () => inside.memory();
    inside.listen((message) => this.#hear(message));
    inside.onClose(() => this.tell([MARK, BYE]));
    // What the module exposes in one go is offered in one go.
    queueMicrotask(() => this.post([MARK, READY, [...this.functions.keys()]]));
  }

  post(message: unknown, transfer: Transferable[] = []): void {
    this.#inside.post(message, transfer);
  }

  #hear(data: unknown): void {
    const message = ours(data);
    if (message === undefined || this.#broken) return;
    const [, what, first, second] = message;
    if (what === TASKS)
      this.#take(first as (number | string)[] | 0, second as unknown[], message[4] === true);
    else if (what === CANCEL) this.#cancel(first as number);
    else if (what === CREDIT && this.#running === first) this.#stream?.more(second as number);
    else if (what === MEMORY) this.#saysMemory = true;
    else if (what === EXIT) {
      this.#exits = true;
      this.#endIfDone();
    }
  }

  #take(names: (number | string)[] | 0, tasks: unknown[], watched: boolean): void {
    this.#watched ||= watched;
    if (names !== 0)
      for (let at = 0; at < names.length; at += 2) this.#names[names[at] as number] = names[at + 1] as string;
    if (this.#next === this.#queue.length) {
      this.#queue = tasks;
      this.#next = 0;
    } else {
      for (const each of tasks) this.#queue.push(each);
    }
    this.#work();
  }

  #cancel(ticket: number): void {
    if (ticket === this.#running) {
      this.#context?.abort();
      this.#stream?.stop();
    } else this.#cancelled.add(ticket);
  }

  /** Runs what there is, without a promise as long as there is none in it. */
  #work(): void {
    if (this.#busy) return;
    this.#busy = true;
    let began = now();
    while (this.#next < this.#queue.length && !this.#broken) {
      const ticket = this.#queue[this.#next] as number;
      const what = this.#queue[this.#next + 1] as number;
      const args = this.#queue[this.#next + 2] as readonly unknown[] | 0;
      this.#queue[this.#next + 2] = undefined;
      this.#next += TASK_SPAN;
      if (this.#cancelled.size > 0 && this.#cancelled.delete(ticket)) {
        this.#answer(ticket, NEVER, undefined, -1);
        continue;
      }
      const how = what % HOWS;
      const name = this.#names[(what - how) / HOWS] as string;
      const fn = this.functions.get(name);
      this.#running = ticket;
      this.#context = new Context(name);
      try {
        if (fn === undefined) throw this.#unknown(name);
        const map = how === 3 ? this.#mapOf(args) : undefined;
        const result = call(fn, how, this.#context, args === 0 ? [] : args, map);
        const iterator = iteratorOf(result);
        if (how === STREAM || iterator !== undefined || isThenable(result)) {
          void this.#finish(ticket, how, result, iterator, began);
          return;
        }
        const ended = now();
        this.#answer(ticket, DONE, result, ended - began);
        this.#learn(what, ended - began);
        began = ended;
      } catch (error) {
        this.#failed(ticket, error, now() - began);
        if (this.#broken) return;
        began = now();
      }
      if (!this.#mayLie(began)) this.#send();
    }
    this.#rest();
  }

  /**
   * Whether what is answered may wait for the next answer. Each message takes a core from a worker for as long as a tenth of a
   * millisecond; so tasks that were sent together are answered together, unless the next may take long or its time is watched.
   */
  #mayLie(at: number): boolean {
    if (this.#answers.length >= TOGETHER * ANSWER_SPAN) return false;
    if (at - this.#answeredAt <= LIES) return true;
    const next = this.#longest.get(this.#queue[this.#next + 1] as number);
    return next !== undefined && !this.#watched && at - this.#liesSince + next <= FRAME;
  }

  #learn(what: number, ran: number): void {
    this.#longest.set(what, Math.max(ran, 0.9 * (this.#longest.get(what) ?? 0)));
  }

  #mapOf(args: readonly unknown[] | 0): ((...args: unknown[]) => unknown) | undefined {
    const name = args === 0 ? undefined : args[1];
    if (typeof name !== "string") return undefined;
    const map = this.functions.get(name);
    if (map === undefined) throw this.#unknown(name);
    return map;
  }

  #rest(): void {
    if (this.#broken) return;
    this.#busy = false;
    this.#running = -1;
    this.#context = undefined;
    this.#queue = [];
    this.#next = 0;
    this.#watched = false;
    // What was cancelled after its answer is known to nobody.
    this.#cancelled.clear();
    this.#send();
    this.#endIfDone();
  }

  /** Waits for what a task gives; the tasks behind it wait too. */
  async #finish(
    ticket: number,
    how: number,
    result: unknown,
    iterator: ReturnType<typeof iteratorOf>,
    began: number,
  ): Promise<void> {
    this.#send();
    try {
      let value = result;
      if (how === STREAM) {
        this.#stream = new Stream(this, ticket, this.#context as Context);
        await this.#stream.run(iterator ?? (await result));
        value = undefined;
      } else if (iterator !== undefined) value = await collected(iterator);
      else value = await result;
      this.#answer(ticket, DONE, value, now() - began);
    } catch (error) {
      this.#failed(ticket, error, now() - began);
    }
    this.#stream = undefined;
    this.#send();
    this.#busy = false;
    if (!this.#broken) this.#work();
  }

  #unknown(name: string): TypeError {
    const offered = [...this.functions.keys()].map((each) => `\`${each}\``).join(", ");
    return new TypeError(`The worker exposes no function \`${name}\`; it exposes ${offered || "none"}`);
  }

  #failed(ticket: number, error: unknown, ran: number): void {
    if (isTrap(error)) {
      this.#send();
      if (!this.#broken) this.#trapped(ticket, error, true);
    } else if (isError(error)) this.#answer(ticket, THROWN, toWire(error), ran);
    else this.#answer(ticket, THROWN_VALUE, error, ran);
  }

  /** The instance that trapped is in no state that anybody knows: the pool ends this worker and starts another. */
  #trapped(ticket: number, error: Error, alone: boolean): void {
    this.#broken = true;
    this.post([MARK, TRAPPED, ticket, toWire(error), alone]);
  }

  #answer(ticket: number, how: number, value: unknown, ran: number): void {
    const transferables = takenAlong(value);
    if (transferables !== undefined) this.#takenAlong.set(this.#answers.length, transferables);
    if (this.#answers.length === 0) this.#liesSince = now();
    this.#answers.push(ticket, how, value, ran);
  }

  /** Tells the host what this worker then waits for, or its end: what it has answered goes first. */
  tell(message: unknown): void {
    this.#send();
    this.post(message);
  }

  #send(): void {
    this.#answeredAt = now();
    if (this.#answers.length === 0) return;
    const [answers, along] = [this.#answers, this.#takenAlong];
    this.#answers = [];
    if (along.size > 0) this.#takenAlong = new Map();
    const memory = this.#saysMemory ? (this.memory() ?? 0) : 0;
    try {
      this.post([MARK, ANSWERS, answers, memory], along.size === 0 ? [] : [...along.values()].flat());
    } catch {
      const traps: { ticket: number; error: Error }[] = [];
      for (let at = 0; at < answers.length; at += ANSWER_SPAN) {
        const error = this.#sendAlone(answers.slice(at, at + ANSWER_SPAN), along.get(at));
        if (error !== undefined) traps.push({ ticket: answers[at] as number, error });
      }
      // Last, because nothing is heard of a worker after that.
      const [trap] = traps;
      if (trap !== undefined)
        this.#trapped(trap.ticket, trap.error, traps.length === 1 && !this.#runsBehind(answers));
    }
  }

  /** Whether a task has begun that is not among these answers. */
  #runsBehind(answers: readonly unknown[]): boolean {
    if (this.#running === -1) return false;
    for (let at = 0; at < answers.length; at += ANSWER_SPAN) if (answers[at] === this.#running) return false;
    return true;
  }

  /** One of the answers cannot be cloned: the others can. Gives a trap that reading it has sprung. */
  #sendAlone(answer: unknown[], transferables: Transferable[] | undefined): Error | undefined {
    try {
      this.post([MARK, ANSWERS, answer, 0], transferables);
    } catch (error) {
      if (isTrap(error)) return error;
      answer[1] = THROWN;
      answer[2] = toWire(uncloneable("result", answer[2], error));
      this.post([MARK, ANSWERS, answer, 0]);
    }
    return undefined;
  }

  #endIfDone(): void {
    if (!this.#exits || this.#busy) return;
    this.#broken = true;
    this.post([MARK, BYE]);
    this.#inside.close();
  }
}

function isTrap(error: unknown): error is Error {
  return error instanceof WebAssembly.RuntimeError || isRuntimeTrapError(error);
}

/** What a generator yields, on its way out: so many items at once as the other side has asked for. */
class Stream {
  readonly #server: Server;
  readonly #ticket: number;
  readonly #context: Context;
  #credit = WINDOW;
  #items: unknown[] = [];
  #takenAlong: Transferable[] = [];
  #sentAt = 0;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #wake: (() => void) | undefined;
  #stopped = false;
  #failure: { error: unknown } | undefined;

  constructor(server: Server, ticket: number, context: Context) {
    this.#server = server;
    this.#ticket = ticket;
    this.#context = context;
  }

  more(items: number): void {
    this.#credit += items;
    this.#wake?.();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  async run(from: unknown): Promise<void> {
    const iterator = iteratorOf(from);
    if (iterator === undefined) {
      this.#push(from);
      this.#send();
      return;
    }
    try {
      while (!this.#stopped) {
        const step = iterator.next();
        const { done, value } = isThenable(step) ? ((await step) as IteratorResult<unknown>) : step;
        if (done) return;
        this.#push(value);
        if (this.#credit > 0) continue;
        this.#send();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
      this.#context.abort();
      await iterator.return?.(undefined);
      if (this.#failure !== undefined) throw this.#failure.error;
    } finally {
      this.#send();
    }
  }

  #push(value: unknown): void {
    const transferables = takenAlong(value);
    if (transferables !== undefined) this.#takenAlong.push(...transferables);
    this.#items.push(value);
    this.#credit -= 1;
    if (now() - this.#sentAt > LIES) this.#send();
    else this.#soon ??= setTimeout(() => this.#send(), LIES);
  }

  #send(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#sentAt = now();
    if (this.#items.length === 0) return;
    const [items, transferables] = [this.#items, this.#takenAlong];
    this.#items = [];
    this.#takenAlong = [];
    try {
      this.#server.post([MARK, ITEMS, this.#ticket, items], transferables);
    } catch (error) {
      this.#failure = { error: uncloneable("items", items, error) };
      this.stop();
    }
  }
}

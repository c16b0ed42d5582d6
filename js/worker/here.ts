/** Where there are no workers: the same tasks on this thread, in slices. */

import { now } from "../clock.js";
import { TimeoutError } from "../errors.js";
import { isThenable } from "../thenable.js";
import { isWorkerd, yieldToHost } from "../yield.js";
import { Context, call, iteratorOf } from "./call.js";
import { uncloneable } from "./cloneable.js";
import { exposedHere } from "./expose-on.js";
import type { WorkerPoolConfig } from "./options.js";
import { REDUCE, STREAM } from "./protocol.js";
import type { Inlet } from "./stream.js";
import { takenAlong } from "./transfer.js";

/** A task that runs here. */
export interface HereTask {
  readonly ticket: number;
  readonly name: string;
  readonly how: number;
  readonly args: readonly unknown[];
  readonly transfer: readonly Transferable[] | undefined;
  readonly timeout: number;
  readonly inlet: Inlet | undefined;
  resolve(value: unknown, ran: number): void;
  /** `failed`: by its own error, not by what the caller decided. */
  reject(error: unknown, failed: boolean): void;
}

interface Running {
  readonly task: HereTask;
  readonly context: Context;
  began: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
  over: boolean;
}

/** Milliseconds of a slice: half a frame, the other half is the page's; and calls, where no clock moves meanwhile. */
const SLICE = 8;
const CALLS = 1000;

export class Here {
  readonly #config: WorkerPoolConfig;
  readonly #running = new Map<number, Running>();
  #loading: Promise<unknown> | undefined;
  #line: (() => void)[] = [];
  #calls = 0;
  running = 0;
  queued = 0;
  /** How many came to an end of their own, and how many by others. */
  ended = 0;
  cancelled = 0;
  timeouts = 0;

  constructor(config: WorkerPoolConfig) {
    this.#config = config;
  }

  /** Runs a task, each in the request that called it: no task here ever waits for another's. */
  run(task: HereTask): void {
    const one: Running = {
      task,
      context: new Context(task.name),
      began: false,
      timer: undefined,
      over: false,
    };
    this.#running.set(task.ticket, one);
    this.queued += 1;
    void this.#go(one);
  }

  /** Gives a task up; false when it is not here. */
  cancel(ticket: number, reason: unknown): boolean {
    const one = this.#running.get(ticket);
    if (one === undefined || !this.#end(one)) return false;
    this.cancelled += 1;
    one.context.abort(reason);
    one.task.reject(reason, false);
    return true;
  }

  /** Gives everything up. */
  clear(reason: () => unknown): void {
    for (const ticket of [...this.#running.keys()]) this.cancel(ticket, reason());
  }

  async #go(one: Running): Promise<void> {
    const { task, context } = one;
    let began = 0;
    try {
      const args = copied(task);
      const fn = await this.#find(task.name);
      const map =
        task.how === REDUCE && typeof args[1] === "string" ? await this.#find(args[1] as string) : undefined;
      await this.#turn();
      if (one.over) return;
      one.began = true;
      this.queued -= 1;
      this.running += 1;
      this.#bound(one);
      began = now();
      let value = call(fn, task.how, context, args, map);
      const iterator = iteratorOf(value);
      if (task.how === STREAM || iterator !== undefined) value = await this.#drained(one, value, iterator);
      else if (isThenable(value)) value = await value;
      if (one.over) return;
      const result = this.#result(value);
      if (!this.#end(one)) return;
      this.ended += 1;
      task.resolve(result, now() - began);
    } catch (error) {
      if (!this.#end(one)) return;
      this.ended += 1;
      task.reject(error, true);
    }
  }

  /** What a generator yields, a slice at a time. */
  async #drained(one: Running, value: unknown, iterator: ReturnType<typeof iteratorOf>): Promise<unknown> {
    const { inlet } = one.task;
    if (iterator === undefined) {
      inlet?.push([await value]);
      return undefined;
    }
    const all: unknown[] = [];
    while (!one.over) {
      const step = iterator.next();
      const { done, value: item } = isThenable(step) ? ((await step) as IteratorResult<unknown>) : step;
      if (done) return all;
      if (inlet === undefined) all.push(item);
      else {
        inlet.push([item]);
        await inlet.room();
      }
      await this.#turn();
    }
    await iterator.return?.(undefined);
    return undefined;
  }

  #bound(one: Running): void {
    const { timeout, name } = one.task;
    if (timeout === Number.POSITIVE_INFINITY) return;
    one.timer = setTimeout(() => {
      if (!this.#end(one)) return;
      this.timeouts += 1;
      const error = new TimeoutError(name, timeout);
      one.context.abort(error);
      one.task.reject(error, false);
    }, timeout);
  }

  /** A task is over; false when it was before. */
  #end(one: Running): boolean {
    if (one.over) return false;
    one.over = true;
    clearTimeout(one.timer);
    this.#running.delete(one.task.ticket);
    if (one.began) this.running -= 1;
    else this.queued -= 1;
    return true;
  }

  async #find(name: string): Promise<(...args: unknown[]) => unknown> {
    await this.#load();
    const fn = exposedHere.get(name);
    if (fn !== undefined) return fn;
    throw new TypeError(
      `There are no workers here, and no function \`${name}\` was exposed on this thread: give the pool a \`fallback\` that imports the worker's module`,
    );
  }

  #load(): Promise<unknown> | undefined {
    const { worker, fallback } = this.#config;
    if (this.#loading !== undefined) return this.#loading;
    if (fallback !== undefined) this.#loading = Promise.resolve(fallback());
    else if (worker === undefined) this.#loading = import("./own.js");
    return this.#loading;
  }

  /** Waits for a slice that has room. */
  #turn(): Promise<void> | undefined {
    this.#calls += 1;
    // On workerd nothing may wait for what another request brings.
    if (isWorkerd) return this.#calls % CALLS === 0 ? yieldToHost() : undefined;
    return new Promise((resolve) => {
      this.#line.push(resolve);
      if (this.#line.length === 1) void this.#serve();
    });
  }

  async #serve(): Promise<void> {
    for (let next = 0; next < this.#line.length; ) {
      await yieldToHost();
      const began = now();
      do {
        this.#line[next]?.();
        next += 1;
        // What waited runs now, up to where it waits again.
        await undefined;
        await undefined;
      } while (next < this.#line.length && now() - began < SLICE);
    }
    this.#line = [];
  }

  /** A result is a copy, as it would be from a worker. */
  #result(value: unknown): unknown {
    const transfer = takenAlong(value);
    try {
      return structuredClone(value, transfer === undefined ? undefined : { transfer });
    } catch (error) {
      throw uncloneable("result", value, error);
    }
  }
}

/** Arguments are copies, as they would be in a worker. */
function copied({ args, transfer }: HereTask): readonly unknown[] {
  try {
    return structuredClone(args, transfer === undefined ? undefined : { transfer: [...transfer] });
  } catch (error) {
    throw uncloneable("args", args, error);
  }
}

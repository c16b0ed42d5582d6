/** The reading end of a stream from a worker. */

import { WINDOW } from "./protocol.js";

/** How a stream is told of its end. */
export interface Tell {
  end(): void;
  fail(error: unknown): void;
}

/** What a stream does with its worker. */
export interface Source {
  stop(): void;
  /** Lets it send so many more. */
  more(items: number): void;
}

/** Items as they come; nothing begins before the first is asked for. */
export class Inlet<T = unknown> implements AsyncIterableIterator<T> {
  readonly #begin: (tell: Tell) => Source;
  #source: Source | undefined;
  #items: unknown[] = [];
  #read = 0;
  #credited = 0;
  #end: { error?: unknown; failed: boolean } | undefined;
  #waiting: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void }[] = [];
  #room: (() => void)[] = [];

  constructor(begin: (tell: Tell) => Source) {
    this.#begin = begin;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (this.#source === undefined && this.#end === undefined) {
        this.#source = this.#begin({
          end: () => this.#over({ failed: false }),
          fail: (error) => this.#over({ failed: true, error }),
        });
      }
      this.#serve();
    });
  }

  /** Leaving the loop ends the generator. */
  return(): Promise<IteratorResult<T>> {
    if (this.#end === undefined) {
      this.#items = [];
      this.#over({ failed: false });
      this.#source?.stop();
    }
    this.#items = [];
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Items have come. */
  push(items: unknown[]): void {
    if (this.#end !== undefined) return;
    for (const item of items) this.#items.push(item);
    this.#serve();
  }

  /** Resolves when fewer lie unread than may. */
  room(): Promise<void> | undefined {
    if (this.#end !== undefined || this.#items.length < WINDOW) return undefined;
    return new Promise((resolve) => this.#room.push(resolve));
  }

  #over(end: { error?: unknown; failed: boolean }): void {
    this.#end ??= end;
    this.#letIn();
    this.#serve();
  }

  #serve(): void {
    while (this.#waiting.length > 0 && this.#items.length > 0) {
      this.#waiting.shift()?.resolve({ done: false, value: this.#items.shift() as T });
      this.#read += 1;
    }
    if (this.#end === undefined) {
      if (this.#items.length < WINDOW) this.#letIn();
      // Half a window at a time, so that the worker need not stop.
      const due = this.#read - this.#credited;
      if (due >= WINDOW / 2) {
        this.#credited = this.#read;
        this.#source?.more(due);
      }
      return;
    }
    if (this.#items.length > 0) return;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      const { failed, error } = this.#end;
      if (!failed) resolve({ done: true, value: undefined });
      else {
        // An error is told once.
        this.#end = { failed: false };
        reject(error);
      }
    }
  }

  #letIn(): void {
    for (const resolve of this.#room.splice(0)) resolve();
  }
}

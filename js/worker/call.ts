/** How an exposed function is called: in a worker, and on the main thread where there are no workers. */

import { isThenable } from "../thenable.js";
import { MAP, REDUCE } from "./protocol.js";
import { takenAlong, transfer } from "./transfer.js";

/** What an exposed function finds in `this`, unless it is an arrow. */
export interface WorkerContext {
  /** The name under which it was called. */
  readonly name: string;
  /** Aborted when the caller gives the call up; a function that heeds it keeps its worker. */
  readonly signal: AbortSignal;
}

/** Functions by the names under which they are exposed. */
export type Functions = Record<string, (this: WorkerContext, ...args: never[]) => unknown>;

/** A context whose signal is made when it is first read. */
export class Context implements WorkerContext {
  readonly name: string;
  #controller: AbortController | undefined;
  #aborted: { reason: unknown } | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#aborted !== undefined;
  }

  abort(reason?: unknown): void {
    this.#aborted = { reason };
    this.#controller?.abort(reason);
  }
}

type Call = (this: WorkerContext, ...args: unknown[]) => unknown;

/** Calls a function as it is asked for: once, or over the items of a chunk. `map` is what a reduction does with each first. */
export function call(fn: Call, how: number, context: Context, args: readonly unknown[], map?: Call): unknown {
  if (how === MAP) return mapped(fn, context, args[0] as Items, args[1] as number);
  if (how === REDUCE) return reduced(fn, context, args[0] as Items, map);
  return fn.apply(context, args as unknown[]);
}

type Items = { readonly length: number; readonly [index: number]: unknown };

/** Results in an array; of a typed array in one of the same kind, which goes along as it is made here. */
function mapped(fn: Call, context: Context, items: Items, first: number): unknown {
  const results = ArrayBuffer.isView(items)
    ? new (items.constructor as new (length: number) => unknown[])(items.length)
    : new Array<unknown>(items.length);
  const along: Transferable[] = ArrayBuffer.isView(results) ? [results.buffer as ArrayBuffer] : [];
  const put = (index: number, result: unknown) => {
    results[index] = result;
    const more = takenAlong(result);
    if (more !== undefined) along.push(...more);
  };
  const set = (index: number) => (result: unknown) => put(index, result);
  const over = each(context, 0, items.length, (index) => {
    const result = fn.call(context, items[index], first + index);
    if (isThenable(result)) return result.then(set(index));
    put(index, result);
    return undefined;
  });
  const end = () => (along.length === 0 ? results : transfer(results, along));
  return over === undefined ? end() : over.then(end);
}

function reduced(fn: Call, context: Context, items: Items, map: Call | undefined): unknown {
  let sum: unknown;
  const add = (index: number) => (item: unknown) => {
    const next = index === 0 ? item : fn.call(context, sum, item);
    if (isThenable(next)) return next.then(set);
    sum = next;
    return undefined;
  };
  const set = (next: unknown) => {
    sum = next;
  };
  const over = each(context, 0, items.length, (index) => {
    const item = map === undefined ? items[index] : map.call(context, items[index]);
    return isThenable(item) ? item.then(add(index)) : add(index)(item);
  });
  return over === undefined ? sum : over.then(() => sum);
}

/** One after the other, until nobody wants them any more; with promises only where there are promises. */
function each(
  context: Context,
  from: number,
  to: number,
  step: (index: number) => PromiseLike<unknown> | undefined,
): Promise<unknown> | undefined {
  for (let index = from; index < to; index += 1) {
    const pending = step(index);
    if (pending === undefined) continue;
    return Promise.resolve(pending).then(() =>
      context.aborted ? undefined : each(context, index + 1, to, step),
    );
  }
  return undefined;
}

/** The iterator of what a generator function gave, sync or async. */
export function iteratorOf(value: unknown): Iterator<unknown> | AsyncIterator<unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const tag = Object.prototype.toString.call(value);
  if (tag === "[object Generator]") return value as Generator;
  if (tag === "[object AsyncGenerator]") return value as AsyncGenerator;
  return undefined;
}

/** Everything that an iterator gives. */
export async function collected(iterator: Iterator<unknown> | AsyncIterator<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for (;;) {
    const step = iterator.next();
    const { done, value } = isThenable(step) ? ((await step) as IteratorResult<unknown>) : step;
    if (done) return all;
    all.push(value);
  }
}

/**
 * What the models of the theorem of cancellation share: time that stands still until a test moves it, timers and listeners
 * that are counted, and calls that must settle exactly once.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { Watched } from "./watched.js";

interface Timer {
  readonly at: number;
  readonly fn: () => void;
}

const immediately = setImmediate;

/** The clocks and timers of this process, moved by hand. */
class Time {
  #now = 1_000_000;
  readonly #timers = new Set<Timer>();

  constructor() {
    const now = () => this.#now;
    performance.now = now;
    Date.now = now;
    globalThis.setTimeout = ((fn: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => {
      const timer = { at: this.#now + Math.max(0, ms), fn: () => fn(...args) };
      this.#timers.add(timer);
      return timer;
    }) as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((timer: Timer) => {
      this.#timers.delete(timer);
    }) as unknown as typeof clearTimeout;
  }

  now(): number {
    return this.#now;
  }

  /** How many timers there are. */
  timers(): number {
    return this.#timers.size;
  }

  /** Lets every promise settle that can. */
  turn(): Promise<void> {
    return new Promise((resolve) => immediately(resolve));
  }

  async pause(one: Pause): Promise<void> {
    if (one.do === "turn") await this.turn();
    else await this.pass(one.ms);
  }

  /** Lets so many milliseconds pass, with every timer at its moment. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    // Promises come before timers.
    await this.turn();
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end);
      const [first] = due.sort((a, b) => a.at - b.at);
      if (first === undefined) break;
      this.#timers.delete(first);
      this.#now = Math.max(this.#now, first.at);
      first.fn();
      await this.turn();
    }
    this.#now = end;
    await this.turn();
  }
}

export const time = new Time();

/** How a call ended: what it gave, or the name of what it threw; an abort's own error is called by its message. */
export type Ended = { readonly gave: unknown } | { readonly threw: string };

/** One asynchronous call. */
export class Call {
  settled = 0;
  ended: Ended | undefined;

  constructor(promise: Promise<unknown>) {
    promise.then(
      (gave) => this.#settle({ gave }),
      (error: unknown) => this.#settle({ threw: nameOf(error) }),
    );
  }

  #settle(ended: Ended): void {
    this.settled += 1;
    this.ended = ended;
  }
}

export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === "Error" ? error.message : error.name;
}

/** One run of a model: signals to abort by, calls to be settled, and what must hold when all is over. */
export class Run {
  /** The last one is aborted from the beginning. */
  readonly signals = Array.from({ length: 4 }, () => new Watched());
  readonly #everySignal = [...this.signals];
  readonly calls: Call[] = [];
  readonly #broken: unknown[] = [];

  constructor() {
    this.signals[3]?.abort();
  }

  /** Remembers a call; `told` looks at what it gives. */
  call<T>(promise: Promise<T>, told: (value: T) => void = () => {}): Call {
    const call = new Call(promise);
    this.calls.push(call);
    promise.then(
      (value) => this.see(() => told(value)),
      () => {},
    );
    return call;
  }

  /** Looks at something where nobody would hear of what is wrong, and keeps that for the end. */
  see<T>(look: () => T): T | undefined {
    try {
      return look();
    } catch (error) {
      this.#broken.push(error);
      return undefined;
    }
  }

  /** Aborts by a signal; whoever is given the same number later has a new one. */
  abort(number: number): void {
    const signal = new Watched();
    this.signals[number]?.abort();
    this.signals[number] = signal;
    this.#everySignal.push(signal);
  }

  isAborted(number: number | undefined): boolean {
    return number !== undefined && this.signals[number]?.signal.aborted === true;
  }

  signal(number: number | undefined): { signal?: AbortSignal } {
    const signal = number === undefined ? undefined : this.signals[number]?.signal;
    return signal === undefined ? {} : { signal };
  }

  /** Nobody is left unanswered, nobody was answered twice, and no listener and no timer remains. */
  end(): void {
    if (this.#broken.length > 0) throw this.#broken[0];
    const unanswered = this.calls.filter(({ settled }) => settled !== 1);
    assert.equal(unanswered.length, 0, `${unanswered.length} calls are not settled exactly once`);
    assert.deepEqual(
      this.#everySignal.map(({ listeners }) => listeners),
      this.#everySignal.map(() => 0),
      "no listener remains",
    );
    assert.equal(time.timers(), 0, "no timer remains");
  }
}

/** Some steps, long runs as likely as short ones. */
export function stepsOf<S>(step: fc.Arbitrary<S>, maxLength = 50): fc.Arbitrary<S[]> {
  return fc.array(step, { minLength: 1, maxLength, size: "max" });
}

/** The number of a signal, or none. */
export const someSignal = fc.constantFrom(undefined, undefined, undefined, 0, 1, 2, 0, 1, 2, 3);

/** Milliseconds of patience, or none. */
export const someTimeout = fc.constantFrom(undefined, undefined, undefined, 0, 1, 3);

/** Promises settle, or time passes. All other steps between two of these are taken in one tick. */
export type Pause = { readonly do: "turn" } | { readonly do: "pass"; readonly ms: number };

/** What every model does beside its own. */
export type Common = Pause | { readonly do: "abort"; readonly which: number };

/** Takes steps, with nothing in between that the model does not see. */
export async function walk<S extends { readonly do: string }>(
  model: { take(one: Exclude<S, Pause>): void; pause(one: Pause): Promise<void> },
  steps: readonly (S | Pause)[],
): Promise<void> {
  for (const one of steps) {
    if (one.do === "turn" || one.do === "pass") await model.pause(one as Pause);
    else model.take(one as Exclude<S, Pause>);
  }
}

export const common: fc.Arbitrary<Common> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: "turn" as const }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(2) }) },
);

/** Options without those that are not given: `undefined` is not the same as nothing. */
export function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

/** Checks a property for as many runs as asked for, by default so many, from one seed unless another is asked for. */
export async function holds<T>(
  runs: number,
  arbitrary: fc.Arbitrary<T>,
  property: (value: T) => Promise<void>,
): Promise<void> {
  const numRuns = Number(process.env.TIDEGATE_MODEL_RUNS ?? runs);
  const seed = Number(process.env.TIDEGATE_MODEL_SEED ?? 1);
  await fc.assert(
    fc.asyncProperty(arbitrary, async (value) => {
      // What a broken run has left behind is no part of the next, or none could be made smaller.
      if (time.timers() > 0) await time.pass(100_000);
      await property(value);
    }),
    { numRuns, seed },
  );
}

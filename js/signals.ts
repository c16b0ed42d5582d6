import { WAITING, type Work } from "./work.js";

/** One listener for each signal of a pool, however many tasks share it. */
export type Signals = Map<AbortSignal, Watch>;

/** The tasks that one signal can cancel. */
class Watch {
  readonly works = new Set<Work>();
  readonly #signals: Signals;
  readonly #signal: AbortSignal;
  readonly #listener: () => void;

  constructor(signals: Signals, signal: AbortSignal, cancel: (work: Work) => void) {
    this.#signals = signals;
    this.#signal = signal;
    this.#listener = () => {
      // Those who wait leave first, so that no slot of one who runs is given to one who is about to leave. Whoever is
      // gone by then has been told.
      const all = [...this.works];
      for (const work of all) if (work.state === WAITING && this.works.has(work)) cancel(work);
      for (const work of all) if (this.works.has(work)) cancel(work);
    };
    signal.addEventListener("abort", this.#listener);
  }

  /** A task has settled. The last one takes the listener away. */
  leave(work: Work): void {
    if (!this.works.delete(work) || this.works.size > 0) return;
    this.#signal.removeEventListener("abort", this.#listener);
    this.#signals.delete(this.#signal);
  }
}

/** Cancels a task when its signal aborts. */
export function watch(signals: Signals, signal: AbortSignal, work: Work, cancel: (work: Work) => void): void {
  let one = signals.get(signal);
  if (one === undefined) signals.set(signal, (one = new Watch(signals, signal, cancel)));
  one.works.add(work);
}

/** Those who want to know of one signal's abort. */
class Crowd {
  readonly #waiting = new Set<() => void>();
  readonly #signal: AbortSignal;
  // Each may take others away, which then are not called.
  readonly #tell = () => {
    for (const each of this.#waiting) each();
  };

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#tell);
  }

  add(fn: () => void): () => void {
    this.#waiting.add(fn);
    return () => {
      if (!this.#waiting.delete(fn) || this.#waiting.size > 0) return;
      this.#signal.removeEventListener("abort", this.#tell);
      crowds.delete(this.#signal);
    };
  }
}

const crowds = new WeakMap<AbortSignal, Crowd>();

/** Calls `fn` when the signal aborts, unless what this returns is called before. One listener a signal, however many ask. */
export function onAbort(signal: AbortSignal | undefined, fn: () => void): () => void {
  if (signal === undefined) return () => {};
  let crowd = crowds.get(signal);
  if (crowd === undefined) crowds.set(signal, (crowd = new Crowd(signal)));
  return crowd.add(fn);
}

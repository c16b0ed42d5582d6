/**
 * What cases wait for and look at: conditions instead of sleeps, tasks that end when the case says so, signals that count
 * their listeners, and rejections that nobody handled.
 */

import { Pool, type RunOptions, type TaskContext } from "tidegate";
import { deferred, turn } from "./registry.js";

/** Resolves when the condition holds; looks again each turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Whether a promise has settled by now: asks the microtasks, not a clock. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = () => {
    settled = true;
  };
  promise.then(mark, mark);
  for (let tick = 0; tick < 10 && !settled; tick += 1) await null;
  return settled;
}

/**
 * A slot is its next holder's in the tick that frees it, everywhere. On workerd, which serves many requests at once, the holder's
 * function begins a microtask later, in its own request.
 */
export const startsLater = globalThis.navigator?.userAgent === "Cloudflare-Workers";

/** A pool whose next plain task need not ask, where such tasks pass. */
export async function warm(concurrency: number): Promise<Pool> {
  const pool = new Pool({ concurrency });
  await pool.run(() => "first");
  return pool;
}

/** A task that runs until the case ends it. */
export interface Held {
  /** What `run` gave back. */
  readonly done: Promise<unknown>;
  readonly isRunning: boolean;
  readonly ctx: TaskContext;
  end(value?: unknown): void;
  fail(error: unknown): void;
}

/** Asks a pool to run a task that the case ends. Its rejection counts as handled. */
export function hold(pool: Pool, options?: RunOptions): Held {
  const { promise, resolve, reject } = deferred<unknown>();
  let started: TaskContext | undefined;
  const done = pool.run((ctx) => {
    started = ctx;
    return promise;
  }, options);
  done.catch(() => {});
  return {
    done,
    get isRunning() {
      return started !== undefined;
    },
    get ctx() {
      if (started === undefined) throw new Error("the task has not started");
      return started;
    },
    end: resolve,
    fail: reject,
  };
}

/** An abort controller whose signal knows how many listeners it has, and how many were ever added. */
export function watchedAbort(): {
  signal: AbortSignal;
  abort(reason?: unknown): void;
  listeners(): number;
  added(): number;
} {
  const controller = new AbortController();
  const { signal } = controller;
  const present = new Set<unknown>();
  let added = 0;
  const add = signal.addEventListener.bind(signal) as AbortSignal["addEventListener"];
  const remove = signal.removeEventListener.bind(signal) as AbortSignal["removeEventListener"];
  Object.defineProperties(signal, {
    addEventListener: {
      value: (type: string, listener: EventListener, options?: AddEventListenerOptions) => {
        added += 1;
        present.add(listener);
        if (options?.once === true) add(type, () => present.delete(listener), { once: true });
        add(type, listener, options);
      },
    },
    removeEventListener: {
      value: (type: string, listener: EventListener) => {
        present.delete(listener);
        remove(type, listener);
      },
    },
  });
  return {
    signal,
    abort: (reason) => controller.abort(reason),
    listeners: () => present.size,
    added: () => added,
  };
}

interface RejectionEvent extends Event {
  readonly reason: unknown;
}

/** The reasons of rejections that nobody handled while `run` ran. */
export async function unhandledDuring(run: () => void | Promise<void>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const { process } = globalThis as {
    process?: { on?(event: string, fn: unknown): void; off?(event: string, fn: unknown): void };
  };
  const fromEvent = (event: Event) => {
    event.preventDefault();
    reasons.push((event as RejectionEvent).reason);
  };
  const fromProcess = (reason: unknown) => void reasons.push(reason);
  const listens = typeof process?.on === "function" && typeof process.off === "function";
  if (listens) process.on?.("unhandledRejection", fromProcess);
  else globalThis.addEventListener("unhandledrejection", fromEvent);
  try {
    await run();
    for (let turns = 0; turns < 3; turns += 1) await turn();
  } finally {
    if (listens) process.off?.("unhandledRejection", fromProcess);
    else globalThis.removeEventListener("unhandledrejection", fromEvent);
  }
  return reasons;
}

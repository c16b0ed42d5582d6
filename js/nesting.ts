/**
 * Who runs inside whom, as far as the platform can tell: a task that waits for another task of its own pool, which waits
 * for the slot of the first, waits for ever.
 */

import type { Pool } from "./pool.js";
import { RUNNING, type Work } from "./work.js";

/** A task, and the one in which it was asked for. */
export interface Frame {
  readonly work: Work;
  outer: Frame | undefined;
}

interface Storage {
  getStore(): Frame | undefined;
  run<R>(frame: Frame, fn: () => R): R;
}

type StorageClass = new () => Storage;

let storage: Storage | undefined | null = null;

/** The frame of a task that is asked for here; `undefined` where the platform has no `AsyncLocalStorage`. */
export function frameOf(work: Work): Frame | undefined {
  storage = storage === null ? findStorage() : storage;
  if (storage === undefined) return undefined;
  return { work, outer: running(storage.getStore()) };
}

/** Calls a task with everything that it asks for in its frame. */
export function runIn<R>(frame: Frame, fn: () => R): R {
  return storage ? storage.run(frame, fn) : fn();
}

/** The running task of a pool in which a frame was made. */
export function outerOf(frame: Frame, pool: Pool): Work | undefined {
  let outer = frame.outer;
  while (outer !== undefined && outer.work.pool !== pool) outer = outer.outer;
  return outer?.work;
}

/** The first frame that still runs. Those that do not are left out for good, so that no chain grows without end. */
function running(frame: Frame | undefined): Frame | undefined {
  let first = frame;
  while (first !== undefined && first.work.state !== RUNNING) first = first.outer;
  if (first !== undefined) first.outer = running(first.outer);
  return first;
}

function findStorage(): Storage | undefined {
  const { AsyncLocalStorage, process } = globalThis as {
    AsyncLocalStorage?: StorageClass;
    process?: { getBuiltinModule?(name: string): { AsyncLocalStorage?: StorageClass } | undefined };
  };
  const Found = AsyncLocalStorage ?? process?.getBuiltinModule?.("node:async_hooks")?.AsyncLocalStorage;
  return Found === undefined ? undefined : new Found();
}

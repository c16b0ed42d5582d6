/** Why a pool of workers rejects a task. */

import { ClosedError, DroppedError, QueueFullError, TimeoutError, WorkerCrashedError } from "../errors.js";
import { DROPPED, QUEUE_FULL } from "../refusal.js";
import type { WorkerPoolConfig } from "./options.js";

const CRASHED = 1;
const TIMED_OUT = 2;
const CLOSED = 3;

/** For a task that was taken in. `error` is what ended the worker last. */
export function faultError(
  fault: number,
  config: WorkerPoolConfig,
  task: string,
  limit: number,
  error: unknown,
): Error {
  switch (fault) {
    case CRASHED: {
      const said = error instanceof Error ? error.message : String(error);
      return new WorkerCrashedError(`The worker that had "${task}" is gone: ${said}`, { cause: error });
    }
    case TIMED_OUT:
      return new TimeoutError(task, limit);
    case CLOSED:
      return closedError(config);
    default: {
      const { capacity } = config;
      const message = `"${task}" gave way: the queue of workers "${config.name}" is full`;
      return new DroppedError(message, { limit: capacity, queued: capacity });
    }
  }
}

/** For one that was not. */
export function refusalError(code: number, queued: number, config: WorkerPoolConfig): Error {
  const message = `The queue of workers "${config.name}" is full: ${queued} wait`;
  const numbers = { limit: config.capacity, queued };
  if (code === QUEUE_FULL) return new QueueFullError(message, numbers);
  if (code === DROPPED) return new DroppedError(message, numbers);
  return closedError(config);
}

export function closedError({ name }: WorkerPoolConfig): ClosedError {
  return new ClosedError(`Workers "${name}" are closed`);
}

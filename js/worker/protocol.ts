/**
 * What a pool and its workers say to each other: arrays that begin with a mark, so that the worker's own messages are
 * not taken for ours, and hold flat lists of tasks or answers, since what is cloned is counted by object.
 */

export const MARK = "tidegate";

// From the pool to a worker.

/**
 * `[MARK, TASKS, names, tasks, watched]`: names of functions by number (flat, those that the worker does not know yet), then
 * tasks. `watched`: the worker's answers are not to lie.
 */
export const TASKS = 0;
/** `[MARK, CANCEL, ticket]` */
export const CANCEL = 1;
/** `[MARK, CREDIT, ticket, items]`: a stream may send so many more. */
export const CREDIT = 2;
/** `[MARK, EXIT]`: when everything is answered. */
export const EXIT = 3;
/** `[MARK, MEMORY]`: answers shall say how much memory is taken. */
export const MEMORY = 4;

/** A task lies in a list as its ticket, what it calls, and its arguments; 0 stands for none. */
export const TASK_SPAN = 3;

/** How a function is called; beside its number in one small integer. */
export const RUN = 0;
export const STREAM = 1;
export const MAP = 2;
export const REDUCE = 3;
export const HOWS = 4;

// From a worker to the pool.

/** `[MARK, READY, names]` */
export const READY = 0;
/** `[MARK, ANSWERS, answers, memory]` */
export const ANSWERS = 1;
/** `[MARK, ITEMS, ticket, values]` of a stream */
export const ITEMS = 2;
/** `[MARK, TRAPPED, ticket, error, alone]`: the worker can no longer be trusted. `alone`: no other task has begun that is not answered. */
export const TRAPPED = 3;
/** `[MARK, OUTSIDE, name, args, buffer]`: a call that the worker waits for. */
export const OUTSIDE = 4;
/** `[MARK, BYE]`: the worker ends. */
export const BYE = 5;

/** An answer lies in a list as the ticket, how it ended, its value, and how many milliseconds it ran. */
export const ANSWER_SPAN = 4;

export const DONE = 0;
export const THROWN = 1;
/** It threw something that is no error. */
export const THROWN_VALUE = 2;
/** It was cancelled before it began. */
export const NEVER = 3;

/** How many items of a stream may be under way or unread. */
export const WINDOW = 64;

export type Message = [mark: typeof MARK, what: number, ...rest: unknown[]];

/** The parts of a message of ours. */
export function ours(message: unknown): Message | undefined {
  return Array.isArray(message) && message[0] === MARK ? (message as Message) : undefined;
}

/** Hears how the promises of tasks end, with functions that serve one task after the other: two new ones for each cost a tenth of a task. */
import type { Work } from "./work.js";

// As they are now: what the page puts in their place later may call both functions, or one twice.
const Settling = Promise;
const { then } = Promise.prototype;

interface Follower {
  work: Work | undefined;
  readonly fulfilled: (value: unknown) => void;
  readonly rejected: (reason: unknown) => void;
}

/** What one pool has for those of its tasks that are promises. */
export class Followers {
  readonly #free: Follower[] = [];
  readonly #succeed: (work: Work, value: unknown) => void;
  readonly #fail: (work: Work, reason: unknown) => void;

  constructor(succeed: (work: Work, value: unknown) => void, fail: (work: Work, reason: unknown) => void) {
    this.#succeed = succeed;
    this.#fail = fail;
  }

  /** Calls back exactly once, in a later microtask, whatever the thenable does. */
  follow(work: Work, result: unknown): void {
    const follower = this.#free.pop() ?? this.#make();
    follower.work = work;
    then.call(Settling.resolve(result), follower.fulfilled, follower.rejected);
  }

  #make(): Follower {
    const follower: Follower = {
      work: undefined,
      fulfilled: (value) => this.#succeed(this.#served(follower), value),
      rejected: (reason) => this.#fail(this.#served(follower), reason),
    };
    return follower;
  }

  #served(follower: Follower): Work {
    const work = follower.work as Work;
    follower.work = undefined;
    this.#free.push(follower);
    return work;
  }
}

/** One task on its way through a pool, and what the task itself sees of it. */
import { dispose } from "./dispose.js";
import { INDEX_MASK, INDEX_SPAN } from "./instance.js";
import type { Frame } from "./nesting.js";
import type { Pool } from "./pool.js";

/** What a pool calls: a function, so that its work starts when the pool says so. */
export type Task<T> = (ctx: TaskContext) => T | PromiseLike<T>;

/**
 * What a task is given. The fields are getters of the prototype, made when first read: spreading a context loses them.
 */
export interface TaskContext {
  /** Aborts when the task should stop: its caller's signal, its timeout, or the pool's close. Made when first read. */
  readonly signal: AbortSignal;
  /** Unique in this copy of the package. */
  readonly id: number;
  /** The name given with the call. */
  readonly name?: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** When all of it must be over, in epoch milliseconds; nested calls inherit it through `parent`. */
  readonly deadline?: number;
  /** The slots that the task holds. */
  readonly lease: Lease;
  /** What the caller put there. */
  readonly locals: Record<string, unknown>;
}

/** Slots that are held until they are released. */
export interface Lease extends Disposable {
  /** Unique in this copy of the package. */
  readonly id: number;
  /** When it is taken back unless renewed, in epoch milliseconds. */
  readonly expiresAt?: number;
  /** Moves the end to `ms` from now (the pool's `leaseTimeout` by default); false when it is over already. */
  renew(ms?: number): boolean;
  /** Gives the slots back. A second call, or one that comes too late, does nothing. */
  release(): void;
}

/** A task as lists show it. */
export type TaskInfo = {
  /** As `ctx.id`. */
  id: number;
  /** As given with the call. */
  name?: string;
  /** Waiting, in a slot, or without one and going on all the same. */
  state: "queued" | "running" | "abandoned";
  /** Epoch milliseconds. */
  queuedAt: number;
  /** Epoch milliseconds. */
  startedAt?: number;
};

export const WAITING = 0;
export const RUNNING = 1;
/** Its slots are free and its promise is settled; its function goes on. */
export const ABANDONED = 2;
export const OVER = 3;
/** A lease that was taken back, and that its holder has not given back yet. */
export const LAPSED = 4;
export type State = typeof WAITING | typeof RUNNING | typeof ABANDONED | typeof OVER | typeof LAPSED;

let lastId = 0;

/**
 * A call of a pool, from request to settlement. `task` is absent for a lease, which its holder releases.
 * The fields are the pool's to change.
 */
export class Work {
  readonly pool: Pool;
  readonly task: Task<unknown> | undefined;
  state: State = WAITING;
  // The halves of the ticket. Small integers live in the object itself; the whole ticket would be a heap number each.
  index = -1;
  generation = 0;
  // What settles its promise; or its promise, where it was settled before anybody could wait for it.
  answer: ((value: unknown) => void) | Promise<unknown> | undefined = undefined;
  // What only some calls have, apart so that a plain call stays small.
  extra: Extra | undefined;
  rare: Rare | undefined;

  constructor(pool: Pool, task: Task<unknown> | undefined, extra: Extra | undefined) {
    this.pool = pool;
    this.task = task;
    this.extra = extra;
    this.rare = undefined;
  }

  /** The ticket, as the machine knows it. */
  get ticket(): number {
    return this.generation * INDEX_SPAN + this.index;
  }

  set ticket(ticket: number) {
    this.index = ticket & INDEX_MASK;
    // Said to be an integer, or it would be a heap number all the same.
    this.generation = ((ticket - this.index) / INDEX_SPAN) | 0;
  }

  /** Settles it, once. What has ended when its caller gets a promise needs none with a function of its own, of three times the size. */
  resolve(value: unknown): void {
    const { answer } = this;
    if (typeof answer === "function") answer(value);
    else this.answer ??= Promise.resolve(value);
  }

  /** Its promise. To be asked for once: there is one that waits for it. */
  promise(): Promise<unknown> {
    if (this.answer !== undefined) return this.answer as Promise<unknown>;
    asked = this;
    return new Promise(keepAnswer);
  }

  /** Settles it with an error: by its one function, since a second that few calls need is a sixth of what waits for a slot. */
  reject(reason: unknown): void {
    this.resolve(new Rejection(reason));
  }

  /** Whether it has started and its function has not settled yet. */
  get isUnderWay(): boolean {
    return this.state === RUNNING || this.state === ABANDONED;
  }

  /** Made when somebody asks. */
  get id(): number {
    const rare = (this.rare ??= new Rare());
    rare.id ??= ++lastId;
    return rare.id;
  }

  /** When its slots are taken back, as a reading of the clock. */
  get endsAt(): number {
    return this.rare?.endsAt ?? Number.POSITIVE_INFINITY;
  }

  set endsAt(at: number) {
    (this.rare ??= new Rare()).endsAt = at;
  }

  /** Who it was asked for by, where its pool wants to know. */
  get frame(): Frame | undefined {
    return this.rare?.frame;
  }

  set frame(frame: Frame | undefined) {
    if (frame !== undefined) (this.rare ??= new Rare()).frame = frame;
  }

  /** Whether its own signal has aborted, or would have if somebody had read it. */
  get aborted(): boolean {
    return this.rare?.aborted === true;
  }

  /** The signal of the task, made when first read. */
  get signal(): AbortSignal {
    const rare = (this.rare ??= new Rare());
    if (rare.controller === undefined) {
      rare.controller = new AbortController();
      if (rare.aborted) rare.controller.abort(rare.reason);
    }
    return rare.controller.signal;
  }

  /** Aborts the task's own signal, whether or not somebody has read it yet. */
  abort(reason: unknown): void {
    const rare = (this.rare ??= new Rare());
    rare.aborted = true;
    rare.reason = reason;
    rare.controller?.abort(reason);
  }
}

// One function for all promises instead of one made for each. There is a work from the beginning: of what has no instance left,
// engines forget the shape, and all the code that they compiled for it.
let asked = new Work(undefined as never, undefined, undefined);
const keepAnswer = (resolve: (value: unknown) => void): void => {
  asked.answer = resolve;
};

/** Rejects the promise that is resolved with it. */
class Rejection {
  readonly #reason: unknown;

  constructor(reason: unknown) {
    this.#reason = reason;
  }

  // biome-ignore lint/suspicious/noThenProperty: a promise is to follow it
  then(_: unknown, reject: (reason: unknown) => void): void {
    reject(this.#reason);
  }
}

/** What few tasks need: an end, a signal, a reason to stop. */
class Rare {
  id: number | undefined = undefined;
  endsAt: number | undefined = undefined;
  controller: AbortController | undefined = undefined;
  aborted = false;
  reason: unknown = undefined;
  frame: Frame | undefined = undefined;
}

/** What a call says beyond the task. */
export interface Extra {
  readonly name: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly weight: number;
  readonly cost: number;
  readonly priority: number;
  readonly key: string | undefined;
  readonly keyId: number;
  /** Milliseconds; infinite when there is none. */
  readonly timeout: number;
  /** Milliseconds; infinite when there is none, −1 for a try. */
  readonly patience: number;
  /** Epoch milliseconds; infinite when there is none. */
  readonly deadline: number;
  /** The task that awaits this one. */
  readonly parent: Work | undefined;
  readonly locals: Record<string, unknown> | undefined;
  readonly attempt: number;
  /** Told when the call is in the queue or has started. */
  accepted: (() => void) | undefined;
}

/** The context of a task, over its work. */
export class Context implements TaskContext {
  readonly #work: Work;

  constructor(work: Work) {
    this.#work = work;
  }

  get signal(): AbortSignal {
    return this.#work.signal;
  }

  /** @internal The work of a context; `undefined` for whatever is none of this copy of the package. */
  static work(context: object): Work | undefined {
    return #work in context ? context.#work : undefined;
  }

  get id(): number {
    return this.#work.id;
  }

  get name(): string | undefined {
    return this.#work.extra?.name;
  }

  get attempt(): number {
    return this.#work.extra?.attempt ?? 1;
  }

  get deadline(): number | undefined {
    const deadline = this.#work.extra?.deadline ?? Number.POSITIVE_INFINITY;
    return deadline === Number.POSITIVE_INFINITY ? undefined : deadline;
  }

  get lease(): Lease {
    return new HeldLease(this.#work);
  }

  get locals(): Record<string, unknown> {
    const work = this.#work;
    const extra = work.extra as { locals: Record<string, unknown> | undefined } | undefined;
    if (extra?.locals !== undefined) return extra.locals;
    return (this.#locals ??= {});
  }

  #locals: Record<string, unknown> | undefined;
}

/** The work behind a context, where it is one. */
export function workOf(context: unknown): Work | undefined {
  const work = typeof context === "object" && context !== null ? Context.work(context) : undefined;
  // Others are to hear of it: one that runs without a ticket gets one.
  if (work?.state === RUNNING && work.index < 0) work.pool.catchUp();
  return work;
}

/** A lease over its work. */
export class HeldLease implements Lease {
  readonly #work: Work;

  constructor(work: Work) {
    this.#work = work;
  }

  get id(): number {
    return this.#work.id;
  }

  get expiresAt(): number | undefined {
    const end = this.#work.pool.endOf(this.#work);
    return end === Number.POSITIVE_INFINITY ? undefined : end;
  }

  renew(ms?: number): boolean {
    return this.#work.pool.renew(this.#work, ms);
  }

  release(): void {
    this.#work.pool.giveBack(this.#work);
  }

  [dispose](): void {
    this.release();
  }
}

/** A pool whose slots are shared by isolates all over the world. */

import { now } from "../clock.js";
import { ClosedError } from "../errors.js";
import { integer, milliseconds, nameOf, object } from "../options.js";
import { Pool } from "../pool.js";
import type { PoolMetrics } from "../pool-metrics.js";
import type { PoolOptions, RunOptions } from "../pool-options.js";
import type { Task } from "../work.js";
import { type Coordinator, CoordinatorUnreachableError } from "./coordinator.js";
import { pause } from "./pause.js";

/** What a {@link SharedPool} is made with. */
export interface SharedPoolOptions {
  /** Under which all isolates mean the same pool. */
  name: string;
  /** How many tasks run at once, everywhere together. */
  concurrency: number;
  /** The queue of this isolate, as of a `Pool`. */
  queue?: NonNullable<PoolOptions["queue"]>;
  /** As of a `Pool`. */
  timeout?: number;
  /**
   * Milliseconds for which this isolate has its slots without a word: so long after it died they are somebody else's.
   *
   * @default 5 s, since whoever runs says so every `beat`
   */
  lease?: number;
  /** Milliseconds between two words with the coordinator while there is something to do. @default 250 */
  beat?: number;
}

/** What a shared pool says of itself. */
export interface SharedPoolMetrics extends PoolMetrics {
  /** How many slots this isolate has now. */
  readonly block: number;
  /** How often it talked with the coordinator. */
  readonly asked: number;
  /** How often that failed. */
  readonly unanswered: number;
  /** How often slots were lost while tasks ran. */
  readonly lapsed: number;
}

/** How soon an isolate that has less than it wants, or more than it should, asks again, in milliseconds. */
const SOON = 30;
/** A word with the coordinator that takes longer than this died with the request that asked. */
const GIVEN_UP = 3000;
/** For `unreachable: "open"`: as many as there can be. */
const EVERYBODY = 1_000_000;

/**
 * Slots of one limit, everywhere together. Each isolate has a block of them on a lease, which those who run and wait keep alive: most tasks
 * start without a word with the coordinator, and isolates that want more than there is get equal parts. A lease
 * that is over aborts what still runs under it, because its slots are somebody else's then.
 *
 * @example
 * ```ts
 * import { localCoordinator, SharedPool } from "tidegate/edge";
 *
 * const coordinator = localCoordinator();
 * const here = new SharedPool(coordinator, { name: "upstream", concurrency: 3 });
 * const there = new SharedPool(coordinator, { name: "upstream", concurrency: 3 });
 * console.log(await Promise.all([here.run(() => "here"), there.run(() => "there")])); // → [ 'here', 'there' ]
 * ```
 */
export class SharedPool {
  /** The name under which all isolates mean the same pool. */
  readonly name: string;
  readonly #coordinator: Coordinator;
  readonly #limit: number;
  readonly #lease: number;
  readonly #beat: number;
  readonly #local: Pool;
  readonly #running = new Set<(reason: unknown) => boolean>();
  #holder: string | undefined;
  #block = 0;
  #fence = 0;
  /** How many may run here now. */
  #room = 0;
  #endsAt = Number.NEGATIVE_INFINITY;
  #nextAt = Number.NEGATIVE_INFINITY;
  #askedAt: number | undefined;
  #turn = 0;
  #isDegraded = false;
  #isWanted = false;
  #saidAt = Number.NEGATIVE_INFINITY;
  #asked = 0;
  #unanswered = 0;
  #lapsed = 0;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(coordinator: Coordinator, options: SharedPoolOptions) {
    object("options", options);
    this.name = nameOf(options, "shared pool");
    this.#coordinator = coordinator;
    this.#limit = integer("concurrency", options.concurrency, 1, EVERYBODY);
    this.#lease = milliseconds("lease", options.lease ?? 5000, 100);
    this.#beat = Math.min(milliseconds("beat", options.beat ?? 250, 1), this.#lease / 3);
    const { queue, timeout } = options;
    this.#local = new Pool({
      name: this.name,
      concurrency: this.#limit,
      ...(queue === undefined ? {} : { queue }),
      ...(timeout === undefined ? {} : { timeout }),
    });
    this.#local.pause();
  }

  /**
   * Runs a task when one of the slots is this isolate's and its turn has come.
   *
   * @throws CoordinatorUnreachableError where the coordinator does not answer and its `unreachable` is `closed`, or where a lease ended
   *   under the task; what `Pool.run` throws
   */
  async run<T>(task: Task<T>, options?: RunOptions): Promise<Awaited<T>> {
    for (;;) {
      this.#checkLease();
      let isOver = false;
      let isLate = false;
      let hasBegun = false;
      // A task may begin before `submit` has come back.
      let stop: ((reason: unknown) => boolean) | undefined;
      const cancel = (reason: unknown) => stop?.(reason) === true;
      const submission = this.#local.submit((ctx) => {
        // The lease ended between two beats: nothing has been started yet, so it only goes back to the queue.
        isLate = this.#isOver();
        if (isLate) return undefined as never;
        hasBegun = true;
        this.#running.add(cancel);
        return task(ctx);
      }, options);
      const { done } = submission;
      // There may be more for those who wait than there was when somebody asked last.
      if (!hasBegun && this.#block < this.#limit) this.#nextAt = Math.min(this.#nextAt, this.#saidAt + SOON);
      stop = submission.cancel;
      const settled = done.then(
        () => {
          isOver = true;
        },
        () => {
          isOver = true;
        },
      );
      try {
        while (!isOver) {
          const error = this.#isDue() ? await Promise.race([this.#sync(), settled]) : undefined;
          if (error instanceof CoordinatorUnreachableError && !hasBegun && this.#room === 0) cancel(error);
          if (!isOver) await pause(settled, Math.max(1, this.#nextAt - now() + Math.random() * 5));
          this.#checkLease();
        }
        const value = await done;
        if (!isLate) {
          if (this.#isWanted && this.#isIdle()) await this.#giveBack();
          return value;
        }
      } finally {
        this.#running.delete(cancel);
      }
    }
  }

  /** Every number of this pool, as this isolate sees it. */
  metrics(): SharedPoolMetrics {
    return {
      ...this.#local.metrics(),
      block: this.#block,
      asked: this.#asked,
      unanswered: this.#unanswered,
      lapsed: this.#lapsed,
    };
  }

  /** Takes no more tasks here, and gives the slots back once what runs has ended. */
  async close(options?: { grace?: number; queued?: "finish" | "reject" }): Promise<void> {
    const closed = this.#local.close({ queued: "reject", ...options });
    for (const cancel of this.#running)
      if (options?.grace === 0) cancel(new ClosedError(`Pool "${this.name}" is closed`));
    await closed;
    await this.#giveBack();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #isIdle(): boolean {
    const { slotsInUse, queued, waitingForRoom } = this.#local.metrics();
    return slotsInUse + queued + waitingForRoom === 0;
  }

  async #giveBack(): Promise<void> {
    if (this.#block === 0 || this.#isDegraded) return;
    this.#confine(0, 0);
    await this.#sync();
  }

  #isOver(): boolean {
    return !this.#isDegraded && now() >= this.#endsAt;
  }

  /** Nobody has kept the lease alive: its slots may be somebody else's any moment. */
  #checkLease(): void {
    if (this.#block === 0 || !this.#isOver()) return;
    this.#confine(0, 0);
    this.#fence = 0;
    this.#lapse();
  }

  #lapse(): void {
    if (this.#running.size === 0) return;
    this.#lapsed += 1;
    const error = new CoordinatorUnreachableError(`The lease of pool "${this.name}" ended under the task`);
    for (const cancel of this.#running) cancel(error);
    this.#running.clear();
  }

  #isDue(): boolean {
    const at = now();
    if (this.#askedAt !== undefined && at - this.#askedAt < GIVEN_UP) return false;
    return at >= this.#nextAt;
  }

  /** One word with the coordinator; gives what went wrong. */
  async #sync(): Promise<CoordinatorUnreachableError | undefined> {
    const turn = ++this.#turn;
    const at = now();
    this.#askedAt = at;
    this.#asked += 1;
    this.#holder ??= crypto.randomUUID();
    const { slotsInUse, queued, waitingForRoom } = this.#local.metrics();
    const work = slotsInUse + queued + waitingForRoom;
    // A few more than needed, so that the next ones cost no word.
    const want = work === 0 ? 0 : Math.min(this.#limit, Math.ceil(work * 1.25));
    try {
      const { granted, target, fence, wanted } = await this.#coordinator.ask(`permits:${this.name}`, {
        kind: "permits",
        holder: this.#holder,
        limit: this.#limit,
        hold: this.#isDegraded ? 0 : Math.max(slotsInUse, this.#room),
        want,
        ttl: this.#lease,
      });
      if (turn !== this.#turn) return undefined;
      this.#isDegraded = false;
      this.#isWanted = wanted;
      this.#saidAt = now();
      // Counted from before it was asked for, so that it ends here before it ends there.
      this.#endsAt = at + this.#lease * 0.9;
      const isAnother = this.#fence !== 0 && fence !== this.#fence;
      this.#fence = fence;
      this.#confine(granted, Math.min(granted, target));
      if (isAnother && this.#local.metrics().slotsInUse > granted) this.#lapse();
      const isContent = granted >= want && target >= granted;
      this.#nextAt = now() + (isContent ? this.#beat : Math.min(this.#beat, SOON));
      return undefined;
    } catch (error) {
      if (turn !== this.#turn) return undefined;
      this.#unanswered += 1;
      this.#nextAt = now() + this.#beat;
      this.#checkLease();
      const { unreachable } = this.#coordinator;
      if (this.#block === 0 && unreachable !== "closed") {
        this.#isDegraded = true;
        const room = unreachable === "open" ? EVERYBODY : this.#limit;
        this.#confine(0, room);
      }
      return error instanceof CoordinatorUnreachableError
        ? error
        : new CoordinatorUnreachableError(`The coordinator of pool "${this.name}" failed`, { cause: error });
    } finally {
      if (turn === this.#turn) this.#askedAt = undefined;
    }
  }

  #confine(block: number, room: number): void {
    this.#block = block;
    this.#room = room;
    if (room === 0) {
      this.#local.pause();
      return;
    }
    this.#local.resize(room);
    this.#local.resume();
  }
}

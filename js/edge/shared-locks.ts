/** Locks that one of all isolates in the world has at a time. */

import { now } from "../clock.js";
import { QueueTimeoutError } from "../errors.js";
import { abortSignal, milliseconds, nameOf, object } from "../options.js";
import { sleep } from "../sleep.js";
import type { Coordinator } from "./coordinator.js";

/** What {@link SharedLocks} are made with. */
export interface SharedLocksOptions {
  /** Under which all isolates mean the same locks. */
  name: string;
  /** Milliseconds after which a lock that nobody renewed is somebody else's. @default 10 s */
  lease?: number;
}

/** A lock that is held. */
export interface SharedLock {
  /**
   * Greater than that of everybody who had the lock before. Whatever the lock protects should refuse a smaller one than it has
   * seen: a holder that slept through the end of its lease still believes that it holds it.
   */
  readonly fence: number;
  /** Keeps it for another lease. False where it is somebody else's by now. */
  renew(): Promise<boolean>;
  /** Gives it back. False where it was somebody else's by then. */
  release(): Promise<boolean>;
}

/** How long a waiter sleeps between two questions, in milliseconds. */
const LOOK = 50;

/**
 * Locks by name, each held by one at a time everywhere, in the order of asking, with fencing tokens. While the coordinator cannot be reached
 * nobody gets one, whatever its `unreachable` says, because a lock that two hold is none.
 *
 * @example
 * ```ts
 * import { localCoordinator, SharedLocks } from "tidegate/edge";
 *
 * const locks = new SharedLocks(localCoordinator(), { name: "accounts" });
 * const lock = await locks.acquire("alice");
 * console.log(await locks.tryAcquire("alice"), lock.fence); // → undefined 1
 * await lock.release();
 * ```
 */
export class SharedLocks {
  /** The name under which all isolates mean the same locks. */
  readonly name: string;
  readonly #coordinator: Coordinator;
  readonly #lease: number;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(coordinator: Coordinator, options: SharedLocksOptions) {
    object("options", options);
    this.name = nameOf(options, "shared locks");
    this.#coordinator = coordinator;
    this.#lease = milliseconds("lease", options.lease ?? 10_000, 1);
  }

  /**
   * Waits for a lock.
   *
   * @throws QueueTimeoutError; CoordinatorUnreachableError; after an abort `signal.reason`
   * @default timeout 10 s
   */
  async acquire(lock: string, options: { timeout?: number; signal?: AbortSignal } = {}): Promise<SharedLock> {
    const signal = abortSignal("signal", options.signal);
    const timeout = milliseconds("timeout", options.timeout ?? 10_000);
    const ends = now() + timeout;
    const holder = crypto.randomUUID();
    try {
      for (;;) {
        signal?.throwIfAborted();
        const fence = await this.#ask(lock, holder);
        if (fence > 0) return this.#held(lock, holder, fence);
        if (now() + LOOK > ends)
          throw new QueueTimeoutError(`Lock "${lock}" was not free within ${timeout} ms`, { limit: timeout });
        await sleep(LOOK * (0.5 + Math.random()), signal);
      }
    } catch (error) {
      // Its place is free now, and not when its patience is over.
      await this.#leave(lock, holder).catch(() => {});
      throw error;
    }
  }

  /** A lock that is free, or nothing. @throws CoordinatorUnreachableError */
  async tryAcquire(lock: string): Promise<SharedLock | undefined> {
    const holder = crypto.randomUUID();
    const fence = await this.#ask(lock, holder);
    if (fence > 0) return this.#held(lock, holder, fence);
    await this.#leave(lock, holder);
    return undefined;
  }

  #held(lock: string, holder: string, fence: number): SharedLock {
    return {
      fence,
      renew: async () => {
        const still = await this.#ask(lock, holder);
        if (still === fence) return true;
        // It was free again, or it stands in the line now: neither is what was held.
        await this.#leave(lock, holder);
        return false;
      },
      release: async () => (await this.#leave(lock, holder)) === fence,
    };
  }

  async #ask(lock: string, holder: string): Promise<number> {
    const { fence } = await this.#coordinator.ask(this.#key(lock), {
      kind: "lock",
      holder,
      ttl: this.#lease,
    });
    return fence;
  }

  async #leave(lock: string, holder: string): Promise<number> {
    return (await this.#coordinator.ask(this.#key(lock), { kind: "unlock", holder })).fence;
  }

  #key(lock: string): string {
    return `lock:${this.name}:${lock}`;
  }
}

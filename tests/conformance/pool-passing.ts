/**
 * Plain tasks, one after the other: on some runtimes the machine hears of them later, and nobody may see a difference.
 */

import {
  isBrokenCircuitError,
  isClosedError,
  isDeadlockError,
  isTimeoutError,
  type Lease,
  LockSet,
  Pool,
  type PoolMetrics,
  type TaskContext,
} from "tidegate";
import { numbers } from "./numbers.js";
import { assert, deferred, rejection, test } from "./registry.js";
import { hold, isSettled, startsLater, until, warm } from "./waiting.js";

/** Everything that is counted, without what is measured. */
function counts({ name, oldestRun, wait, run, ...numbers }: PoolMetrics) {
  return { ...numbers, waits: wait.count, runs: run.count };
}

test("passing: a task in its first step holds its slot, and lists show it", async () => {
  const pool = await warm(2);
  const [active, slots, infos, id] = await pool.run((ctx) => [
    pool.active,
    pool.metrics().slotsInUse,
    pool.tasks(),
    ctx.id,
  ]);
  assert.deepEqual([active, slots], [1, 1]);
  assert.lengthOf(infos, 1);
  assert.deepEqual([infos[0]?.id, infos[0]?.state], [id, "running"]);
  assert.isNumber(infos[0]?.startedAt);
  assert.lengthOf(pool.tasks(), 0);
  const { accepted, started, completed, peakActive } = pool.metrics();
  assert.deepEqual([accepted, started, completed, peakActive], [2, 2, 2, 1]);
});

test("passing: a list shows it where nobody has looked before", async () => {
  const pool = await warm(2);
  assert.lengthOf(await pool.run(() => pool.tasks()), 1);
  assert.equal(pool.health(), "healthy");
});

test("passing: a thousand tasks are counted as what they were", async () => {
  const pool = await warm(3);
  for (let n = 0; n < 333; n += 1) {
    assert.equal(await pool.run(() => n), n);
    assert.equal(await pool.run(async () => -n), -n);
    assert.equal(await rejection(pool.run(() => Promise.reject(n))), n);
  }
  const { accepted, started, completed, failed, peakActive, wait, run } = pool.metrics();
  assert.deepEqual([accepted, started, completed, failed, peakActive], [1000, 1000, 667, 333, 1]);
  assert.deepEqual([wait.count, run.count], [1000, 1000]);
});

test("passing: never more run at once than there are slots, wherever they were asked for", async () => {
  const pool = await warm(2);
  const seen: number[] = [];
  const { promise, resolve } = deferred<void>();
  const all: Promise<void>[] = [];
  await pool.run(() => {
    for (let n = 0; n < 3; n += 1) {
      all.push(
        pool.run(async () => {
          seen.push(pool.active);
          await promise;
        }),
      );
    }
    assert.deepEqual([pool.active, pool.queued], [2, 2]);
  });
  // The slot of the first is the next one's, who begins in its own request.
  if (startsLater) await null;
  assert.deepEqual(seen, [2, 2]);
  resolve();
  await Promise.all(all);
  assert.deepEqual([pool.active, pool.queued, pool.metrics().peakActive], [0, 0, 2]);
});

test("passing: whoever throws in its first step has failed, and its slot is free", async () => {
  const pool = await warm(1);
  const error = new Error("no");
  const thrown = pool.run(() => {
    throw error;
  });
  assert.equal(pool.active, 0);
  assert.equal(await rejection(thrown), error);
  assert.equal(await pool.run(() => "next"), "next");
  assert.deepEqual([pool.metrics().failed, pool.metrics().completed], [1, 2]);
});

test("passing: one that lasts has a slot, a lease that it can renew, and an end", async () => {
  const pool = await warm(1);
  const { promise, resolve } = deferred<string>();
  let context: TaskContext | undefined;
  const lasting = pool.run((ctx) => {
    context = ctx;
    return promise;
  });
  const next = hold(pool);
  assert.deepEqual([pool.active, pool.queued], [1, 1]);
  const { lease } = context as unknown as { lease: Lease };
  assert.isTrue(lease.renew(60_000));
  assert.isAbove(lease.expiresAt ?? 0, Date.now() + 50_000);
  assert.isFalse(next.isRunning);
  resolve("end");
  assert.equal(await lasting, "end");
  if (startsLater) await null;
  assert.isTrue(next.isRunning);
  next.end();
  await next.done;
  assert.isFalse(lease.renew(1000));
  assert.equal(pool.active, 0);
});

test("passing: one that takes its time has taken it", async () => {
  const pool = await warm(1);
  await pool.run(() => new Promise((resolve) => setTimeout(resolve, 20)));
  const { run, wait, completed } = pool.metrics();
  assert.isAtLeast(run.max, 10);
  assert.deepEqual([completed, run.count, wait.count], [2, 2, 2]);
});

test("passing: its lease begins with it, however long nobody has come before", async () => {
  const pool = new Pool({ concurrency: 1, leaseTimeout: 1500 });
  const pause = (ms: number) => {
    const end = Date.now() + ms;
    return until(() => Date.now() >= end);
  };
  await pool.run(() => "first");
  await pause(1600);
  const active = await pool.run(async () => {
    const before = pool.active;
    await pause(5);
    return [before, pool.active];
  });
  assert.deepEqual(active, [1, 1]);
  const { taskTimeouts, lateReleases, completed } = pool.metrics();
  assert.deepEqual([taskTimeouts, lateReleases, completed], [0, 0, 2]);
});

test("passing: one that was only looked at has its lease too, and hears when it is over", async () => {
  const pool = new Pool({ concurrency: 1, leaseTimeout: 30 });
  await pool.run(() => "first");
  void pool.run(() => new Promise((resolve) => setTimeout(resolve, 3000)));
  pool.metrics();
  if (startsLater) {
    await pool.onIdle();
    assert.equal(pool.metrics().taskTimeouts, 1);
  } else assert.equal(pool.active, 1);
});

test("passing: one that renews its lease in its first step has it", async () => {
  const pool = await warm(1);
  const { promise, resolve } = deferred<void>();
  const lasting = pool.run(({ lease }) => {
    assert.isTrue(lease.renew(60_000));
    assert.isAbove(lease.expiresAt ?? 0, Date.now() + 50_000);
    return promise;
  });
  assert.equal(pool.active, 1);
  resolve();
  await lasting;
  assert.equal(pool.active, 0);
});

test("passing: a task that pauses, shrinks or cools its own pool holds the next one up", async () => {
  for (const [stop, go] of [
    [(pool: Pool) => pool.pause(), (pool: Pool) => pool.resume()],
    [(pool: Pool) => pool.coolDown(500), () => {}],
  ] as const) {
    const pool = await warm(3);
    await pool.run(() => stop(pool));
    const next = hold(pool);
    assert.isFalse(next.isRunning);
    assert.equal(pool.queued, 1);
    go(pool);
    next.end("went on");
    assert.equal(await next.done, "went on");
  }
  const pool = await warm(3);
  const other = hold(pool);
  await pool.run(() => pool.resize(1));
  const next = hold(pool);
  assert.isFalse(next.isRunning);
  other.end();
  next.end();
  await next.done;
});

test("passing: a task that closes its own pool ends, and the next is refused", async () => {
  const pool = await warm(3);
  let closed: Promise<unknown> | undefined;
  const result = await pool.run(() => {
    closed = pool.close();
    return "ended";
  });
  assert.equal(result, "ended");
  assert.isTrue(isClosedError(await rejection(pool.run(() => 1))));
  assert.deepEqual(await closed, { abandoned: [] });
});

test("passing: a close whose grace is over revokes what it interrupts", async () => {
  const pool = await warm(1);
  let aborted = false;
  const stuck = pool.run((ctx) => {
    ctx.signal.addEventListener("abort", () => (aborted = true));
    return new Promise(() => {});
  });
  const { abandoned } = await pool.close({ grace: 0 });
  assert.lengthOf(abandoned, 1);
  assert.isTrue(isClosedError(await rejection(stuck)));
  assert.isTrue(aborted);
});

test("passing: a task is what others wait for, as a parent and as an owner of locks", async () => {
  const pool = await warm(1);
  const outer = pool.run((parent) => pool.run(() => "inner", { parent }));
  assert.isTrue(isDeadlockError(await rejection(outer)));

  const other = new Pool({ concurrency: 1 });
  const circle = pool.run((parent) =>
    other.run((child) => pool.run(() => "inner", { parent: child }), { parent }),
  );
  assert.isTrue(isDeadlockError(await rejection(circle)));

  // One that is over holds nobody up, though what it began goes on.
  const { promise, resolve } = deferred<void>();
  let begun: Promise<string> | undefined;
  await pool.run((parent) => {
    begun = other.run(
      async (ctx) => {
        await promise;
        return pool.run(() => "late", { parent: ctx });
      },
      { parent },
    );
  });
  const running = hold(pool);
  resolve();
  await until(() => pool.queued === 1);
  assert.isFalse(await isSettled(begun as Promise<string>));
  running.end();
  assert.equal(await begun, "late");

  const locks = new LockSet();
  const owned = pool.run(async (owner) => {
    using _lease = await locks.acquire("a", { owner });
    return pool.active;
  });
  assert.equal(await owned, 1);
  assert.equal(locks.metrics().held, 0);
  assert.deepEqual([pool.active, pool.queued, other.active], [0, 0, 0]);
});

test("passing: whoever waits for the pool to be idle hears of it", async () => {
  const pool = await warm(2);
  let idle = 0;
  pool.on("idle", () => (idle += 1));
  let waited: Promise<void> | undefined;
  await pool.run(() => {
    waited = pool.onIdle();
    assert.isFalse(pool.isIdle);
  });
  await waited;
  assert.isTrue(pool.isIdle);
  await pool.run(() => 1);
  await pool.run(async () => 1);
  assert.equal(idle, 3);
});

test("passing: a pool with limits of time, rates, breakers or retries keeps to them", async () => {
  const timed = new Pool({ concurrency: 1, timeout: 20 });
  await timed.run(() => "first");
  assert.isTrue(isTimeoutError(await rejection(timed.run(() => new Promise(() => {})))));

  const limited = new Pool({ concurrency: 1, rate: { kind: "token-bucket", limit: 2, per: 3_600_000 } });
  await limited.run(() => "first");
  await limited.run(() => "second");
  assert.isUndefined(limited.tryRun(() => "third"));

  const broken = new Pool({ concurrency: 1, breaker: { consecutive: 1, isFailure: () => true } });
  await broken.run(() => "first");
  assert.isTrue(isBrokenCircuitError(await rejection(broken.run(() => "second"))));

  const retrying = new Pool({ concurrency: 1, retry: { attempts: 2, when: () => true } });
  await retrying.run(() => "first");
  let attempts = 0;
  const second = () => {
    attempts += 1;
    if (attempts === 1) throw new Error("again");
    return attempts;
  };
  assert.equal(await retrying.run(second), 2);
});

/** A pool, and what was seen of it. */
class Side {
  readonly seen: string[] = [];
  readonly #pool: Pool;
  readonly #held: { resolve(value: number): void; reject(error: unknown): void }[] = [];
  readonly #leases: Lease[] = [];
  readonly #contexts: TaskContext[] = [];

  /** With `detectNesting` every task asks. */
  constructor(concurrency: number, asks: boolean) {
    this.#pool = new Pool({
      concurrency,
      queue: { capacity: 3, overflow: "drop-oldest" },
      detectNesting: asks,
    });
    this.#pool.on("idle", () => this.seen.push("idle"));
    this.#pool.on("overflow", ({ queued }) => this.seen.push(`overflow ${queued}`));
  }

  /** Carries out the `n`th order: what, which one of those there are, and what a task does in its first step. */
  act(n: number, what: number, which: number, inside: () => void): unknown {
    const pool = this.#pool;
    switch (Math.floor(what * 15)) {
      case 0:
      case 1:
      case 2:
        return this.#run(n, () => n);
      case 3:
      case 4:
        return this.#run(n, async () => n);
      case 5:
        return this.#run(n, async () => {
          for (let tick = 0; tick < 3 * which; tick += 1) await null;
          return n;
        });
      case 6:
        return this.#run(n, () => {
          inside();
          return n;
        });
      case 7:
        return this.#run(n, async () => {
          inside();
          await null;
          inside();
          return n;
        });
      case 8:
        return this.#run(n, () => {
          if (which < 0.5) throw n;
          return Promise.reject(n);
        });
      case 9:
      case 10:
        return this.#run(n, () => new Promise((resolve, reject) => this.#held.push({ resolve, reject })));
      case 11: {
        const [one] = this.#held.splice(Math.floor(which * this.#held.length), 1);
        return which < 0.5 ? one?.resolve(n) : one?.reject(n);
      }
      case 12: {
        if (which < 0.5) this.#leases.shift()?.release();
        else this.#leases.push(...[pool.tryAcquire()].filter((lease) => lease !== undefined));
        return;
      }
      case 13:
        if (which < 0.3) pool.pause();
        else if (which < 0.6) pool.resume();
        else pool.resize(1 + Math.floor(which * 4));
        return;
      default:
        return this.look();
    }
  }

  look(): void {
    const states = this.#pool.tasks().map(({ state }) => state);
    this.seen.push(JSON.stringify([counts(this.#pool.metrics()), states.sort()]));
  }

  /** Ends whatever is there. Whether nothing is left. */
  end(): boolean {
    this.#pool.resume();
    for (const { resolve } of this.#held.splice(0)) resolve(-1);
    for (const lease of this.#leases.splice(0)) lease.release();
    this.look();
    return this.#pool.isIdle;
  }

  /** None of those who are over has a lease. */
  renew(): void {
    this.seen.push(`renewed ${this.#contexts.map(({ lease }) => lease.renew(1000))}`);
  }

  #run(n: number, task: () => unknown): void {
    this.#pool
      .run((ctx) => {
        this.seen.push(`start ${n}`);
        if (n % 4 === 0) this.#contexts.push(ctx);
        return task();
      })
      .then(
        (value) => this.seen.push(`end ${value}`),
        (error) => this.seen.push(`error ${error}`),
      );
  }
}

/** What is seen of a pool to which the same things happen for the same seed. */
async function play(seed: number, asks: boolean): Promise<readonly string[]> {
  const next = numbers(seed);
  const side = new Side(1 + Math.floor(next() * 3), asks);
  for (let n = 1; n <= 60; n += 1) {
    const [what, which, inner, other] = [next(), next(), next(), next()];
    side.act(n, what, which, () => side.act(1000 + n, inner, other, () => side.look()));
    for (let ticks = Math.floor(3 * next()); ticks > 0; ticks -= 1) await null;
    if (next() < 0.1) for (let tick = 0; tick < 10; tick += 1) await null;
  }
  while (!side.end()) await null;
  // Until the last has been heard of.
  for (let tick = 0; tick < 10; tick += 1) await null;
  side.renew();
  return side.seen;
}

test("passing: what is told and seen is the same as where each task asks", async () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const [passing, asking] = [await play(seed, false), await play(seed, true)];
    // One by one, so that the first difference is what is told.
    for (const [at, seen] of passing.entries()) assert.equal(seen, asking[at], `seed ${seed}, ${at}`);
    assert.lengthOf(asking, passing.length);
  }
});

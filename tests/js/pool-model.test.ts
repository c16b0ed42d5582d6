/**
 * A pool against a model, with the real wasm: whatever happens in whatever order, everybody is answered once, bounds
 * hold, and nothing is left behind.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Pool, type PoolOptions, type RunOptions, type TaskContext } from "tidegate";
import { Watched } from "./watched.js";

// Real timers, counted; time passes when a test lets it.
const timers = countTimers();

function countTimers() {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const live = new Set<unknown>();
  globalThis.setTimeout = ((fn: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const timer: unknown = set(() => {
      live.delete(timer);
      fn(...args);
    }, ms);
    live.add(timer);
    return timer;
  }) as typeof setTimeout;
  globalThis.clearTimeout = ((timer: Parameters<typeof clearTimeout>[0]) => {
    live.delete(timer);
    clear(timer);
  }) as typeof clearTimeout;
  return { count: () => live.size, turn: () => new Promise<void>((resolve) => set(resolve, 0)) };
}

type State = "waiting" | "running" | "over";

/** One call, as the model sees it. */
class Call {
  state: State = "waiting";
  /** How often its promise settled. */
  settled = 0;
  /** How often its function was called. */
  started = 0;
  accepted = 0;
  finished = false;
  outcome: unknown;
  resolve!: (value: unknown) => void;
  reject!: (error: unknown) => void;
  readonly work = new Promise<unknown>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor(
    readonly weight: number,
    readonly signal: Watched | undefined,
  ) {}
}

type Step =
  | { do: "run" | "submit" | "tryRun" | "acquire"; options: Ask }
  | { do: "complete" | "fail" | "abort" | "cancel"; which: number }
  | { do: "resize"; to: number }
  | { do: "pause" | "resume" | "turn" | "wait" }
  | { do: "nested"; which: number }
  | { do: "close"; grace: number; queued: "finish" | "reject" };

interface Ask {
  weight: number;
  priority: number;
  key: string | undefined;
  signal: number | undefined;
  timeout: number | undefined;
  waitTimeout: number | undefined;
}

const ask: fc.Arbitrary<Ask> = fc.record({
  weight: fc.integer({ min: 1, max: 3 }),
  priority: fc.integer({ min: -2, max: 2 }),
  key: fc.constantFrom(undefined, undefined, "a", "b"),
  signal: fc.option(fc.nat(3), { nil: undefined }),
  timeout: fc.constantFrom(undefined, undefined, undefined, 0, 1, 3),
  waitTimeout: fc.constantFrom(undefined, undefined, undefined, 0, 1, 3),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constantFrom("run" as const, "submit" as const), options: ask }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("tryRun" as const, "acquire" as const), options: ask }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("complete" as const, "complete" as const, "fail" as const, "cancel" as const),
      which: fc.nat(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(3) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("resize" as const), to: fc.integer({ min: 1, max: 5 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "pause" as const,
        "resume" as const,
        "resume" as const,
        "turn" as const,
        "wait" as const,
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("nested" as const), which: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("close" as const),
      grace: fc.constantFrom(0, 2, 60_000),
      queued: fc.constantFrom("finish" as const, "reject" as const),
    }),
  },
);

const poolOptions: fc.Arbitrary<PoolOptions> = fc.record(
  {
    concurrency: fc.integer({ min: 1, max: 4 }),
    queue: fc.record(
      {
        capacity: fc.integer({ min: 0, max: 4 }),
        overflow: fc.constantFrom(
          "wait" as const,
          "drop-newest" as const,
          "drop-oldest" as const,
          "error" as const,
        ),
        maxWaiters: fc.integer({ min: 0, max: 3 }),
        waitTimeout: fc.constantFrom(2, 5),
      },
      { requiredKeys: [] },
    ),
    timeout: fc.constantFrom(2, 5),
    onTimeout: fc.constantFrom("release" as const, "hold" as const),
  },
  { requiredKeys: ["concurrency"] },
);

class Run {
  readonly pool: Pool;
  readonly calls: Call[] = [];
  readonly cancels: ((reason?: unknown) => boolean)[] = [];
  readonly signals = Array.from({ length: 4 }, () => new Watched());
  readonly releases: Promise<unknown>[] = [];
  concurrency: number;
  largest: number;
  closed: Promise<unknown> | undefined;
  isPaused = false;

  constructor(readonly options: PoolOptions) {
    this.pool = new Pool(options);
    this.concurrency = options.concurrency as number;
    this.largest = this.concurrency;
  }

  take(one: Step): void | Promise<void> {
    switch (one.do) {
      case "run":
      case "submit":
      case "tryRun":
      case "acquire":
        this.ask(one.do, one.options);
        return;
      case "complete":
      case "fail": {
        const running = this.calls.filter(({ started, finished }) => started > 0 && !finished);
        const call = running[one.which % Math.max(1, running.length)];
        if (call === undefined) return;
        call.finished = true;
        if (one.do === "complete") call.resolve("done");
        else call.reject(new Error("failed"));
        return;
      }
      case "abort":
        this.signals[one.which]?.abort();
        return;
      case "cancel":
        this.cancels[one.which % Math.max(1, this.cancels.length)]?.(new Error("cancelled"));
        return;
      case "resize":
        this.concurrency = one.to;
        this.largest = Math.max(this.largest, one.to);
        this.pool.resize(one.to);
        return;
      case "pause":
        if (this.closed === undefined) this.isPaused = true;
        this.pool.pause();
        return;
      case "resume":
        this.isPaused = false;
        this.pool.resume();
        return;
      case "turn":
        return timers.turn();
      case "wait":
        return timers.turn().then(timers.turn).then(timers.turn);
      case "nested":
        // A task that calls its own pool, and a listener that aborts others, while the pool carries out decisions.
        this.ask("run", { ...PLAIN, signal: one.which % 4 }, (ctx) => {
          const reach = () => {
            this.ask("run", PLAIN);
            this.signals[(one.which + 1) % 4]?.abort("by a neighbour");
          };
          if (one.which % 2 === 0) reach();
          else ctx.signal.addEventListener("abort", reach);
        });
        return;
      case "close":
        this.isPaused = false;
        this.closed = this.pool.close({ grace: one.grace, queued: one.queued });
    }
  }

  ask(how: "run" | "submit" | "tryRun" | "acquire", given: Ask, inside?: (ctx: TaskContext) => void): void {
    const { signal: number, ...rest } = given;
    const signal = number === undefined ? undefined : this.signals[number];
    const options = Object.fromEntries(
      Object.entries({ ...rest, signal: signal?.signal }).filter(([, value]) => value !== undefined),
    ) as RunOptions;
    const call = new Call(given.weight, signal);
    this.calls.push(call);
    call.work.catch(() => {});
    const settled = (outcome: unknown) => {
      call.settled += 1;
      call.outcome = outcome;
      call.state = "over";
    };
    const task = (ctx: TaskContext) => {
      assert.equal(call.settled, 0, "nothing starts after it has settled");
      assert.equal(call.state, "waiting", "nothing is served twice");
      call.started += 1;
      call.state = "running";
      inside?.(ctx);
      return call.work;
    };
    try {
      if (how === "run") void this.pool.run(task, options).then(settled, settled);
      else if (how === "submit") {
        const { accepted, done, cancel } = this.pool.submit(task, options);
        const told = () => {
          call.accepted += 1;
        };
        void accepted.then(told, told);
        void done.then(settled, settled);
        this.cancels.push(cancel);
      } else if (how === "tryRun") {
        const promise = this.pool.tryRun(task, options);
        if (promise === undefined) {
          assert.equal(call.started, 0);
          settled("not now");
        } else void promise.then(settled, settled);
      } else {
        void this.pool.acquire(options).then((lease) => {
          settled("leased");
          call.started += 1;
          this.releases.push(call.work.catch(() => {}).then(() => lease.release()));
        }, settled);
      }
    } catch (error) {
      settled(error);
    }
  }

  /** What holds after every step. */
  check(): void {
    const { active, queued, waitingForRoom, slotsInUse, peakActive } = this.pool.metrics();
    const capacity = this.options.queue?.capacity ?? Number.POSITIVE_INFINITY;
    assert.ok(queued <= capacity, `${queued} queued in ${capacity}`);
    assert.ok(
      waitingForRoom <= (this.options.queue?.maxWaiters ?? Number.POSITIVE_INFINITY) || capacity > 0,
      "those outside are bounded",
    );
    assert.ok(slotsInUse <= this.largest, `${slotsInUse} slots of ${this.largest}`);
    assert.ok(peakActive <= this.largest);
    assert.ok(active <= slotsInUse);
    if (queued + waitingForRoom > 0 && !this.isPaused)
      assert.ok(active > 0, "nobody waits before free slots");
    for (const call of this.calls) assert.ok(call.settled <= 1, "settles once");
  }

  /** Everything ends: then everybody has been answered, once, and nothing is left. */
  async end(): Promise<void> {
    this.pool.resume();
    for (
      let turns = 0;
      turns < 200 && this.pool.active + this.pool.queued + this.pool.waitingForRoom > 0;
      turns += 1
    ) {
      for (const call of this.calls) call.resolve("done");
      await timers.turn();
    }
    for (const call of this.calls) call.resolve("done");
    await Promise.all(this.releases);
    await this.pool.onIdle();
    await this.closed;
    for (let turns = 0; turns < 3; turns += 1) await timers.turn();
    for (const [index, call] of this.calls.entries()) {
      assert.equal(call.settled, 1, `call ${index} settled ${call.settled} times`);
      assert.ok(call.started <= 1, `call ${index} was served ${call.started} times`);
    }
    const { active, queued, waitingForRoom, abandoned, slotsInUse } = this.pool.metrics();
    assert.deepEqual(
      { active, queued, waitingForRoom, abandoned, slotsInUse },
      { active: 0, queued: 0, waitingForRoom: 0, abandoned: 0, slotsInUse: 0 },
    );
    assert.deepEqual(this.pool.tasks(), []);
    assert.equal(timers.count(), 0, "no timer is left");
    assert.deepEqual(
      this.signals.map(({ listeners }) => listeners),
      [0, 0, 0, 0],
      "no listener is left",
    );
  }
}

const PLAIN: Ask = {
  weight: 1,
  priority: 0,
  key: undefined,
  signal: undefined,
  timeout: undefined,
  waitTimeout: undefined,
};

test("a pool keeps its promises, whatever happens in whatever order", async () => {
  await fc.assert(
    fc.asyncProperty(
      poolOptions,
      fc.array(step, { minLength: 1, maxLength: 60, size: "max" }),
      async (options, steps) => {
        const run = new Run(options);
        for (const one of steps) {
          await run.take(one);
          run.check();
        }
        await run.end();
      },
    ),
    { numRuns: Number(process.env.TIDEGATE_MODEL_RUNS ?? 300) },
  );
});

test("an abort frees the slot or the place in the same tick, whatever else waits", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(
        fc.record({ weight: fc.integer({ min: 1, max: 4 }), priority: fc.integer({ min: -1, max: 1 }) }),
        {
          minLength: 1,
          maxLength: 30,
        },
      ),
      fc.infiniteStream(fc.nat()),
      (concurrency, asks, choices) => {
        const pool = new Pool({ concurrency });
        const live = new Map<number, { controller: AbortController; weight: number; running: boolean }>();
        asks.forEach(({ weight, priority }, index) => {
          const controller = new AbortController();
          const call = { controller, weight: Math.min(weight, concurrency), running: false };
          live.set(index, call);
          pool
            .run(
              () => {
                call.running = true;
                return new Promise(() => {});
              },
              { weight: call.weight, priority, signal: controller.signal },
            )
            .catch(() => {});
        });
        while (live.size > 0) {
          const keys = [...live.keys()];
          const key = keys[(choices.next().value as number) % keys.length] as number;
          live.get(key)?.controller.abort(new Error("left"));
          live.delete(key);
          const rest = [...live.values()];
          const running = rest.filter((call) => call.running);
          const used = running.reduce((sum, { weight }) => sum + weight, 0);
          assert.equal(pool.active, running.length);
          assert.equal(pool.queued, rest.length - running.length);
          assert.equal(pool.metrics().slotsInUse, used);
          assert.ok(used <= concurrency);
          if (rest.length > 0) assert.ok(running.length > 0, "a free slot is given on in that tick");
        }
      },
    ),
    { numRuns: 300 },
  );
});

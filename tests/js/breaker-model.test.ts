/**
 * A breaker with the real wasm: alone against an exact model, and before several pools, where never more probes are out than
 * told, never a call is made while it is open, and everybody is answered once.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BreakerState, CircuitBreaker, isBrokenCircuitError, Pool } from "tidegate";
import {
  type Call,
  type Common,
  common,
  type Ended,
  holds,
  type Pause,
  Run,
  someSignal,
  stepsOf,
  time,
  walk,
} from "./theorem.js";

type Act =
  | Common
  | { do: "call"; signal: number | undefined }
  | { do: "end"; which: number; fails: boolean }
  | { do: "isolate" | "lift" };

const acts = stepsOf(
  fc.oneof(
    { weight: 5, arbitrary: common },
    { weight: 6, arbitrary: fc.record({ do: fc.constant("call" as const), signal: someSignal }) },
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat(), fails: fc.boolean() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom("isolate" as const, "lift" as const, "lift" as const) }),
    },
  ),
  80,
);

/** A call that was let through. */
interface Running {
  readonly call: Call;
  readonly signal: number | undefined;
  /** The state it was let through in is over when this is not the model's any more. */
  readonly era: number;
  /** When a probe is given up. */
  readonly until: number;
  readonly settle: (fails: boolean) => void;
  expected: Ended | undefined;
}

interface Rules {
  readonly consecutive: number;
  readonly openFor: number;
  readonly probes: number;
  readonly successes: number;
}

/** What a breaker is, in full, and what it does next. */
class Exact extends Run {
  readonly #rules: Rules;
  readonly #breaker: CircuitBreaker;
  #state: BreakerState = "closed";
  #era = 0;
  #until = 0;
  #failed = 0;
  #succeeded = 0;
  #lifts: (() => void)[] = [];
  #running: Running[] = [];
  #all: Running[] = [];
  // Those whose end is told when promises settle.
  #ending: { readonly one: Running; readonly fails: boolean }[] = [];

  constructor(rules: Rules) {
    super();
    this.#rules = rules;
    const { consecutive, openFor, probes, successes } = rules;
    this.#breaker = new CircuitBreaker({ consecutive, openFor, halfOpen: { probes, successes, ramp: 0 } });
  }

  take(one: Exclude<Act, Pause>): void {
    this.#look();
    if (one.do === "call") this.#call(one.signal);
    else if (one.do === "end") {
      const running = this.#running[one.which % Math.max(1, this.#running.length)];
      if (running === undefined) return;
      this.#running = this.#running.filter((other) => other !== running);
      this.#ending.push({ one: running, fails: one.fails });
      running.settle(one.fails);
    } else if (one.do === "abort") {
      this.abort(one.which);
      const aborted = ({ signal }: Running) => signal === one.which;
      for (const running of [...this.#running, ...this.#ending.map((ending) => ending.one)])
        if (aborted(running)) running.expected = { threw: "aborted" };
      this.#running = this.#running.filter((running) => !aborted(running));
      this.#ending = this.#ending.filter((ending) => !aborted(ending.one));
    } else if (one.do === "isolate") {
      this.#lifts.push(this.#breaker.isolate());
      if (this.#state !== "isolated") this.#become("isolated");
    } else {
      const lift = this.#lifts.pop();
      lift?.();
      if (lift !== undefined && this.#lifts.length === 0) this.#become("closed");
    }
    this.#agree();
  }

  async pause(one: Pause): Promise<void> {
    // What has ended is told before time passes.
    const told = time.turn();
    for (const { one: running, fails } of this.#ending) this.#judge(running, fails);
    this.#ending = [];
    await told;
    this.#agree();
    await time.pause(one);
    this.#look();
    this.#agree();
  }

  async over(): Promise<void> {
    for (const lift of this.#lifts) lift();
    for (const running of this.#running) {
      running.expected = { gave: "fine" };
      running.settle(false);
    }
    await time.pass(this.#rules.openFor * 2);
    for (const { call, expected } of this.#all) assert.deepEqual(call.ended, expected);
    this.end();
  }

  #call(signal: number | undefined): void {
    const { probes, openFor } = this.#rules;
    const admitted = this.#admits();
    let begun = false;
    let settle: (fails: boolean) => void = () => {};
    const call = this.call(
      this.#breaker.run(() => {
        begun = true;
        return new Promise((resolve, reject) => {
          settle = (fails) => (fails ? reject(new Error("failed")) : resolve("fine"));
        });
      }, this.signal(signal)),
    );
    if (this.isAborted(signal)) {
      assert.equal(begun, false, "an abort comes first");
      return;
    }
    assert.equal(begun, admitted, `let through while ${this.#state}, of ${probes} probes`);
    const expected = admitted ? undefined : { threw: "BrokenCircuitError" };
    const until = this.#state === "half-open" ? time.now() + openFor : Number.POSITIVE_INFINITY;
    const running = { call, signal, era: this.#era, until, settle, expected };
    this.#all.push(running);
    if (admitted) this.#running.push(running);
  }

  /** Never more probes at once than told, and never more than can still matter. */
  #admits(): boolean {
    if (this.#state !== "half-open") return this.#state === "closed";
    const { probes, successes } = this.#rules;
    const out = [...this.#running, ...this.#ending.map(({ one }) => one)].filter((one) => this.#counts(one));
    const judged = this.#succeeded + this.#failed;
    return out.length < probes && judged + out.length < Math.max(probes, successes);
  }

  #counts({ era, until }: Running): boolean {
    return era === this.#era && until > time.now();
  }

  #judge(running: Running, fails: boolean): void {
    running.expected = fails ? { threw: "failed" } : { gave: "fine" };
    if (!this.#counts(running)) return;
    const { consecutive, probes, successes } = this.#rules;
    if (fails) this.#failed += 1;
    else if (this.#state === "closed") this.#failed = 0;
    else this.#succeeded += 1;
    if (this.#state === "closed") {
      if (this.#failed >= consecutive) this.#open();
    } else if (this.#succeeded >= successes) this.#become("closed");
    else if (this.#failed > Math.max(0, probes - successes)) this.#open();
  }

  #open(): void {
    this.#until = time.now() + this.#rules.openFor;
    this.#become("open");
  }

  #look(): void {
    if (this.#state === "open" && this.#until <= time.now()) this.#become("half-open");
  }

  #become(state: BreakerState): void {
    this.#state = state;
    this.#era += 1;
    this.#failed = 0;
    this.#succeeded = 0;
  }

  #agree(): void {
    assert.equal(this.#breaker.state, this.#state);
    for (const { call, expected } of this.#all)
      if (expected === undefined) assert.equal(call.settled, 0, "it still runs");
  }
}

test("a breaker is what its rules say at every moment, and lets through whom they let through", async () => {
  const rules = fc.record({
    consecutive: fc.integer({ min: 1, max: 3 }),
    openFor: fc.constantFrom(1, 3, 5),
    probes: fc.integer({ min: 1, max: 3 }),
    successes: fc.integer({ min: 1, max: 3 }),
  });
  await holds(300, fc.tuple(rules, acts), async ([rule, steps]) => {
    const model = new Exact(rule);
    await walk<Act>(model, steps);
    await model.pause({ do: "turn" });
    await model.over();
  });
});

type Step =
  | { do: "run"; pool: number; signal: number | undefined }
  | { do: "succeed" | "fail"; which: number }
  | { do: "abort"; which: number }
  | { do: "isolate" | "lift" | "turn" | "pass" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("run" as const),
      pool: fc.nat(1),
      signal: fc.option(fc.nat(3), { nil: undefined }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("succeed" as const, "fail" as const, "fail" as const),
      which: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "isolate" as const,
        "lift" as const,
        "lift" as const,
        "turn" as const,
        "pass" as const,
      ),
    }),
  },
);

test("a breaker never lets a stampede through, whatever happens in whatever order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.constantFrom(3, 60_000),
      fc.constantFrom("closed" as const, "half-open" as const),
      fc.array(step, { minLength: 1, maxLength: 60, size: "max" }),
      async (consecutive, probes, successes, openFor, state, steps) => {
        const options = { consecutive, openFor, halfOpen: { probes, successes } };
        const breaker = CircuitBreaker.from({ state, openFor: 0, consecutive: 0, openings: 1 }, options);
        const pools = [1, 3].map((concurrency) => new Pool({ concurrency, breaker }));
        const controllers = Array.from({ length: 4 }, () => new AbortController());
        const lifts: (() => void)[] = [];
        const calls: { settled: number; error?: unknown }[] = [];
        const running = new Set<{ resolve(value: unknown): void; reject(error: unknown): void }>();
        // Probes that are out, each until it settles or is cancelled.
        let out: { readonly until: number }[] = [];
        breaker.on("change", () => {
          out = [];
        });
        for (const one of steps) {
          if (one.do === "run") {
            const call: { settled: number; error?: unknown } = { settled: 0 };
            calls.push(call);
            const signal = one.signal === undefined ? undefined : controllers[one.signal]?.signal;
            pools[one.pool]
              ?.run(
                () => {
                  const seen = breaker.state;
                  assert.ok(seen === "closed" || seen === "half-open", `called while ${seen}`);
                  // The permit of one that is never heard of passes on after as long as it was open.
                  const probe = { until: time.now() + openFor };
                  if (seen === "half-open") {
                    out = [...out.filter(({ until }) => until > time.now()), probe];
                    assert.ok(out.length <= probes, `${out.length} probes of ${probes} are out`);
                  }
                  return new Promise((resolve, reject) => {
                    const end = { resolve, reject };
                    running.add(end);
                    const gone = () => {
                      out = out.filter((other) => other !== probe);
                    };
                    signal?.addEventListener("abort", gone, { once: true });
                  }).finally(() => {
                    out = out.filter((other) => other !== probe);
                  });
                },
                signal === undefined ? {} : { signal },
              )
              .then(
                () => {
                  call.settled += 1;
                },
                (error: unknown) => {
                  call.settled += 1;
                  call.error = error;
                },
              );
          } else if (one.do === "succeed" || one.do === "fail") {
            const ends = [...running];
            const end = ends[one.which % Math.max(1, ends.length)];
            if (end === undefined) continue;
            running.delete(end);
            if (one.do === "succeed") end.resolve("fine");
            else end.reject(new Error("failed"));
            await time.turn();
          } else if (one.do === "abort") controllers[one.which]?.abort(new Error("aborted"));
          else if (one.do === "isolate") lifts.push(breaker.isolate());
          else if (one.do === "lift") lifts.pop()?.();
          else if (one.do === "pass") await time.pass(2);
          else await time.turn();
          if (breaker.state === "open" || breaker.state === "isolated")
            for (const pool of pools) assert.equal(pool.queued, 0, "who waits is told at once");
        }
        for (
          let turns = 0;
          turns < 100 && (running.size > 0 || calls.some(({ settled }) => settled === 0));
          turns += 1
        ) {
          for (const end of running) end.resolve("end");
          running.clear();
          await time.pass(1);
        }
        assert.ok(
          calls.every(({ settled }) => settled === 1),
          "everybody is answered once",
        );
        for (const { error } of calls)
          assert.ok(
            error === undefined ||
              isBrokenCircuitError(error) ||
              /^(failed|aborted)$/.test((error as Error).message),
            String(error),
          );
        for (const pool of pools) assert.deepEqual([pool.active, pool.queued, pool.abandoned], [0, 0, 0]);
      },
    ),
    { numRuns: Number(process.env.TIDEGATE_MODEL_RUNS ?? 200) },
  );
});

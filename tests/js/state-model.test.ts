/**
 * Versioned state against what must hold of it, with the real wasm: no write is lost, whoever waits for a value is told the
 * first one that will do, and who gives up has written nothing.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { VersionedState } from "tidegate";
import {
  type Call,
  type Common,
  common,
  type Ended,
  given,
  holds,
  type Pause,
  Run,
  someSignal,
  someTimeout,
  stepsOf,
  time,
  walk,
} from "./theorem.js";

const KEYS = ["x", "y"] as const;
type Key = (typeof KEYS)[number];

type Step =
  | Common
  | { do: "set" | "delete" | "compareAndSet"; key: Key; stale: boolean }
  | { do: "update"; key: Key; signal: number | undefined }
  | { do: "compute" | "fail"; which: number }
  | { do: "waitFor"; key: Key; least: number; signal: number | undefined; timeout: number | undefined };

// Mostly one, for which many compete.
const key = fc.constantFrom<Key>("x", "x", "x", "x", "y");

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: common },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("update" as const), key, signal: someSignal }) },
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constantFrom("compute" as const, "compute" as const, "fail" as const),
      which: fc.nat(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom("set" as const, "compareAndSet" as const, "delete" as const),
      key,
      stale: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("waitFor" as const),
      key,
      least: fc.integer({ min: 1, max: 4 }),
      signal: someSignal,
      timeout: someTimeout,
    }),
  },
);

/** A value that knows who wrote it, and how many increments led to it. */
interface Value {
  readonly n: number;
  readonly by: number;
}

interface Computing {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: Error) => void;
  readonly value: Value;
}

interface Update {
  readonly by: number;
  readonly key: Key;
  readonly signal: number | undefined;
  readonly call: Call;
}

interface Waiter {
  readonly key: Key;
  readonly least: number;
  readonly signal: number | undefined;
  readonly until: number;
  readonly call: Call;
  expected: Ended | undefined;
}

class Model extends Run {
  readonly state: VersionedState<Value>;
  /** Every change, as a subscriber hears of it. */
  readonly changes: { key: string; value: Value | undefined; version: number }[] = [];
  readonly updates: Update[] = [];
  readonly waiters: Waiter[] = [];
  readonly computing: Computing[] = [];
  /** Writes that were not made by an update. */
  written = 0;
  readonly leave: () => void;
  #writers = 0;

  constructor(readonly attempts: number) {
    super();
    this.state = new VersionedState<Value>({ attempts });
    this.leave = this.state.subscribe({ prefix: "" }, (change) => {
      this.changes.push(change);
      const { key, value } = change;
      if (value === undefined) return;
      for (const waiter of this.waiters)
        if (waiter.key === key && value.n >= waiter.least) waiter.expected ??= { gave: value };
    });
  }

  async pause(one: Pause): Promise<void> {
    await time.turn();
    if (one.do === "pass") {
      for (let ms = 0; ms < one.ms; ms += 1) {
        await time.pass(1);
        for (const waiter of this.waiters)
          if (waiter.until <= time.now()) waiter.expected ??= { threw: "TimeoutError" };
      }
    }
    for (const { call, expected } of this.waiters) assert.deepEqual(call.ended, expected);
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort":
        this.abort(one.which);
        for (const waiter of this.waiters)
          if (waiter.signal === one.which) waiter.expected ??= { threw: "aborted" };
        break;
      case "set": {
        const version = this.state.set(one.key, this.#next(one.key));
        this.written += 1;
        assert.equal(this.changes.at(-1)?.version, version, "who writes is told its version");
        break;
      }
      case "compareAndSet": {
        const version = this.state.get(one.key)?.version ?? 0;
        const seen = one.stale ? version + 1 : version;
        const done = this.state.compareAndSet(one.key, seen, this.#next(one.key));
        assert.equal(done, !one.stale);
        if (done) this.written += 1;
        break;
      }
      case "delete":
        if (this.state.delete(one.key)) this.written += 1;
        break;
      case "compute":
      case "fail": {
        const [each] = this.computing.splice(one.which % Math.max(1, this.computing.length), 1);
        if (one.do === "compute") each?.resolve(each.value);
        else each?.reject(new Error("failed"));
        break;
      }
      case "update": {
        this.#writers += 1;
        const by = this.#writers;
        const fn = (seen: Value | undefined) =>
          new Promise<Value>((resolve, reject) => {
            this.computing.push({ resolve, reject, value: { n: (seen?.n ?? 0) + 1, by } });
          });
        const call = this.call(this.state.update(one.key, fn, this.signal(one.signal)));
        this.updates.push({ by, key: one.key, signal: one.signal, call });
        break;
      }
      case "waitFor": {
        const { key, least, signal, timeout } = one;
        const seen = this.state.get(key)?.value;
        const options = given({ timeout, ...this.signal(signal) });
        const call = this.call(this.state.waitFor(key, ({ n }) => n >= least, options));
        const until = time.now() + (timeout ?? Number.POSITIVE_INFINITY);
        const waiter: Waiter = { key, least, signal, until, call, expected: undefined };
        if (this.isAborted(signal)) waiter.expected = { threw: "aborted" };
        else if (seen !== undefined && seen.n >= least) waiter.expected = { gave: seen };
        this.waiters.push(waiter);
      }
    }
  }

  /** What a write that looks at nothing writes. */
  #next(key: Key): Value {
    this.#writers += 1;
    return { n: this.state.get(key)?.value.n ?? 0, by: this.#writers };
  }

  /** Every update that succeeded is one change, on top of the one before it; the others changed nothing. */
  noneLost(): void {
    const versions = this.changes.map(({ version }) => version).filter((version) => version > 0);
    assert.deepEqual(
      versions,
      [...new Set(versions)].sort((a, b) => a - b),
      "versions grow",
    );
    let succeeded = 0;
    for (const { by, key, call } of this.updates) {
      const own = this.changes.filter(({ key: changed }) => changed === key);
      const at = own.findIndex(({ value }) => value?.by === by);
      if (call.ended !== undefined && "threw" in call.ended) {
        assert.match(call.ended.threw, /^(aborted|failed|ConflictError)$/);
        assert.equal(at, -1, "who did not succeed has written nothing");
        continue;
      }
      succeeded += 1;
      const { value } = own[at] ?? {};
      assert.deepEqual(call.ended, { gave: value });
      assert.equal(value?.n, (own[at - 1]?.value?.n ?? 0) + 1, "it is one more than what it replaced");
    }
    assert.equal(this.changes.length, succeeded + this.written, "a change for each write");
  }
}

test("no write is lost and nobody waits in vain, whatever is aborted, timed out and written in between", async () => {
  const steps = stepsOf(step);
  await holds(500, fc.record({ attempts: fc.integer({ min: 1, max: 4 }), steps }), async (given) => {
    const model = new Model(given.attempts);
    await walk(model, [...given.steps, { do: "turn" }]);
    while (model.computing.length > 0) await walk<Step>(model, [{ do: "compute", which: 0 }, { do: "turn" }]);
    for (const which of [0, 1, 2]) model.take({ do: "abort", which });
    // Who can neither time out nor be aborted is let go by a value that will do.
    for (const key of KEYS) model.state.set(key, { n: 9, by: -1 });
    model.written += KEYS.length;
    await walk<Step>(model, [{ do: "turn" }]);
    model.noneLost();
    for (const key of KEYS) model.state.delete(key);
    model.leave();
    model.end();
  });
});

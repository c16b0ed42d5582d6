/**
 * Pools of objects against what must hold of them, with the real wasm: an object is used by one at a time, there are never more
 * than allowed, and whoever waits is served as soon as that can be, or leaves without a trace.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConnectionPool, type Pooled } from "tidegate";
import {
  type Common,
  common,
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

type Step =
  | Common
  | { do: "acquire"; key: string; timeout: number | undefined; signal: number | undefined }
  | { do: "release" | "discard" | "made" | "refused" | "judged"; which: number }
  | { do: "close" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: common },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("acquire" as const),
      key: fc.constantFrom("x", "x", "y"),
      timeout: someTimeout,
      signal: someSignal,
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "release" as const,
        "release" as const,
        "discard" as const,
        "made" as const,
        "made" as const,
        "refused" as const,
        "judged" as const,
      ),
      which: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: "turn" }, { do: "turn" }, { do: "close" }) },
);

const options = fc.record({
  max: fc.integer({ min: 1, max: 3 }),
  idle: fc.constantFrom(undefined, 2, 10),
  maxAge: fc.constantFrom(undefined, 5),
  /** Whether making is waited for, and whether an idle one is looked at before it is used again. */
  slow: fc.boolean(),
  judges: fc.boolean(),
  resets: fc.boolean(),
});

class Thing {
  users = 0;
  destroyed = 0;

  constructor(readonly key: string) {}
}

interface Deferred {
  readonly resolve: (good: boolean) => void;
}

class Model extends Run {
  readonly pool: ConnectionPool<Thing>;
  readonly things: Thing[] = [];
  readonly used: Pooled<Thing>[] = [];
  readonly making: Deferred[] = [];
  readonly judging: Deferred[] = [];
  closed: Promise<unknown> | undefined;

  constructor(readonly given: typeof options extends fc.Arbitrary<infer O> ? O : never) {
    super();
    const { max, idle, maxAge } = given;
    this.pool = new ConnectionPool<Thing>({
      max,
      ...(idle !== undefined && { idle }),
      ...(maxAge !== undefined && { maxAge }),
      create: (key) => {
        const make = () => {
          const thing = new Thing(key);
          this.things.push(thing);
          return thing;
        };
        if (!given.slow) return make();
        return asked(this.making).then((good) => {
          if (!good) throw new Error("refused");
          return make();
        });
      },
      ...(given.judges && { validate: () => asked(this.judging) }),
      ...(given.resets && {
        reset: (thing: Thing) => {
          this.see(() => assert.equal(thing.users, 0, "it is reset when nobody uses it any more"));
        },
      }),
      destroy: (thing) => {
        this.see(() => assert.equal(thing.users, 0, "nobody uses what is destroyed"));
        thing.destroyed += 1;
      },
    });
  }

  alive(key: string): number {
    return this.things.filter((thing) => thing.key === key && thing.destroyed === 0).length;
  }

  async pause(one: Pause): Promise<void> {
    await time.pause(one);
    this.check();
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort": {
        const before = this.pool.metrics();
        this.abort(one.which);
        assert.ok(this.pool.metrics().waiting <= before.waiting);
        break;
      }
      case "close":
        this.closed = this.pool.close();
        assert.equal(this.pool.metrics().waiting, 0, "nobody waits at what is closed");
        break;
      case "made":
        answer(this.making, one.which, true);
        break;
      case "refused":
        answer(this.making, one.which, false);
        break;
      case "judged":
        answer(this.judging, one.which, one.which % 3 !== 0);
        break;
      case "release":
      case "discard": {
        const [pooled] = this.used.splice(one.which % Math.max(1, this.used.length), 1);
        if (pooled === undefined) break;
        pooled.value.users -= 1;
        this.call(pooled[one.do]());
        // A second one does nothing.
        if (one.which % 2 === 0) this.call(pooled.release());
        break;
      }
      case "acquire": {
        const { key, timeout } = one;
        const asked = this.pool.acquire(key, given({ timeout, ...this.signal(one.signal) }));
        this.call(asked, (pooled) => {
          const thing = pooled.value;
          this.used.push(pooled);
          thing.users += 1;
          assert.equal(thing.key, key);
          assert.equal(thing.destroyed, 0, "nobody is given what is destroyed");
          assert.equal(thing.users, 1, "nobody is given what another uses");
        });
      }
    }
    this.check();
  }

  check(): void {
    const { size, inUse, idle, waiting } = this.pool.metrics();
    for (const key of ["x", "y"])
      assert.ok(this.alive(key) <= this.given.max, `at most ${this.given.max} of ${key}`);
    assert.equal(size, inUse + idle);
    assert.ok(size >= this.alive("x") + this.alive("y"), "all that there are are counted");
    assert.ok(inUse >= this.used.length);
    if (inUse === 0) assert.equal(waiting, 0, "nobody waits where nobody uses one");
    for (const { destroyed } of this.things) assert.ok(destroyed <= 1, "nothing is destroyed twice");
  }
}

function asked(line: Deferred[]): Promise<boolean> {
  return new Promise((resolve) => line.push({ resolve }));
}

function answer(line: Deferred[], which: number, good: boolean): void {
  const [one] = line.splice(which % Math.max(1, line.length), 1);
  one?.resolve(good);
}

test("an object is used by one at a time and comes back, whatever is aborted, timed out, refused and closed", async () => {
  const steps = stepsOf(step);
  await holds(400, fc.record({ options, steps }), async ({ options, steps }) => {
    const model = new Model(options);
    await walk(model, [...steps, { do: "turn" }]);
    for (let rounds = 0; rounds < 200 && model.pool.metrics().inUse > 0; rounds += 1) {
      for (const what of ["made", "judged", "release"] as const)
        model.take({ do: what, which: 2 * rounds + 1 });
      await model.pause({ do: "turn" });
    }
    const { inUse, waiting, created, failed, destroyed } = model.pool.metrics();
    assert.deepEqual([inUse, waiting], [0, 0], "all are back, nobody waits");
    assert.equal(created - destroyed, model.alive("x") + model.alive("y"));
    assert.ok(failed <= model.calls.length);
    model.call(model.pool.close());
    await time.turn();
    model.end();
    assert.deepEqual([model.alive("x"), model.alive("y")], [0, 0], "nothing outlives its pool");
  });
});

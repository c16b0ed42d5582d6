/**
 * Locks against what must hold of them, with the real wasm: two are never inside together, and what is given up in any way is
 * free in the same tick, so that nobody waits where nobody holds.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type LockLease, LockSet } from "tidegate";
import {
  type Call,
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
  | {
      do: "acquire" | "reserve";
      names: readonly string[];
      owner: string | undefined;
      timeout: number | undefined;
      signal: number | undefined;
    }
  | { do: "tryAcquire"; names: readonly string[]; owner: string | undefined }
  | { do: "release"; which: number }
  | { do: "close" };

const NAMES = ["a", "b", "c", "d"] as const;
const names = fc.uniqueArray(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 });
const owner = fc.constantFrom(undefined, undefined, undefined, "ann", "bob", "cy");

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 7, arbitrary: common },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("acquire" as const, "acquire" as const, "reserve" as const),
      names,
      owner,
      timeout: someTimeout,
      signal: someSignal,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("tryAcquire" as const), names, owner }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("release" as const), which: fc.nat() }) },
  // Rarely: after it there is little to see.
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: "turn" }, { do: "turn" }, { do: "close" }) },
);

interface Claim {
  readonly names: readonly string[];
  readonly owner: string | undefined;
  readonly alone: boolean;
  readonly call: Call;
}

class Model extends Run {
  readonly locks: LockSet;
  /** Who is told so holds them; what was granted and not yet told counts by the numbers of the set. */
  readonly held: { lease: LockLease; owner: string | undefined }[] = [];
  readonly claims: Claim[] = [];

  constructor(readonly order: readonly string[]) {
    super();
    this.locks = new LockSet({ order });
  }

  async pause(one: Pause): Promise<void> {
    await time.pause(one);
    this.check();
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort":
        this.abort(one.which);
        break;
      case "close":
        this.locks.close();
        assert.equal(this.locks.metrics().waiting, 0, "nobody waits at what is closed");
        break;
      case "tryAcquire": {
        const lease = this.locks.tryAcquire(one.names, given({ owner: one.owner }));
        if (lease !== undefined) this.enter(lease, one.owner);
        break;
      }
      case "release": {
        const [gone] = this.held.splice(one.which % Math.max(1, this.held.length), 1);
        gone?.lease.release();
        // A second one does nothing.
        if (one.which % 2 === 0) gone?.lease.release();
        break;
      }
      default: {
        const { timeout, owner } = one;
        const claimed = this.locks[one.do](one.names, given({ timeout, owner, ...this.signal(one.signal) }));
        const call = this.call(claimed, (lease) => this.enter(lease, owner));
        const alone = one.do === "acquire" && one.names.length === 1 && owner === undefined;
        this.claims.push({ names: one.names, owner, alone, call });
      }
    }
    this.check();
  }

  enter(lease: LockLease, owner: string | undefined): void {
    for (const name of lease.names) {
      const inside = this.held.filter(({ lease }) => lease.names.includes(name));
      const others = inside.filter((other) => owner === undefined || other.owner !== owner);
      assert.equal(others.length, 0, `two are inside of ${name}`);
    }
    assert.deepEqual(lease.names, this.inOrder(lease.names), "in the order of taking");
    this.held.push({ lease, owner });
    // Those who want the same one lock are served as they came.
    const served = this.claims.findIndex(
      ({ call }) => call.ended !== undefined && "gave" in call.ended && call.ended.gave === lease,
    );
    const { alone, names } = this.claims[served] ?? { alone: false, names: [] };
    if (!alone) return;
    const passed = this.claims
      .slice(0, served)
      .filter((one) => one.alone && one.names[0] === names[0] && one.call.ended === undefined);
    // Some may have been served, or have left, and will be told later in this turn.
    void time.turn().then(() =>
      this.see(() => {
        for (const { call } of passed)
          assert.ok(call.ended !== undefined, `${names[0]} was given past one who waited longer`);
      }),
    );
  }

  /** What holds after every step, in the same tick. */
  check(): void {
    const { held, waiting } = this.locks.metrics();
    assert.ok(held >= this.held.length);
    if (held === 0) {
      assert.equal(waiting, 0, "nobody waits where nobody holds");
      for (const name of NAMES) assert.equal(this.locks.isHeld(name), false, `${name} is free`);
    }
    for (const { lease } of this.held) {
      assert.ok(lease.renew(), "held until it is released");
      for (const name of lease.names) assert.ok(this.locks.isHeld(name));
    }
    for (const { call, owner } of this.claims) {
      if (call.ended === undefined || "gave" in call.ended) continue;
      const { threw } = call.ended;
      assert.match(threw, /^(TimeoutError|ConflictError|DeadlockError|ClosedError|aborted)$/);
      if (threw === "DeadlockError" && owner === undefined)
        assert.ok(
          this.claims.some(({ owner }) => owner !== undefined),
          "without owners there is an order, and no circle",
        );
    }
  }

  inOrder(names: readonly string[]): string[] {
    const declared = this.order.filter((name) => names.includes(name));
    return [...declared, ...names.filter((name) => !declared.includes(name)).sort()];
  }
}

test("locks exclude, and are free in the tick in which they are given up, whatever is aborted, timed out and closed", async () => {
  const order = fc.constantFrom<readonly string[]>([], ["c", "a"]);
  const steps = stepsOf(step);
  await holds(400, fc.record({ order, steps }), async ({ order, steps }) => {
    const model = new Model(order);
    await walk(model, [...steps, { do: "turn" }]);
    // Whoever waits is served, once all are released who hold.
    for (let rounds = 0; rounds < 200 && model.locks.metrics().held > 0; rounds += 1) {
      await model.pause({ do: "turn" });
      model.take({ do: "release", which: rounds });
    }
    await model.pause({ do: "turn" });
    model.end();
    const { held, waiting, granted, timeouts, conflicts, deadlocks } = model.locks.metrics();
    assert.deepEqual([held, waiting], [0, 0]);
    const threw = (name: string) =>
      model.calls.filter(({ ended }) => ended !== undefined && "threw" in ended && ended.threw === name)
        .length;
    assert.ok(granted >= model.calls.filter(({ ended }) => ended !== undefined && "gave" in ended).length);
    assert.equal(deadlocks, threw("DeadlockError"));
    assert.ok(timeouts >= threw("TimeoutError") && conflicts >= threw("ConflictError"));
  });
});

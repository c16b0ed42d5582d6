/**
 * Batches against what must hold of them, with the real wasm: each item is processed once, never more at once than allowed, and
 * an abort ends all of it in its own tick, whether anybody reads or not.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BatchResult, batch, type TaskContext } from "tidegate";
import {
  type Common,
  common,
  given,
  holds,
  nameOf,
  type Pause,
  Run,
  someSignal,
  stepsOf,
  time,
  walk,
} from "./theorem.js";

type Step = Common | { do: "read" | "leave" } | { do: "give" } | { do: "complete" | "fail"; which: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: common },
  { weight: 5, arbitrary: fc.constant({ do: "read" as const }) },
  { weight: 5, arbitrary: fc.constant({ do: "give" as const }) },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constantFrom("complete" as const, "complete" as const, "fail" as const),
      which: fc.nat(),
    }),
  },
  // Rarely: after it there is little to see.
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: "turn" }, { do: "turn" }, { do: "leave" }) },
);

const setting = fc.record({
  items: fc.nat(15),
  source: fc.constantFrom("list" as const, "generator" as const, "asked" as const),
  signal: someSignal,
  batchSize: fc.constantFrom(1, 2, 3, "adaptive" as const),
  concurrency: fc.integer({ min: 1, max: 3 }),
  batchConcurrency: fc.integer({ min: 1, max: 3 }),
  resultBuffer: fc.integer({ min: 1, max: 3 }),
  batchTimeout: fc.constantFrom(undefined, undefined, 3),
});
type Setting = typeof setting extends fc.Arbitrary<infer S> ? S : never;

interface Item {
  readonly number: number;
  readonly context: TaskContext;
  readonly settle: (well: boolean) => void;
  settled: "well" | "badly" | undefined;
}

class Model extends Run {
  readonly reading: AsyncGenerator<BatchResult<string>, void, undefined>;
  readonly began: Item[] = [];
  readonly results: BatchResult<string>[] = [];
  /** Those who wait for the next item of a source that is asked. */
  readonly asked: (() => void)[] = [];
  drawn = 0;
  told = 0;
  sourceClosed = false;
  /** Whether somebody reads right now, has ever, and why there is nothing more to read. */
  isReading = false;
  hasRead = false;
  aborted: boolean;
  over: "end" | "left" | "aborted" | undefined;

  constructor(readonly setting: Setting) {
    super();
    const { items, source, signal, ...options } = setting;
    this.aborted = this.isAborted(signal);
    this.reading = batch(
      source === "list"
        ? Array.from({ length: items }, (_, n) => n)
        : source === "generator"
          ? this.generator()
          : this.slow(),
      (number, context) => this.process(number, context),
      {
        ...given({ ...options, ...this.signal(signal) }),
        onProgress: (done) => {
          this.told += 1;
          this.see(() => assert.equal(done, this.told));
        },
      },
    );
  }

  *generator(): Generator<number> {
    try {
      for (; this.drawn < this.setting.items; this.drawn += 1) yield this.drawn;
    } finally {
      this.sourceClosed = true;
    }
  }

  async *slow(): AsyncGenerator<number> {
    try {
      for (; this.drawn < this.setting.items; this.drawn += 1) {
        await new Promise<void>((resolve) => this.asked.push(resolve));
        yield this.drawn;
      }
    } finally {
      this.sourceClosed = true;
    }
  }

  process(number: number, context: TaskContext): Promise<string> {
    this.see(() => {
      assert.ok(!this.began.some((item) => item.number === number), `item ${number} is processed twice`);
      assert.ok(this.over !== "aborted" && this.over !== "end", "nothing begins after the end");
    });
    return new Promise((resolve, reject) => {
      const settle = (well: boolean) => (well ? resolve(`of ${number}`) : reject(new Error("failed")));
      this.began.push({ number, context, settle, settled: undefined });
    });
  }

  running(): Item[] {
    return this.began.filter(({ settled, context }) => settled === undefined && !context.signal.aborted);
  }

  async pause(one: Pause): Promise<void> {
    await time.pause(one);
    this.check();
    // A generator that is returned from looks up first: this is not told in its own tick.
    if (this.over === "left") this.ended();
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort":
        this.abort(one.which);
        if (one.which !== this.setting.signal) break;
        this.aborted = true;
        if (this.hasRead) this.over ??= "aborted";
        break;
      case "read":
        if (this.isReading) break;
        this.read();
        break;
      case "leave":
        // Whoever waits for a result does not leave before it is there.
        if (this.isReading) break;
        if (this.hasRead) this.over ??= "left";
        this.hasRead = true;
        this.over ??= "left";
        this.call(this.reading.return());
        break;
      case "give":
        this.asked.shift()?.();
        break;
      default: {
        const running = this.running();
        const item = running[one.which % Math.max(1, running.length)];
        if (item === undefined) break;
        item.settled = one.do === "complete" ? "well" : "badly";
        item.settle(one.do === "complete");
      }
    }
    this.check();
  }

  read(): void {
    const first = !this.hasRead;
    this.hasRead = true;
    this.isReading = true;
    if (first && this.aborted) this.over = "aborted";
    const step = this.reading.next();
    this.call(step, ({ done, value }) => {
      this.isReading = false;
      if (done !== true) this.results.push(value as BatchResult<string>);
      else this.over ??= "end";
    });
    step.catch((error: unknown) => {
      this.isReading = false;
      this.see(() => assert.deepEqual([nameOf(error), this.over], ["aborted", "aborted"]));
    });
  }

  check(): void {
    const { concurrency, batchConcurrency, batchSize } = this.setting;
    const running = this.running();
    assert.ok(running.length <= concurrency * batchConcurrency, `${running.length} at once`);
    if (batchSize !== "adaptive") {
      const batches = running.map(({ number }) => Math.floor(number / batchSize));
      for (const one of batches)
        assert.ok(batches.filter((other) => other === one).length <= concurrency, "of one batch at once");
    }
    if (this.over === "aborted") this.ended();
  }

  ended(): void {
    assert.equal(this.running().length, 0, "what ran has been told");
    assert.equal(time.timers(), 0, "no timer remains");
    for (const { listeners } of this.signals) assert.equal(listeners, 0, "no listener remains");
  }

  /** Every item has one result, in its place. */
  complete(): void {
    if (this.over !== "end") return;
    const inOrder = this.results.toSorted((one, other) => one.index - other.index);
    assert.deepEqual(
      inOrder.map(({ index }) => index),
      inOrder.map((_, index) => index),
      "every batch has one result",
    );
    const all = inOrder.flatMap(({ results }) => results);
    assert.equal(all.length, this.setting.items, "every item has one result");
    assert.equal(this.told, this.setting.items);
    for (const [number, result] of all.entries()) {
      const item = this.began.find((item) => item.number === number);
      const late = result instanceof Error && result.name === "TimeoutError";
      if (late) assert.ok(this.setting.batchTimeout !== undefined && item?.settled !== "well");
      else if (item?.settled === "well") assert.equal(result, `of ${number}`);
      else assert.equal(nameOf(result), "failed");
    }
    const errors = inOrder.flatMap(({ errors }) => errors).length;
    assert.equal(errors, all.filter((result) => result instanceof Error).length);
  }
}

test("each item is processed once and an abort ends all at once, whatever happens in whatever order", async () => {
  await holds(400, fc.record({ setting, steps: stepsOf(step) }), async ({ setting, steps }) => {
    const model = new Model(setting);
    await walk(model, [...steps, { do: "turn" }]);
    for (let rounds = 0; rounds < 200 && model.over === undefined; rounds += 1) {
      const ending: Step[] = [
        { do: "read" },
        { do: "give" },
        { do: "complete", which: rounds },
        { do: "turn" },
      ];
      await walk(model, ending);
    }
    assert.ok(model.over !== undefined, "it comes to its end");
    if (model.over !== "end" && !model.isReading) await walk<Step>(model, [{ do: "read" }, { do: "turn" }]);
    for (const asked of model.asked.splice(0)) asked();
    await time.turn();
    model.complete();
    model.end();
    assert.ok(
      setting.source !== "generator" || model.drawn === 0 || model.sourceClosed,
      "the source is closed",
    );
  });
});

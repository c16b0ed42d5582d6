/**
 * Batches: what is cut and run, whose failure is whose, what happens when time is up or the reader leaves.
 */

import { type BatchResult, batch, isTimeoutError } from "tidegate";
import { assert, deferred, rejection, test, thrown, turn } from "./registry.js";
import { until, watchedAbort } from "./waiting.js";

async function all<R>(batches: AsyncIterable<BatchResult<R>>): Promise<BatchResult<R>[]> {
  const results: BatchResult<R>[] = [];
  for await (const one of batches) results.push(one);
  return results.sort((a, b) => a.index - b.index);
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

test("batch: every item is in one batch, in its place", async () => {
  const results = await all(batch(numbers(25), async (n) => n * 2, { batchSize: 10 }));
  assert.deepEqual(
    results.map(({ results }) => results.length),
    [10, 10, 5],
  );
  assert.deepEqual(
    results.flatMap(({ results }) => results),
    numbers(25).map((n) => n * 2),
  );
  assert.equal(new Set(results.map(({ id }) => id)).size, 3);
  assert.isTrue(results.every(({ errors, duration }) => errors.length === 0 && duration >= 0));
  assert.deepEqual(await all(batch([], () => 1)), []);
});

test("batch: a failing item is one error in its batch, and is told as it fails", async () => {
  const told: unknown[] = [];
  const error = new Error("odd");
  const results = await all(
    batch(
      numbers(4),
      (n) => {
        if (n === 1) throw error;
        return n === 2 ? new Error("a value") : n;
      },
      { batchSize: 2, onError: (item, reason) => told.push(item, reason) },
    ),
  );
  assert.deepEqual(results[0]?.errors, [{ index: 1, error }]);
  assert.deepEqual(results[1]?.errors, []);
  assert.deepEqual(told, [1, error]);
});

test("batch: no more batches and items run at once than said", async () => {
  let [running, most] = [0, 0];
  const options = { batchSize: 5, concurrency: 2, batchConcurrency: 3 };
  await all(
    batch(
      numbers(60),
      async () => {
        running += 1;
        most = Math.max(most, running);
        await turn();
        running -= 1;
      },
      options,
    ),
  );
  assert.equal(most, 6);
});

test("batch: results come as batches complete, whatever their order", async () => {
  const gate = deferred();
  const seen: number[] = [];
  const slow = batch(numbers(3), (n) => (n === 0 ? gate.promise : undefined), { batchSize: 1 });
  for await (const { index } of slow) {
    seen.push(index);
    if (seen.length === 2) gate.resolve();
  }
  assert.deepEqual(seen, [1, 2, 0]);
});

test("batch: one that runs out of time loses its unfinished items and nobody else's", async () => {
  const signals: AbortSignal[] = [];
  const results = await all(
    batch(
      numbers(4),
      (n, ctx) => {
        if (n !== 1) return n;
        signals.push(ctx.signal);
        return new Promise<number>(() => {});
      },
      { batchSize: 2, batchTimeout: 20 },
    ),
  );
  assert.equal(results[0]?.results[0], 0);
  assert.isTrue(isTimeoutError(results[0]?.results[1]));
  assert.deepEqual(results[1]?.results, [2, 3]);
  assert.isTrue(signals[0]?.aborted);
});

test("batch: progress counts every item, and says of how many where that is known", async () => {
  const seen: [number, number | undefined][] = [];
  const onProgress = (done: number, total?: number) => seen.push([done, total]);
  await all(batch(numbers(3), (n) => n, { onProgress }));
  assert.deepEqual(seen, [
    [1, 3],
    [2, 3],
    [3, 3],
  ]);
  seen.length = 0;
  async function* source() {
    yield* numbers(2);
  }
  await all(batch(source(), (n) => n, { onProgress }));
  assert.deepEqual(seen, [
    [1, undefined],
    [2, undefined],
  ]);
});

test("batch: draws no more than there is room for", async () => {
  let drawn = 0;
  function* endless() {
    for (;;) yield drawn++;
  }
  let read = 0;
  for await (const _ of batch(endless(), (n) => n, { batchSize: 1, batchConcurrency: 1, resultBuffer: 2 })) {
    read += 1;
    await turn();
    if (read === 5) break;
  }
  assert.isAtMost(drawn, 110);
});

test("batch: an abort throws its reason, aborts what runs and leaves no listener", async () => {
  const { signal, abort, listeners } = watchedAbort();
  let inside: AbortSignal | undefined;
  const running = all(
    batch(
      numbers(3),
      (_, ctx) => {
        inside = ctx.signal;
        return new Promise(() => {});
      },
      { signal },
    ),
  );
  await until(() => inside !== undefined);
  abort("enough");
  assert.equal(await rejection(running), "enough");
  assert.isTrue(inside?.aborted);
  assert.equal(listeners(), 0);
});

test("batch: an abort ends it in its own tick, also while nobody reads", async () => {
  const { signal, abort, listeners } = watchedAbort();
  const signals: AbortSignal[] = [];
  const reading = batch(
    numbers(10),
    (n, ctx) => {
      signals.push(ctx.signal);
      return n === 0 ? n : deferred<number>().promise;
    },
    { batchSize: 1, batchConcurrency: 3, signal },
  );
  assert.equal((await reading.next()).done, false);
  await turn();
  const begun = signals.length;
  abort("enough");
  assert.deepEqual(
    signals.slice(1).map(({ aborted }) => aborted),
    signals.slice(1).map(() => true),
  );
  assert.equal(listeners(), 0);
  await turn();
  assert.equal(signals.length, begun, "nothing more begins");
  assert.equal(await rejection(reading.next()), "enough");
});

test("batch: a reader who leaves aborts what runs and closes the source", async () => {
  let closed = false;
  let inside: AbortSignal | undefined;
  function* source() {
    try {
      for (let n = 0; ; n += 1) yield n;
    } finally {
      closed = true;
    }
  }
  const process = (n: number, ctx: { signal: AbortSignal }) => {
    if (n === 0) return n;
    inside = ctx.signal;
    return new Promise<number>(() => {});
  };
  for await (const { index } of batch(source(), process, { batchSize: 1, batchConcurrency: 2 })) {
    assert.equal(index, 0);
    break;
  }
  assert.isTrue(closed);
  assert.isTrue(inside === undefined || inside.aborted);
});

test("batch: what the source throws is thrown", async () => {
  const error = new Error("source");
  async function* source() {
    yield 1;
    throw error;
  }
  assert.strictEqual(await rejection(all(batch(source(), (n) => n))), error);
});

test("batch: under pressure drawing waits, but not for ever", async () => {
  let looks = 0;
  const pressure = {
    shouldThrottle: () => {
      looks += 1;
      return true;
    },
  };
  const results = await all(batch(numbers(2), (n) => n, { batchSize: 1, pressure, pressureWait: 10 }));
  assert.lengthOf(results, 2);
  assert.isAtLeast(looks, 3);
});

test("batch: a size that finds itself covers every item once", async () => {
  const results = await all(batch(numbers(350), (n) => n, { batchSize: "adaptive" }));
  assert.deepEqual(
    results.flatMap(({ results }) => results),
    numbers(350),
  );
});

test("batch: options that make no sense are refused by name", () => {
  const message = (options: object) => (thrown(() => batch([1], (n) => n, options)) as Error).message;
  assert.include(message({ batchSize: 0 }), "`batchSize`");
  assert.include(message({ concurrency: 1.5 }), "`concurrency`");
  assert.include(message({ batchTimeout: -1 }), "`batchTimeout`");
  assert.include(message({ onError: 1 }), "`onError`");
  assert.include((thrown(() => batch(1 as unknown as number[], (n) => n)) as Error).message, "`items`");
});

/** Long lists over the workers of a pool. */

import { isWorkerCrashedError } from "tidegate";
import { parallelMap, parallelReduce } from "tidegate/workers";
import { assert, rejection, test } from "./registry.js";
import { surroundings } from "./surroundings.js";
import { withWorkers } from "./workers.js";

const NO_WORKERS = { skipIn: { workerd: "no-workers" } } as const;

function* upTo(last: number) {
  for (let n = 1; n <= last; n += 1) yield n;
}

async function* laterUpTo(last: number) {
  for (let n = 1; n <= last; n += 1) yield await n;
}

test("parallelMap: results stand in the order of the items, of arrays, iterables and async iterables", () =>
  withWorkers({ size: 2 }, async (pool) => {
    const squares = Array.from({ length: 5000 }, (_, n) => (n + 1) ** 2);
    assert.deepEqual(await parallelMap(pool, "square", [...upTo(5000)]), squares);
    assert.deepEqual(await parallelMap(pool, "square", upTo(5000)), squares);
    assert.deepEqual(await parallelMap(pool, "square", laterUpTo(5000)), squares);
    assert.deepEqual(await parallelMap(pool, "squareLater", [...upTo(50)]), squares.slice(0, 50));
    assert.deepEqual(await parallelMap(pool, "square", []), []);
  }));

test("parallelMap: the function gets each item with its index", () =>
  withWorkers({ size: 2 }, async (pool) => {
    const sums = await parallelMap(
      pool,
      "add",
      Array.from({ length: 300 }, () => 1000),
      { chunk: 7 },
    );
    assert.deepEqual([sums[0], sums[6], sums[7], sums[299]], [1000, 1006, 1007, 1299]);
  }));

test("parallelMap: of a typed array it gives one of the same kind, and leaves the caller's alone", () =>
  withWorkers({ size: 2 }, async (pool) => {
    const numbers = Float32Array.from({ length: 3000 }, (_, n) => n / 2);
    const squares = await parallelMap(pool, "square", numbers);
    assert.instanceOf(squares, Float32Array);
    assert.deepEqual(
      squares,
      numbers.map((n) => n * n),
    );
    assert.lengthOf(numbers, 3000);
    assert.lengthOf(await parallelMap(pool, "square", new Uint8Array()), 0);
    if (typeof SharedArrayBuffer !== "function") return;
    const shared = new Float64Array(new SharedArrayBuffer(8000)).fill(3);
    const mapped = await parallelMap(pool, "square", shared);
    assert.deepEqual([mapped.length, mapped[999]], [1000, 9]);
  }));

test("parallelMap: with `transfer` the buffers of items go along, and the caller has them no longer", () =>
  withWorkers({ size: 2 }, async (pool) => {
    const make = () => Array.from({ length: 20 }, (_, n) => new Uint8Array(n + 1));
    const kept = make();
    const lengths = kept.map(({ length }) => length);
    assert.deepEqual(await parallelMap(pool, "byteLength", kept), lengths);
    assert.equal(kept[19]?.length, 20);
    const given = make();
    assert.deepEqual(await parallelMap(pool, "byteLength", given, { transfer: true }), lengths);
    assert.isTrue(given.every(({ length }) => length === 0));
    const filled = await parallelMap(pool, "filled", [5, 6]);
    assert.deepEqual(
      filled.map(({ length }) => length),
      [5, 6],
    );
  }));

test("parallelMap: progress counts items, of how many where that is known", () =>
  withWorkers({ size: 2 }, async (pool) => {
    const told: [number, number | undefined][] = [];
    await parallelMap(pool, "square", [...upTo(100)], {
      chunk: 30,
      onProgress: (done, total) => told.push([done, total]),
    });
    assert.deepEqual(told.at(-1), [100, 100]);
    assert.lengthOf(told, 4);
    await parallelMap(pool, "square", upTo(10), {
      onProgress: (done, total) => assert.deepEqual([done, total], [10, undefined]),
    });
  }));

test("parallelMap: the first error ends it, and the source is closed", () =>
  withWorkers({ size: 1 }, async (pool) => {
    let closed = false;
    function* source() {
      try {
        for (;;) yield 1;
      } finally {
        closed = true;
      }
    }
    const error = (await rejection(parallelMap(pool, "throwsTyped", source()))) as Error;
    assert.equal(error.message, "told");
    assert.isTrue(closed);
    assert.equal(await pool.run("add", [1, 1]), 2);
  }));

test("parallelMap: an abort rejects with its reason, before and meanwhile", () =>
  withWorkers({ size: 1 }, async (pool) => {
    const reason = new Error("changed my mind");
    const signal = AbortSignal.abort(reason);
    assert.equal(await rejection(parallelMap(pool, "square", [1], { signal })), reason);
    const controller = new AbortController();
    const running = parallelMap(pool, "wait", [60_000, 60_000], { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 10);
    assert.equal(await rejection(running), reason);
    assert.equal(await pool.run("add", [1, 1]), 2, "nothing of it runs on");
  }));

test(
  "parallelMap: chunks of a worker that dies run again where that is allowed",
  () =>
    withWorkers({ size: 2, retries: 3 }, async (pool) => {
      await pool.run("noop");
      assert.isTrue(isWorkerCrashedError(await rejection(parallelMap(pool, "exit", [1]))));
      const numbers = Float64Array.from({ length: 400 }, (_, n) => n);
      const slow = parallelMap(pool, "waitAnd", numbers, { idempotent: true, chunk: 50 });
      const lost = pool.run("exit").catch(() => "lost");
      assert.deepEqual(await slow, numbers);
      assert.equal(await lost, "lost");
    }),
  NO_WORKERS,
);

test("parallelReduce: chunks are reduced apart and then together, in their order", () =>
  withWorkers({ size: 2 }, async (pool) => {
    const numbers = [...upTo(3000)];
    assert.equal(await parallelReduce(pool, "add", numbers), 4_501_500);
    assert.equal(await parallelReduce(pool, "sumLater", numbers), 4_501_500);
    assert.equal(await parallelReduce(pool, "add", Float64Array.from(numbers), { chunk: 100 }), 4_501_500);
    assert.equal(await parallelReduce(pool, "add", upTo(10), { map: "square" }), 385);
    assert.equal(await parallelReduce(pool, "add", upTo(10), { initial: 1000 }), 1055);
    const letters = ["t", "i", "d", "e", "g", "a", "t", "e"];
    assert.equal(await parallelReduce(pool, "join", letters, { chunk: 3 }), "tidegate");
  }));

test("parallelReduce: of nothing it gives `initial`, and rejects where there is none", () =>
  withWorkers({ size: 1 }, async (pool) => {
    assert.equal(await parallelReduce(pool, "add", [], { initial: 7 }), 7);
    assert.instanceOf(await rejection(parallelReduce(pool, "add", [])), TypeError);
  }));

test("parallelMap: long lists travel in few messages, and every worker has its share", () =>
  withWorkers({ size: { min: 2, max: 2 } }, async (pool) => {
    if (surroundings.worker === undefined) return assert.equal(pool.metrics().mode, "cooperative");
    await pool.ready;
    const before = pool.metrics().messages;
    const who = await parallelMap(pool, "identity", Array.from({ length: 100_000 }));
    assert.equal(new Set(who).size, 2);
    assert.isBelow(pool.metrics().messages - before, 5_000);
  }));

test("parallelMap, parallelReduce: wrong options are named", () =>
  withWorkers({}, async (pool) => {
    const message = async (call: Promise<unknown>) => ((await rejection(call)) as Error).message;
    assert.include(await message(parallelMap({} as never, "noop" as never, [])), "`pool`");
    assert.include(await message(parallelMap(pool, "noop", 5 as never)), "`items`");
    assert.include(await message(parallelMap(pool, "noop", [], { chunk: 0 })), "`chunk`");
    assert.include(await message(parallelReduce(pool, "add", [], { map: 5 as never })), "`map`");
  }));

/**
 * `Pool.map`: items in, results out, never more in hand than there is room for.
 */

import { isClosedError, Pool } from "tidegate";
import { assert, deferred, rejection, test, turn } from "./registry.js";
import { isSettled, until, watchedAbort } from "./waiting.js";

async function all<T>(results: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const result of results) list.push(result);
  return list;
}

function* naturals(seen: number[] = [], ended?: () => void): Generator<number> {
  try {
    for (let n = 0; ; n += 1) {
      seen.push(n);
      yield n;
    }
  } finally {
    ended?.();
  }
}

test("map: results come in the order of the items, though they are ready in another", async () => {
  const pool = new Pool({ concurrency: 4 });
  const gates = Array.from({ length: 4 }, () => deferred<number>());
  const results = all(pool.map([0, 1, 2, 3], (index) => gates[index]?.promise ?? 0));
  await until(() => pool.active === 4);
  for (const index of [3, 1, 0, 2]) {
    gates[index]?.resolve(index * 10);
    await turn();
  }
  assert.deepEqual(await results, [0, 10, 20, 30]);
});

test("map unordered: results come as they are ready", async () => {
  const pool = new Pool({ concurrency: 3 });
  const gates = Array.from({ length: 3 }, () => deferred<number>());
  const results = all(pool.map([0, 1, 2], (index) => gates[index]?.promise ?? 0, { ordered: false }));
  await until(() => pool.active === 3);
  for (const index of [2, 0, 1]) {
    gates[index]?.resolve(index);
    await turn();
  }
  assert.deepEqual(await results, [2, 0, 1]);
});

test("map: it stays within the pool's bound, and leaves other slots of the pool to others", async () => {
  const pool = new Pool({ concurrency: 2 });
  let running = 0;
  let most = 0;
  const results = await all(
    pool.map(Array.from({ length: 20 }).keys(), async (index) => {
      most = Math.max(most, ++running);
      await turn();
      running -= 1;
      return index;
    }),
  );
  assert.lengthOf(results, 20);
  assert.equal(most, 2);
});

test("map: an endless source is pulled no further than there is room", async () => {
  const pool = new Pool({ concurrency: 3 });
  const seen: number[] = [];
  const results: number[] = [];
  for await (const result of pool.map(naturals(seen), async (n) => n * 2)) {
    results.push(result);
    if (results.length === 10) break;
  }
  assert.deepEqual(
    results,
    Array.from({ length: 10 }, (_, n) => n * 2),
  );
  assert.isAtMost(seen.length, 10 + 50 + 3);
});

test("map resultBuffer: so many results are started and unread, then nothing more starts", async () => {
  const pool = new Pool({ concurrency: 10 });
  const seen: number[] = [];
  const iterator = pool.map(naturals(seen), (n) => n, { resultBuffer: 3 })[Symbol.asyncIterator]();
  assert.deepEqual(await iterator.next(), { value: 0, done: false });
  for (let turns = 0; turns < 5; turns += 1) await turn();
  assert.isAtMost(seen.length, 4);
  assert.isAtLeast(seen.length, 3);
  assert.deepEqual(await iterator.next(), { value: 1, done: false });
  for (let turns = 0; turns < 5; turns += 1) await turn();
  assert.isAtMost(seen.length, 5);
  await iterator.return?.();
});

test("map: an asynchronous source is read one item at a time", async () => {
  const pool = new Pool({ concurrency: 4 });
  let pulling = 0;
  let most = 0;
  async function* source() {
    for (let n = 0; n < 6; n += 1) {
      most = Math.max(most, ++pulling);
      await turn();
      pulling -= 1;
      yield n;
    }
  }
  assert.deepEqual(await all(pool.map(source(), (n) => n)), [0, 1, 2, 3, 4, 5]);
  assert.equal(most, 1);
});

test("map: leaving early closes the source and aborts what runs, and the pool is idle again", async () => {
  const pool = new Pool({ concurrency: 2 });
  let closed = false;
  const signals: AbortSignal[] = [];
  const source = naturals([], () => {
    closed = true;
  });
  for await (const _ of pool.map(source, (n, { signal }) => {
    signals.push(signal);
    return n === 0 ? "first" : new Promise<string>(() => {});
  })) {
    await until(() => signals.length >= 2);
    break;
  }
  assert.isTrue(closed);
  assert.isTrue(signals.slice(1).every(({ aborted }) => aborted));
  assert.equal(pool.active, 0);
  await pool.onIdle();
});

test("map: leaving early does not wait for a source that never gives its next item", async () => {
  const pool = new Pool({ concurrency: 2 });
  async function* source() {
    yield 1;
    await new Promise(() => {});
  }
  for await (const value of pool.map(source(), (n) => n)) {
    assert.equal(value, 1);
    break;
  }
  assert.equal(pool.active, 0);
});

test("map: an item that comes after the reader has left starts nothing", async () => {
  const pool = new Pool({ concurrency: 2 });
  const gate = deferred();
  async function* source() {
    yield 1;
    await gate.promise;
    yield 2;
  }
  const started: number[] = [];
  for await (const _ of pool.map(source(), (n) => started.push(n))) break;
  gate.resolve();
  for (let turns = 0; turns < 3; turns += 1) await turn();
  assert.deepEqual(started, [1]);
});

test("map: the first error is thrown to the reader, and the rest is aborted", async () => {
  const pool = new Pool({ concurrency: 2 });
  let closed = false;
  const source = naturals([], () => {
    closed = true;
  });
  const error = await rejection(
    all(
      pool.map(source, async (n) => {
        if (n === 3) throw new Error("three");
        return n;
      }),
    ),
  );
  assert.equal((error as Error).message, "three");
  assert.isTrue(closed);
  assert.equal(pool.active, 0);
});

test("map: an error of the source is thrown to the reader after the results before it", async () => {
  const pool = new Pool({ concurrency: 2 });
  function* source() {
    yield 1;
    yield 2;
    throw new Error("source");
  }
  const read: number[] = [];
  const error = await rejection(
    (async () => {
      for await (const value of pool.map(source(), async (n) => n)) read.push(value);
    })(),
  );
  assert.equal((error as Error).message, "source");
  assert.deepEqual(read, [1, 2]);
  assert.equal(pool.active, 0);
});

test("map: an abort rejects with signal.reason, and no listener remains", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { signal, abort, listeners } = watchedAbort();
  const results = all(pool.map([1, 2], () => new Promise(() => {}), { signal }));
  await until(() => pool.active === 1);
  abort("enough");
  assert.equal(await rejection(results), "enough");
  assert.equal(listeners(), 0);
  assert.equal(pool.active, 0);
});

test("map: no listener remains after it has run to its end", async () => {
  const pool = new Pool({ concurrency: 2 });
  const { signal, listeners } = watchedAbort();
  assert.deepEqual(await all(pool.map([1, 2, 3], (n) => n, { signal })), [1, 2, 3]);
  assert.equal(listeners(), 0);
});

test("map: an empty source gives nothing", async () => {
  assert.deepEqual(await all(new Pool({ concurrency: 1 }).map([], () => 1)), []);
});

test("map: on a closed pool it rejects with ClosedError", async () => {
  const pool = new Pool({ concurrency: 1 });
  await pool.close();
  assert.isTrue(isClosedError(await rejection(all(pool.map([1], (n) => n)))));
});

test("map: nothing starts before somebody reads", async () => {
  const pool = new Pool({ concurrency: 1 });
  const seen: number[] = [];
  const results = pool.map(naturals(seen), (n) => n);
  await turn();
  assert.lengthOf(seen, 0);
  const iterator = results[Symbol.asyncIterator]();
  await iterator.next();
  await iterator.return?.();
  assert.isAtLeast(seen.length, 1);
});

test("map: an item whose attempt is tried again is the same item", async () => {
  const pool = new Pool({
    concurrency: 2,
    retry: { attempts: 3, backoff: { initial: 1, max: 1 }, when: () => true, budget: { ratio: 1 } },
  });
  const failed = new Set<number>();
  const results = await all(
    pool.map([1, 2, 3, 4], async (n) => {
      if (!failed.has(n)) {
        failed.add(n);
        throw new Error("first try");
      }
      return n;
    }),
  );
  assert.deepEqual(results, [1, 2, 3, 4]);
});

test("map: it works beside other calls of the same pool", async () => {
  const pool = new Pool({ concurrency: 1 });
  const gate = deferred();
  const first = pool.run(() => gate.promise);
  const results = all(pool.map([1, 2], (n) => n));
  assert.isFalse(await isSettled(results));
  gate.resolve();
  await first;
  assert.deepEqual(await results, [1, 2]);
});

test("map: bad options throw where it is called", () => {
  const pool = new Pool({ concurrency: 1 });
  assert.throws(
    () => pool.map([1], "no function" as never),
    TypeError,
    "Expected `fn` to be a function, got `no function` (string)",
  );
  assert.throws(
    () => pool.map(5 as never, () => 1),
    TypeError,
    "Expected `source` to be an iterable or async iterable, got `5` (number)",
  );
  assert.throws(
    () => pool.map([1], () => 1, { resultBuffer: 0 }),
    TypeError,
    "Expected `resultBuffer` to be an integer ≥ 1, got `0` (number)",
  );
  assert.throws(
    () => pool.map([1], () => 1, { ordered: "yes" as never }),
    TypeError,
    "Expected `ordered` to be a boolean, got `yes` (string)",
  );
});

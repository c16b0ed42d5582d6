/**
 * `gather`, `partition` and `asCompleted`: many tasks, so many at once.
 */

import { asCompleted, gather, isTimeoutError, partition, type Task } from "tidegate";
import { assert, deferred, rejection, test, thrown, turn } from "./registry.js";
import { until, watchedAbort } from "./waiting.js";

async function all<T>(results: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const result of results) list.push(result);
  return list;
}

/** Tasks that end when told to, and how many of them ran at once. */
function gated(count: number) {
  const gates = Array.from({ length: count }, () => deferred<number>());
  const seen = { running: 0, most: 0, signals: [] as AbortSignal[] };
  const tasks = gates.map(
    ({ promise }): Task<number> =>
      async ({ signal }) => {
        seen.signals.push(signal);
        seen.most = Math.max(seen.most, ++seen.running);
        try {
          return await promise;
        } finally {
          seen.running -= 1;
        }
      },
  );
  return { gates, tasks, seen };
}

test("gather: results stand in the order of the tasks, however they end", async () => {
  const { gates, tasks } = gated(3);
  const results = gather(tasks);
  for (const index of [2, 0, 1]) {
    gates[index]?.resolve(index);
    await turn();
  }
  assert.deepEqual(await results, [0, 1, 2]);
});

test("gather: ten tasks at once, unless told otherwise", async () => {
  const usual = gated(25);
  const results = gather(usual.tasks);
  await until(() => usual.seen.running === 10);
  await turn();
  assert.equal(usual.seen.most, 10);
  for (const { resolve } of usual.gates) resolve(1);
  assert.lengthOf(await results, 25);
  assert.equal(usual.seen.most, 10);
  const two = gated(6);
  for (const { resolve } of two.gates) resolve(1);
  await gather(two.tasks, { concurrency: 2 });
  assert.equal(two.seen.most, 2);
});

test("gather: nothing to do is done at once", async () => {
  assert.deepEqual(await gather([]), []);
});

test("gather: the first error rejects and aborts the rest", async () => {
  const { gates, tasks, seen } = gated(5);
  const results = gather(tasks, { concurrency: 3 });
  await until(() => seen.running === 3);
  const error = new Error("second");
  gates[1]?.reject(error);
  assert.strictEqual(await rejection(results), error);
  await turn();
  assert.isTrue(seen.signals.every(({ aborted }, index) => aborted || index === 1));
  assert.isBelow(seen.signals.length, 5, "not everything started");
  for (const { resolve } of gates) resolve(0);
});

test("gather with returnExceptions: errors stand in the place of results", async () => {
  const error = new TypeError("third");
  const results = await gather<number>([() => 1, async () => 2, () => Promise.reject(error), () => 4], {
    returnExceptions: true,
  });
  assert.deepEqual(results, [1, 2, error, 4]);
});

test("gather with returnExceptions: what is thrown and is no Error comes back wrapped, with its cause", async () => {
  const [wrapped, same] = await gather<number>(
    [
      () => Promise.reject("just text"),
      () => {
        throw new RangeError("as it is");
      },
    ] as Task<number>[],
    { returnExceptions: true },
  );
  assert.instanceOf(wrapped, Error);
  assert.equal((wrapped as Error).cause, "just text");
  assert.include((wrapped as Error).message, "just text");
  assert.instanceOf(same, RangeError);
});

test("gather: an abort always rejects with signal.reason, also with returnExceptions", async () => {
  for (const returnExceptions of [false, true]) {
    const { gates, tasks, seen } = gated(3);
    const { signal, abort, listeners } = watchedAbort();
    const results = gather(tasks, { concurrency: 2, returnExceptions, signal });
    await until(() => seen.running === 2);
    gates[0]?.reject(new Error("just before"));
    abort("stopped");
    assert.equal(await rejection(results), "stopped");
    assert.equal(listeners(), 0);
    for (const { resolve } of gates) resolve(0);
  }
});

test("gather: a signal that is aborted already starts nothing", async () => {
  let started = false;
  const task = () => {
    started = true;
  };
  const reason = new Error("before");
  assert.strictEqual(await rejection(gather([task], { signal: AbortSignal.abort(reason) })), reason);
  assert.isFalse(started);
});

test("gather: no listener remains when it is done", async () => {
  const { signal, listeners } = watchedAbort();
  await gather([() => 1, () => 2], { signal });
  await gather(new Set([() => 1, () => 2]), { signal });
  assert.equal(listeners(), 0);
});

test("gather: progress counts what is done, with the total where it is known", async () => {
  const known: [number, number | undefined][] = [];
  await gather([() => 1, () => 2, () => 3], { onProgress: (...at) => known.push(at as never) });
  assert.deepEqual(known, [
    [1, 3],
    [2, 3],
    [3, 3],
  ]);
  const unknown: (number | undefined)[][] = [];
  function* tasks() {
    yield () => 1;
    yield () => 2;
  }
  await gather(tasks(), { onProgress: (done, total) => unknown.push([done, total]) });
  assert.deepEqual(unknown, [
    [1, undefined],
    [2, undefined],
  ]);
});

test("gather: progress counts failures too where they are returned", async () => {
  const counts: number[] = [];
  await gather([() => 1, () => Promise.reject(new Error("x"))], {
    returnExceptions: true,
    onProgress: (done) => counts.push(done),
  });
  assert.deepEqual(counts, [1, 2]);
});

test("gather: an onProgress that throws rejects with what it throws", async () => {
  const error = new Error("progress");
  const onProgress = () => {
    throw error;
  };
  assert.strictEqual(await rejection(gather([() => 1], { onProgress })), error);
});

test("gather: tasks from iterables and async iterables are taken as there is room", async () => {
  let taken = 0;
  const { promise, resolve } = deferred();
  function* tasks(): Generator<Task<number>> {
    for (let index = 0; index < 6; index += 1) {
      taken += 1;
      yield async () => {
        await promise;
        return index;
      };
    }
  }
  const results = gather(tasks(), { concurrency: 2 });
  for (let turns = 0; turns < 5; turns += 1) await turn();
  assert.equal(taken, 2);
  resolve();
  assert.deepEqual(await results, [0, 1, 2, 3, 4, 5]);
  async function* later() {
    yield () => "a";
    await turn();
    yield () => "b";
  }
  assert.deepEqual(await gather(later()), ["a", "b"]);
});

test("gather: a promise in place of a task is told what is wrong with it, and nothing starts", async () => {
  let started = 0;
  const task = () => {
    started += 1;
  };
  const error = (await rejection(gather([task, task, task, Promise.resolve(1) as never]))) as Error;
  assert.instanceOf(error, TypeError);
  assert.equal(
    error.message,
    "Expected `tasks[3]` to be a function, got a promise: its work has already started, so nothing can hold it back",
  );
  assert.equal(started, 0);
  const other = (await rejection(gather([task, 5 as never]))) as Error;
  assert.equal(other.message, "Expected `tasks[1]` to be a function, got `5` (number)");
});

test("gather: a source that is no iterable is told so", async () => {
  const error = (await rejection(gather(5 as never))) as Error;
  assert.instanceOf(error, TypeError);
  assert.equal(
    error.message,
    "Expected `tasks` to be an iterable or async iterable of functions, got `5` (number)",
  );
});

test("partition: values and errors apart, and a value that is an Error stays a value", async () => {
  const value = new Error("a value");
  const results = await gather<Error | number>(
    [() => value, () => 1, () => Promise.reject(new Error("a failure"))],
    { returnExceptions: true },
  );
  const { values, errors } = partition(results);
  assert.deepEqual(values, [value, 1]);
  assert.deepEqual(
    errors.map(({ message }) => message),
    ["a failure"],
  );
});

test("partition: of a list that is not from gather, errors are what is an Error", () => {
  const { values, errors } = partition([1, new Error("x"), 2]);
  assert.deepEqual(values, [1, 2]);
  assert.lengthOf(errors, 1);
});

test("asCompleted: what became of each task, as it ends, with its index", async () => {
  const { gates, tasks } = gated(3);
  const results = all(asCompleted(tasks));
  await turn();
  const error = new Error("first");
  gates[2]?.resolve(22);
  await turn();
  gates[0]?.reject(error);
  await turn();
  gates[1]?.resolve(11);
  assert.deepEqual(await results, [
    { index: 2, value: 22 },
    { index: 0, error },
    { index: 1, value: 11 },
  ]);
});

test("asCompleted: ten tasks at once, unless told otherwise", async () => {
  const usual = gated(15);
  const results = all(asCompleted(usual.tasks));
  await until(() => usual.seen.running === 10);
  for (const { resolve } of usual.gates) resolve(1);
  assert.lengthOf(await results, 15);
  assert.equal(usual.seen.most, 10);
  const two = gated(5);
  const others = all(asCompleted(two.tasks, { concurrency: 2 }));
  await until(() => two.seen.running === 2);
  for (const { resolve } of two.gates) resolve(1);
  await others;
  assert.equal(two.seen.most, 2);
});

test("asCompleted: leaving early aborts what runs and starts nothing more", async () => {
  const { gates, tasks, seen } = gated(6);
  gates[1]?.resolve(1);
  for await (const first of asCompleted(tasks, { concurrency: 3 })) {
    assert.equal(first.index, 1);
    break;
  }
  assert.isTrue(seen.signals[0]?.aborted);
  const started = seen.signals.length;
  await turn();
  assert.lengthOf(seen.signals, started);
  for (const { resolve } of gates) resolve(0);
});

test("asCompleted: at most resultBuffer results are started and unread", async () => {
  let started = 0;
  const tasks = Array.from({ length: 20 }, () => () => void (started += 1));
  const results = asCompleted(tasks, { resultBuffer: 2 });
  await results.next();
  for (let turns = 0; turns < 5; turns += 1) await turn();
  assert.isAtMost(started, 3);
  await results.return();
  assert.isAtMost(started, 3);
});

test("asCompleted: a timeout covers all of it, and names it", async () => {
  const { gates, tasks, seen } = gated(2);
  gates[0]?.resolve(1);
  const read: number[] = [];
  const error = (await rejection(
    (async () => {
      for await (const { index } of asCompleted(tasks, { timeout: 150 })) read.push(index);
    })(),
  )) as Error;
  assert.isTrue(isTimeoutError(error));
  assert.equal(error.message, `Operation "asCompleted" timed out after 150 ms`);
  assert.deepEqual(read, [0]);
  assert.isTrue(seen.signals[1]?.aborted);
  gates[1]?.resolve(0);
});

test("asCompleted: an abort rejects with signal.reason and leaves no listener", async () => {
  const { gates, tasks, seen } = gated(2);
  const { signal, abort, listeners } = watchedAbort();
  const results = all(asCompleted(tasks, { signal }));
  await until(() => seen.running === 2);
  abort("enough");
  assert.equal(await rejection(results), "enough");
  assert.equal(listeners(), 0);
  for (const { resolve } of gates) resolve(0);
  await all(asCompleted([() => 1], { signal: watchedAbort().signal }));
});

test("asCompleted: a promise in place of a task is told what is wrong with it", async () => {
  const error = (await rejection(all(asCompleted([Promise.resolve(1) as never])))) as Error;
  assert.include(error.message, "Expected `tasks[0]` to be a function, got a promise");
});

test("asCompleted: bad options throw where it is called", async () => {
  const sentence = (options: object) => (thrown(() => asCompleted([], options)) as Error).message;
  assert.equal(sentence({ concurrency: 0 }), "Expected `concurrency` to be an integer ≥ 1, got `0` (number)");
  assert.equal(
    sentence({ resultBuffer: 1.5 }),
    "Expected `resultBuffer` to be an integer ≥ 1, got `1.5` (number)",
  );
  assert.equal(
    sentence({ timeout: -1 }),
    "Expected `timeout` to be a number of milliseconds ≥ 0, got `-1` (number)",
  );
  assert.equal(sentence({ signal: {} }), "Expected `signal` to be an AbortSignal, got an object");
  assert.deepEqual(await all(asCompleted([])), []);
});

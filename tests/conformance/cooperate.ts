/**
 * `cooperate`: work in slices, with the thread free in between.
 */

import { cooperate } from "tidegate";
import { assert, rejection, test } from "./registry.js";

/** Keeps the thread for so long, or on a clock that stands still for so many looks at it. */
function busyFor(ms: number): void {
  const began = performance.now();
  for (let looks = 0; looks < 100_000 && performance.now() - began < ms; looks += 1);
}

test("cooperate: gives back what the function gave, in order, with the index", async () => {
  assert.deepEqual(await cooperate(["a", "b", "c"], (letter, index) => letter + index), ["a0", "b1", "c2"]);
  assert.deepEqual(await cooperate([], () => 1), []);
  assert.deepEqual(await cooperate(new Set([1, 2]), (n) => n * 2, { budget: 1 }), [2, 4]);
});

test("cooperate: others run between the slices", async () => {
  let turns = 0;
  let over = false;
  const tick = () => {
    turns += 1;
    if (!over) setTimeout(tick, 0);
  };
  setTimeout(tick, 0);
  const items = Array.from({ length: 60 }, (_, n) => n);
  const seen = await cooperate(
    items,
    (n) => {
      busyFor(2);
      return n;
    },
    { budget: 4, operations: 2 },
  );
  over = true;
  assert.deepEqual(seen, items);
  assert.isAtLeast(turns, 3);
});

test("cooperate: work within the budget is one slice", async () => {
  let others = 0;
  const timer = setTimeout(() => {
    others += 1;
  }, 0);
  await cooperate([1, 2, 3], () => {}, { budget: 10_000 });
  assert.equal(others, 0);
  clearTimeout(timer);
});

test("cooperate: an abort ends it between two slices, and closes the iterable", async () => {
  const controller = new AbortController();
  let closed = false;
  function* endless() {
    try {
      for (let n = 0; ; n += 1) yield n;
    } finally {
      closed = true;
    }
  }
  const done = cooperate(
    endless(),
    (n) => {
      if (n === 10) controller.abort("enough");
      busyFor(1);
    },
    { budget: 1, operations: 1, signal: controller.signal },
  );
  assert.equal(await rejection(done), "enough");
  assert.isTrue(closed);
});

test("cooperate: what the function throws rejects", async () => {
  const error = new Error("mine");
  assert.strictEqual(
    await rejection(
      cooperate([1], () => {
        throw error;
      }),
    ),
    error,
  );
});

test("cooperate: bad arguments reject with a sentence that names them", async () => {
  const sentence = async (...args: unknown[]) =>
    ((await rejection((cooperate as (...args: unknown[]) => Promise<unknown>)(...args))) as Error).message;
  assert.equal(await sentence(5, () => {}), "Expected `items` to be iterable, got `5` (number)");
  assert.match(await sentence([], 5), /^Expected `fn` to be a function/);
  assert.match(await sentence([], () => {}, { budget: -1 }), /^Expected `budget`/);
});

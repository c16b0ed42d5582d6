import assert from "node:assert/strict";
import { test } from "node:test";
import { described, faster, figures, judged } from "./judging.mjs";

const GOOD = {
  averageTask: 100,
  tasksPerSecond: 400,
  lost: 0,
  slotsUsed: 92,
  asThePolicySays: 100,
  networkFaster: 88,
  batchesFaster: 90,
  contentionFew: 1,
  contentionSome: 2,
  contentionMany: 3,
};

/** Just on the wrong side of each bar. */
const BAD = {
  averageTask: 500,
  tasksPerSecond: 100,
  lost: 1,
  slotsUsed: 80,
  asThePolicySays: 99.8,
  networkFaster: 64.9,
  batchesFaster: 64.9,
  contentionFew: 5,
  contentionSome: 5,
  contentionMany: 5,
};

const missed = (measured) =>
  judged(measured)
    .filter(({ pass }) => !pass)
    .map(({ figure }) => figure);

test("good figures miss no bar", () => {
  assert.deepEqual(missed(GOOD), []);
});

for (const figure of figures) {
  test(`${figure} misses its bar when it is bad, when it is no number and when it is not there`, () => {
    assert.deepEqual(missed({ ...GOOD, [figure]: BAD[figure] }), [figure]);
    assert.deepEqual(missed({ ...GOOD, [figure]: Number.NaN }), [figure]);
    const { [figure]: _, ...rest } = GOOD;
    assert.deepEqual(missed(rest), [figure]);
  });
}

test("each figure is written beside its bar", () => {
  const [line] = judged({ ...GOOD, averageTask: 612.34 }).map(described);
  assert.equal(line, "MISSED  average task, from call to answer: 612.3 ms (bar < 500 ms)");
  assert.match(described(judged({})[0]), /not measured/);
});

test("faster is a share of the sequential time", () => {
  assert.equal(faster(1000, 250), 75);
  assert.equal(faster(1000, 2000), -100);
});

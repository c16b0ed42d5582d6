import assert from "node:assert/strict";
import { test } from "node:test";
import { hitRatioBars } from "./bars.mjs";
import { row } from "./side-by-side.mjs";
import { traces } from "./traces.mjs";

/** Which of four traces meet their bars, by their hit ratios: ours and theirs. */
function verdict(pairs) {
  const measured = pairs.map(([ours, theirs], n) => ({ name: `trace ${n}`, ours, theirs }));
  const bars = hitRatioBars(measured);
  return measured.map(({ name, ours, theirs }) => {
    const bar = bars.get(name);
    return row({
      bench: name,
      n: 1,
      peer: "p",
      version: "1",
      unit: "",
      ours,
      theirs,
      direction: "higher",
      bar,
    }).pass;
  });
}

test("higher on three of four and hardly lower on the fourth meets the bar", () => {
  assert.deepEqual(
    verdict([
      [0.5, 0.4],
      [0.396, 0.4],
      [0.41, 0.4],
      [0.1, 0],
    ]),
    [true, true, true, true],
  );
});

test("more than one percent lower on one of four misses the bar", () => {
  assert.deepEqual(
    verdict([
      [0.5, 0.4],
      [0.395, 0.4],
      [0.41, 0.4],
      [0.1, 0],
    ]),
    [true, false, true, true],
  );
});

test("equal on two of four misses the bar", () => {
  const verdicts = verdict([
    [0.5, 0.4],
    [0.4, 0.4],
    [0.4, 0.4],
    [0.5, 0.4],
  ]);
  assert.equal(verdicts.filter(Boolean).length, 3);
});

test("a seed names its traces, and another seed names others", () => {
  assert.deepEqual(traces(7, 100, 2000), traces(7, 100, 2000));
  for (const name of ["zipf", "scan", "loop", "mixed"]) {
    assert.equal(traces(7, 100, 2000)[name].length, 2000);
    assert.notDeepEqual(traces(7, 100, 2000)[name], traces(8, 100, 2000)[name]);
  }
});

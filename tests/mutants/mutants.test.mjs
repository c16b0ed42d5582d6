import assert from "node:assert/strict";
import { test } from "node:test";
import { drawn, shardOf } from "./draw.mjs";
import { Sum } from "./sum.mjs";

const hundred = Array.from({ length: 100 }, (_, at) => at);

test("a sample has its size, no mutant twice, and is the same for the same seed", () => {
  const sample = drawn(hundred, 20, 7);
  assert.equal(sample.length, 20);
  assert.equal(new Set(sample).size, 20);
  assert.deepEqual(drawn(hundred, 20, 7), sample);
  assert.notDeepEqual(drawn(hundred, 20, 8), sample);
  assert.deepEqual(drawn(hundred, 500, 7), hundred);
  assert.deepEqual(drawn(hundred, undefined, 7), hundred);
});

test("every mutant is as likely to be in a sample", () => {
  const times = new Array(10).fill(0);
  for (let seed = 0; seed < 2000; seed++)
    for (const at of drawn(hundred.slice(0, 10), 3, seed)) times[at] += 1;
  for (const seen of times) assert.ok(seen > 500 && seen < 700, `${times}`);
});

test("shards share nothing and leave nothing out", () => {
  const shards = [1, 2, 3].map((which) => shardOf(hundred, `${which}/3`));
  assert.deepEqual(
    shards.flat().sort((a, b) => a - b),
    hundred,
  );
  for (const wrong of ["0/3", "4/3", "1", "1/0", "a/b"]) {
    assert.throws(() => shardOf(hundred, wrong), /Expected `--shard` to be K\/N/);
  }
});

test("what does not compile counts for nothing, what hangs counts as noticed", () => {
  const sum = new Sum();
  for (const outcome of ["killed", "killed", "timeouts", "missed", "unviable", "unviable"]) sum.add(outcome);
  assert.equal(sum.share, 0.75);
  assert.equal(`${sum}`, "2 killed, 1 missed, 1 timeouts, 2 unviable: 75.0 % killed");
  assert.equal(new Sum().share, 0);
});

test("a share is rounded down, so that what is below the bar never looks like it", () => {
  const sum = new Sum();
  sum.killed = 8999;
  sum.missed = 1001;
  assert.match(`${sum}`, /89\.9 %/);
});

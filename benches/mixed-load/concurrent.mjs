/**
 * How much faster the same work is when it is done at once, with the defaults of `gather` and `batch`.
 */

import assert from "node:assert/strict";
import { batch, gather } from "tidegate";
import { faster } from "./judging.mjs";

const REQUESTS = 40;
const ITEMS = 200;
const ITEM_TAKES = 5;

/** The same requests to the range, one after the other and ten at once. @param {import("../../range/range.mjs").Range} range */
export async function networkFaster(range) {
  const requests = Array.from({ length: REQUESTS }, () => async () => {
    const response = await fetch(range.url("steady"));
    await response.arrayBuffer();
    return response.status;
  });
  const seconds = async (concurrency) => {
    const began = performance.now();
    const answers = await gather(requests, { concurrency });
    assert.deepEqual(answers, Array(REQUESTS).fill(200));
    return performance.now() - began;
  };
  await seconds(10);
  return faster(await seconds(1), await seconds(10));
}

/** The same items in batches of ten, one batch and one item after the other, and as many at once as are by default. */
export async function batchesFaster() {
  const items = Array.from({ length: ITEMS }, (_, n) => n);
  const work = (n) => new Promise((resolve) => setTimeout(() => resolve(n), ITEM_TAKES));
  const seconds = async (options) => {
    const began = performance.now();
    let done = 0;
    for await (const { results, errors } of batch(items, work, { batchSize: 10, ...options })) {
      assert.deepEqual(errors, []);
      done += results.length;
    }
    assert.equal(done, ITEMS);
    return performance.now() - began;
  };
  return faster(await seconds({ concurrency: 1, batchConcurrency: 1 }), await seconds({}));
}

/**
 * Reckoning ahead: `optimalConcurrency` and `predict`.
 */

import { optimalConcurrency, predict } from "tidegate";
import { assert, test, thrown } from "./registry.js";

test("optimalConcurrency: as many at once as begin while one runs, a buffer and a timeout", () => {
  assert.deepEqual(optimalConcurrency({ rateLimit: 100, latency: 500, errorRate: 0.1 }), {
    concurrency: 55,
    buffer: 165,
    timeout: 1000,
  });
  assert.equal(optimalConcurrency({ rateLimit: 10, latency: 1000, errorRate: 0.1 }).concurrency, 11);
  assert.equal(optimalConcurrency({ rateLimit: 100, latency: 70 }).concurrency, 7);
  assert.equal(optimalConcurrency({ rateLimit: 100, latency: 71 }).concurrency, 8);
});

test("optimalConcurrency: latencies below a second do not give 0", () => {
  assert.equal(optimalConcurrency({ rateLimit: 1, latency: 50 }).concurrency, 1);
  assert.equal(optimalConcurrency({ rateLimit: 5, latency: 900 }).concurrency, 5);
  assert.deepEqual(optimalConcurrency({ rateLimit: 0, latency: 0 }), {
    concurrency: 1,
    buffer: 3,
    timeout: 0,
  });
  assert.equal(optimalConcurrency({ rateLimit: 2, latency: 0.5 }).timeout, 1);
});

test("predict: duration, throughput and wait by Little's law", () => {
  const prediction = predict({ items: 100, latency: 200, concurrency: 10 });
  assert.deepEqual(prediction, { duration: 2000, throughput: 50, wait: 900 });
  assert.equal((prediction.throughput * 200) / 1000, 10, "what is in flight is throughput times latency");
});

test("predict: more slots than items do not help, and nothing takes no time", () => {
  assert.deepEqual(predict({ items: 3, latency: 200, concurrency: 10 }), {
    duration: 200,
    throughput: 15,
    wait: 0,
  });
  assert.deepEqual(predict({ items: 0, latency: 200, concurrency: 1 }), {
    duration: 0,
    throughput: 0,
    wait: 0,
  });
  assert.equal(predict({ items: 5, latency: 0, concurrency: 1 }).duration, 0);
});

test("reckoning ahead: what cannot be reckoned with is refused in a sentence", () => {
  const messages = [
    () => optimalConcurrency(undefined as never),
    () => optimalConcurrency({ rateLimit: -1, latency: 5 }),
    () => optimalConcurrency({ rateLimit: 1, latency: Number.NaN }),
    () => optimalConcurrency({ rateLimit: 1, latency: 1, errorRate: 2 }),
    () => predict(null as never),
    () => predict({ items: 1.5, latency: 1, concurrency: 1 }),
    () => predict({ items: 1, latency: -1, concurrency: 1 }),
    () => predict({ items: 1, latency: 1, concurrency: 0 }),
  ].map((call) => (thrown(call) as Error).message);
  assert.deepEqual(messages, [
    "Expected `options` to be an object, got `undefined`",
    "Expected `rateLimit` to be a number ≥ 0, got `-1` (number)",
    "Expected `latency` to be a number of milliseconds ≥ 0, got `NaN` (number)",
    "Expected `errorRate` to be a number from 0 to 1, got `2` (number)",
    "Expected `options` to be an object, got `null`",
    "Expected `items` to be an integer ≥ 0, got `1.5` (number)",
    "Expected `latency` to be a number of milliseconds ≥ 0, got `-1` (number)",
    "Expected `concurrency` to be an integer ≥ 1, got `0` (number)",
  ]);
});

/** The package's own worker: hashes, secret search, fingerprints and statistics by name, wherever workers are or are not. */

import { type Kernels, type Statistics, WorkerPool } from "tidegate/workers";
import { assert, rejection, test } from "./registry.js";

/** A pool of the package's own workers, closed at the end of the case. */
async function withKernels(use: (pool: WorkerPool<Kernels>) => Promise<void>): Promise<void> {
  const pool = new WorkerPool<Kernels>({ size: 2, name: "kernels" });
  try {
    await use(pool);
  } finally {
    await pool.close({ grace: 0, queued: "reject" });
  }
}

const bytes = (length: number) => Uint8Array.from({ length }, (_, at) => (at * at) >> 3);
const hex = (digest: Uint8Array) => Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");

test("kernels: the package's own worker hashes bytes, whole and in chunks", () =>
  withKernels(async (pool) => {
    const abc = new TextEncoder().encode("abc");
    assert.equal(
      hex(await pool.run("sha256", [abc])),
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    const data = bytes(100_000);
    const each = await pool.run("sha256Chunks", [data, 30_000]);
    const expected = await Promise.all(
      [0, 30_000, 60_000, 90_000].map(
        async (at) =>
          new Uint8Array(
            await crypto.subtle.digest("SHA-256", data.slice(at, Math.min(at + 30_000, data.length))),
          ),
      ),
    );
    assert.equal(hex(each), expected.map(hex).join(""));
  }));

test("kernels: bytes that are transferred are hashed without a copy left behind", () =>
  withKernels(async (pool) => {
    const data = bytes(1000);
    const expected = hex(await pool.run("sha256", [data]));
    const hash = pool.run("sha256", [data], { transfer: [data.buffer] });
    assert.equal(hex(await hash), expected);
    assert.equal(data.length, 0);
  }));

test("kernels: credentials are found, and shown as little of as may be shown", () =>
  withKernels(async (pool) => {
    // Put together at run time, so that no search takes this file for a leak.
    const key = ["AKIA", "QYLPMN5HHHFPZAM2"].join("");
    const [found, ...others] = await pool.run("searchSecrets", [`é id = "${key}"`]);
    assert.deepEqual(others, []);
    assert.deepInclude(found, {
      rule: "aws-access-key-id",
      severity: "high",
      confidence: "medium",
      start: 9,
      end: 29,
      masked: "AKIA… (20 characters)",
    });
    assert.deepEqual(await pool.run("searchSecrets", [new TextEncoder().encode("nothing here")]), []);
  }));

test("kernels: texts are compared by fingerprints that went from one worker to another", () =>
  withKernels(async (pool) => {
    const text = "High water at nine; the lock opens half an hour before. ".repeat(20);
    const [one, same, other] = await Promise.all(
      [text, text.toUpperCase(), "nothing of it"].map((each) => pool.run("fingerprint", [each])),
    );
    assert.isDefined(one && same && other);
    if (one === undefined || same === undefined || other === undefined) return;
    assert.equal(await pool.run("similarity", [one, same]), 1);
    assert.isBelow(await pool.run("similarity", [one, other]), 0.2);
  }));

test("kernels: statistics of parts, worked on anywhere, merge into those of the whole", () =>
  withKernels(async (pool) => {
    const values = Float64Array.from({ length: 3000 }, (_, at) => Math.sin(at) * 100);
    values[7] = Number.NaN;
    const part = (from: number, to: number): Promise<Statistics> =>
      pool.run("statistics", [values.slice(from, to)]);
    const [whole, one, other] = await Promise.all([part(0, 3000), part(0, 1100), part(1100, 3000)]);
    const merged = await pool.run("mergeStatistics", [one, other]);
    assert.deepEqual([merged.count, merged.skipped], [2999, 1]);
    assert.deepEqual([merged.min, merged.max], [whole.min, whole.max]);
    assert.approximately(merged.mean, whole.mean, 1e-9);
    assert.approximately(merged.deviation, whole.deviation, 1e-9);
    const quantiles = await pool.run("quantiles", [Float64Array.of(5, 1, 3), [0, 0.5, 1]]);
    assert.deepEqual([...quantiles], [1, 3, 5]);
    const histogram = await pool.run("histogram", [values, { min: -50, max: 50, bins: 5 }]);
    const inside = histogram.counts.reduce((sum, count) => sum + count, 0);
    assert.deepEqual([histogram.skipped, inside + histogram.below + histogram.above], [1, 2999]);
    const counts = await pool.run("byteHistogram", [Uint8Array.of(1, 1, 2)]);
    assert.deepEqual([counts[1], counts[2], counts.length], [2, 1, 256]);
  }));

test("kernels: a wrong argument is named, and the worker goes on", () =>
  withKernels(async (pool) => {
    const wrong = await rejection(pool.run("sha256", ["text" as unknown as Uint8Array]));
    assert.equal((wrong as Error).name, "TypeError");
    assert.match((wrong as Error).message, /Expected `bytes` to be a Uint8Array, got `text`/);
    assert.equal((await pool.run("sha256", [new Uint8Array()])).length, 32);
    assert.equal(pool.metrics().deaths, 0);
  }));

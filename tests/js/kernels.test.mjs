/** The kernels module: with vectors and without it gives the same, and what it gives is right. */

import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { compile as compileInlined } from "../../dist/kernels-module/browser.js";
import { kernelMemory } from "../../dist/worker/kernel-module.js";
import { kernels } from "../../dist/worker/kernels.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const generated = (file) => readFileSync(new URL(`../../dist/generated/${file}`, import.meta.url));

/** Bytes that look random and are always the same. */
function noise(length) {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/** A token of GitHub, in two parts, so that no search finds it in this file; its checksum does not fit. */
const token = ["ghp_", "Zq3vT8mXw1LcR5yKd0JhUe7BnGs2PaFo4Vit"].join("");

test("hashes are those of Node", async () => {
  const bytes = noise(100_000);
  const hash = (part) => createHash("sha256").update(part).digest("hex");
  for (const length of [0, 1, 55, 56, 64, 100_000]) {
    const part = bytes.subarray(0, length);
    assert.equal(Buffer.from(await kernels.sha256(part)).toString("hex"), hash(part));
  }
  const each = await kernels.sha256Chunks(bytes, 7_000);
  const expected = Array.from({ length: 15 }, (_, at) => hash(bytes.subarray(at * 7_000, (at + 1) * 7_000)));
  assert.equal(Buffer.from(each).toString("hex"), expected.join(""));
  assert.equal((await kernels.sha256Chunks(new Uint8Array(), 10)).length, 0);
});

test("chunks of any size, four at a time, are hashed as Node hashes each alone", async () => {
  const bytes = noise(6_000);
  const draw = noise(900);
  const lengths = [0, 1, 255, 256, 257];
  for (let at = 0; at < draw.length; at += 3) lengths.push(draw[at] * 23);
  for (const [at, length] of lengths.entries()) {
    const size = 1 + ((draw[at * 2] * 256 + draw[at * 2 + 1]) % 700);
    const part = bytes.subarray(0, length);
    const expected = [];
    for (let from = 0; from < length; from += size)
      expected.push(
        createHash("sha256")
          .update(part.subarray(from, from + size))
          .digest(),
      );
    const each = await kernels.sha256Chunks(part, size);
    assert.ok(Buffer.concat(expected).equals(each), `${length} bytes in chunks of ${size}`);
  }
});

test("what is worked on in parts gives what the whole would, and takes little memory", async () => {
  const bytes = noise(9_000_000);
  const each = Buffer.from(await kernels.sha256Chunks(bytes, 3_000_001));
  const last = createHash("sha256").update(bytes.subarray(6_000_002)).digest("hex");
  assert.equal(each.subarray(64).toString("hex"), last);
  const counts = await kernels.byteHistogram(bytes);
  assert.equal(
    counts.reduce((a, b) => a + b),
    bytes.length,
  );
  assert.equal(counts[7], bytes.filter((byte) => byte === 7).length);

  const values = Float64Array.from({ length: 1_500_000 }, (_, at) => at);
  values[3] = Number.NaN;
  const { count, skipped, min, max, mean } = await kernels.statistics(values);
  assert.deepEqual([count, skipped, min, max], [1_499_999, 1, 0, 1_499_999]);
  assert.ok(Math.abs(mean - 749_999.5) < 1);
  const {
    counts: bins,
    below,
    above,
    skipped: neither,
  } = await kernels.histogram(values, {
    min: 100,
    max: 1_000_000,
    bins: 3,
  });
  assert.deepEqual([below, above, neither, bins.reduce((a, b) => a + b)], [99, 499_999, 1, 999_901]);
  assert.ok(kernelMemory() < 32 * 1024 * 1024, `${kernelMemory()} bytes`);
});

test("statistics of parts merge into those of the whole, and nothing has none", async () => {
  const values = Float64Array.from(noise(1000));
  const [whole, one, other] = await Promise.all(
    [values, values.subarray(0, 300), values.subarray(300)].map(kernels.statistics),
  );
  const merged = await kernels.mergeStatistics(one, other);
  for (const member of ["count", "min", "max"]) assert.equal(merged[member], whole[member]);
  for (const member of ["mean", "variance", "deviation"])
    assert.ok(Math.abs(merged[member] - whole[member]) < 1e-9, member);
  const { count, mean, deviation } = await kernels.statistics(new Float64Array());
  assert.deepEqual([count, mean, deviation], [0, 0, 0]);
  const quantiles = await kernels.quantiles(Float64Array.of(5, 1, 3), [0, 0.5, 1]);
  assert.deepEqual([...quantiles], [1, 3, 5]);
});

test("a credential is found in a text or its bytes, and shown as little of as may be shown", async () => {
  const text = `é const t = "${token}";`;
  const [found, ...others] = await kernels.searchSecrets(text);
  assert.deepEqual(others, []);
  assert.deepEqual(found, {
    rule: "github-token",
    title: found.title,
    severity: "critical",
    confidence: "low",
    start: 14,
    end: 54,
    masked: "ghp_… (40 characters)",
  });
  assert.deepEqual(await kernels.searchSecrets(new TextEncoder().encode(text)), [found]);
});

test("texts are compared by their fingerprints", async () => {
  const text = "High water at nine; the lock opens half an hour before. ".repeat(20);
  const [one, other] = [await kernels.fingerprint(text), await kernels.fingerprint(text.toUpperCase())];
  assert.equal(await kernels.similarity(one, other), 1);
  assert.ok((await kernels.similarity(one, await kernels.fingerprint("nothing of it"))) < 0.1);
});

test("a wrong argument is named", async () => {
  await kernels.sha256(new Uint8Array());
  assert.throws(() => kernels.sha256("text"), /^TypeError: Expected `bytes` to be a Uint8Array, got `text`/);
  assert.throws(() => kernels.sha256Chunks(new Uint8Array(4), 0), /Expected `size` to be an integer/);
  assert.throws(() => kernels.similarity(new Uint32Array(3), new Uint32Array(256)), /two fingerprints/);
  assert.throws(() => kernels.histogram(new Float64Array(), { min: 2, max: 1, bins: 3 }), /`max`/);
});

test("the module without vectors gives the same, by the same glue", async () => {
  assert.ok(generated("kernels_bg.js").equals(generated("scalar/kernels_bg.js")));
  const script = `
    import { load } from ${JSON.stringify(new URL("../../dist/worker/kernel-module.js", import.meta.url).href)};
    import { kernels } from ${JSON.stringify(new URL("../../dist/worker/kernels.js", import.meta.url).href)};
    const { simd } = await load(process.argv[1] === "true" ? undefined : false);
    const bytes = Uint8Array.from({ length: 50_000 }, (_, at) => (at * at) >> 3);
    const values = Float64Array.from(bytes, (byte) => byte / 7);
    const text = ${JSON.stringify(`token = ${token}`)};
    const given = [
      ...[1, 55, 64, 119, 999].map((size) => kernels.sha256Chunks(bytes.subarray(0, size * 50), size)), kernels.byteHistogram(bytes), kernels.statistics(values),
      kernels.searchSecrets(text), kernels.fingerprint(bytes), kernels.histogram(values, { min: 0, max: 30, bins: 7 }),
    ];
    console.log(JSON.stringify([simd, ...given.map((value) => (ArrayBuffer.isView(value) ? [...value] : value))]));
  `;
  const given = async (simd) => {
    const args = ["--input-type=module", "--eval", script, String(simd)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return JSON.parse(stdout);
  };
  const [[withVectors, ...fast], [without, ...plain]] = await Promise.all([given(true), given(false)]);
  assert.deepEqual([withVectors, without], [true, false]);
  assert.deepEqual(fast, plain);
});

test("only the one with vectors needs an engine that has them", () => {
  const validates = (file) => {
    const args = [
      "node_modules/binaryen/bin/wasm-opt",
      `dist/generated/${file}`,
      "--all-features",
      "--disable-simd",
      "--disable-relaxed-simd",
    ];
    return spawnSync(process.execPath, args, { cwd: root }).status === 0;
  };
  assert.deepEqual([validates("kernels_bg.wasm"), validates("scalar/kernels_bg.wasm")], [false, true]);
});

test("the modules inside scripts are those of the files", async () => {
  const names = async (module) => WebAssembly.Module.exports(await module).map(({ name }) => name);
  const file = await names(WebAssembly.compile(generated("kernels_bg.wasm")));
  assert.deepEqual(await names(compileInlined(true)), file);
  assert.deepEqual(await names(compileInlined(false)), file);
});

test("nothing of the kernels is in the module of the pools", () => {
  const rule = "github-token";
  assert.ok(generated("kernels_bg.wasm").includes(rule));
  assert.ok(!generated("core_bg.wasm").includes(rule));
  assert.ok(!generated("store_bg.wasm").includes(rule));
});

/** SHA-256 of chunks by the module with vectors, beside the one without: time of the processor, in turns. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { row } from "../side-by-side.mjs";

const BYTES = 8_000_000;
/** Bytes that cross at once, as the worker has them cross. */
const PART = 1_000_000;
const CHUNK = 65_536;
const ROUNDS = 15;

export async function vectorRows() {
  const modules = { ours: await loaded("kernels_bg.wasm"), theirs: await loaded("scalar/kernels_bg.wasm") };
  const bytes = Uint8Array.from({ length: BYTES }, (_, at) => (at * 31) >> 3);
  const rounds = [];
  for (let round = 0; round < 3 + ROUNDS; round += 1) {
    const speeds = {};
    const hashes = {};
    for (const side of round % 2 === 0 ? ["ours", "theirs"] : ["theirs", "ours"]) {
      const before = process.cpuUsage();
      hashes[side] = [];
      for (let from = 0; from < BYTES; from += PART)
        hashes[side].push(modules[side].sha256_chunks(bytes.subarray(from, from + PART), CHUNK));
      const { user, system } = process.cpuUsage(before);
      speeds[side] = BYTES / (user + system);
    }
    assert.deepEqual(hashes.ours, hashes.theirs);
    if (round >= 3) rounds.push(speeds);
  }
  rounds.sort((a, b) => a.ours / a.theirs - b.ours / b.theirs);
  return [
    row({
      bench: "workers: SHA-256 of chunks with vectors, on one core",
      n: BYTES,
      peer: "without vectors",
      version: "(the scalar build)",
      unit: "MB/s",
      ...rounds[ROUNDS >> 1],
      direction: "higher",
      bar: 1.5,
    }),
  ];
}

/** Each module with a glue of its own, since a glue knows one instance. */
async function loaded(file) {
  const glue = await import(`../../dist/generated/kernels_bg.js?${file}`);
  const bytes = readFileSync(new URL(`../../dist/generated/${file}`, import.meta.url));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { "./kernels_bg.js": glue });
  glue.__wbg_set_wasm(exports);
  exports.__wbindgen_start?.();
  return glue;
}

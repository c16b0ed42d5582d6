/**
 * The secret search of the package's worker: how much text one core searches in a second, against a floor.
 *
 * Counted is the time of the processor, not that of the clock, so that what else the machine does is not held against it.
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { kernels } from "../dist/worker/kernels.js";
import { median, row } from "./side-by-side.mjs";

const FLOOR = 200;
const MEGABYTES = 32;
const ROUNDS = 9;

export async function bench() {
  const texts = pieces();
  // One credential in each, so that nobody measures a search that does not search; the sources have one of the documentation's.
  const once = async () => {
    for (const text of texts) {
      const found = await kernels.searchSecrets(text);
      assert.equal(found.filter(({ confidence }) => confidence !== "low").length, 1);
    }
  };
  await once();
  await once();
  const speeds = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = process.cpuUsage();
    await once();
    const { user, system } = process.cpuUsage(before);
    speeds.push((MEGABYTES * 1e6) / (user + system));
  }
  return [
    row({
      bench: "secrets",
      n: MEGABYTES,
      peer: "a floor",
      version: "of MB/s a core",
      unit: "MB/s",
      ours: median(speeds),
      theirs: FLOOR,
      direction: "higher",
      bar: 1,
    }),
  ];
}

/** Sources, markup and prose of this repository, a megabyte at a time, until there are enough. */
function pieces() {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const files = ["js", "www", "docs", "src", "range"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => /\.(ts|mjs|md|css|html|rs)$/.test(name))
      .sort()
      .map((name) => readFileSync(join(root, folder, name))),
  );
  const all = Buffer.concat(files);
  const key = Buffer.from(["\nAKIA", "QYLPMN5HHHFPZAM2\n"].join(""));
  return Array.from({ length: MEGABYTES }, (_, index) => {
    const text = Buffer.alloc(1e6);
    for (let at = 0; at < text.length; ) {
      const from = (index * 1e6 + at) % all.length;
      at += all.copy(text, at, from, Math.min(all.length, from + text.length - at));
    }
    key.copy(text, text.length >> 1);
    return new Uint8Array(text);
  });
}

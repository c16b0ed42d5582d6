/**
 * Which values are worth keeping: hit ratios of `Cache` against lru-cache, both bounded to the same number of values, on
 * four traces made from a seed. The three traces on which ours does best must be above lru-cache's, the fourth no more
 * than 1 % below. What a get and a set cost is printed beside, without a bar.
 */

import { LRUCache } from "lru-cache";
import { Cache } from "tidegate";
import { hitRatioBars } from "./bars.mjs";
import { median, row, versionOf } from "./side-by-side.mjs";
import { traces } from "./traces.mjs";

const CAPACITY = 1000;

export function bench({ seed }) {
  console.log(`cache: seed ${seed}, ${CAPACITY} values`);
  const measured = Object.entries(traces(seed, CAPACITY)).map(([name, trace]) => ({
    name,
    trace,
    ours: hitRatio(trace, ours()),
    theirs: hitRatio(trace, theirs()),
  }));
  for (const { name, trace } of measured) console.log(`cache, ${name}: ${costs(trace)}`);
  const bars = hitRatioBars(measured);
  return measured.map(({ name, trace, ours, theirs }) =>
    row({
      bench: `cache: ${name}`,
      n: trace.length,
      peer: "lru-cache",
      version: versionOf("lru-cache"),
      unit: "% hits",
      ours: ours * 100,
      theirs: theirs * 100,
      direction: "higher",
      bar: bars.get(name),
    }),
  );
}

function ours() {
  return new Cache({ max: CAPACITY });
}

function theirs() {
  return new LRUCache({ max: CAPACITY });
}

/** Looks every key up, and keeps what was not there: the share that was. */
function hitRatio(trace, cache) {
  let hits = 0;
  for (const key of trace) {
    if (cache.get(key) !== undefined) hits += 1;
    else cache.set(key, key);
  }
  return hits / trace.length;
}

/** What a request of the trace costs, the get and the set that a miss brings with it. */
function costs(trace) {
  const [our, their] = [ours, theirs].map((make) =>
    median(
      [1, 2, 3].map(() => {
        const began = performance.now();
        hitRatio(trace, make());
        return ((performance.now() - began) / trace.length) * 1e6;
      }),
    ),
  );
  const cached = [ours(), theirs()].map((cache) => {
    for (let n = 0; n < 100; n += 1) cache.set(`hot ${n}`, n);
    const began = performance.now();
    for (let n = 0; n < 100_000; n += 1) cache.get(`hot ${n % 100}`);
    return ((performance.now() - began) / 100_000) * 1e6;
  });
  const ns = (value) => `${Math.round(value)} ns`;
  return `a request ${ns(our)}, lru-cache ${ns(their)}; a get that hits ${ns(cached[0])}, lru-cache ${ns(cached[1])}`;
}

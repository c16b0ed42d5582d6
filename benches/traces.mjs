/**
 * Requests by key, made from a seed: the loads under which caches are compared.
 */

/**
 * - `zipf`: few keys are asked for often and many hardly ever;
 * - `scan`: the same, with long runs of keys in between that come once and never again;
 * - `loop`: rounds through as many keys in order, from half of what the cache holds to twice as many;
 * - `mixed`: popularity that drifts, scans, loops, and bursts of what was asked for just before.
 *
 * @param {number} seed
 * @param {number} capacity what the cache holds
 * @param {number} [length] requests in each trace
 * @returns {Record<"zipf" | "scan" | "loop" | "mixed", string[]>}
 */
export function traces(seed, capacity, length = 200 * capacity) {
  const random = generator(seed);
  return Object.fromEntries(
    Object.entries({ zipf, scan, loop, mixed }).map(([name, make]) => [
      name,
      make({ capacity, length, random })
        .slice(0, length)
        .map((key) => `key ${key}`),
    ]),
  );
}

/** Keys that come once are above this. */
const FRESH = 1e9;
const LOOPS = 2e9;

function zipf({ capacity, length, random }) {
  const draw = popularity(50 * capacity, random);
  return Array.from({ length }, draw);
}

function scan({ capacity, length, random }) {
  const draw = popularity(20 * capacity, random);
  const trace = [];
  while (trace.length < length) {
    push(trace, 3 * capacity, draw);
    const from = FRESH + trace.length;
    push(trace, 2 * capacity, (n) => from + n);
  }
  return trace;
}

function loop({ capacity, length, random }) {
  const trace = [];
  for (let from = 0; trace.length < length; from += 2 * capacity) {
    const round = Math.round(capacity * (0.5 + 1.5 * random()));
    push(trace, 10 * round, (n) => from + (n % round));
  }
  return trace;
}

function mixed({ capacity, length, random }) {
  const draw = popularity(20 * capacity, random);
  const trace = [];
  let next = FRESH;
  for (let phase = 0; trace.length < length; phase += 4) {
    push(trace, 6 * capacity, () => phase * capacity + draw());
    push(trace, 2 * capacity, () => next++);
    push(trace, 6 * capacity, (n) => LOOPS + phase * capacity + (n % (1.5 * capacity)));
    push(trace, 6 * capacity, () => {
      const back = 1 + Math.floor(random() * (capacity / 2 - 1));
      return random() < 0.5 ? trace[trace.length - back] : next++;
    });
  }
  return trace;
}

/** Appends key by key: one may depend on those before. */
function push(trace, count, key) {
  for (let n = 0; n < count; n += 1) trace.push(key(n));
}

/** Draws keys whose popularity falls with a power of their rank. */
function popularity(keys, random, skew = 0.9) {
  const sums = new Float64Array(keys);
  let sum = 0;
  for (let rank = 1; rank <= keys; rank += 1) {
    sum += rank ** -skew;
    sums[rank - 1] = sum;
  }
  return () => {
    const at = random() * sum;
    let [low, high] = [0, keys - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** Mulberry32 (Tommy Ettinger): the same numbers in [0, 1) for the same seed. */
function generator(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Which mutants a run takes: a shard of them, and of that a sample by a seed.
 */

import { UsageError } from "../../setup/flags.mjs";

/** Every Nth, beginning with the Kth: each shard meets every file. */
export function shardOf(mutants, shard) {
  const [, which, of] = shard.match(/^(\d+)\/(\d+)$/)?.map(Number) ?? [];
  if (!(which >= 1 && which <= of)) {
    throw new UsageError(`Expected \`--shard\` to be K/N with K from 1 to N, got \`${shard}\``);
  }
  return mutants.filter((_, at) => at % of === which - 1);
}

/** So many of them by chance, in their own order; all without a number. */
export function drawn(mutants, number, seed) {
  if (number === undefined || number >= mutants.length) return mutants;
  const next = generator(seed);
  // Knuth's selection sampling (The Art of Computer Programming 2, algorithm S): each is as likely, none is drawn twice.
  let wanted = number;
  return mutants.filter((_, at) => {
    const take = next() * (mutants.length - at) < wanted;
    if (take) wanted -= 1;
    return take;
  });
}

/** Numbers from 0 to below 1, by SplitMix32. */
function generator(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

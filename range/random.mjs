// A number in [0, 1) that depends on nothing but its words: the same seed, target and request always
// draw the same number, however requests to other targets interleave with it.

/**
 * Draws a number in [0, 1) from a seed and any further words.
 *
 * @param {number} seed
 * @param {...(string | number)} words
 * @returns {number}
 */
export function draw(seed, ...words) {
  let hash = 0x811c9dc5 ^ seed;
  for (const unit of words.join("\u0000")) {
    hash = Math.imul(hash ^ unit.codePointAt(0), 0x01000193); // FNV-1a, 32 bits
  }
  return finish(hash) / 2 ** 32;
}

/** The finaliser of MurmurHash3: FNV alone leaves the high bits of short inputs nearly constant. */
function finish(hash) {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

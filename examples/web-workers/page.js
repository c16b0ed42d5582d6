/** Hashes a file that is chosen, a megabyte at a time on every core. */

import { Work } from "./load.js";

const work = new Work(new URL("./worker.js", import.meta.url).href, navigator.hardwareConcurrency);
const output = document.querySelector("output");

document.querySelector("input").addEventListener("change", async ({ target }) => {
  const bytes = new Uint8Array(await target.files[0].arrayBuffer());
  const began = performance.now();
  const digests = await work.hashPieces(bytes, 1 << 20);
  output.value = `${digests.length / 32} digests in ${Math.round(performance.now() - began)} ms, by ${work.workers} workers`;
});

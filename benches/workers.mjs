/**
 * Tasks on other threads, beside comlink, workerpool and piscina, in Node and in real Chromium; and the kernels beside two
 * bare workers.
 */

import { inChromium } from "./workers/chromium.mjs";
import { inNode } from "./workers/node.mjs";

export async function bench() {
  return [...(await inNode()), ...(await inChromium())];
}

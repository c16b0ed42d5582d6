/**
 * Tasks on other threads, beside comlink, workerpool and piscina, in Node and in real Chromium; the kernels beside two bare
 * workers, a floor, and themselves without vectors; what workers that break take with them; and every bundler.
 */

import { ensure, packages } from "../setup/needs.mjs";
import { bench as secrets } from "./secrets.mjs";
import { bundlerRows } from "./workers/bundlers.mjs";
import { inChromium } from "./workers/chromium.mjs";
import { faultRows } from "./workers/faults.mjs";
import { inNode } from "./workers/node.mjs";
import { vectorRows } from "./workers/vectors.mjs";

export async function* bench() {
  await ensure(packages("tests", "the workers' tests"));
  for (const part of [inNode, inChromium, secrets, vectorRows, faultRows, bundlerRows]) yield* await part();
}

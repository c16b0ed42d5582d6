/** What the workers of the trap cases do. The module is a worker's whole script. */

import { expose } from "tidegate/workers";

export const functions = {
  add: (a: number, b: number) => a + b,
  wait: (ms: number) => new Promise<number>((resolve) => setTimeout(() => resolve(ms), ms)),
  never: () => new Promise<never>(() => {}),
  async *forEver() {
    for (let n = 0; ; n += 1) yield await n;
  },
};

expose(functions);

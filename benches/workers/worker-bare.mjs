/** A worker as somebody would write it who needs no pool. */

import { kernels } from "../../dist/worker/kernels.js";

addEventListener("message", async ({ data: { name, all } }) => {
  const answers = [];
  for (const args of all) answers.push(await kernels[name](...args));
  postMessage(answers);
});
